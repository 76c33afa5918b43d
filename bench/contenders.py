"""How a contender is run: its program, its thread settings, and what its line of JSON says."""

import json
import os
import pathlib
import statistics
import subprocess
import time

from rows import RETUNE

ROOT = pathlib.Path(__file__).resolve().parent.parent
LALM = ROOT / "bench" / "lalm"
LONGEST = 3600  # seconds that one run of a contender may take
HOPELESS = 5  # a setting that takes so many times as long as another is not the best, and is not waited for


class Failed(Exception):
    """A contender that did not do its work; the text says why."""


def programs(build):
    return {"retune": [str(build / "bench" / "retune_peer")],
            "torch": ["/usr/bin/python3", str(LALM / "torch_peer.py")],
            "onnxruntime": ["node", str(LALM / "onnxruntime_peer.mjs")]}


def settings(program, one_thread):
    """Name -> (threads, environment) of the thread settings among which a program's best is looked for.

    OpenMP's threads spin while they wait, which on virtual processors can cost more than it saves: PyTorch may also wait asleep.
    """
    every = os.cpu_count() or 1
    found = {"1": (1, {})} if one_thread else {}
    if program == "torch":
        found[f"{every}, passive"] = (every, {"OMP_WAIT_POLICY": "PASSIVE"})
    return found | {str(every): (every, {})}


def command(build, models, contender, threads, repeats, facts):
    """`models`: name -> folder; `facts`: what Retune said, for sizes that depend on it."""
    options = []
    for name, value in contender.sizes.items():
        value = facts[name] if value is None else value
        value = models["out"] / value if name == "out" else ROOT / value if name == "facts" else value
        options.append(f"{name}={int(value) if isinstance(value, float) else value}")
    options += [f"{name}={value}" for name, value in repeats.items()]
    return [*programs(build)[contender.program], str(models[contender.model]), contender.work, str(threads), *options]


def run(arguments, environment, longest=LONGEST):
    """The line that the contender prints; None if it takes more than `longest` seconds."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, **environment}, timeout=longest)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        raise Failed(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


class Samples:
    """What one contender gave under each of its settings."""

    def __init__(self, label):
        self.label = label
        self.lines = {}  # setting -> JSON lines

    def add(self, setting, line):
        self.lines.setdefault(setting, []).append(line)

    @property
    def best(self):
        """The setting with the lowest median."""
        return min(self.lines, key=lambda setting: statistics.median(self.values_of(setting)))

    def values_of(self, setting):
        return [value for line in self.lines[setting] for value in line["values"]]

    @property
    def values(self):
        return self.values_of(self.best)

    @property
    def beside(self):
        """What the process measured beside itself: label -> values."""
        result = {}
        for line in self.lines[self.best]:
            for label, values in line.get("beside", {}).items():
                result.setdefault(label, []).extend(values)
        return result

    @property
    def last(self):
        return self.lines[self.best][-1]

    @property
    def facts(self):
        return self.last.get("facts", {})

    @property
    def median(self):
        return statistics.median(self.values)


def measure(row, build, models, rounds, say):
    """Label -> Samples. Contenders take turns, so that a machine whose speed drifts slows all of them alike. The first round tries every
    setting, the others only the best of each."""
    samples = {contender.label: Samples(contender.label) for contender in row.contenders}
    repeats = {"runs": row.runs, "warm_up": row.warm_up}
    longest = {contender.label: LONGEST for contender in row.contenders}
    for turn in range(min(rounds, row.rounds or rounds)):
        for contender in row.contenders:
            own = samples[contender.label]
            for setting, (threads, environment) in settings(contender.program, row.one_thread).items():
                if turn > 0 and setting != own.best:
                    continue
                facts = samples[RETUNE].facts if contender.label != RETUNE else {}
                started = time.monotonic()
                line = run(command(build, models, contender, threads, repeats, facts), environment, longest[contender.label])
                if line is None:
                    say(f"{row.name}, round {turn + 1}: {contender.label}, threads {setting}: given up")
                    continue
                longest[contender.label] = min(longest[contender.label], 60 + HOPELESS * (time.monotonic() - started))
                own.add(setting, line)
                say(f"{row.name}, round {turn + 1}: {contender.label}, threads {setting}: "
                    f"{statistics.median(line['values']):.4g} {line['unit']}")
            if not own.lines:
                raise Failed(f"{contender.label} took more than {LONGEST} s")
    return samples


def profile(row, build, models, samples):
    """Seconds by operator of one run of Retune, and the seconds of the whole run."""
    own = samples[RETUNE]
    threads = own.last["threads"]
    repeats = {"runs": 1, "warm_up": row.warm_up, "profile": 1}
    line = run(command(build, models, row.contenders[0], threads, repeats, {}), {})
    if line is None:
        return {}, 0
    whole = statistics.median(line["values"]) if line["unit"] == "s" else line.get("facts", {}).get("seconds", 0)
    return line.get("profile", {}), whole
