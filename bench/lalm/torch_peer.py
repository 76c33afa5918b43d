"""One contender of the benchmark: PyTorch. Prints one JSON line {"work", "peer", "threads", "seconds": [...]}.

  torch_peer.py BUNDLE WORK THREADS RUNS [batch=32 clips=24 text=72 frames=200 positions=N]

WORK: forward, forward_backward, train_step, or rome_edit with prompts of `positions`.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

from torch_lalm import Lalm, batch_of

LABELS = 4


def loss_of(model, ids, mask, audio):
    logits = model(ids, mask, audio)
    rows = logits[:, -LABELS:, :].reshape(-1, logits.shape[-1])
    return F.cross_entropy(rows, ids[:, -LABELS:].reshape(-1))


def time_runs(step, work, threads, runs):
    for _ in range(2):
        step()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"work": work, "peer": "PyTorch " + torch.__version__, "threads": threads, "seconds": seconds}))


# ROME as its authors' code does it (arXiv 2202.05262): weights frozen, and every step of the target vector runs the whole model forward
# over all views and the prompt whose answer is to stay, then backward to the vector.
VIEWS, STEPS, TARGET, RATE, CLAMP, DECAY, KL_WEIGHT = 5, 20, 2, 0.5, 10.0, 1e-3, 0.0625


def rome_edit(model, positions, frames):
    model.requires_grad_(False)
    block = min(round(0.55 * model.blocks), model.blocks - 1)
    rows = -(-((frames - 1) // 2 + 1) // model.stack) + 1
    ids, mask, audio = batch_of(model, VIEWS + 1, VIEWS + 1, positions + TARGET - rows, frames)
    last = positions - 1
    targets = ids[:VIEWS, positions:] % model.audio_id
    weights = torch.tensor([0.5] + [0.5 / (VIEWS - 1)] * (VIEWS - 1))
    down = model.w[f"model.layers.{block}.mlp.down_proj.weight"]

    def edit():
        seen = {}
        delta = torch.zeros(down.shape[1], requires_grad=True)

        def inject(i, key, value):
            if i != block:
                return value
            if not seen:
                seen["key"], seen["value"] = key[:VIEWS, last].clone(), value[:VIEWS, last].clone()
            value = value.clone()
            value[:, last] += delta
            return value

        optimizer = torch.optim.Adam([delta], lr=RATE)
        reference = None
        for step in range(STEPS):
            logits = model(ids, mask, audio, inject)
            nll = -logits[:VIEWS, last : last + TARGET].log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1).mean(-1)
            neutral = logits[VIEWS, last].log_softmax(-1)
            reference = neutral.detach() if reference is None else reference
            start = seen["value"][0].norm()
            divergence = F.kl_div(reference, neutral, log_target=True, reduction="sum")
            loss = (weights * nll).sum() + KL_WEIGHT * divergence + DECAY * delta.norm() / start**2
            if step + 1 == STEPS:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                delta.mul_(min(1.0, float(CLAMP * start / delta.norm())))
        with torch.no_grad():
            key = seen["key"][0]
            u = (weights[:, None] * seen["key"]).sum(0)
            u = u / u.norm()
            return torch.outer(u, delta / (key @ u))

    return edit


def main():
    bundle, work, threads, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    load = {"batch": 32, "clips": 24, "text": 72, "frames": 200} | {n: int(v) for n, v in (a.split("=") for a in sys.argv[5:])}
    torch.set_num_threads(threads)
    model = Lalm(bundle)
    if work == "rome_edit":
        return time_runs(rome_edit(model, load["positions"], load["frames"]), work, threads, runs)
    ids, mask, audio = batch_of(model, load["batch"], load["clips"], load["text"], load["frames"])
    ids[:, -LABELS:] %= model.audio_id
    unused = () if load["clips"] else ("audio_tower", "multi_modal_projector")
    for name, parameter in model.w.items():
        if name.startswith(unused):
            parameter.requires_grad_(False)
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

    time_runs({"forward": forward, "forward_backward": forward_backward, "train_step": train_step}[work], work, threads, runs)


main()
