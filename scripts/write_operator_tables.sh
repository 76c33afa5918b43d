#!/usr/bin/env bash
# Writes the tables of docs/operators.md again: what the program says about its operators and, given the folder, what
# ONNX's node tests say.
#
#   scripts/write_operator_tables.sh [FOLDER_OF_NODE_TESTS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${RETUNE:-build/release/cli/retune}

# Puts standard input between the line that names the command and the end mark.
replace() {
  python3 -c '
import pathlib, sys
path, mark = pathlib.Path("docs/operators.md"), f"<!-- made by `{sys.argv[1]}` -->\n\n"
text = path.read_text()
begin = text.index(mark) + len(mark)
path.write_text(text[:begin] + sys.stdin.read() + text[text.index("\n<!-- end -->", begin):])
' "$1"
}

"$program" operators --markdown | replace "retune operators --markdown"
if [[ $# -gt 0 ]]; then
  "$program" conformance "$1" --markdown | replace "retune conformance FOLDER --markdown"
fi
