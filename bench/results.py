"""The results page: a table a group, then where the time of the rows goes that fall short."""

import dataclasses
import datetime
import statistics

from rows import PRODUCTS, RETUNE

HEAD = ("| row | contender | threads | median (lowest to highest; values) | ratio | at least | of the product rate | at least |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |")


@dataclasses.dataclass
class Outcome:
    row: object
    samples: dict = dataclasses.field(default_factory=dict)  # label -> contenders.Samples
    skipped: str = ""  # why there are none
    profile: dict = dataclasses.field(default_factory=dict)  # operator -> seconds of a run
    profiled: float = 0  # seconds of that run

    def medians(self):
        """Label -> median, of contenders and of what Retune measured beside itself."""
        found = {label: own.median for label, own in self.samples.items()}
        return found | {label: statistics.median(values) for label, values in self.samples[RETUNE].beside.items()}

    def ratio(self, label):
        """How many times as fast as `label` Retune is."""
        medians = self.medians()
        return medians[label] / medians[RETUNE]

    def share(self):
        """Of the rate of its matrix products: operations a second of the work, attention's included, over theirs."""
        products = self.samples[PRODUCTS]
        rate = products.facts["product operations"] / products.median
        return products.facts["operations"] / self.samples[RETUNE].median / rate

    def shortfalls(self, features):
        """What the row misses, in words; empty if it reaches its bars or they do not apply."""
        row, missed = self.row, []
        if self.skipped or (row.bar_needs and row.bar_needs not in features):
            return missed
        if row.bar and self.ratio(row.bar[0]) < row.bar[1]:
            missed.append(f"{self.ratio(row.bar[0]):.2f} of {row.bar[1]:g} times {row.bar[0]}")
        if row.rate_bar and self.share() < row.rate_bar:
            missed.append(f"{self.share():.0%} of {row.rate_bar:.0%} of the product rate")
        if row.limit and self.samples[RETUNE].median > row.limit:
            missed.append(f"{amount(self.samples[RETUNE].median, self.unit)} where {amount(row.limit, self.unit)} are the limit")
        return missed

    @property
    def unit(self):
        return self.samples[RETUNE].last["unit"]


def amount(value, unit):
    if unit != "s":
        return f"{value:.2f} {unit}"
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.1f} ms" if value >= 0.01 else f"{1e3 * value:.2f} ms"


def spread(values, unit):
    return f"{amount(statistics.median(values), unit)} ({amount(min(values), unit)} to {amount(max(values), unit)}; {len(values)})"


def judged(text, met):
    return f"{text} {'(met)' if met else '(short)'}"


def lines_of(outcome, features):
    row = outcome.row
    if outcome.skipped:
        return [f"| {row.name} | not measured: {outcome.skipped} | | | | | | |"]
    applies = not row.bar_needs or row.bar_needs in features
    lines = []
    shown = [(label, own.last["peer"], own.best, own.values) for label, own in outcome.samples.items()]
    shown += [(label, label, outcome.samples[RETUNE].best, values) for label, values in outcome.samples[RETUNE].beside.items()]
    for label, peer, setting, values in shown:
        name = peer if peer.startswith(label) else label
        cells = [row.name if label == RETUNE else "", name, setting, spread(values, outcome.unit), "", "", "", ""]
        if label == RETUNE:
            if row.limit:
                met = outcome.samples[RETUNE].median <= row.limit
                cells[5] = judged(f"at most {amount(row.limit, outcome.unit)}", met)
            if PRODUCTS in outcome.samples:
                share = outcome.share()
                cells[6], cells[7] = f"{share:.0%}", judged(f"{row.rate_bar:.0%}", share >= row.rate_bar)
        elif label == PRODUCTS:
            cells[6] = f"{outcome.samples[label].facts['product operations'] / outcome.samples[label].median / 1e9:.0f} GFLOP/s"
        elif outcome.unit == "s":
            ratio = outcome.ratio(label)
            cells[4] = f"{ratio:.2f}"
            if row.bar and row.bar[0] == label:
                cells[5] = judged(f"{row.bar[1]:g}", ratio >= row.bar[1]) if applies else f"{row.bar[1]:g} with {row.bar_needs}"
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def group_lines(group, outcomes, features):
    lines = ["", f"## {group}", "", *HEAD]
    for outcome in outcomes:
        lines += lines_of(outcome, features)
    lines.append("")
    for outcome in outcomes:
        facts = {} if outcome.skipped else outcome.samples[RETUNE].facts
        said = "; ".join(f"{name} {value:.4g}" for name, value in facts.items())
        lines.append(f"- {outcome.row.name}: {outcome.row.title}{f' ({said})' if said else ''}.")
    return lines


def profile_lines(outcomes, features):
    lines = ["", "## Where the time goes", ""]
    short = [(outcome, missed) for outcome in outcomes if (missed := outcome.shortfalls(features))]
    if not short:
        return lines + ["Every row that was measured reaches its bars."]
    lines += ["Of each row that falls short, one run of Retune by operator; \"elsewhere\" is what no operator took: planning, versions,",
              "front-end, tokenizer, optimiser, files."]
    for outcome, missed in short:
        lines += ["", f"### {outcome.row.name}: {'; '.join(missed)}", ""]
        if not outcome.profile:
            lines.append("No operator runs in this row, or it was not profiled.")
            continue
        whole = outcome.profiled or sum(outcome.profile.values())
        ranked = sorted(outcome.profile.items(), key=lambda item: -item[1])
        rest = sum(seconds for _, seconds in ranked[10:])
        shown = ranked[:10] + ([("other operators", rest)] if ranked[10:] else [])
        shown.append(("elsewhere", max(whole - sum(outcome.profile.values()), 0)))
        lines += ["| operator | time | share |", "| --- | --- | --- |"]
        lines += [f"| {op} | {amount(seconds, 's')} | {seconds / whole:.1%} |" for op, seconds in shown]
    return lines


def page(outcomes, machine, versions, features, invocation):
    peers = {own.last["peer"] for outcome in outcomes for own in outcome.samples.values()} - {RETUNE}
    lines = ["# Results", "",
             f"Made by `{invocation}` on {datetime.date.today()}. {machine}. {'; '.join(sorted(peers) + versions)}.", "",
             "Each contender at its best thread setting, in turn with the others, in one run on one machine. Ratio: the contender's median "
             "over Retune's. Matrix-product rate: operations over time of the products of Retune's own plan, run alone, their weights "
             "cold; its share counts attention's products as work done too, and above 100 % says that the machine's speed drifted between the two. "
             "A median of fewer than five values is no more than an indication. Blocks are counted from 0."]
    for group in dict.fromkeys(outcome.row.group for outcome in outcomes):
        lines += group_lines(group, [outcome for outcome in outcomes if outcome.row.group == group], features)
    return "\n".join(lines + profile_lines(outcomes, features)) + "\n"
