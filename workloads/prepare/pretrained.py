"""Start weights from published ones: the trunk as it was published, and a head of our own for the data set's classes.

The head is trained on the undrifted images with the trunk frozen. So the network knows the classes before the drift,
as one that was deployed does, and nothing of the published trunk is changed before it is measured. Needs torch, which
reads the file without running what a pickle may carry (``weights_only``).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.workloads import defaults, seeds
from tunebench.workloads.models.graph import INPUT, Graph
from tunebench.workloads.prepare.checkpoints import CHECKPOINTS, Checkpoint

if TYPE_CHECKING:
    from tunebench.workloads.engines.pytorch.networks.network import Network

HEAD_RECIPE: dict[str, Any] = {
    "revision": 1,
    "trunk": "as published, BatchNorm's statistics, too; a published epsilon other than ours is added to the variance",
    "head": "trained on the pretraining images with the trunk frozen; AdamW, betas 0.9 and 0.999, cosine to 0",
    "lr": 1e-3,
    "weight_decay": 1e-2,
    "epochs": 30,
    "batch": 50,
    "start": "weights Kaiming-uniform (bound 1/sqrt(fan_in)), biases 0",
}
_FEATURES_AT_ONCE = 32  # bounds the memory of the trunk's pass


def recipe(model: str) -> dict[str, Any]:
    """Return how a pretrained model's start weights are made; its file's hash stands in it."""
    checkpoint = CHECKPOINTS[model]
    return {
        **HEAD_RECIPE,
        "weights": checkpoint.source.name,
        "weights_sha256": checkpoint.source.sha256,
        "weights_home": checkpoint.source.home,
        "weights_licence": checkpoint.licence,
    }


def read(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the tensors of a published file by their published names.

    Raises:
        DataUnavailable: the file is not one that torch reads without running code.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): item for name, item in state.items() if torch.is_tensor(item)}
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, ValueError) as error:
        raise checkpoint.source.damaged(path, error) from error


def load_trunk(
    network: Network, state: Mapping[str, Any], checkpoint: Checkpoint, *, head: bool = False
) -> None:
    """Put published weights into a network; the head's only if asked for, for which the classes must be the published.

    Raises:
        DataUnavailable: a tensor is missing, has another shape, or is one that the network has no place for.
    """
    import torch

    from tunebench.workloads.engines.pytorch.networks.network import places

    names = dict(LAYOUTS[checkpoint.layout](network.graph))
    heads = {node.name for node in network.graph.nodes if node.head}
    used = set()
    with torch.no_grad():
        for name, place in places(network):
            node, _, part = name.rpartition(".")
            published = f"{names[node, part in _NORM_PARTS]}.{_NORM_PARTS.get(part, part)}"
            used.add(published)
            if node in heads and not head:
                continue
            if published not in state or state[published].shape != place.shape:
                given = list(state[published].shape) if published in state else "missing"
                raise checkpoint.source.damaged(
                    checkpoint.source.name, f"{published} is {given}, expected {list(place.shape)}"
                )
            place.copy_(state[published])
            if part == "variance":
                place.add_(checkpoint.epsilon - defaults.BATCHNORM_EPSILON)
    left = [name for name in state if name not in used and not name.endswith("num_batches_tracked")]
    if left:
        raise checkpoint.source.damaged(checkpoint.source.name, f"nothing takes {', '.join(left[:3])}")


#: part of a tensor's name in an artefact -> in a published file
_NORM_PARTS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
#: (layer of the graph, whether its BatchNorm is meant) -> name of the module in a published file
_Names = Iterator[tuple[tuple[str, bool], str]]


def _torchvision(graph: Graph) -> _Names:
    """Walk through MobileNetV2 as torchvision names it: ``features.N.conv.M``, counted on through the stages."""
    yield from _pair("stem", "features.0.0", "features.0.1")
    for number, (block, parts) in enumerate(_blocks(graph), 1):
        inner = 0
        for part in parts[:-1]:
            yield from _pair(
                f"{block}_{part}", f"features.{number}.conv.{inner}.0", f"features.{number}.conv.{inner}.1"
            )
            inner += 1
        yield from _pair(
            f"{block}_{parts[-1]}", f"features.{number}.conv.{inner}", f"features.{number}.conv.{inner + 1}"
        )
    yield from _pair("wide", f"features.{number + 1}.0", f"features.{number + 1}.1")
    yield ("classifier", False), "classifier.1"


def _efficientnet_pytorch(graph: Graph) -> _Names:
    """Walk through EfficientNet as lukemelas' package names it: ``_blocks.N._expand_conv`` and ``_bn0`` to ``_bn2``."""
    yield from _pair("stem", "_conv_stem", "_bn0")
    own = {
        "expand": ("_expand_conv", "_bn0"),
        "depth": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    for number, (block, parts) in enumerate(_blocks(graph)):
        for part in parts:
            yield from _pair(f"{block}_{part}", *(f"_blocks.{number}.{name}" for name in own[part]))
    yield from _pair("wide", "_conv_head", "_bn1")
    yield ("classifier", False), "_fc"


def _pair(node: str, layer: str, norm: str) -> _Names:
    yield (node, False), layer
    yield (node, True), norm


def _blocks(graph: Graph) -> list[tuple[str, list[str]]]:
    """Return the names of inverted residuals and of their layers, in order."""
    blocks: dict[str, list[str]] = {}
    for node in graph.layers:
        block, _, part = node.name.rpartition("_")
        if block:
            blocks.setdefault(block, []).append(part)
    return list(blocks.items())


#: naming of published tensors -> the names of a graph's layers in it
LAYOUTS: Mapping[str, Callable[[Graph], _Names]] = {
    "torchvision": _torchvision,
    "efficientnet-pytorch": _efficientnet_pytorch,
}


def train_head(
    network: Network,
    inputs: Any,
    goal: Any,
    *,
    seed: int,
    epochs: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Train a network's head on what its frozen trunk gives for the images, each computed once.

    Args:
        network: with its trunk loaded and its head at its start values.
        inputs: images (n, c, h, w) as bytes.
        goal: what to learn from them.
        seed: of the order.
        epochs: None takes the recipe's (tests take fewer).
        progress: told how far it is; the trunk's pass counts half.
    """
    import torch

    graph = network.graph
    heads = [node for node in graph.layers if node.head]
    cached = tuple(dict.fromkeys(name for node in heads for name in node.inputs))
    network.eval()
    kept: list[Any] = []
    with torch.no_grad():
        for at in range(0, len(inputs), _FEATURES_AT_ONCE):
            x = inputs[at : at + _FEATURES_AT_ONCE].to(torch.float32).div_(255.0)
            kept.append(network.run({INPUT: x}, cached))
            if progress is not None:
                progress("features of the pretrained trunk", min(1.0, 0.5 * (at + len(x)) / len(inputs)))
    features = {name: torch.cat([values[at] for values in kept]) for at, name in enumerate(cached)}
    trained = [item for node in heads for item in getattr(network, node.name).parameters()]
    optimiser = torch.optim.AdamW(trained, lr=HEAD_RECIPE["lr"], weight_decay=HEAD_RECIPE["weight_decay"])
    count = epochs or HEAD_RECIPE["epochs"]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, count)
    for epoch in range(count):
        for rows in seeds.batches(len(inputs), HEAD_RECIPE["batch"], seed, epoch):
            index = torch.tensor(rows)
            given = {name: values.index_select(0, index) for name, values in features.items()}
            loss = goal.loss(network.run(given, graph.outputs), index)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        if progress is not None:
            progress("training the head", 0.5 + 0.5 * (epoch + 1) / count)
