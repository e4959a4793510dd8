"""Bring your own method, form (b): a command of your own, here without any library.

The method: a fresh last layer, trained by plain SGD in pure Python on features of the frozen network. A board
that has no torch can do this. The measured window covers the features and the training.
"""

import math
import random
from operator import mul

from tunebench import marks
from tunebench.workloads.artefact import read

EPSILON = 1e-5  # of BatchNorm, as in pretraining


def rows_of(tensor):
    """A matrix tensor as a list of lists."""
    values, width = tensor.array().tolist(), tensor.shape[1]
    return [values[at : at + width] for at in range(0, len(values), width)]


def dot(a, b):
    """Inner product."""
    return sum(map(mul, a, b))


def layers_of(path):
    """The network with BatchNorm folded in: (rows of weights, biases) for each layer."""
    weights, folded = read(path), []
    for index in range(3):
        part = {name.split(".")[1]: item for name, item in weights.tensors.items()
                if name.startswith("layer%d." % index)}  # fmt: skip
        rows, biases = rows_of(part["weight"]), part["bias"].array().tolist()
        if "gamma" in part:
            norms = zip(*(part[name].array() for name in ("gamma", "beta", "mean", "variance")))
            for at, (gamma, beta, mean, variance) in enumerate(norms):
                scale = gamma / math.sqrt(variance + EPSILON)
                rows[at] = [scale * value for value in rows[at]]
                biases[at] = scale * (biases[at] - mean) + beta
        folded.append((rows, biases))
    return folded


def features(body, x):
    """What the frozen layers make of one input."""
    for rows, biases in body:
        x = [max(0.0, dot(row, x) + bias) for row, bias in zip(rows, biases)]
    return x


def scores(head, x):
    """The last layer's outputs."""
    return [dot(row, x) + bias for row, bias in zip(*head)]


def predict(head, inputs):
    """The class with the highest score, for each input."""
    made = []
    for x in inputs:
        found = scores(head, x)
        made.append(found.index(max(found)))
    return made


def train_epoch(head, inputs, labels, order, lr):
    """One pass of SGD, a sample at a time; returns the mean cross-entropy."""
    rows, biases = head
    total = 0.0
    for at in order:
        x = inputs[at]
        found = scores(head, x)
        top = max(found)
        shares = [math.exp(score - top) for score in found]
        whole = sum(shares)
        for label in range(len(biases)):
            wrong = shares[label] / whole - (label == labels[at])
            rate = lr * wrong
            rows[label] = [weight - rate * value for weight, value in zip(rows[label], x)]
            biases[label] -= rate
        total -= math.log(max(shares[labels[at]] / whole, 1e-30))
    return total / len(order)


def share_right(labels, guesses):
    """Accuracy, 0..1."""
    return sum(label == guess for label, guess in zip(labels, guesses)) / len(labels)


def main():
    """Fine-tune as the spec says and tell tunebench what came out."""
    spec = marks.spec()
    if not spec:
        raise SystemExit("run me through tunebench: tunebench run --suite examples/own/command.toml")
    marks.mark("load")
    data = read(spec["paths"]["data"])
    *body, head = layers_of(spec["paths"]["weights"])
    test, labels = rows_of(data.need("test_x")), data.need("test_y").array().tolist()

    marks.mark("evaluate")
    test = [features(body, x) for x in test]
    before = predict(head, test)

    marks.window_start("cache_fill")
    inputs = [features(body, x) for x in rows_of(data.need("finetune_x"))]
    targets = data.need("finetune_y").array().tolist()
    marks.mark("finetune")
    losses = []
    for epoch in range(spec["epochs"]):
        order = list(range(len(inputs)))
        random.Random("%d/%d" % (spec["seed"], epoch)).shuffle(order)
        losses.append(train_epoch(head, inputs, targets, order, spec["lr"] / 4))
    marks.window_end("evaluate")

    after = predict(head, test)
    marks.result(
        accuracy=share_right(labels, after),
        before=share_right(labels, before),
        losses=losses,
        steps=spec["epochs"] * len(inputs),
        n_items=len(labels),
        params_trainable=sum(len(row) + 1 for row in head[0]),
        predictions=list(zip(labels, before, after)),
    )


if __name__ == "__main__":
    main()

# ruff: noqa: B905  zip(strict=) came with Python 3.10, boards may have an older one
