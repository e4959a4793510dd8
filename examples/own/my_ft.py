"""Bring your own method, form (a): a module with four functions, here in plain torch.

The method: tune BatchNorm's scale and shift and the last layer's bias, nothing else. 394 numbers of an MLP
64-96-96-10, so an update of 1.6 kB. It is in nobody's table; tunebench measures it like a built-in one.
"""

import random

import torch
import torch.nn.functional as F

from tunebench.workloads.artefact import read

TUNED = ("layer0.gamma", "layer0.beta", "layer1.gamma", "layer1.beta", "layer2.bias")


def load(path):
    """The artefact's tensors as torch tensors, by name."""
    kinds = {"float32": torch.float32, "int32": torch.int32}
    return {
        name: torch.frombuffer(item.array(), dtype=kinds[item.dtype]).reshape(item.shape).clone()
        for name, item in read(path).tensors.items()
    }


def build(spec):
    """Everything the other functions need: data, start weights, learning rate."""
    weights = load(spec["paths"]["weights"])
    for name in TUNED:
        weights[name].requires_grad_(True)
    data = load(spec["paths"]["data"])
    spec["rows"] = len(data["finetune_x"])  # batches() needs it
    return {"data": data, "weights": weights, "lr": spec["lr"]}


def batches(spec):
    """One epoch's batches of row numbers, in an order that the seed decides."""
    rows = list(range(spec["rows"]))
    random.Random("%d/%d" % (spec["seed"], spec["epoch"])).shuffle(rows)
    return [torch.tensor(rows[i : i + spec["batch"]]) for i in range(0, len(rows), spec["batch"])]


def forward(weights, x):
    """Linear-BatchNorm-ReLU twice, then Linear; BatchNorm's statistics stay as they came."""
    for part in ("layer0.", "layer1."):
        y = F.linear(x, weights[part + "weight"], weights[part + "bias"])
        mean, variance = weights[part + "mean"], weights[part + "variance"]
        x = F.relu(F.batch_norm(y, mean, variance, weights[part + "gamma"], weights[part + "beta"]))
    return F.linear(x, weights["layer2.weight"], weights["layer2.bias"])


def step(state, batch):
    """One update; returns the batch's loss."""
    data, weights = state["data"], state["weights"]
    tuned = [weights[name] for name in TUNED]
    loss = F.cross_entropy(forward(weights, data["finetune_x"][batch]), data["finetune_y"][batch].long())
    with torch.no_grad():
        for item, gradient in zip(tuned, torch.autograd.grad(loss, tuned)):
            item.sub_(state["lr"] * gradient)
    return loss.item()


def evaluate(state):
    """Accuracy on the held-out digits, and what was predicted for each."""
    with torch.no_grad():
        guesses = forward(state["weights"], state["data"]["test_x"]).argmax(1)
    labels = state["data"]["test_y"]
    accuracy = int((guesses == labels).sum()) / len(labels)
    return {"accuracy": accuracy, "labels": labels.tolist(), "predictions": guesses.tolist()}


def facts(state):
    """Optional: numbers for the report."""
    return {"params_trainable": sum(state["weights"][name].numel() for name in TUNED)}


# ruff: noqa: B905  zip(strict=) came with Python 3.10, boards may have an older one
