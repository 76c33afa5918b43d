#!/usr/bin/env python3
"""Tests of the benchmark's driver: the table of rows is sound, settings are chosen as said, and the page says what was measured. No test
measures anything: contenders are scripts that print numbers."""

import stat
import sys
import tempfile
import unittest
from pathlib import Path

import contenders
import machine
import results
import rows
from rows import PRODUCTS, RETUNE, Contender, Row


def samples(label, values, setting="2", unit="s", **more):
    own = contenders.Samples(label)
    own.add(setting, {"peer": label, "threads": 2, "unit": unit, "values": values} | more)
    return own


def outcome(row, *own):
    return results.Outcome(row, {one.label: one for one in own})


class RowsTest(unittest.TestCase):
    def test_names_are_unique_and_no_name_is_a_pattern_for_another(self):
        names = [row.name for row in rows.ROWS]
        self.assertEqual(len(names), len(set(names)))
        self.assertFalse([name for name in names if set(name) & set("*?[ |")])

    def test_each_row_starts_with_retune_on_a_model_that_can_be_made(self):
        for row in rows.ROWS:
            self.assertEqual(row.contenders[0].label, RETUNE, row.name)
            for contender in row.contenders:
                self.assertIn(contender.model, machine.SIZES_GIB, row.name)
                self.assertIn(contender.program, contenders.programs(Path("build")), row.name)

    def test_at_least_five_values_stand_behind_a_median_of_time(self):
        for row in rows.ROWS:
            if row.rounds == 0:
                self.assertGreaterEqual(3 * row.runs, 5, row.name)

    def test_a_bar_names_a_contender_or_what_retune_measures_beside_itself(self):
        beside = {"the first time", "each whole prompt by itself", "the memory-bandwidth limit", "a plain copy"}
        for row in rows.ROWS:
            if row.bar:
                self.assertIn(row.bar[0], beside | {c.label for c in row.contenders}, row.name)
            self.assertEqual(bool(row.rate_bar), any(c.label == PRODUCTS for c in row.contenders), row.name)


class MeasureTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name)
        self.log = self.build / "log"
        program = self.build / "bench" / "retune_peer"
        program.parent.mkdir()
        # One thread takes 3, more take 1 or what `each` says.
        program.write_text(f"#!{sys.executable}\nimport json, sys\nsizes = dict(o.split('=') for o in sys.argv[4:])\n"
                           f"open({str(self.log)!r}, 'a').write(sys.argv[2] + sys.argv[3] + ' ')\n"
                           "value = 3.0 if sys.argv[3] == '1' else float(sizes.get('each', 1))\n"
                           "if sys.argv[2] == 'breaks': sys.exit('no such thing')\n"
                           "print(json.dumps({'peer': 'Retune', 'threads': int(sys.argv[3]), 'unit': 's', 'facts': {'positions': 7.0},"
                           " 'values': [value] * int(sizes['runs']), 'beside': {'other': [2.0]}, 'sizes': sizes}))\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.every = str(contenders.os.cpu_count() or 1)

    def measure(self, row, rounds):
        return contenders.measure(row, self.build, {"demo": Path("bundle")}, rounds, lambda text: None)

    def test_later_rounds_use_the_best_setting_and_contenders_take_turns(self):
        row = Row("r", "g", "t", (Contender(RETUNE, "retune", "demo", "a"), Contender("b", "retune", "demo", "b")), runs=2)
        found = self.measure(row, 3)
        if self.every != "1":
            n = self.every
            self.assertEqual(self.log.read_text().split(), ["a1", f"a{n}", "b1", f"b{n}", f"a{n}", f"b{n}", f"a{n}", f"b{n}"])
            self.assertEqual(found[RETUNE].best, n)
            self.assertEqual(found[RETUNE].values, [1.0] * 6)
        self.assertEqual(set(found[RETUNE].beside), {"other"})

    def test_a_size_may_be_what_retune_said(self):
        row = Row("r", "g", "t", (Contender(RETUNE, "retune", "demo", "a"), Contender("b", "retune", "demo", "b", {"positions": None})))
        self.assertEqual(self.measure(row, 1)["b"].last["sizes"]["positions"], "7")

    def test_a_contender_that_breaks_says_why(self):
        row = Row("r", "g", "t", (Contender(RETUNE, "retune", "demo", "breaks"),))
        with self.assertRaisesRegex(contenders.Failed, "no such thing"):
            self.measure(row, 1)


class PageTest(unittest.TestCase):
    row = Row("a-row", "A group", "a title", (), bar=("Peer", 1.5), rate_bar=0.8)

    def setUp(self):
        facts = {"operations": 110.0, "product operations": 100.0}
        self.met = outcome(self.row, samples(RETUNE, [2.0, 1.0, 3.0]), samples("Peer", [3.0, 4.0, 5.0]), samples(PRODUCTS, [1.6], facts=facts))

    def test_ratio_and_share_are_of_medians(self):
        self.assertEqual(self.met.ratio("Peer"), 2.0)
        self.assertAlmostEqual(self.met.share(), (110 / 2.0) / (100 / 1.6))
        self.assertEqual(self.met.shortfalls([]), [])

    def test_a_row_that_misses_a_bar_says_by_how_much_and_is_profiled(self):
        short = outcome(self.row, samples(RETUNE, [4.0]), samples("Peer", [4.0]), self.met.samples[PRODUCTS])
        short.profile, short.profiled = {"MatMul": 3.0, "Add": 0.5}, 4.0
        text = results.page([short], "machine", [], [], "./dev bench")
        self.assertIn("1.5 (short)", text)
        self.assertIn("### a-row: 1.00 of 1.5 times Peer; 44% of 80% of the product rate", text)
        self.assertIn("| MatMul | 3.00 s | 75.0% |", text)
        self.assertIn("| elsewhere | 500.0 ms | 12.5% |", text)

    def test_what_retune_measured_beside_itself_is_a_contender(self):
        row = Row("own", "A group", "t", (), bar=("the first time", 2))
        own = outcome(row, samples(RETUNE, [1.0], beside={"the first time": [3.0]}))
        self.assertIn("| the first time | 2 | 3.00 s (3.00 s to 3.00 s; 1) | 3.00 | 2 (met) |", "\n".join(results.lines_of(own, [])))

    def test_a_limit_is_of_the_value_itself(self):
        row = Row("memory", "A group", "t", (), limit=1.5)
        over = outcome(row, samples(RETUNE, [2.0], unit="GiB"))
        self.assertIn("at most 1.50 GiB (short)", "\n".join(results.lines_of(over, [])))
        self.assertEqual(over.shortfalls([]), ["2.00 GiB where 1.50 GiB are the limit"])

    def test_a_bar_does_not_apply_without_the_feature_that_it_needs(self):
        row = Row("bf16", "A group", "t", (), bar=("Peer", 3), bar_needs="amx_bf16")
        slow = outcome(row, samples(RETUNE, [2.0]), samples("Peer", [2.0]))
        self.assertEqual(slow.shortfalls(["avx512f"]), [])
        self.assertIn("3 with amx_bf16", "\n".join(results.lines_of(slow, ["avx512f"])))
        self.assertTrue(slow.shortfalls(["amx_bf16"]))

    def test_a_row_that_was_skipped_says_why(self):
        skipped = results.Outcome(self.row, skipped="needs 20 GiB of memory, 3 are available")
        text = results.page([skipped], "machine", [], [], "./dev bench")
        self.assertIn("| a-row | not measured: needs 20 GiB of memory, 3 are available |", text)


if __name__ == "__main__":
    unittest.main()
