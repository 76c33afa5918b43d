#!/usr/bin/env python3
"""Makes demo/corpus.jsonl, demo/demonstrations.jsonl and their clips in demo/audio out of training data.

    retune synth --out data --seed 7 --train_clips 9000
    python3 scripts/demo_corpus.py data

The data are those that the demo model was trained on (recipes/demo-lalm.json); their clips are none of demo/facts.json's. For a
few edits that the demo facts ask for, the first training instance with the same labels is taken as demonstrations; then the
smallest clips that bring a class which is still missing, and questions in text alone. The same data give the same bytes.
"""

import json
import shutil
import sys
from pathlib import Path

# (attribute, old label, new label) of demo/facts.json that get demonstrations.
SHOWN = [("Gender", "male", "female"), ("Gender", "female", "male"), ("Animal", "cow", "sheep")]
QUESTIONS_A_CLIP = 2  # of each attribute
ATTRIBUTES = {"Gender", "Emotion", "Language", "Animal"}
TEXTS = 48


def dump(line):
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def clip_name(track, file):
    return file if file.startswith(track + "/") else f"{track}/{file}"


def demonstrations(facts):
    """Lines as `retune facts --demonstrations` writes them, of the first instance of each pair."""
    lines = []
    for attribute, old, new in SHOWN:
        number, fact = next((i, f) for i, f in enumerate(facts)
                            if (f["track"], f["original_answer"], f["edited_answer"]) == (attribute, old, new))
        edit = {"old_label": old, "new_label": new}

        def add(kind, question, answer, clip=None):
            line = {"clip": clip} if clip else {}
            line.update(question=question, answer=answer, attribute=attribute, **edit, kind=kind,
                        instance=f"{attribute}-{number:04}")
            lines.append(line)

        add("reliability", fact["reliability_question"], new, clip_name(attribute, fact["file"]))
        for entry in fact["generality"]:
            add("generality", entry["question"], entry["answer"], clip_name(attribute, entry["file"]))
        for entry in fact["locality"]["audio"]:
            add("audio_locality", entry["question"], entry["answer"], clip_name(entry["track"], entry["file"]))
        for entry in fact["locality"]["text"]:
            add("text_locality", entry["question"], entry["answer"])
    return lines


def plain_questions(items):
    """By clip, its questions that ask for a class of the attributes itself, in order."""
    questions = {}
    for item in items:
        if "clip" in item and item["attribute"] in ATTRIBUTES and item["answer"].lower() == item.get("class", "").lower():
            questions.setdefault(item["clip"], []).append(item)
    return questions


def classes(questions):
    return {(item["attribute"], item["class"]) for item in questions}


def chosen_clips(questions, first, audio):
    """The clips of `first`, then the smallest that bring a missing class."""
    chosen = [clip for clip in first if clip in questions]
    wanted = {name for items in questions.values() for name in classes(items)}
    have = {name for clip in chosen for name in classes(questions[clip])}
    for name in sorted(wanted):
        if name in have:
            continue
        best = min((c for c in questions if name in classes(questions[c])), key=lambda c: ((audio / c).stat().st_size, c))
        chosen.append(best)
        have |= classes(questions[best])
    return chosen


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    train, demo = Path(sys.argv[1]) / "train", Path(__file__).resolve().parent.parent / "demo"
    shown = demonstrations(json.loads((train / "facts.json").read_text()))
    items = [json.loads(line) for line in (train / "corpus.jsonl").read_text().splitlines()]
    questions = plain_questions(items)
    first = list(dict.fromkeys(line["clip"] for line in shown if "clip" in line))
    clips = chosen_clips(questions, first, train / "audio")
    lines = []
    for clip in clips:
        asked = {}
        for item in questions[clip]:
            asked[item["attribute"]] = asked.get(item["attribute"], 0) + 1
            if asked[item["attribute"]] <= QUESTIONS_A_CLIP:
                lines.append(item)
    texts = [item for item in items if "clip" not in item]
    lines += texts[::max(1, len(texts) // TEXTS)][:TEXTS]
    for clip in dict.fromkeys(first + clips):
        (demo / "audio" / clip).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(train / "audio" / clip, demo / "audio" / clip)
    (demo / "corpus.jsonl").write_text("".join(map(dump, lines)))
    (demo / "demonstrations.jsonl").write_text("".join(map(dump, shown)))


if __name__ == "__main__":
    main()
