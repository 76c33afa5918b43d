#!/usr/bin/python3
"""Closed-form edits of the demo model, computed by PyTorch as the papers write them.

The model is demo/bundle in PyTorch (bench/lalm/torch_lalm.py); every formula is written out with dense solves, without
Woodbury's identity, null-space bases or prefix caches. Writes golden.h5: of each edit METHOD/STEP/SITE the change of the
weight as factors r [out, n] and x [in, n], change = r x^T; the inputs' token ids; the losses of each target vector. The
second moment is not measured: C_ij = 0.2 exp(-|i - j| / 5) on both sides. Run with Debian's python3-torch, python3-onnx and
python3-h5py; run it again whenever demo/bundle changes (./dev golden closed_form).
"""

import json
import pathlib
import re
import sys

import h5py
import numpy
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench" / "lalm"))
from torch_lalm import Lalm  # noqa: E402

torch.set_num_threads(1)

# (id, question, new answer); tests/closed_form_golden_test.cc asks the same, and checks that it gets the same token ids.
ASKED = [("trunk", "What has a trunk?", "cow"), ("purr", "What purrs?", "dog"), ("bark", "Which animal barks?", "cat")]
PREFIXES = ["Please listen carefully.", "Take your time."]
NEUTRAL = "Is the recording loud or quiet?"

STEPS, RATE, DECAY, CLAMP, KL_WEIGHT = 4, 0.1, 1e-3, 1.0, 0.0625
LAYERS = [2, 3]
WIDTH, LAMBDA, EPSILON, TAU, L2, ETA = 448, 1.4 * 448, 0.01, 1e-2, 0.1, 1e-4


class Tokenizer:
    """Byte-level BPE of ASCII text, with the chat template of the demo model."""

    def __init__(self):
        model = json.loads((ROOT / "demo" / "bundle" / "tokenizer.json").read_text())
        self.ids = model["model"]["vocab"]
        self.ids.update({token["content"]: token["id"] for token in model["added_tokens"]})
        pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["model"]["merges"]]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}

    def encode(self, text):
        ids = []
        for word in re.findall(r"[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+", text):
            parts = list(word.replace(" ", "\u0120").replace("\n", "\u010a"))
            while len(parts) > 1:
                rank, at = min((self.ranks.get(pair, len(self.ranks)), i) for i, pair in enumerate(zip(parts, parts[1:])))
                if rank == len(self.ranks):
                    break
                parts[at: at + 2] = [parts[at] + parts[at + 1]]
            ids += [self.ids[part] for part in parts]
        return ids

    def prompt(self, question):
        start, end = [self.ids["<|im_start|>"]], [self.ids["<|im_end|>"]]
        return (start + self.encode("user\n" + question) + end + self.encode("\n") + start + self.encode("assistant\n"))

    def target(self, answer):
        return self.encode(answer) + [self.ids["<|im_end|>"]]


def name(block):
    return f"model.layers.{block}.mlp.down_proj.weight"  # stored as [in, out]


class Model:
    def __init__(self):
        self.lalm = Lalm(ROOT / "demo" / "bundle")
        for weight in self.lalm.w.values():
            weight.requires_grad_(False)

    def logits(self, ids, add=None, keep=None):
        """`add`: {block: vector} to the residual stream, or {("mlp", block): vector}, at the last prompt position `add["at"]`."""
        def at_mlp(block, key, value):
            if keep is not None:
                keep[("key", block)], keep[("value", block)] = key, value
                if value.requires_grad:
                    value.retain_grad()
            return value

        def at_residual(block, x):
            if keep is not None:
                keep[("residual", block)] = x
            if add and block in add:
                x = torch.cat((x[:, : add["at"]], x[:, add["at"]: add["at"] + 1] + add[block], x[:, add["at"] + 1:]), 1)
            return x

        ids = torch.tensor([ids])
        return self.lalm(ids, torch.ones_like(ids), at_mlp=at_mlp, at_residual=at_residual)[0]

    def read(self, ids):
        keep = {}
        with torch.no_grad():
            self.logits(ids, keep=keep)
        return {what: value[0, -1].double() for what, value in keep.items()}

    def write(self, block, change):
        self.lalm.w[name(block)].data += change.T.float()


def nll(model, prompt, target, add=None, keep=None):
    logits = model.logits(prompt + target[:-1], add, keep)
    rows = logits[len(prompt) - 1:].log_softmax(-1)
    return -rows.gather(1, torch.tensor(target)[:, None]).mean()


def target_vector(model, views, target, block, kl_prompt):
    """methods 5.6: Adam on a vector at the residual stream after `block`; views are (ids, weight)."""
    start = model.read(views[0][0])[("residual", block)].float()
    with torch.no_grad():
        before = model.logits(kl_prompt)[-1].log_softmax(-1)
    delta = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=RATE)
    losses = []
    for step in range(STEPS):
        loss = sum(weight * nll(model, ids, target, {"at": len(ids) - 1, block: delta}) for ids, weight in views)
        after = model.logits(kl_prompt, {"at": len(kl_prompt) - 1, block: delta})[-1].log_softmax(-1)
        loss = loss + KL_WEIGHT * (after.exp() * (after - before)).sum()
        if step > 0:
            loss = loss + DECAY * delta.norm() / start.norm() ** 2
        losses.append(loss.item())
        if step == STEPS - 1:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            limit = CLAMP * start.norm()
            if delta.norm() > limit:
                delta *= limit / delta.norm()
    return start.double() + delta.detach().double(), losses


def mean_key(model, views, block):
    return sum(weight * model.read(ids)[("key", block)] for ids, weight in views)


def second_moment():
    i = torch.arange(WIDTH, dtype=torch.float64)
    return 0.2 * torch.exp(-(i[:, None] - i[None, :]).abs() / 5)


def memit(c, keys, residuals, block, memory):
    return torch.linalg.solve(LAMBDA * c + keys @ keys.T, keys)


def emmet(c, keys, residuals, block, memory):
    inverse = torch.linalg.inv(c)
    gram = keys.T @ inverse @ keys
    epsilon = EPSILON * gram.diagonal().mean()
    return (torch.linalg.inv(gram + epsilon * torch.eye(keys.shape[1], dtype=torch.float64)) @ keys.T @ inverse).T


def alphaedit(c, keys, residuals, block, memory):
    values, vectors = torch.linalg.eigh(c)
    free = vectors[:, values.cumsum(0) <= TAU * values.sum()]
    projector = free @ free.T
    earlier = memory.setdefault(block, torch.zeros(WIDTH, WIDTH, dtype=torch.float64))
    l2 = L2 * (projector @ keys).pow(2).sum(0).mean()
    left = (keys @ keys.T + earlier) @ projector + l2 * torch.eye(WIDTH, dtype=torch.float64)
    # D = R K^T P left^-1, so X^T = K^T P left^-1.
    return torch.linalg.solve(left.T, projector @ keys)


def spread(model, requests, layers, factor, memory, out):
    """methods 5.8: z first, then layer by layer on the model as it is by then."""
    c = second_moment()
    wanted = []
    for request in requests:
        z, losses = target_vector(model, request["views"], request["target"], layers[-1], request["kl"])
        wanted.append(z)
        out["losses/" + request["id"]] = numpy.array(losses)
    for j, block in enumerate(layers):
        keys = torch.stack([mean_key(model, r["views"], block) for r in requests], 1)
        now = [model.read(r["views"][0][0])[("residual", layers[-1])] for r in requests]
        residuals = torch.stack([(z - h) / (len(layers) - j) for z, h in zip(wanted, now)], 1)
        x = factor(c, keys, residuals, block, memory)
        model.write(block, residuals @ x.T)
        out[f"{block}/r"], out[f"{block}/x"] = residuals.float().numpy(), x.float().numpy()
    for block in layers:  # methods 5.9: after the last layer, with all of them edited
        keys = torch.stack([mean_key(model, r["views"], block) for r in requests], 1)
        memory[block] = memory.get(block, 0) + keys @ keys.T


def ultraedit(model, requests, block, seen, out):
    keys, gradients = [], []
    model.lalm.w[name(block)].requires_grad_(True)  # so that the layer's output has a gradient
    for request in requests:
        keep = {}
        nll(model, request["views"][0][0], request["target"], keep=keep).backward()
        keys.append(keep[("key", block)][0].detach().double())
        gradients.append(keep[("value", block)].grad[0].double())
    model.lalm.w[name(block)].requires_grad_(False)
    h, g = torch.cat(keys), torch.cat(gradients)
    seen.append(torch.cat((h, g), 1))
    all_tokens = torch.cat(seen)
    normal = (torch.cat((h, g), 1) - all_tokens.mean(0)) / (all_tokens.std(0) + 1e-7)
    h_normal, g_normal = normal[:, :WIDTH], normal[:, WIDTH:]
    v = -ETA * h_normal.pow(2).sum(1, keepdim=True) * g_normal
    change = torch.linalg.solve(h.T @ h + torch.eye(WIDTH, dtype=torch.float64), h.T @ v).T
    model.write(block, change)
    left, singular, right = torch.linalg.svd(change, full_matrices=False)
    kept = singular > 1e-9 * singular[0]
    out[f"{block}/r"] = (left[:, kept] * singular[kept]).float().numpy()
    out[f"{block}/x"] = right[kept].T.float().numpy()


def store(file, group, data):
    for key, value in data.items():
        file[f"{group}/{key}"] = value


tokenizer = Tokenizer()
requests = [{"id": known, "target": tokenizer.target(answer), "kl": tokenizer.prompt(NEUTRAL),
             "views": list(zip([tokenizer.prompt(before + question) for before in [""] + [p + " " for p in PREFIXES]],
                               [0.5, 0.25, 0.25]))}
            for known, question, answer in ASKED]
with h5py.File(pathlib.Path(__file__).with_name("golden.h5"), "w", libver="earliest") as file:
    file.attrs["torch"] = numpy.bytes_(torch.__version__)
    for request in requests:
        file[f"ids/{request['id']}/target"] = numpy.array(request["target"], dtype=numpy.int64)
        for i, (ids, _) in enumerate(request["views"]):
            file[f"ids/{request['id']}/view{i}"] = numpy.array(ids, dtype=numpy.int64)
    for method, factor, layers in (("memit", memit, LAYERS), ("alphaedit", alphaedit, LAYERS), ("emmet", emmet, LAYERS[-1:])):
        model, memory = Model(), {}
        for step, batch in enumerate((requests[:2], requests[2:])):
            out = {}
            spread(model, batch, layers, factor, memory, out)
            store(file, f"{method}/{step}", out)
    model, seen = Model(), []
    for step, batch in enumerate((requests[:2], requests[2:])):
        out = {}
        ultraedit(model, batch, LAYERS[-1], seen, out)
        store(file, f"ultraedit/{step}", out)
