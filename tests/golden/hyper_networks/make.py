#!/usr/bin/python3
"""What MEND's and KE's networks make of small signals, and the gradients of their parameters, by PyTorch in f64.

Written from the formulas of the two papers (arXiv 2110.11309 and 2104.08164), with PyTorch's LSTM and weight
normalisation. Writes golden.h5 beside itself:

  signals/K/ids i64, signals/K/SITE/inputs, gradients f32 [tokens, width]    0 and 1 are trained on, 2 is the edit
  weight_gradients/SITE f32 [out, in]
  NETWORK/parameters/NAME f32
  NETWORK/changes/SITE f64 [out, in]
  NETWORK/gradients/NAME f64      of the sum over sites of <change, weight gradient>
"""

import pathlib

import h5py
import numpy
import torch

SITES = [("a", 4, 6), ("b", 4, 6), ("c", 3, 5)]  # name, in, out
TOKENS = [7, 5, 8]
RANK, BLOCKS = 5, 2
VOCABULARY, EMBEDDING, LSTM, CONDITION, HIDDEN, KAPPA = 11, 6, 5, 7, 4, 1.7
IDS = [[3, 9], [1, 2], [4, 0, 7, 7, 2, 10, 5]]

torch.set_num_threads(1)
rng = numpy.random.default_rng(5)


def normal(shape, scale=1.0, mean=0.0):
    return (mean + scale * rng.standard_normal(shape)).astype(numpy.float32)


signals = []
for count in TOKENS:
    signal = {}
    for name, n, m in SITES:
        x, g = normal((count, n), 2.0, 0.5), normal((count, m), 1e-3)
        x[1], g[3] = 0, 0  # tokens that say nothing
        signal[name] = (x, g)
    signals.append(signal)
weight_gradients = {name: normal((m, n)) for name, n, m in SITES}


def leaves(parameters):
    return {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in sorted(parameters.items())}


def agreement(changes):
    return sum((changes[name] * torch.tensor(weight_gradients[name], dtype=torch.float64)).sum() for name, _, _ in SITES)


def kept(x, g):
    rows = (numpy.abs(x).sum(1) > 0) & (numpy.abs(g).sum(1) > 0)
    return torch.tensor(x[rows], dtype=torch.float64), torch.tensor(g[rows], dtype=torch.float64)


# --- MEND

mend = {}
for group, width in {f"group.{m}x{n}": n + m for _, n, m in SITES}.items():
    for block in range(BLOCKS):
        mend[f"{group}.block{block}.v"] = normal((RANK, width))
        mend[f"{group}.block{block}.u"] = normal((width, RANK), 0.3)
        mend[f"{group}.block{block}.b"] = normal((width,), 0.1)
for i, (_, n, m) in enumerate(SITES):
    for block in range(BLOCKS):
        mend[f"site.{i}.block{block}.scale"] = normal((n + m,), 0.2, 1.0)
        mend[f"site.{i}.block{block}.shift"] = normal((n + m,), 0.1)
    mend[f"site.{i}.step"] = normal((), 0.1, 0.5)


def mend_changes(p):
    changes = {}
    for i, (name, n, m) in enumerate(SITES):
        group = f"group.{m}x{n}"
        same = [kept(*s[other]) for s in signals for other, on, om in SITES if (on, om) == (n, m)]
        x, g = kept(*signals[-1][name])
        q = []
        for rows, seen in ((x, torch.cat([s[0] for s in same])), (g, torch.cat([s[1] for s in same]))):
            q.append((rows - seen.mean(0)) / (seen.std(0) + 1e-7))
        q = torch.cat(q, 1)
        for block in range(BLOCKS):
            low = q @ p[f"{group}.block{block}.v"].T
            high = low @ p[f"{group}.block{block}.u"].T + p[f"{group}.block{block}.b"]
            q = q + (p[f"site.{i}.block{block}.scale"] * high + p[f"site.{i}.block{block}.shift"]).clamp(min=0)
        changes[name] = -p[f"site.{i}.step"] * q[:, n:].T @ q[:, :n]
    return changes


# --- KE

ke = {
    "embeddings": normal((VOCABULARY, EMBEDDING)),
    "lstm.input": normal((2, EMBEDDING, 4 * LSTM), 0.4),
    "lstm.hidden": normal((2, LSTM, 4 * LSTM), 0.4),
    "lstm.bias": normal((2, 1, 4 * LSTM), 0.4),
    "condition.weight": normal((CONDITION, 2 * LSTM), 0.5),
    "condition.bias": normal((CONDITION,), 0.5),
}
for i, (_, n, m) in enumerate(SITES):
    for layer, rows, columns in (("v1", HIDDEN, CONDITION), ("v2", 2 * (n + m) + 1, HIDDEN)):
        ke[f"site.{i}.{layer}.direction"] = normal((rows, columns))
        ke[f"site.{i}.{layer}.length"] = normal((rows, 1), 0.3, 1.0)
        ke[f"site.{i}.{layer}.bias"] = normal((rows,), 0.3)


def torch_gates(w):
    """Ours i, f, o, n in the last axis; PyTorch's i, f, n, o in the first."""
    i, f, o, n = w.split(LSTM, -1)
    return torch.cat([i, f, n, o], -1).T


def ke_changes(p):
    weights = []
    for direction in (0, 1):
        weights += [torch_gates(p["lstm.input"][direction]), torch_gates(p["lstm.hidden"][direction])]
        weights += [torch_gates(p["lstm.bias"][direction]).reshape(-1), torch.zeros(4 * LSTM, dtype=torch.float64)]
    read = p["embeddings"][torch.tensor(IDS[-1])].unsqueeze(1)
    start = torch.zeros(2, 1, LSTM, dtype=torch.float64)
    # What torch.nn.LSTM calls: input, states, weights, with biases, layers, dropout, training, both ways, batch first.
    _, last, _ = torch._VF.lstm(read, (start, start), weights, True, 1, 0.0, False, True, False)
    c = torch.tanh(p["condition.weight"] @ last.reshape(-1) + p["condition.bias"])
    changes = {}
    for i, (name, n, m) in enumerate(SITES):
        def linear(layer, x, i=i):
            weight = torch._weight_norm(p[f"site.{i}.{layer}.direction"], p[f"site.{i}.{layer}.length"], 0)
            return weight @ x + p[f"site.{i}.{layer}.bias"]

        gamma_a, rho_a, gamma_b, rho_b, eta = linear("v2", torch.tanh(linear("v1", c))).split([n, m, n, m, 1])
        x, g = (torch.tensor(f, dtype=torch.float64) for f in signals[-1][name])
        a, b = (torch.outer(torch.softmax(rho, 0), gamma) for rho, gamma in ((rho_a, gamma_a), (rho_b, gamma_b)))
        changes[name] = KAPPA * torch.sigmoid(eta) * (a * (g.T @ x) + b)
    return changes


with h5py.File(pathlib.Path(__file__).with_name("golden.h5"), "w", libver="earliest") as file:
    file.attrs["torch"] = numpy.bytes_(torch.__version__)
    for k, signal in enumerate(signals):
        file[f"signals/{k}/ids"] = numpy.array(IDS[k], dtype=numpy.int64)
        for name, (x, g) in signal.items():
            file[f"signals/{k}/{name}/inputs"] = x
            file[f"signals/{k}/{name}/gradients"] = g
    for name, gradient in weight_gradients.items():
        file[f"weight_gradients/{name}"] = gradient
    for network, parameters, changes_of in (("mend", mend, mend_changes), ("ke", ke, ke_changes)):
        p = leaves(parameters)
        changes = changes_of(p)
        agreement(changes).backward()
        for name, value in sorted(parameters.items()):
            file[f"{network}/parameters/{name}"] = value
            file[f"{network}/gradients/{name}"] = p[name].grad.numpy()
        for name, change in changes.items():
            file[f"{network}/changes/{name}"] = change.detach().numpy()
