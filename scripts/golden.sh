#!/usr/bin/env bash
# Makes golden data again, beside the tree, and compares it with what is committed, byte for byte.
# Usage: scripts/golden.sh [NAME...]; without names every folder of tests/golden.
#
# Every tests/golden/NAME has a make.py, or a make.mjs, that writes the data into its own folder; it runs here in a copy
# that holds nothing but the maker and what it reads, with links to the rest of the tree. Floating point may differ in
# the last bit on another processor: then read the numbers before you commit new ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [[ $# -eq 0 ]]; then
  set -- $(cd tests/golden && for maker in */make.*; do dirname "$maker"; done | sort -u)
fi
mkdir -p "$scratch/tests/golden"
for part in bench demo tests/interop; do
  ln -s "$PWD/$part" "$scratch/$part"
done
ln -s "$PWD/tests/interop/node_modules" "$scratch/node_modules"
failed=0
for name in "$@"; do
  folder=tests/golden/$name
  if [[ -e $folder/make.py ]]; then
    maker=(/usr/bin/python3 -B "$folder/make.py")
  elif [[ -e $folder/make.mjs ]]; then
    maker=(node "$folder/make.mjs" "$folder")
  else
    echo "golden: $folder has neither make.py nor make.mjs" >&2
    exit 2
  fi
  cp -r "$folder" "$scratch/tests/golden/"
  find "$scratch/$folder" -type f ! -name '*.py' ! -name '*.md' ! -name '*.mjs' ! -name corpus.txt -delete
  find "$scratch/$folder" -mindepth 1 -type d -empty -delete
  if ! (cd "$scratch" && "${maker[@]}"); then
    echo "golden: $name: ${maker[*]} failed" >&2
    failed=1
  elif ! diff -rq "$folder" "$scratch/$folder" --exclude=__pycache__; then
    failed=1
  else
    echo "golden: $name: same bytes"
  fi
done
exit $failed
