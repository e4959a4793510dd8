"""Make start weights on the host: train the base model, or a pretrained one's head, on the source domain. Needs torch.

Batches, start values and order come from :mod:`tunebench.workloads.seeds`, the recipe is a dict that stands in the
artefact's meta; one thread. Another torch build gives the same weights up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tunebench.workloads import artefact, defaults, seeds
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.models import MODELS, graph_of
from tunebench.workloads.models.graph import INPUT, ROWS, Graph, weight_shapes
from tunebench.workloads.models.language import is_text_model
from tunebench.workloads.prepare import checkpoints, language, pretrained

if TYPE_CHECKING:
    from tunebench.workloads.datasets.base import Dataset
    from tunebench.workloads.datasets.images import ImageSet

#: called with (what is being done, share done 0..1)
Progress = Callable[[str, float], None]
#: what is being done while a network trains
PRETRAINING = "pretraining"

CHAIN_RECIPE: dict[str, Any] = {
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
IMAGE_RECIPE: dict[str, Any] = {
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
_LITTLE_ENDIAN = {"uint8": "|u1", "int32": "<i4", "float32": "<f4"}


def recipe_of(model: str) -> dict[str, Any]:
    """Return how a model's start weights are made."""
    if is_text_model(model):
        return language.recipe_of(model)
    if model in MODELS and MODELS[model].pretrained:
        return pretrained.recipe(model)
    return CHAIN_RECIPE if model in MODELS and MODELS[model].task == ROWS else IMAGE_RECIPE


def shape_of(meta: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of one input of a data set: (n_in,) of rows, (c, h, w) of images."""
    return tuple(meta["shape"]) if "shape" in meta else (meta["n_in"],)


def data_tensors(loaded: Dataset | ImageSet, part: str) -> dict[str, artefact.Tensor]:
    """Return a part's arrays as an artefact's tensors."""
    tensors = {}
    for name, values in loaded.arrays.items():
        if name.startswith(part + "_"):
            dtype = str(values.dtype)
            raw = values.astype(_LITTLE_ENDIAN[dtype]).tobytes()
            tensors[name] = artefact.Tensor(dtype, values.shape, raw)
    return tensors


def pretrain(
    model: str,
    loaded: Dataset | ImageSet,
    *,
    seed: int = 0,
    epochs: int | None = None,
    progress: Progress | None = None,
    store: Store | None = None,
) -> dict[str, artefact.Tensor]:
    """Train a model on the source domain; of one with published weights only the head.

    Args:
        model: one of :data:`tunebench.workloads.models.MODELS`.
        loaded: the data set; its part ``pretrain`` is used.
        seed: of start values and order.
        epochs: None takes the recipe's (tests take fewer).
        progress: told after each epoch.
        store: where published weights lie, and whether they may be fetched; None: the usual places, and no.

    Returns:
        Tensors by :func:`tunebench.workloads.models.graph.weight_shapes`' names.

    Raises:
        ImportError: no torch.
        DataUnavailable: the model's published weights are not there.
        UnknownModel, UnsupportedModel: the model does not fit the data.
    """
    import torch

    from tunebench.workloads.engines.pytorch.networks.network import Network, places, start

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        graph = graph_of(model, shape_of(loaded.meta), loaded.meta["n_classes"])
        network = Network(graph)
        start(network, seed)
        if MODELS[model].pretrained:
            checkpoint = checkpoints.CHECKPOINTS[model]
            path = checkpoints.obtain(checkpoint, store or Store(progress=progress))
            pretrained.load_trunk(network, pretrained.read(path, checkpoint), checkpoint)
            inputs, goal = _inputs_and_goal(graph, loaded)
            pretrained.train_head(network, inputs, goal, seed=seed, epochs=epochs, progress=progress)
        else:
            _train(network, loaded, seed, epochs, progress)
        trained = dict(places(network))
        return {
            name: artefact.tensor("float32", shape, trained[name].detach().reshape(-1).tolist())
            for name, shape in weight_shapes(graph)
        }
    finally:
        torch.set_num_threads(threads)


def _train(
    network: Any, loaded: Dataset | ImageSet, seed: int, epochs: int | None, progress: Progress | None
) -> None:
    import torch

    graph, recipe = network.graph, recipe_of(network.graph.name)
    inputs, goal = _inputs_and_goal(graph, loaded)
    epochs, batch = epochs or _by_task(recipe["epochs"], graph), _by_task(recipe["batch"], graph)
    optimiser = _optimiser(network, recipe)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    network.train()
    for epoch in range(epochs):
        for rows in seeds.batches(len(inputs), batch, seed, epoch):
            if len(rows) < 2:
                continue  # BatchNorm in training needs two samples
            index = torch.tensor(rows)
            x = inputs.index_select(0, index)
            if not graph.chain:
                x = x.to(torch.float32).div_(255.0)
            loss = goal.loss(network.run({INPUT: x}, graph.outputs), index)
            optimiser.zero_grad()
            loss.backward()
            if not graph.chain:
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
        schedule.step()
        if progress is not None:
            progress(PRETRAINING, (epoch + 1) / epochs)


def _by_task(value: int | Mapping[str, int], graph: Graph) -> int:
    return value if isinstance(value, int) else value[graph.task]


def _optimiser(network: Any, recipe: Mapping[str, Any]) -> Any:
    import torch

    if not network.graph.chain:
        return torch.optim.AdamW(network.parameters(), lr=recipe["lr"], weight_decay=recipe["weight_decay"])
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe["lr"], momentum=recipe["momentum"], nesterov=True, weight_decay=recipe["weight_decay"],
    )  # fmt: skip


def _inputs_and_goal(graph: Graph, loaded: Dataset | ImageSet) -> tuple[Any, Any]:
    """Return the source domain's inputs as the engine holds them, and the goal of learning from them."""
    from tunebench.workloads.engines.pytorch.networks.goals import make_goal
    from tunebench.workloads.engines.pytorch.session import to_torch

    data = artefact.decode(artefact.encode("data", loaded.meta, data_tensors(loaded, "pretrain")))
    inputs = to_torch(data.need("pretrain_x"))
    return inputs.reshape((len(inputs), *graph.shape)), make_goal(graph, data, "pretrain", "cpu")
