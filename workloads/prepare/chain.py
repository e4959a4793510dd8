"""Start weights, made on the host: train the base model on the source domain. Needs torch.

Batches, start values and order come from :mod:`tunebench.workloads.seeds`, the recipe is a dict that stands in the
artefact's meta; one thread. Another torch build gives the same weights up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tunebench.workloads import artefact, defaults, seeds
from tunebench.workloads.models import Layer, layers_of
from tunebench.workloads.tasks.chain import weight_shapes

#: called with (what is being done, share done 0..1)
Progress = Callable[[str, float], None]

RECIPE: dict[str, Any] = {
    "revision": 1,
    "optimiser": "SGD, Nesterov momentum 0.9, weight decay 1e-4, cosine learning rate to 0",
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "epochs": 30,
    "batch": 32,
    "start": "weights Kaiming-uniform (bound 1/sqrt(fan_in)), biases 0, BatchNorm 1 and 0",
    "batchnorm_momentum": 0.1,
    "batchnorm_epsilon": defaults.BATCHNORM_EPSILON,
}


def pretrain(
    model: str, x: Any, y: Any, n_classes: int, *, seed: int = 0, progress: Progress | None = None
) -> dict[str, artefact.Tensor]:
    """Train ``model`` on the source domain.

    Args:
        model: one of :data:`tunebench.workloads.models.MODELS`.
        x: inputs (n, n_in) float32, numpy.
        y: labels (n,) int32, numpy.
        n_classes: of the data set.
        seed: of start values and order.
        progress: told after each epoch.

    Returns:
        Tensors by :func:`tunebench.workloads.tasks.chain.weight_shapes`' names.

    Raises:
        ImportError: no torch.
        UnknownModel, ValueError: the model does not fit the data.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        layers = layers_of(model, int(x.shape[1]), n_classes)
        tensors = _start(torch, layers, seed)
        inputs, labels = torch.from_numpy(x.copy()), torch.from_numpy(y.astype("int64"))
        _train(_Model(torch, layers, tensors), inputs, labels, seed, progress)
        return {
            name: artefact.tensor("float32", shape, tensors[name].detach().reshape(-1).tolist())
            for name, shape in weight_shapes(layers)
        }
    finally:
        torch.set_num_threads(threads)


class _Model(NamedTuple):
    torch: Any
    layers: tuple[Layer, ...]
    tensors: dict[str, Any]


def _start(torch: Any, layers: tuple[Layer, ...], seed: int) -> dict[str, Any]:
    tensors = {}
    for name, shape in weight_shapes(layers):
        layer = layers[int(name.split(".", 1)[0].removeprefix("layer"))]
        part = name.rpartition(".")[2]
        if part == "weight":
            values = seeds.kaiming_uniform(torch.Size(shape).numel(), layer.fan_in, seed, "pretrain/" + name)
            tensors[name] = torch.tensor(values.tolist()).reshape(shape).requires_grad_(True)
        elif part in ("gamma", "variance"):
            tensors[name] = torch.ones(shape).requires_grad_(part == "gamma")
        else:
            tensors[name] = torch.zeros(shape).requires_grad_(part != "mean")
    return tensors


def _train(model: _Model, inputs: Any, labels: Any, seed: int, progress: Progress | None) -> None:
    torch, tensors = model.torch, model.tensors
    epochs, batch = RECIPE["epochs"], RECIPE["batch"]
    optimiser = torch.optim.SGD(
        [item for item in tensors.values() if item.requires_grad],
        lr=RECIPE["lr"], momentum=RECIPE["momentum"], nesterov=True, weight_decay=RECIPE["weight_decay"],
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for epoch in range(epochs):
        for rows in seeds.batches(len(labels), batch, seed, epoch):
            if len(rows) < 2:
                continue  # BatchNorm in training needs two rows
            logits = _forward(model, inputs[rows])
            loss = torch.nn.functional.cross_entropy(logits, labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        if progress is not None:
            progress("pretraining", (epoch + 1) / epochs)


def _forward(model: _Model, x: Any) -> Any:
    """Logits with BatchNorm in training mode: its statistics are updated."""
    functional, tensors = model.torch.nn.functional, model.tensors
    for index, layer in enumerate(model.layers):
        part = f"layer{index}."
        x = x.reshape((len(x), *layer.in_shape))
        if layer.kind == "linear":
            x = functional.linear(x, tensors[part + "weight"], tensors[part + "bias"])
        else:
            x = functional.conv2d(
                x, tensors[part + "weight"], tensors[part + "bias"], layer.stride, layer.padding
            )
        if layer.norm:
            x = functional.batch_norm(
                x, tensors[part + "mean"], tensors[part + "variance"], tensors[part + "gamma"],
                tensors[part + "beta"], True, RECIPE["batchnorm_momentum"], RECIPE["batchnorm_epsilon"],
            )  # fmt: skip
            x = functional.relu(x)
    return x
