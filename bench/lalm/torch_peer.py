"""One contender of the benchmark: PyTorch. Prints one JSON line {"work", "peer", "threads", "seconds": [...]}.

  torch_peer.py BUNDLE WORK THREADS RUNS
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

from torch_lalm import Lalm, batch_of

BATCH, CLIPS, TEXT, FRAMES, LABELS = 32, 24, 72, 200, 4


def loss_of(model, ids, mask, audio):
    logits = model(ids, mask, audio)
    rows = logits[:, -LABELS:, :].reshape(-1, logits.shape[-1])
    return F.cross_entropy(rows, ids[:, -LABELS:].reshape(-1))


def main():
    bundle, work, threads, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    model = Lalm(bundle)
    ids, mask, audio = batch_of(model, BATCH, CLIPS, TEXT, FRAMES)
    ids[:, -LABELS:] %= model.audio_id
    learnt = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-5, weight_decay=0.01)

    def forward():
        with torch.no_grad():
            model(ids, mask, audio)

    def forward_backward():
        model.zero_grad(set_to_none=True)
        loss_of(model, ids, mask, audio).backward()

    def train_step():
        forward_backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()

    step = {"forward": forward, "forward_backward": forward_backward, "train_step": train_step}[work]
    for _ in range(2):
        step()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"work": work, "peer": "PyTorch " + torch.__version__, "threads": threads, "seconds": seconds}))


main()
