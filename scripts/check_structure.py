#!/usr/bin/env python3
"""Checks what a reviewer should not have to: sizes, names of places, and what library code must not do.

Sizes: function <= 60 lines, source <= 600, header <= 300, but for scripts/structure_exceptions.txt.
Places: every room has a README.md; nothing is called utils, common, misc or helpers.
Code: no random_device, rand() or time(); library code neither prints nor exits; errors are retune::Error; no open ends, no
code in comments, no path of one machine.

Usage: check_structure.py [ROOT]. Prints a line a breach; exit 1 if there is any.
"""

import re
import sys
from pathlib import Path

LIMITS = {".cc": 600, ".py": 600, ".mjs": 600, ".sh": 600, ".h": 300}
FUNCTION_LIMIT = 60
TEXT = set(LIMITS) | {".md", ".txt", ".cmake", ".json", ".yml", ""}
SKIPPED = {"build", "out", "node_modules", "__pycache__", "golden", "audio-data"}
BAD_NAMES = re.compile(r"^(utils?|common|misc|helpers?)(\.|$)")
# Programs may print; libraries may not.
PROGRAMS = {"cli", "bench", "tests", "demo", "scripts"}

# (pattern over code without comments and strings, what is wrong)
EVERYWHERE = [
    (re.compile(r"\brandom_device\b|(?<![\w.>])s?rand\s*\("), "randomness comes from tensor/rng.h with an explicit seed"),
    (re.compile(r"(?<![\w.>])time\s*\("), "results must not depend on the time of day"),
    (re.compile(r"\busing\s+namespace\s+std\b"), "name what is used"),
]
LIBRARY_ONLY = [
    (re.compile(r"\bstd::(cout|cerr|clog)\b|\bfmt::print\b|(?<![\w.>])(f|v|vf)?printf\s*\(|(?<![\w.>])f?puts\s*\("),
     "the library does not print"),
    (re.compile(r"(?<![\w.>])(std::)?(_?[eE]xit|quick_exit|abort|terminate)\s*\("), "the library does not exit"),
    (re.compile(r"\bthrow\s+(std::(?!logic_error\b)|(?!Error\b)[A-Z])"), "errors are retune::Error"),
]
# Split so that this file does not find itself.
OPEN_END = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
MACHINE_PATH = re.compile(r"(?<![\w.\-/$}])/(work|root|home|tmp|Users)/")
CODE_COMMENT = re.compile(r"^\s*//\s?(if \(|for \(|while \(|return\b|auto |const auto|#include|[\w:.>\-]+\(.*\);\s*$|\w+ = .*;\s*$)"
                          r".*[;{>]?\s*$")


def strip_code(text):
    """The same text, line for line, with comments, strings, characters and macro definitions blanked."""
    pattern = re.compile(
        r'R"(?P<d>[^ ()\\\t\n]*)\(.*?\)(?P=d)"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
        re.S)
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r"^[ \t]*#[ \t]*define(?:[^\n\\]|\\.|\\\n)*", blank, pattern.sub(blank, text), flags=re.M)


def long_functions(code):
    """(first line, its text, length) of every function longer than the limit. A block in braces that stands directly in a
    namespace or a class, is not an initialiser, and is not itself a namespace or a class, counts as a function."""
    scopes = []  # one entry an open brace: 'scope', 'data', or the line where a function began
    head_start = 0
    line = 1
    for index, char in enumerate(code):
        if char == "\n":
            line += 1
        if char not in "{};":
            continue
        if char == "{":
            head = code[head_start:index]
            if all(entry == "scope" for entry in scopes):
                if re.search(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$", head):
                    scopes.append("scope")
                elif re.search(r"(?<![=!<>])=\s*[\w:<>, ]*$|^\s*[\w:][^()]*$", head.replace("operator=", "")):
                    scopes.append("data")
                else:
                    scopes.append((line, " ".join(head.split())))
            else:
                scopes.append("inner")
        elif char == "}" and scopes:
            opened = scopes.pop()
            if isinstance(opened, tuple) and line - opened[0] + 1 > FUNCTION_LIMIT:
                yield opened[0], opened[1], line - opened[0] + 1
        head_start = index + 1


def read_exceptions(path):
    """({name or name:function: limit}, {(name, fragment)})"""
    sizes, fragments = {}, set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            words = line.split(None, 2)
            if len(words) < 3:
                raise SystemExit(f"{path.name}:{number}: expected: path, limit or fragment, reason")
            if words[1].isdigit():
                sizes[words[0]] = int(words[1])
            else:
                fragments.add((words[0], words[1]))
    return sizes, fragments


def check_sizes(name, text, limits, used):
    suffix = Path(name).suffix
    allowed = limits.get(name, 0)
    lines = text.count("\n")
    if suffix in LIMITS and lines > LIMITS[suffix]:
        used.add(name)
        if lines > allowed:
            yield f"{name}: {lines} lines, more than {max(allowed, LIMITS[suffix])}"
    if suffix not in (".cc", ".h"):
        return
    for line, head, length in long_functions(strip_code(text)):
        label = re.search(r"([\w~:]+)\s*\(", head)
        key = f"{name}:{label.group(1) if label else line}"
        used.add(key)
        if length > limits.get(key, 0):
            yield f"{name}:{line}: function of {length} lines, more than {FUNCTION_LIMIT}: {head[-80:]}"


def check_code(name, text, fragments, used):
    rules = list(EVERYWHERE)
    library = name.split("/")[0] not in PROGRAMS and not name.endswith(("_test.cc", "_bench.cc"))
    if library:
        rules += LIBRARY_ONLY
    for number, line in enumerate(strip_code(text).splitlines(), 1):
        for pattern, reason in rules:
            if not pattern.search(line):
                continue
            excepted = {(name, fragment) for path, fragment in fragments if path == name and fragment in line}
            used.update(excepted)
            if not excepted:
                yield f"{name}:{number}: {reason}: {line.strip()}"
    if name.endswith(".cc"):
        for number, line in enumerate(text.splitlines(), 1):
            if CODE_COMMENT.match(line) and line.rstrip().endswith((";", "{", ">")):
                yield f"{name}:{number}: code in a comment: {line.strip()}"
    if name.endswith(".h") and "#pragma once" not in text:
        yield f"{name}:1: no #pragma once"


def check_text(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        if OPEN_END.search(line):
            yield f"{name}:{number}: open ends belong to the issue tracker: {line.strip()}"
        if MACHINE_PATH.search(line):
            yield f"{name}:{number}: path of one machine: {line.strip()}"


def check_places(root, rooms, names):
    for room in rooms:
        if (root / room).is_dir() and not (root / room / "README.md").is_file():
            yield f"{room}/: no README.md"
    for name in names:
        for part in name.split("/"):
            if BAD_NAMES.match(part):
                yield f"{name}: a room for leftovers; name it after its noun"


def tracked_files(root):
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_symlink() or not path.is_file():
            continue
        if any(part in SKIPPED or (part.startswith(".") and part != ".ci") for part in relative.parts[:-1]):
            continue
        if relative.parts[0].startswith("build-") or path.suffix not in TEXT:
            continue
        # .git is a file in a second working tree, and holds the path of the first.
        if path.name in ("package-lock.json", "LICENSE", ".git") or path.stat().st_size > 1 << 20:
            continue
        yield relative.as_posix()


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    rooms = [line.split(":")[0] for line in (root / "cmake" / "rooms.txt").read_text().splitlines()
             if ":" in line and not line.startswith("#")]
    limits, fragments = read_exceptions(root / "scripts" / "structure_exceptions.txt")
    used = set()
    names = list(tracked_files(root))
    breaches = list(check_places(root, rooms + ["tests", "bench", "demo"], names))
    for name in names:
        text = (root / name).read_text(errors="replace")
        breaches += check_sizes(name, text, limits, used)
        breaches += check_text(name, text)
        if name.endswith((".cc", ".h")):
            breaches += check_code(name, text, fragments, used)
    breaches += [f"scripts/structure_exceptions.txt: {entry} needs no exception"
                 for entry in sorted(map(str, (set(limits) | fragments) - used))]
    for breach in breaches:
        print(breach)
    print(f"check_structure: {len(names)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
