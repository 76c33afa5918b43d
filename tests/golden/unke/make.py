#!/usr/bin/python3
"""The second stage of UnKE on the shipped demo model, computed by PyTorch from the weights in demo/bundle.

Block 3 of the decoder is trained by AdamW on mean ||f(X_edit) - Y_edit||^2 + mean ||f(X_keep) - Y_keep||^2, where the targets are what the
block gave before, with a given vector added at the last row of the edit prompt (Deng et al. 2025, section 4; means over all elements).
Prompts are run one at a time, so nothing is padded. Decay 0.01, none for norms.

Writes golden.h5: for each prompt N ids_N i64 [P] and, with sound, mel_N f32 [1, mels, F]; prompt 0 is the edit's. shift f32 [width], losses
f64 [steps] (before each update), and for each weight NAME of the block the norm of its change (norm/NAME), and 64 of the change's entries
(indices/NAME, entries/NAME) as it is stored. Run with Debian's python3-torch, python3-onnx and python3-h5py; run it again whenever
demo/bundle changes (./dev golden unke).
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
from torch_lalm import Lalm, batch_of  # noqa: E402

BLOCK, STEPS, LEARNING_RATE, DECAY, ENTRIES = 3, 5, 1e-3, 0.01, 64


class Blocks(Lalm):
    """The same model, its decoder a block at a time."""

    def embed(self, ids, audio):
        x = F.embedding(ids, self.w["model.embed_tokens.weight"])
        if audio is None:
            return x
        features = self.connect(self.encode(audio))
        return x.masked_scatter((ids == self.audio_id).unsqueeze(-1), features.reshape(-1, features.shape[-1]))

    def block(self, i, x):
        rows, half = x.shape[1], self.head_size // 2
        frequencies = torch.tensor(self.theta, dtype=torch.float64).pow(-torch.arange(half, dtype=torch.float64) / half).float()
        angles = torch.arange(rows).float()[:, None] * frequencies
        cos, sin = (f(torch.cat((angles, angles), -1)) for f in (torch.cos, torch.sin))
        group, m = self.heads // self.kv_heads, f"model.layers.{i}"
        n = self.rms_norm(m + ".input_layernorm", x)
        q = self.rotate(self.split(self.linear(m + ".self_attn.q_proj", n), self.heads), cos, sin)
        k = self.rotate(self.split(self.linear(m + ".self_attn.k_proj", n), self.kv_heads), cos, sin).repeat_interleave(group, 1)
        v = self.split(self.linear(m + ".self_attn.v_proj", n), self.kv_heads).repeat_interleave(group, 1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_size)
        scores = scores.masked_fill(torch.ones(rows, rows).tril() == 0, float("-inf"))
        x = x + self.linear(m + ".self_attn.o_proj", self.merge(scores.softmax(-1) @ v))
        n = self.rms_norm(m + ".post_attention_layernorm", x)
        return x + self.linear(m + ".mlp.down_proj", F.silu(self.linear(m + ".mlp.gate_proj", n)) * self.linear(m + ".mlp.up_proj", n))


torch.set_num_threads(1)
model = Blocks(ROOT / "demo" / "bundle")
for weight in model.w.values():
    weight.requires_grad_(False)
prompts = []
for clips, tokens, frames, seed in ((1, 17, 120, 21), (0, 23, 0, 22), (1, 9, 200, 23), (0, 31, 0, 24)):
    ids, _, audio = batch_of(model, batch=1, clips=clips, text_tokens=tokens, frames=frames, seed=seed)
    prompts.append((ids, audio))
inputs, targets = [], []
for ids, audio in prompts:
    x = model.embed(ids, audio)
    for i in range(BLOCK):
        x = model.block(i, x)
    inputs.append(x)
    targets.append(model.block(BLOCK, x))
width = inputs[0].shape[-1]
shift = (0.5 * numpy.random.default_rng(25).standard_normal(width)).astype(numpy.float32)
targets[0] = targets[0].clone()
targets[0][0, -1] += torch.from_numpy(shift)

learnt = {name: weight for name, weight in model.w.items() if name.startswith(f"model.layers.{BLOCK}.")}
before = {name: weight.clone() for name, weight in learnt.items()}
for weight in learnt.values():
    weight.requires_grad_(True)
optimizer = torch.optim.AdamW([{"params": [w for n, w in learnt.items() if "norm" not in n], "weight_decay": DECAY},
                               {"params": [w for n, w in learnt.items() if "norm" in n], "weight_decay": 0.0}], lr=LEARNING_RATE)
losses = []
for _ in range(STEPS):
    optimizer.zero_grad()
    squares = [(model.block(BLOCK, x) - y).pow(2) for x, y in zip(inputs, targets)]
    loss = squares[0].mean() + torch.cat([s.reshape(-1) for s in squares[1:]]).mean()
    loss.backward()
    losses.append(loss.item())
    optimizer.step()

with h5py.File(pathlib.Path(__file__).with_name("golden.h5"), "w", libver="earliest") as file:
    file.attrs["torch"] = numpy.bytes_(torch.__version__)
    for number, (ids, audio) in enumerate(prompts):
        file[f"ids_{number}"] = ids[0].numpy()
        if audio is not None:
            file[f"mel_{number}"] = audio.numpy()
    file["shift"] = shift
    file["losses"] = numpy.array(losses)
    rng = numpy.random.default_rng(1)
    for name, weight in sorted(learnt.items()):
        change = (weight.detach() - before[name]).reshape(-1).numpy()
        indices = numpy.sort(rng.choice(change.size, min(ENTRIES, change.size), replace=False))
        file[f"norm/{name}"] = numpy.float32(numpy.linalg.norm(change.astype(numpy.float64)))
        file[f"indices/{name}"] = indices.astype(numpy.int64)
        file[f"entries/{name}"] = change[indices]
