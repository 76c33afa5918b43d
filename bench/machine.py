"""What is known of the machine: its name, its features, what is free, and the models that the rows need on its disk."""

import os
import pathlib
import shutil
import subprocess

from contenders import ROOT, Failed
from rows import DEMO, HALF, HALF_BF16, LARGE, SMALL

GIB = 1 << 30
SIZES_GIB = {DEMO: 0, SMALL: 0.6, HALF: 2.9, HALF_BF16: 1.5, LARGE: 17}
TOKENIZER = ROOT / "demo" / "bundle" / "tokenizer.json"


def processor():
    """Its name and its features."""
    name, features = "unknown processor", []
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        if key.strip() == "flags":
            features = value.split()
    return name, features


def memory_gib(field):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / (1 << 20)
    return 0


def describe():
    name, features = processor()
    wide = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in features]
    return (f"{name} ({', '.join(wide) or 'no vector extension of note'}); {os.cpu_count()} processors; "
            f"{memory_gib('MemTotal'):.0f} GiB; load {os.getloadavg()[0]:.1f} at the start")


def packages():
    """The libraries that Retune is linked with, and the tree that it was built from."""
    found = []
    for package, name in (("libopenblas0-pthread", "OpenBLAS"), ("libdnnl2", "oneDNN")):
        done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout:
            found.append(f"{name} {done.stdout.split('+')[0].split('-')[0]}")
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return found + ([f"Retune at {commit.stdout.strip()}"] if commit.returncode == 0 else [])


class Models:
    """The models of write_model below one folder, made when they are first needed."""

    def __init__(self, build):
        self.program = build / "bench" / "write_model"
        self.folder = build / "bench-models"
        self.folders = {DEMO: ROOT / "demo" / "bundle", "out": self.folder} | {name: self.folder / name for name in SIZES_GIB if name != DEMO}

    def is_made(self, name):
        whole = self.folders[name] / "config.json"
        return name == DEMO or (whole.exists() and whole.stat().st_mtime > self.program.stat().st_mtime)

    def why_not(self, row):
        """A reason to skip the row on this machine; empty if there is none."""
        missing = {c.model for c in row.contenders if not self.is_made(c.model)}
        disk = row.disk_gib + sum(SIZES_GIB[name] for name in missing) + 2
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free / GIB
        if free < disk:
            return f"needs {disk:.0f} GiB of disk, {free:.0f} are free"
        if memory_gib("MemAvailable") < row.memory_gib:
            return f"needs {row.memory_gib:.0f} GiB of memory, {memory_gib('MemAvailable'):.0f} are available"
        return ""

    def make(self, name):
        if self.is_made(name):
            return
        shutil.rmtree(self.folders[name], ignore_errors=True)
        done = subprocess.run([str(self.program), name, str(self.folders[name]), str(TOKENIZER)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{name} could not be written: {done.stderr.strip()[-300:]}")

    def drop(self, name):
        shutil.rmtree(self.folders[name], ignore_errors=True)
