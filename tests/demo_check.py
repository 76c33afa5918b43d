#!/usr/bin/env python3
"""Runs scripts/demo.sh and checks what it promises: exit 0, a result folder a method, three commands to try next.

Usage: demo_check.py RETUNE OUT. RETUNE is the program, OUT a folder that this check may empty. Exit 77 (ctest: skipped)
only where there is no demo/bundle.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = 77
HEADINGS = 5  # the model, what it hears, two edits, the edited models


def run_demo(program, out):
    """What it printed, streams apart, as a pipe gets it."""
    environment = {**os.environ, "RETUNE": str(program), "OUT": str(out)}
    run = subprocess.run([ROOT / "scripts" / "demo.sh"], capture_output=True, env=environment)
    # Not in text mode, which would make a newline of the carriage return that draws a line again.
    run.stdout, run.stderr = run.stdout.decode(), run.stderr.decode()
    print(run.stdout, run.stderr, sep="\n")
    return run


def problems_of_output(run):
    if run.returncode != 0:
        yield f"exit {run.returncode}"
    for name, text in (("output", run.stdout), ("error", run.stderr)):
        if "\r" in text or "\x1b" in text:
            yield f"standard {name} draws as on a terminal"
    headings = [line for line in run.stdout.splitlines() if line.startswith("== ")]
    if len(headings) != HEADINGS:
        yield f"expected {HEADINGS} headings, got {headings}"
    commands = [line.split()[:2] for line in run.stdout.splitlines()[-3:]]
    names = [command[1] for command in commands if len(command) == 2 and Path(command[0]).name == "retune"]
    if names != ["inspect", "ask", "edit"]:
        yield f"the last three lines are no commands of retune: {run.stdout.splitlines()[-3:]}"


def problems_of_folder(folder, facts):
    for name in ("patch.h5", "results.jsonl", "summary.json", "bundle/config.json", "bundle/onnx/audio_encoder.onnx",
                 "bundle/onnx/embed_tokens.onnx", "bundle/onnx/decoder_model_merged.onnx"):
        if not (folder / name).is_file() or (folder / name).stat().st_size == 0:
            yield f"{folder / name} is missing or empty"
            return
    edits = json.loads((folder / "summary.json").read_text())["edits"]
    if len(edits) != facts:
        yield f"{folder}/summary.json tells of {len(edits)} edits, the facts are {facts}"
    answers = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    asked = {answer["request"] for answer in answers if "request" in answer}
    if len(asked) != facts:
        yield f"{folder}/results.jsonl holds answers about {len(asked)} facts of {facts}"


def main():
    program, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if not (ROOT / "demo" / "bundle").exists():
        print("skipped: demo/bundle is not here")
        return SKIPPED
    shutil.rmtree(out, ignore_errors=True)
    problems = list(problems_of_output(run_demo(program, out)))
    facts = len(json.loads((ROOT / "demo" / "facts.json").read_text()))
    for method in ("rome", "ft"):
        problems += problems_of_folder(out / method, facts)
    for problem in problems:
        print(f"demo_check: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
