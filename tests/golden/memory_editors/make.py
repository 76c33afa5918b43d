#!/usr/bin/python3
"""GRACE and WISE by PyTorch on a small decoder: every decision of the codebook, every value and weight that is trained.

    /usr/bin/python3 tests/golden/memory_editors/make.py          (Debian's python3-torch and python3-h5py)

README.md says what is in golden.h5. The model is the one of bench/lalm/torch_lalm.py with random weights, without its encoder; what is
trained here is written from the papers (arXiv 2211.11031 and 2405.14768) in float64.
"""

import math
import pathlib
import sys

import h5py
import numpy
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench" / "lalm"))
from torch_lalm import Lalm  # noqa: E402

torch.set_num_threads(1)
WIDTH, HEADS, KV_HEADS, HEAD, HIDDEN, BLOCKS, VOCABULARY = 16, 2, 1, 8, 24, 3, 300
BLOCK = 1  # whose down-projection is edited
DOWN = f"model.layers.{BLOCK}.mlp.down_proj.weight"


class Decoder(Lalm):
    def __init__(self, seed):
        torch.nn.Module.__init__(self)
        self.blocks, self.heads, self.kv_heads, self.head_size = BLOCKS, HEADS, KV_HEADS, HEAD
        self.epsilon, self.theta, self.audio_id = 1e-5, 10000.0, -1
        rng = numpy.random.default_rng(seed)

        def drawn(*shape, deviation):
            # Rounded to f32, which is what the other side computes with.
            return torch.from_numpy(rng.normal(0, deviation, shape).astype(numpy.float32).astype(numpy.float64))

        self.w = {"model.embed_tokens.weight": drawn(VOCABULARY, WIDTH, deviation=1.0)}
        for i in range(BLOCKS):
            m = f"model.layers.{i}"
            for module, inp, out in (("self_attn.q_proj", WIDTH, HEADS * HEAD), ("self_attn.k_proj", WIDTH, KV_HEADS * HEAD),
                                     ("self_attn.v_proj", WIDTH, KV_HEADS * HEAD), ("self_attn.o_proj", HEADS * HEAD, WIDTH),
                                     ("mlp.gate_proj", WIDTH, HIDDEN), ("mlp.up_proj", WIDTH, HIDDEN), ("mlp.down_proj", HIDDEN, WIDTH)):
                self.w[f"{m}.{module}.weight"] = drawn(inp, out, deviation=1.0 / math.sqrt(inp))
            for norm in ("input_layernorm", "post_attention_layernorm"):
                self.w[f"{m}.{norm}.weight"] = torch.ones(WIDTH, dtype=torch.float64)
        self.w["model.norm.weight"] = torch.ones(WIDTH, dtype=torch.float64)
        self.w["lm_head.weight"] = drawn(WIDTH, VOCABULARY, deviation=1.0 / math.sqrt(WIDTH))

    def nll(self, prompt, target, at_mlp):
        ids = torch.tensor([prompt + target[:-1]])
        logits = self(ids, torch.ones_like(ids), at_mlp=at_mlp)[0]
        return F.cross_entropy(logits[len(prompt) - 1 :], torch.tensor(target))

    def keys(self, ids):
        """What the down-projection reads [rows, HIDDEN]."""
        seen = []
        ids = torch.tensor([ids])
        self(ids, torch.ones_like(ids), at_mlp=lambda block, key, value: (seen.append(key[0]) if block == BLOCK else None, value)[1])
        return seen[0]


# --- GRACE ---


class Codebook:
    """Keys, radii and labels by the rules of arXiv 2211.11031 as its code has them; `capped` adds that no radius is more than half the way
    to a key of another label."""

    def __init__(self, radius, growth, capped):
        self.radius, self.growth, self.capped = radius, growth, capped
        self.keys, self.radii, self.labels, self.values = [], [], [], []

    def gap(self, i, j):
        return float((self.keys[i] - self.keys[j]).norm())

    def cap(self):
        for i in range(len(self.keys)):
            for j in range(len(self.keys)):
                if self.labels[i] != self.labels[j]:
                    self.radii[i] = min(self.radii[i], self.gap(i, j) / 2)

    def add(self, query, label, radius):
        # Keys are kept in f32.
        self.keys.append(query.to(torch.float32).to(torch.float64))
        self.radii.append(radius)
        self.labels.append(label)
        self.values.append(None)
        return len(self.keys) - 1

    def grow(self, i, query, distance):
        key = (self.keys[i] + query) / 2 if self.growth == "moving_average" else self.keys[i]
        needed = max(float((key - query).norm()), float((key - self.keys[i]).norm()))
        room = min([float((key - k).norm()) / 2 for k, label in zip(self.keys, self.labels) if label != self.labels[i]], default=math.inf)
        if self.capped and room < needed:
            return False
        self.keys[i], self.radii[i] = key.to(torch.float32).to(torch.float64), distance
        return True

    def place(self, query, label):
        if not self.keys:
            return "added", self.add(query, label, self.radius), -1.0
        distances = [float((query - key).norm()) for key in self.keys]
        near = min(range(len(distances)), key=distances.__getitem__)
        distance = distances[near]
        if distance > self.radius + self.radii[near]:
            kind, entry = "added", self.add(query, label, self.radius)
        elif self.labels[near] != label and distance < 1e-6:
            kind, entry = "replaced", near
            self.labels[near], self.values[near] = label, None
        elif self.labels[near] != label:
            self.radii[near] = max(0.0, distance / 2 - 1e-5)
            kind, entry = "split", self.add(query, label, distance / 2)
        elif distance > self.radii[near]:
            kind, entry = "grown", near
            if not self.grow(near, query, distance):
                kind, entry = "added", self.add(query, label, self.radius)
        else:
            kind, entry = "covered", near
        if self.capped:
            self.cap()
        return kind, entry, distance


KINDS = ("added", "split", "replaced", "grown", "covered")
STEPS, RATE = 6, 0.05


def train_value(model, prompt, target, value):
    value = value.clone().requires_grad_(True)
    adam = torch.optim.Adam([value], lr=RATE)

    def at_mlp(block, key, output):
        if block != BLOCK:
            return output
        last = torch.arange(output.shape[1]) == len(prompt) - 1
        return torch.where(last[None, :, None], value, output)

    losses = []
    for step in range(STEPS + 1):
        loss = model.nll(prompt, target, at_mlp)
        losses.append(loss.item())
        if step == STEPS:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
    return value.detach(), losses


def grace_edits(model, rng):
    """Prompts that differ in few tokens, so that keys come near each other, and two answers."""
    stem = rng.integers(10, 290, 7).tolist()
    answers = [rng.integers(10, 290, 2).tolist(), rng.integers(10, 290, 3).tolist()]
    edits = []
    for _ in range(9):
        prompt = list(stem)
        for _ in range(rng.integers(0, 3)):
            prompt[rng.integers(0, len(prompt))] = int(rng.integers(10, 290))
        edits.append((prompt, answers[rng.integers(0, 2)]))
    return edits


def queries_of(model, edits):
    return [model.keys(prompt)[-1] for prompt, _ in edits]


def clear(model, edits, radius, growth, capped):
    """The kinds that a sequence meets; none if a decision hangs on less than rounding could shift."""
    book, kinds = Codebook(radius, growth, capped), set()
    for query, (_, target) in zip(queries_of(model, edits), edits):
        for i, key in enumerate(book.keys):
            d = float((query - key).norm())
            others = [float((query - k).norm()) for j, k in enumerate(book.keys) if j != i]
            borders = [book.radii[i], radius + book.radii[i], *others]
            if d > 1e-6 and any(abs(d - b) < 1e-3 for b in borders):
                return set()
        kinds.add(book.place(query, target)[0])
    return kinds


def write_grace(file, model):
    variants = [(growth, capped) for growth in ("coverage", "moving_average") for capped in (False, True)]
    for seed in range(100000):
        edits = grace_edits(model, numpy.random.default_rng(seed))
        queries = queries_of(model, edits)
        gaps = sorted(float((a - b).norm()) for i, a in enumerate(queries) for b in queries[:i])
        radius = round(gaps[len(gaps) // 3], 3)
        if radius == 0:
            continue
        met = [clear(model, edits, radius, *variant) for variant in variants]
        if all(met) and set.union(*met) == set(KINDS):
            break
    file["grace/radius"] = numpy.float64(radius)
    for i, (prompt, target) in enumerate(edits):
        file[f"grace/edits/{i}/prompt"] = numpy.array(prompt, numpy.int64)
        file[f"grace/edits/{i}/target"] = numpy.array(target, numpy.int64)
    for growth, capped in variants:
        book = Codebook(radius, growth, capped)
        for i, (query, (prompt, target)) in enumerate(zip(queries, edits)):
            kind, entry, distance = book.place(query, target)
            start = book.values[entry]
            if start is None:
                start = query @ model.w[DOWN]
            book.values[entry], losses = train_value(model, prompt, target, start)
            at = f"grace/{growth}_{'capped' if capped else 'reference'}/{i}"
            file[f"{at}/kind"] = numpy.int64(KINDS.index(kind))
            file[f"{at}/entry"] = numpy.int64(entry)
            file[f"{at}/distance"] = numpy.float64(distance)
            file[f"{at}/radii"] = numpy.array(book.radii)
            file[f"{at}/key"] = book.keys[entry].numpy()
            file[f"{at}/value"] = book.values[entry].numpy()
            file[f"{at}/losses"] = numpy.array(losses)


# --- WISE ---

OPTIONS = {"steps": 6, "learning_rate": 0.4, "weight_decay": 1e-2, "bound": 0.25, "alpha": 0.3, "beta": 1.5, "gamma": 0.8}


def mean_of_positive(values):
    values = [v for v in values if v.item() > 0]
    return sum(values) / len(values) if values else torch.zeros((), dtype=torch.float64)


def train_side(model, inside, outside, weights, mask, start, reference_decay, o=OPTIONS):
    original = model.w[DOWN]
    keys_in = [model.keys(prompt + target[:-1]) for prompt, target in inside]
    keys_out = [model.keys(prompt + target[:-1]) for prompt, target in outside]

    def distance(keys, side):
        return (F.silu(keys @ original) - F.silu(keys @ side)).norm(dim=-1).mean()

    side, losses = start.clone(), []
    for _ in range(o["steps"]):
        side = side.detach().requires_grad_(True)

        def at_mlp(block, key, output):
            return key @ side if block == BLOCK else output

        nll = sum(w * model.nll(prompt, target, at_mlp) for w, (prompt, target) in zip(weights, inside))
        d_in, d_out = [distance(k, side) for k in keys_in], [distance(k, side) for k in keys_out]
        loss = (nll + mean_of_positive([o["gamma"] + b - a for a in d_in for b in d_out])
                + mean_of_positive([b - o["alpha"] for b in d_out]) + mean_of_positive([o["beta"] - a for a in d_in]))
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            step = side.grad * mask
            decay = side if reference_decay else side * mask
            side = side - o["learning_rate"] * (step + o["weight_decay"] * decay)
            side = torch.minimum(torch.maximum(side, original - o["bound"]), original + o["bound"])
    return side.detach(), losses, [d.item() for d in d_in]


def write_wise(file, model):
    rng = numpy.random.default_rng(5)
    draw = lambda n: rng.integers(10, 290, n).tolist()  # noqa: E731
    inside = [(draw(9), draw(3)), (draw(8), draw(3)), (draw(11), draw(3))]
    outside = [(draw(10), draw(2)), (draw(6), draw(1)), (draw(12), draw(4))]
    weights = [0.5, 0.25, 0.25]
    mask = torch.from_numpy((rng.random((HIDDEN, WIDTH)) < 0.3).astype(numpy.float64))
    for name, lessons in (("inside", inside), ("outside", outside)):
        for i, (prompt, target) in enumerate(lessons):
            file[f"wise/{name}/{i}/prompt"] = numpy.array(prompt, numpy.int64)
            file[f"wise/{name}/{i}/target"] = numpy.array(target, numpy.int64)
    file["wise/weights"] = numpy.array(weights)
    file["wise/mask"] = mask.numpy().astype(numpy.uint8)
    for name, value in OPTIONS.items():
        file[f"wise/options/{name}"] = numpy.float64(value)
    original = model.w[DOWN]
    first, losses, distances = train_side(model, inside, outside, weights, mask, original, False)
    again, more, farther = train_side(model, inside, outside, weights, mask, first.to(torch.float32).to(torch.float64), False)
    drifted, other, nearer = train_side(model, inside, outside, weights, mask, original, True)
    for name, side, loss, distance in (("first", first, losses, distances), ("again", again, more, farther),
                                       ("reference_decay", drifted, other, nearer)):
        file[f"wise/{name}/weight"] = side.numpy()
        file[f"wise/{name}/losses"] = numpy.array(loss)
        file[f"wise/{name}/distances"] = numpy.array(distance)


def main():
    model = Decoder(seed=11)
    with h5py.File(pathlib.Path(__file__).with_name("golden.h5"), "w", libver="earliest") as file:
        file.attrs["torch"] = numpy.bytes_(torch.__version__)
        for name, tensor in model.w.items():
            file[f"weights/{name}"] = tensor.numpy().astype(numpy.float32)
        write_grace(file, model)
        write_wise(file, model)


if __name__ == "__main__":
    main()
