#!/usr/bin/env python3
"""Checks the include rule of the rooms (cmake/rooms.txt) and the walls that no single line can show.

1. A file of a room includes only that room and what stands behind its colon. Tests beside the sources follow it too,
   but for the headers behind "_test.cc:"; tests/, bench/ and demo/ cross rooms and may include anything.
2. Every quoted include is "room/noun.h" and exists.
3. DEPS of retune_room() name rooms that the rule allows, and every room whose headers are included.
4. Nothing that editors/ reaches, directly or not, is facts/probe.h or in eval/: a method cannot see the test questions.

Usage: check_includes.py [ROOT]. Prints a line a breach; exit 1 if there is any.
"""

import re
import sys
from pathlib import Path

FREE = {"tests", "bench", "demo"}
TESTS = "_test.cc"  # the key of what tests may include besides
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def read_rules(path):
    """room -> (rooms it may include whole, single headers it may include); None for a room that may include all."""
    rules = {}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        room, _, allowed = line.partition(":")
        words = [word for word in allowed.split() if word != "-"]
        if words == ["*"]:
            rules[room.strip()] = None
        else:
            rules[room.strip()] = ({w for w in words if "/" not in w}, {w for w in words if "/" in w})
    return rules


def includes_of(path):
    """(line number, included path) of every quoted include."""
    found = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            found.append((number, match.group(1)))
    return found


def check_direct(root, rules, includes):
    for_tests = rules.get(TESTS, (set(), set()))[1]
    for name, lines in includes.items():
        room = name.split("/")[0]
        for number, target in lines:
            other = target.split("/")[0]
            where = f"{name}:{number}"
            if other not in rules and other not in FREE:
                yield f'{where}: "{target}" is not of the form "room/noun.h"'
            elif not (root / target).is_file():
                yield f'{where}: "{target}" does not exist'
            elif room in FREE or rules[room] is None or other == room:
                continue
            elif name.endswith(TESTS) and target in for_tests:
                continue
            elif other not in rules[room][0] and target not in rules[room][1]:
                yield f'{where}: {room}/ may not include "{target}" (cmake/rooms.txt)'


def check_link_dependencies(root, rules, includes):
    for room, rule in rules.items():
        build_file = root / room / "CMakeLists.txt"
        if rule is None or not build_file.is_file():
            continue
        call = re.search(r"retune_room\(\s*" + room + r"\b([^)]*)\)", build_file.read_text())
        if not call:
            yield f"{room}/CMakeLists.txt: no retune_room({room} ...)"
            continue
        words = call.group(1).split()
        deps = set()
        if "DEPS" in words:
            for word in words[words.index("DEPS") + 1:]:
                if word.isupper():
                    break
                deps.add(word)
        allowed = rule[0] | {header.split("/")[0] for header in rule[1]}
        for extra in sorted(deps - allowed):
            yield f"{room}/CMakeLists.txt: DEPS names {extra}, which {room}/ may not include (cmake/rooms.txt)"
        used = {target.split("/")[0] for name, lines in includes.items() if name.startswith(room + "/")
                for _, target in lines}
        for missing in sorted((used & set(rules)) - deps - {room}):
            yield f"{room}/CMakeLists.txt: DEPS does not name {missing}, whose headers {room}/ includes"


def check_editors_are_blind(includes):
    """Walks everything that a file of editors/ reaches through includes."""
    origin = {name: name for name in includes if name.startswith("editors/")}
    pending = list(origin)
    while pending:
        name = pending.pop()
        for number, target in includes.get(name, []):
            if target == "facts/probe.h" or target.startswith("eval/"):
                yield f'{name}:{number}: "{target}" is reached from {origin[name]}: editors must not see the test questions'
            elif target not in origin:
                origin[target] = origin[name]
                pending.append(target)


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    rules = read_rules(root / "cmake" / "rooms.txt")
    includes = {}
    for folder in sorted(set(rules) | FREE):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".h", ".cc") and "node_modules" not in path.parts:
                includes[path.relative_to(root).as_posix()] = includes_of(path)
    breaches = [*check_direct(root, rules, includes), *check_link_dependencies(root, rules, includes),
                *check_editors_are_blind(includes)]
    for breach in breaches:
        print(breach)
    print(f"check_includes: {len(includes)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
