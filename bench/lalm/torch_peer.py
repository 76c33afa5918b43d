"""One contender of the benchmark: PyTorch. Prints one JSON line as bench/lalm/measurement.h says.

  torch_peer.py BUNDLE WORK THREADS [NAME=VALUE ...]

WORK: forward, forward_backward, train_step, fine_tuning, target_vector or rome_edit. The names are those of bench/lalm/prompts.h.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

from torch_lalm import Lalm, batch_of

LABELS = 4
SIZES = {"batch": 32, "clips": 24, "text": 72, "frames": 200, "positions": 48, "block": 8, "steps": 20, "runs": 5, "warm_up": 2}


def loss_of(model, ids, mask, audio):
    logits = model(ids, mask, audio)
    rows = logits[:, -LABELS:, :].reshape(-1, logits.shape[-1])
    return F.cross_entropy(rows, ids[:, -LABELS:].reshape(-1))


def batch_steps(model, size, work):
    ids, mask, audio = batch_of(model, size["batch"], size["clips"], size["text"], size["frames"])
    ids[:, -LABELS:] %= model.audio_id
    unused = () if size["clips"] else ("audio_tower", "multi_modal_projector")
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

    return {"forward": forward, "forward_backward": forward_backward, "train_step": train_step}[work]


def fine_tuning(model, size):
    """Gradient descent on one block's MLP, every other weight frozen."""
    model.requires_grad_(False)
    tuned = [model.w[f"model.layers.{size['block']}.mlp.{part}_proj.weight"] for part in ("gate", "up", "down")]
    ids, mask, _ = batch_of(model, 1, 0, size["positions"] + 1, size["frames"])
    labels = ids[0, -LABELS:] % model.audio_id
    ids, mask = ids[:, :-1], mask[:, :-1]  # the last token is predicted, not read
    for weight in tuned:
        weight.requires_grad_(True)

    def edit():
        optimizer = torch.optim.Adam(tuned, lr=1e-4)
        for _ in range(size["steps"]):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(ids, mask)[0, -LABELS:], labels).backward()
            optimizer.step()

    return edit


# ROME as its authors' code does it (arXiv 2202.05262): weights frozen, and every step of the target vector runs the whole model forward
# over all views and the prompt whose answer is to stay, then backward to the vector.
TARGET, RATE, CLAMP, DECAY, KL_WEIGHT = 2, 0.5, 10.0, 1e-3, 0.0625


def target_vector(model, size):
    """Returns a function that gives (key and value of each view at the block's down-projection, the vector)."""
    model.requires_grad_(False)
    views, block, steps = size["batch"] - 1, size["block"], size["steps"]
    last = size["positions"] - TARGET  # position of the last prompt token: the last target token is predicted, not read
    clips, slots = (size["batch"], model.slots_of(size["frames"])) if size["clips"] else (0, 0)
    ids, mask, audio = batch_of(model, size["batch"], clips, size["positions"] - slots, size["frames"])
    targets = torch.randint(0, model.audio_id, (TARGET,)).expand(views, TARGET)
    weights = torch.tensor([0.5] + [0.5 / (views - 1)] * (views - 1))

    def optimize():
        seen = {}
        delta = torch.zeros(model.w[f"model.layers.{block}.mlp.down_proj.weight"].shape[1], requires_grad=True)

        def inject(i, key, value):
            if i != block:
                return value
            if not seen:
                seen["key"], seen["value"] = key[:views, last].clone(), value[:views, last].clone()
            value = value.clone()
            value[:, last] += delta
            return value

        optimizer = torch.optim.Adam([delta], lr=RATE)
        reference = None
        for step in range(steps):
            logits = model(ids, mask, audio, inject)
            nll = -logits[:views, last : last + TARGET].log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1).mean(-1)
            neutral = logits[views, last].log_softmax(-1)
            reference = neutral.detach() if reference is None else reference
            start = seen["value"][0].norm()
            divergence = F.kl_div(reference, neutral, log_target=True, reduction="sum")
            loss = (weights * nll).sum() + KL_WEIGHT * divergence + DECAY * delta.norm() / start**2
            if step + 1 == steps:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                delta.mul_(min(1.0, float(CLAMP * start / delta.norm())))
        return weights, seen["key"], delta

    return optimize


def rome_edit(model, size):
    """The positions are the prompt's; the answer follows them."""
    block = min(round(0.55 * model.blocks), model.blocks - 1)
    optimize = target_vector(model, size | {"block": block, "positions": size["positions"] + TARGET - 1})

    def edit():
        weights, keys, delta = optimize()
        with torch.no_grad():
            u = (weights[:, None] * keys).sum(0)
            u = u / u.norm()
            return torch.outer(u, delta / (keys[0] @ u))

    return edit


def main():
    bundle, work, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    size = SIZES | {name: int(value) for name, value in (option.split("=") for option in sys.argv[4:])}
    torch.set_num_threads(threads)
    model = Lalm(bundle)
    editing = {"fine_tuning": fine_tuning, "target_vector": target_vector, "rome_edit": rome_edit}
    step = editing[work](model, size) if work in editing else batch_steps(model, size, work)
    for _ in range(size["warm_up"]):
        step()
    seconds = []
    for _ in range(size["runs"]):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"peer": "PyTorch " + torch.__version__, "threads": threads, "unit": "s", "values": seconds}))


main()
