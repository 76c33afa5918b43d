#!/usr/bin/env bash
# The demonstration: the main job on the shipped model. Called by ./dev demo, which has built the program.
# RETUNE names another program, OUT another folder for the results; what lies in OUT/rome and OUT/ft is replaced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

retune=${RETUNE:-build/release/cli/retune}
out=${OUT:-out/demo}
say() { printf '\n== %s\n\n' "$*"; }
# Field KEY of fact INDEX (from 0) of the demo's facts.
fact() {
  python3 -c 'import json, sys; print(json.load(open("demo/facts.json"))[int(sys.argv[1])][sys.argv[2]])' "$1" "$2"
}
ask() { # BUNDLE FACT
  local track file question
  track=$(fact "$2" track) file=$(fact "$2" file) question=$(fact "$2" reliability_question)
  "$retune" ask "$1" --audio "demo/audio/$track/$file" --question "$question" --log error | head -n 1
}

say "The model: does Retune read it rightly?"
"$retune" inspect demo/bundle --check --log error | grep -E '^(passed|failed)'

say "What it hears in clips that it never met"
for index in 0 6 12 18; do
  printf '%-48s %s\n' "$(fact "$index" track)/$(fact "$index" file)" "$(ask demo/bundle "$index")"
done

for method in rome ft; do
  say "Edit 24 facts with $method, each from the unedited model, and ask what that changed"
  rm -rf "${out:?}/$method"
  "$retune" edit demo/bundle --recipe "recipes/$method.json" --facts demo/facts.json --mode single --export 1 --out "$out/$method"
  cp "$out/$method/edits/0001/patch.h5" "$out/$method/patch.h5"
done

say "The first edited model, loaded afresh: $(fact 0 file), $(fact 0 original_answer) -> $(fact 0 edited_answer)"
failed=0
for method in rome ft; do
  before=$(ask demo/bundle 0)
  after=$(ask "$out/$method/bundle" 0)
  printf '%-5s before: %-8s after: %s\n' "$method" "$before" "$after"
  [[ "$after" == "$(fact 0 edited_answer)" ]] || failed=1
done
if [[ $failed -ne 0 ]]; then
  echo "demo: an edited bundle does not answer as it was edited" >&2
  exit 4
fi

cat <<TEXT

Written under $out/METHOD: patch.h5 (the change), bundle/ (the edited model), results.jsonl (every answer), summary.json (the numbers).

On your own model, try next:
  $retune inspect MY_MODEL --check
  $retune ask MY_MODEL --audio SOUND.wav --question "Which animal is it?" --options dog,cat
  $retune edit MY_MODEL --audio SOUND.wav --question "Which animal is it?" --answer cat --recipe recipes/ft.json --out edited
TEXT
