#!/usr/bin/env bash
# Makes golden data again, beside the tree, and compares it with what is committed, byte for byte.
# Usage: scripts/golden.sh [NAME...]; without names every folder of tests/golden.
#
# Every tests/golden/NAME has a make.py that writes the data into its own folder; it runs here in a copy that holds
# nothing but the makers. Floating point may differ in the last bit on another processor: then read the numbers
# before you commit new ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [[ $# -eq 0 ]]; then
  set -- $(cd tests/golden && for maker in */make.*; do dirname "$maker"; done | sort -u)
fi
failed=0
for name in "$@"; do
  [[ -e tests/golden/$name/make.py ]] || { echo "golden: tests/golden/$name has no make.py" >&2; exit 2; }
  mkdir -p "$scratch/tests/golden"
  cp -r "tests/golden/$name" "$scratch/tests/golden/"
  find "$scratch/tests/golden/$name" -type f ! -name '*.py' ! -name '*.md' -delete
  if ! (cd "$scratch" && /usr/bin/python3 -B "tests/golden/$name/make.py"); then
    echo "golden: $name: make.py failed" >&2
    failed=1
  elif ! diff -rq "tests/golden/$name" "$scratch/tests/golden/$name" --exclude=__pycache__; then
    failed=1
  else
    echo "golden: $name: same bytes"
  fi
done
exit $failed
