#!/usr/bin/env bash
# Formats every C++ source of the tree (--write) or fails naming those that are not formatted (--check). Without
# clang-format-16 it exits with 77, which the tests take for skipped, or with 1 if RETUNE_REQUIRE_ORACLES is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1:-}" in
  --check) mode=(--dry-run --Werror) ;;
  --write) mode=(-i) ;;
  *)
    echo "usage: scripts/format.sh --check | --write" >&2
    exit 2
    ;;
esac
if ! command -v clang-format-16 >/dev/null; then
  echo "clang-format-16 is not installed; see ./dev setup test" >&2
  [[ -n "${RETUNE_REQUIRE_ORACLES:-}" ]] && exit 1
  exit 77
fi
# find and not git: a released tree has no history.
sources() {
  find . \( -path ./build -o -path './build-*' -o -path ./out -o -path './.*' -o -name node_modules \) -prune -o \
    \( -name '*.h' -o -name '*.cc' \) -print0
}
if [[ ${mode[0]} == -i ]]; then
  sources | xargs -0 -r -n 32 -P "$(nproc)" clang-format-16 --style=file "${mode[@]}"
elif ! complaints=$(sources | xargs -0 -r -n 32 -P "$(nproc)" clang-format-16 --style=file "${mode[@]}" 2>&1); then
  echo "not formatted (./dev format does it):" >&2
  grep -o '^\./[^:]*' <<<"$complaints" | sort -u >&2
  exit 1
fi
