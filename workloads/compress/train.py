"""Train a network between two transforms, and look at what it gives: the only part of a chain that needs torch.

AdamW with a cosine rate, as start weights are made; the order of the samples comes from :mod:`tunebench.workloads.seeds`,
one thread, so that the same build of torch gives the same bits again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from tunebench.workloads import artefact, seeds
from tunebench.workloads.compress.state import Array, State
from tunebench.workloads.models.graph import INPUT, Graph, shapes_of

_WEIGHT_DECAY, _CLIP = 1e-2, 5.0
#: samples that are looked at together
_LOOK = 100
#: a teacher's block whose values are all zero has no unit
_LEAST_SQUARE = 1e-12


@dataclass(frozen=True)
class Part:
    """Samples with their classes.

    Attributes:
        x: as the data set has them: bytes of images, float32 rows.
        y: class of each.
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Array) -> Part:
        """Return some of the samples."""
        return Part(self.x[rows], self.y[rows])

    @property
    def inputs(self) -> Array:
        """Return the samples as a network reads them: float32, images from 0 to 1."""
        return self.x.astype(np.float32) / np.float32(255) if self.x.dtype == np.uint8 else self.x


class Soft(NamedTuple):
    """A teacher's part in the loss: (1 - alpha) of the labels', alpha of its softened classes'."""

    logits: Array
    temperature: float
    alpha: float


class Hints(NamedTuple):
    """A teacher's blocks in the loss: weight times the mean distance of their values, see :func:`_apart`."""

    teacher: State
    names: tuple[str, ...]
    weight: float


def part_of(data: artefact.Artefact, name: str, graph: Graph) -> Part:
    """Return a part of a data artefact.

    Raises:
        ArtefactError: it has no such part.
    """
    kinds = {"uint8": np.uint8, "float32": np.float32, "int32": np.int32}
    x, y = data.need(f"{name}_x"), data.need(f"{name}_y")
    values = np.frombuffer(x.data, dtype=kinds[x.dtype]).reshape(-1, *graph.shape)
    return Part(values, np.frombuffer(y.data, dtype=kinds[y.dtype]).reshape(-1))


@contextmanager
def _one_thread() -> Iterator[Any]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield torch
    finally:
        torch.set_num_threads(threads)


def _network(torch: Any, state: State) -> Any:
    from tunebench.workloads.engines.pytorch.networks.network import Network, places

    network: Any
    if state.rounded:
        from tunebench.workloads.compress.fake_quantised import FakeQuantised

        network = FakeQuantised(state.graph)
        network.ranges = state.numbers.ranges
    else:
        network = Network(state.graph)
    with torch.no_grad():
        for name, place in places(network):
            place.copy_(torch.from_numpy(np.ascontiguousarray(state.tensors[name])))
    return network


def trained(
    state: State,
    part: Part,
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    soft: Soft | None = None,
    hints: Hints | None = None,
    price: float = 0.0,
) -> State:
    """Return the network after so many steps on a part; zeros that are masked stay zeros.

    A loss that is not finite ends it: the tensors are then what they are, and the accuracy tells.

    Args:
        state, part: the network, and what it trains on.
        steps, batch, rate: of the training.
        seed: of the order of samples.
        soft: a teacher's part in the loss.
        hints: what a teacher's blocks give, in the loss.
        price: of the sum of the sizes of all weights, in the loss.
    """
    if steps < 1:
        return state
    with _one_thread() as torch:
        from torch.nn import functional

        from tunebench.workloads.engines.pytorch.networks.network import places

        network = _network(torch, state)
        network.train()
        masks = [
            (place, torch.from_numpy(np.ascontiguousarray(state.masks[name])))
            for name, place in places(network)
            if name in state.masks
        ]
        weights = [place for name, place in places(network) if name.endswith(".weight")]
        teacher, maps = _hinted(torch, state.graph, hints, seed)
        learning = [*network.parameters(), *maps.values()]
        optimiser = torch.optim.AdamW(learning, lr=rate, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        labels = torch.from_numpy(part.y.astype(np.int64))
        for rows in _batches(len(part), batch, seed, steps):
            index = np.array(rows)
            given = {INPUT: torch.from_numpy(part.take(index).inputs)}
            logits, *values = network.run(given, (state.graph.outputs[0], *(hints.names if hints else ())))
            loss = functional.cross_entropy(logits, labels[index])
            if hints is not None:
                with torch.no_grad():
                    wanted = teacher.run(given, hints.names)
                loss = loss + hints.weight * _apart(torch, hints.names, values, wanted, maps)
            if soft is not None:
                loss = (1 - soft.alpha) * loss + soft.alpha * _distance(torch, logits, soft, index)
            if price:
                loss = loss + price * sum(weight.abs().sum() for weight in weights)
            if not torch.isfinite(loss):
                break
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learning, _CLIP)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                for place, mask in masks:
                    place.mul_(mask)
        tensors = {name: place.detach().numpy().copy() for name, place in places(network)}
    return replace(state, tensors=tensors)


def _hinted(torch: Any, graph: Graph, hints: Hints | None, seed: int) -> tuple[Any, dict[str, Any]]:
    """Return the teacher's network, and of each block with other channels than the teacher's a 1x1 map to them."""
    if hints is None:
        return None, {}
    teacher = _network(torch, hints.teacher)
    teacher.eval()
    ours, theirs = shapes_of(graph), shapes_of(hints.teacher.graph)
    maps = {}
    for name in hints.names:
        n_in, n_out = ours[name][0], theirs[name][0]
        if n_in != n_out:
            start = seeds.kaiming_uniform(n_in * n_out, n_in, seed, f"hint {name}")
            maps[name] = torch.tensor(start).reshape(n_out, n_in).requires_grad_(True)
    return teacher, maps


def _apart(
    torch: Any, names: Sequence[str], values: Sequence[Any], wanted: Sequence[Any], maps: dict[str, Any]
) -> Any:
    """Return the mean over blocks of the squared distance of their values, each in units of the teacher's mean square."""
    from torch.nn import functional

    parts = []
    for name, ours, theirs in zip(names, values, wanted, strict=True):
        mapped = torch.einsum("oi,bi...->bo...", maps[name], ours) if name in maps else ours
        scale = theirs.square().mean().clamp_min(_LEAST_SQUARE)
        parts.append(functional.mse_loss(mapped, theirs) / scale)
    return torch.stack(parts).mean()


def _distance(torch: Any, logits: Any, soft: Soft, index: Array) -> Any:
    """Return how far a batch's classes are from the teacher's, both softened; of the labels' loss's order."""
    from torch.nn import functional

    wanted = functional.softmax(torch.from_numpy(soft.logits[index]) / soft.temperature, 1)
    given = functional.log_softmax(logits / soft.temperature, 1)
    return functional.kl_div(given, wanted, reduction="batchmean") * soft.temperature**2


def _batches(n: int, batch: int, seed: int, steps: int) -> Iterator[list[int]]:
    """Yield the rows of so many steps, epoch after epoch; a last batch of one sample is left out: BatchNorm needs two."""
    done, epoch = 0, 0
    while done < steps:
        for rows in seeds.batches(n, batch, seed, epoch):
            if len(rows) > 1:
                yield list(rows)
                done += 1
                if done == steps:
                    return
        epoch += 1


def logits_of(state: State, inputs: Array) -> Array:
    """Return the network's outputs, float32 in torch: what every runtime is held against."""
    return _values(state, inputs, state.graph.outputs)[0]


def _values(state: State, inputs: Array, names: Iterable[str]) -> list[Array]:
    names = list(names)
    parts: list[list[Array]] = [[] for _ in names]
    with _one_thread() as torch, torch.no_grad():
        network = _network(torch, state)
        network.eval()
        for at in range(0, len(inputs), _LOOK):
            # Activations work in place: what is looked at is copied where it is made, one node a run.
            given = {INPUT: torch.from_numpy(np.ascontiguousarray(inputs[at : at + _LOOK]))}
            for values, value in zip(parts, network.run(given, names), strict=True):
                values.append(value.numpy().copy())
    return [np.concatenate(values) for values in parts]


def ranges_of(state: State, inputs: Array) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of the input and of every node over some samples."""
    ranges = {INPUT: (float(inputs.min()), float(inputs.max()))}
    names = [node.name for node in state.graph.nodes]
    for name, values in zip(names, _values(state, inputs, names), strict=True):
        ranges[name] = (float(values.min()), float(values.max()))
    return ranges


def accuracy_and_loss(state: State, part: Part) -> tuple[float, float]:
    """Return the share of right classes and the mean cross-entropy; a network of NaN has none right."""
    logits = logits_of(state, part.inputs).astype(np.float64)
    if not np.isfinite(logits).all():
        return 0.0, float("inf")
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float((logits.argmax(1) == part.y).mean()), float(-logs[np.arange(len(part)), part.y].mean())
