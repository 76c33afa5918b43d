#!/usr/bin/python3
"""A low-rank adapter of the shipped demo model after a few steps of Adam, computed by PyTorch from the weights in demo/bundle.

y = W x + b + s B (A x) with s = alpha / r (Hu et al. 2021, section 4.1), Adam of learning rate 5e-3 on the mean negative log-likelihood of
the target, no dropout. Sites lie in the connector, in attention and in an MLP.

Writes golden.h5: mel f32 [1, mels, F], ids i64 [1, P], target i64 [T], scale f64 [], losses f64 [steps] (before each update), and for each
site by its canonical name a0/SITE (the start of A; B starts at 0), a/SITE and b/SITE. Run with Debian's python3-torch, python3-onnx and
python3-h5py; run it again whenever demo/bundle changes (./dev golden lora).
"""

import pathlib
import sys

import h5py
import numpy
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench" / "lalm"))
from torch_lalm import Lalm, batch_of  # noqa: E402

RANK, ALPHA, STEPS, LEARNING_RATE, TARGET = 4, 8.0, 6, 5e-3, 4
SITES = {"connector.0": "multi_modal_projector.linear_1", "decoder.block.0.attn.q": "model.layers.0.self_attn.q_proj",
         "decoder.block.3.attn.v": "model.layers.3.self_attn.v_proj", "decoder.block.5.mlp.down": "model.layers.5.mlp.down_proj"}


class Adapted(Lalm):
    adapters = {}

    def linear(self, module, x):
        y = super().linear(module, x)
        if module in self.adapters:
            a, b = self.adapters[module]
            y = y + ALPHA / RANK * ((x @ a.T) @ b.T)
        return y


torch.set_num_threads(1)
model = Adapted(ROOT / "demo" / "bundle")
for weight in model.w.values():
    weight.requires_grad_(False)
whole, mask, audio = batch_of(model, batch=1, clips=1, text_tokens=24, frames=200, seed=11)
ids, target = whole[:, :-TARGET], whole[0, -TARGET:] % model.audio_id
rng = numpy.random.default_rng(3)
start = {}
for site, module in SITES.items():
    inputs, outputs = model.w[module + ".weight"].shape
    bound = 1 / numpy.sqrt(inputs)
    start[site] = rng.uniform(-bound, bound, (RANK, inputs)).astype(numpy.float32)
    model.adapters[module] = (torch.from_numpy(start[site].copy()).requires_grad_(), torch.zeros(outputs, RANK, requires_grad=True))
optimizer = torch.optim.Adam([t for pair in model.adapters.values() for t in pair], lr=LEARNING_RATE)
read = torch.cat((ids, target[None, :-1]), 1)
losses = []
for _ in range(STEPS):
    optimizer.zero_grad()
    logits = model(read, torch.ones_like(read), audio)[0]
    loss = F.cross_entropy(logits[-TARGET:], target)
    loss.backward()
    losses.append(loss.item())
    optimizer.step()

with h5py.File(pathlib.Path(__file__).with_name("golden.h5"), "w", libver="earliest") as file:
    file.attrs["torch"] = numpy.bytes_(torch.__version__)
    file["mel"] = audio.numpy()
    file["ids"] = ids.numpy()
    file["target"] = target.numpy()
    file["scale"] = numpy.float64(ALPHA / RANK)
    file["losses"] = numpy.array(losses)
    for site, module in SITES.items():
        a, b = model.adapters[module]
        file[f"a0/{site}"] = start[site]
        file[f"a/{site}"] = a.detach().numpy()
        file[f"b/{site}"] = b.detach().numpy()
