"""Start weights of networks, made on the host: train the base model on the source domain. Needs torch.

As :mod:`tunebench.workloads.prepare.chain` for chains of layers: order and start values come from
:mod:`tunebench.workloads.seeds`, the recipe stands in the artefact's meta, one thread.
"""

from __future__ import annotations

from typing import Any

from tunebench.workloads import artefact, seeds
from tunebench.workloads.datasets.images import ImageSet
from tunebench.workloads.models import NETWORKS
from tunebench.workloads.models.graph import INPUT, weight_shapes
from tunebench.workloads.models.networks import task_of
from tunebench.workloads.prepare.chain import Progress

RECIPE: dict[str, Any] = {
    "revision": 1,
    "optimiser": "AdamW, betas 0.9 and 0.999, cosine learning rate to 0, gradient norm at most 5",
    "lr": 2e-3,
    "weight_decay": 1e-2,
    "epochs": {"classify": 6, "segment": 20, "detect": 40},
    "batch": {"classify": 50, "segment": 10, "detect": 8},
    "start": "weights He-uniform (head: bound 1/sqrt(fan_in)), biases 0, a detector's classes at 0.01",
    "batchnorm": "momentum 0.1, epsilon as in fine-tuning",
    "augmentation": "none",
}


def data_tensors(loaded: ImageSet, part: str, into: str) -> dict[str, artefact.Tensor]:
    """A part's arrays as an artefact's tensors, under another part's name."""
    kinds = {"uint8": "|u1", "int32": "<i4", "float32": "<f4"}
    found = {}
    for name, values in loaded.arrays.items():
        if name.startswith(part + "_"):
            dtype = str(values.dtype)
            raw = values.astype(kinds[dtype]).tobytes()
            found[into + name.removeprefix(part)] = artefact.Tensor(dtype, values.shape, raw)
    return found


def pretrain_network(
    model: str,
    loaded: ImageSet,
    *,
    seed: int = 0,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, artefact.Tensor]:
    """Train a network on the source domain.

    Args:
        model: one of :data:`tunebench.workloads.models.NETWORKS`.
        loaded: the data set; its part ``pretrain`` is used.
        seed: of start values and order.
        epochs: None takes the recipe's (tests take fewer).
        progress: told after each epoch.

    Returns:
        Tensors by :func:`tunebench.workloads.models.graph.weight_shapes`' names.

    Raises:
        ImportError: no torch.
        UnsupportedModel: the model does not take images of this size.
    """
    import torch

    from tunebench.workloads.engines.pytorch.networks.network import Network, places, start

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        graph = NETWORKS[model](tuple(loaded.meta["shape"]), loaded.meta["n_classes"])
        network = Network(graph)
        start(network, seed)
        _train(network, loaded, seed, epochs or RECIPE["epochs"][task_of(model)], progress)
        found = dict(places(network))
        return {
            name: artefact.tensor("float32", shape, found[name].detach().reshape(-1).tolist())
            for name, shape in weight_shapes(graph)
        }
    finally:
        torch.set_num_threads(threads)


def _train(network: Any, loaded: ImageSet, seed: int, epochs: int, progress: Progress | None) -> None:
    import torch

    images, goal = _images_and_goal(network.graph, loaded)
    batch = RECIPE["batch"][network.graph.task]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RECIPE["lr"], weight_decay=RECIPE["weight_decay"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    network.train()
    for epoch in range(epochs):
        for rows in seeds.batches(len(images), batch, seed, epoch):
            if len(rows) < 2:
                continue  # BatchNorm in training needs two images
            index = torch.tensor(rows)
            x = images.index_select(0, index).to(torch.float32).div_(255.0)
            loss = goal.loss(network.run({INPUT: x}, network.graph.outputs), index)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
        schedule.step()
        if progress is not None:
            progress("pretraining", (epoch + 1) / epochs)


def _images_and_goal(graph: Any, loaded: ImageSet) -> tuple[Any, Any]:
    """The source domain's images as the engine holds them, and what is to be learnt of them."""
    from tunebench.workloads.engines.pytorch.networks.goals import make_goal
    from tunebench.workloads.engines.pytorch.session import to_torch

    data = artefact.decode(artefact.encode("data", loaded.meta, data_tensors(loaded, "pretrain", "pretrain")))
    return to_torch(data.need("pretrain_x")), make_goal(graph, data, "pretrain", "cpu")
