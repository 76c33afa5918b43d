#!/usr/bin/env python3
"""Tests of check_includes.py and check_structure.py: each breach is noticed in a tree that has it, and only there."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
ROOMS = "low: -\nfacts: low\neval: facts low\neditors: low facts/clip.h\ncli: *\n"


class Tree:
    """A small, correct project in a temporary folder; each test breaks it in one place."""

    def __init__(self, folder):
        self.root = Path(folder)
        self.write("cmake/rooms.txt", ROOMS)
        self.write("scripts/structure_exceptions.txt", "")
        for room in ("low", "facts", "eval", "editors", "cli", "tests", "bench", "demo"):
            self.write(f"{room}/README.md", "# Room\n")
        self.write("low/noun.h", "#pragma once\n")
        self.write("facts/probe.h", '#pragma once\n#include "low/noun.h"\n')
        self.write("facts/clip.h", "#pragma once\n")
        self.write("editors/editor.cc", '#include "facts/clip.h"\n#include "low/noun.h"\n')
        self.write("editors/CMakeLists.txt", "retune_room(editors DEPS facts low LIBS x::y)\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, script):
        run = subprocess.run([sys.executable, SCRIPTS / script, self.root], capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr


class Checks(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.tree = Tree(self.folder.name)

    def assert_breach(self, script, text):
        code, output = self.tree.check(script)
        self.assertEqual(code, 1, output)
        self.assertIn(text, output)

    def test_correct_tree_passes_both(self):
        for script in ("check_includes.py", "check_structure.py"):
            code, output = self.tree.check(script)
            self.assertEqual(code, 0, output)

    def test_include_beyond_the_rule(self):
        self.tree.write("low/noun.cc", '#include "facts/clip.h"\n')
        self.assert_breach("check_includes.py", 'low/ may not include "facts/clip.h"')

    def test_header_not_listed_of_a_partly_allowed_room(self):
        self.tree.write("facts/corpus.h", "#pragma once\n")
        self.tree.write("editors/editor.cc", '#include "facts/corpus.h"\n')
        self.assert_breach("check_includes.py", 'editors/ may not include "facts/corpus.h"')

    def test_header_for_tests_is_for_tests_only(self):
        self.tree.write("cmake/rooms.txt", ROOMS + "_test.cc: tests/oracle.h\n")
        self.tree.write("tests/oracle.h", "#pragma once\n")
        self.tree.write("tests/other.h", "#pragma once\n")
        self.tree.write("low/noun_test.cc", '#include "tests/oracle.h"\n')
        self.assertEqual(self.tree.check("check_includes.py")[0], 0)
        self.tree.write("low/noun_test.cc", '#include "tests/other.h"\n')
        self.assert_breach("check_includes.py", 'low/ may not include "tests/other.h"')
        self.tree.write("low/noun_test.cc", "")
        self.tree.write("low/noun.cc", '#include "tests/oracle.h"\n')
        self.assert_breach("check_includes.py", 'low/ may not include "tests/oracle.h"')

    def test_probe_reached_through_an_allowed_header(self):
        self.tree.write("facts/clip.h", '#pragma once\n#include "facts/probe.h"\n')
        self.assert_breach("check_includes.py", "editors must not see the test questions")

    def test_missing_header_and_foreign_spelling(self):
        self.tree.write("cli/main.cc", '#include "low/gone.h"\n#include "noun.h"\n')
        self.assert_breach("check_includes.py", "does not exist")
        self.assert_breach("check_includes.py", "not of the form")

    def test_link_dependency_missing_or_too_much(self):
        self.tree.write("editors/CMakeLists.txt", "retune_room(editors DEPS eval low)\n")
        self.assert_breach("check_includes.py", "DEPS names eval")
        self.assert_breach("check_includes.py", "DEPS does not name facts")

    def test_sizes(self):
        self.tree.write("low/noun.h", "#pragma once\n" + "\n" * 300)
        self.tree.write("low/noun.cc", "namespace a {\nint f(int x) {\n" + "  ++x;\n" * 60 + "  return x;\n}\n}\n")
        self.assert_breach("check_structure.py", "301 lines, more than 300")
        self.assert_breach("check_structure.py", "function of 63 lines")

    def test_exceptions_are_used_or_wrong(self):
        self.tree.write("low/noun.h", "#pragma once\n" + "\n" * 300)
        self.tree.write("scripts/structure_exceptions.txt", "low/noun.h 400 a reason\n")
        self.assertEqual(self.tree.check("check_structure.py")[0], 0)
        self.tree.write("low/noun.h", "#pragma once\n")
        self.assert_breach("check_structure.py", "needs no exception")

    def test_long_tables_are_no_functions(self):
        for head in ("const int kTable[] =", "constexpr std::array<int, 90> kTable"):
            self.tree.write("low/noun.cc", "namespace a {\n" + head + " {\n" + "  1,\n" * 90 + "};\n}\n")
            self.assertEqual(self.tree.check("check_structure.py")[0], 0)

    def test_long_constructor_behind_braced_initialisers(self):
        self.tree.write("low/noun.cc", "Noun::Noun(int x) : a_{x}, b_{x} {\n" + "  ++a_;\n" * 70 + "}\n")
        self.assert_breach("check_structure.py", "function of 72 lines")

    def test_banned_code_and_where_it_is_allowed(self):
        for line, reason in (("int a = rand();", "explicit seed"), ("std::random_device d;", "explicit seed"),
                             ("auto t = time(nullptr);", "time of day"), ('std::cout << "x";', "does not print"),
                             ("std::exit(1);", "does not exit"), ('throw std::runtime_error("x");', "errors are"),
                             ("// return f(x);", "code in a comment")):
            self.tree.write("low/noun.cc", line + "\n")
            self.assert_breach("check_structure.py", reason)
        for line in ('auto s = "rand()";', "clock.time(3);", "throw user_error(text);", "// Returns f(x) of each row;"):
            self.tree.write("low/noun.cc", line + "\n")
            self.assertEqual(self.tree.check("check_structure.py")[0], 0, line)
        self.tree.write("low/noun.cc", "")
        self.tree.write("cli/main.cc", 'std::cout << "x";\nstd::exit(1);\n')
        self.assertEqual(self.tree.check("check_structure.py")[0], 0)

    def test_places(self):
        self.tree.write("low/utils.h", "#pragma once\n")
        (self.tree.root / "facts" / "README.md").unlink()
        self.tree.write("docs/page.md", "see /ro" "ot/file and a TO" "DO\n")
        for text in ("a room for leftovers", "facts/: no README.md", "path of one machine", "issue tracker"):
            self.assert_breach("check_structure.py", text)


if __name__ == "__main__":
    unittest.main()
