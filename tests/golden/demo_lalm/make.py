#!/usr/bin/python3
"""Logits and gradients of the shipped demo model, computed by PyTorch from the weights in demo/bundle.

Writes golden.h5: mel f32 [1, mels, F], ids i64 [1, S], logits f32 [S, V], loss f32 [], and for each learnt weight NAME the norm of its
gradient (norm/NAME) and sixteen of its entries (indices/NAME, entries/NAME). Run with Debian's python3-torch, python3-onnx and
python3-h5py; run it again whenever demo/bundle changes (./dev golden demo_lalm).
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

torch.set_num_threads(1)
model = Lalm(ROOT / "demo" / "bundle")
ids, mask, audio = batch_of(model, batch=1, clips=1, text_tokens=24, frames=200, seed=7)
logits = model(ids, mask, audio)[0]
targets = ids[0, -4:] % model.audio_id
loss = F.cross_entropy(logits[-5:-1], targets)
# By way of oneDNN, convolution gradients of Debian's PyTorch 1.13.1 are wrong, sometimes infinite.
with torch.backends.mkldnn.flags(enabled=False):
    logits = model(ids, mask, audio)[0]
    F.cross_entropy(logits[-5:-1], targets).backward()

with h5py.File(pathlib.Path(__file__).with_name("golden.h5"), "w", libver="earliest") as file:
    file.attrs["torch"] = numpy.bytes_(torch.__version__)
    file["mel"] = audio.numpy()
    file["ids"] = ids.numpy()
    file["logits"] = logits.detach().numpy()
    file["loss"] = numpy.float32(loss.item())
    file["targets"] = targets.numpy()
    rng = numpy.random.default_rng(1)
    for name in sorted(model.w):
        gradient = model.w[name].grad
        if gradient is None:
            continue
        flat = gradient.reshape(-1).numpy()
        indices = numpy.sort(rng.choice(flat.size, 16, replace=False))
        key = name.replace("/", "%2F")
        file[f"norm/{key}"] = numpy.float32(numpy.linalg.norm(flat.astype(numpy.float64)))
        file[f"indices/{key}"] = indices.astype(numpy.int64)
        file[f"entries/{key}"] = flat[indices]
