#!/usr/bin/python3
"""Planes between two classes of states, found by PyTorch: what editors/mechanisms/linear_gate.h must give.

The objective is written down as the header states it and minimised in f64 over (w, b) of the standardised states themselves, by L-BFGS
and then with the Hessian that PyTorch derives; Retune works in the span of the states and has its derivatives by hand. Writes golden.h5: for each problem NAME
inside f64 [n, d], outside f64 [m, d], ridge f64 [], weight f64 [d] and bias f64 [] for states as they are. Run with Debian's
python3-torch and python3-h5py (./dev golden linear_gate).
"""

import pathlib

import h5py
import numpy
import torch

torch.set_num_threads(1)


def plane(inside, outside, ridge):
    states = torch.cat([inside, outside])
    mean = states.mean(0)
    scale = (states - mean).square().sum(1).mean().sqrt()
    x = (states - mean) / scale
    signs = torch.cat([torch.ones(len(inside)), -torch.ones(len(outside))]).double()
    shares = torch.full((len(states),), 0.5 / len(inside), dtype=torch.float64)
    shares[len(inside):] = 0.5 / len(outside)
    parameters = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)

    def loss(parameters):
        f = x @ parameters[:-1] + parameters[-1]
        return (shares * torch.nn.functional.softplus(-signs * f)).sum() + ridge / 2 * parameters.square().sum()

    optimiser = torch.optim.LBFGS([parameters], max_iter=5000, history_size=100, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(parameters)
        value.backward()
        return value

    optimiser.step(closure)
    for _ in range(20):  # the last digits, with PyTorch's own Hessian
        closure()
        hessian = torch.autograd.functional.hessian(loss, parameters.detach())
        with torch.no_grad():
            parameters -= torch.linalg.solve(hessian, parameters.grad)
    closure()
    assert parameters.grad.abs().max() < 1e-14, parameters.grad.abs().max()
    with torch.no_grad():
        weight = parameters[:-1] / scale
        return weight, parameters[-1] - weight @ mean


def problem(seed, n, m, width, shift, ridge):
    rng = numpy.random.default_rng(seed)
    inside = torch.from_numpy(rng.normal(size=(n, width)) + shift)
    outside = torch.from_numpy(2 * rng.normal(size=(m, width)) - shift)
    return inside, outside, ridge


PROBLEMS = {
    "overlapping": problem(1, 12, 20, 6, 0.4, 1e-2),  # more states than dimensions
    "separable": problem(2, 4, 9, 32, 0.5, 1e-2),  # a plane between them without an error
    "uneven": problem(3, 2, 25, 8, 0.2, 1e-4),
}

with h5py.File(pathlib.Path(__file__).with_name("golden.h5"), "w", libver="earliest") as file:
    file.attrs["torch"] = numpy.bytes_(torch.__version__)
    for name, (inside, outside, ridge) in PROBLEMS.items():
        weight, bias = plane(inside, outside, ridge)
        file[f"{name}/inside"] = inside.numpy()
        file[f"{name}/outside"] = outside.numpy()
        file[f"{name}/ridge"] = numpy.float64(ridge)
        file[f"{name}/weight"] = weight.numpy()
        file[f"{name}/bias"] = numpy.float64(bias)
