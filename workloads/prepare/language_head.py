"""Train the head of a published transformer on the source domain, its trunk frozen: what the bases differ in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tunebench.workloads import artefact, seeds
from tunebench.workloads.datasets.fetch import Progress
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.models.graph import Graph
from tunebench.workloads.models.language import HEAD, POOL

if TYPE_CHECKING:
    from tunebench.workloads.datasets.texts import TextSet

_PART = "pretrain"


class Tokens(Protocol):
    """The tokens of some texts: ids int32 (texts, longest) and how many each text has, int32 (texts)."""

    @property
    def ids(self) -> Any: ...

    @property
    def counts(self) -> Any: ...


class Tokenizer(Protocol):
    """What makes tokens of texts; ``end`` is the token behind a text that is cut."""

    @property
    def end(self) -> int | None: ...

    def tokens(self, texts: tuple[str, ...]) -> Tokens:
        """Return the tokens of texts."""
        ...


def train_head(
    graph: Graph,
    weights: artefact.Artefact,
    tokenizer: Tokenizer,
    loaded: TextSet,
    recipe: Mapping[str, Any],
    *,
    progress: Progress | None = None,
) -> str:
    """Train the head in ``weights`` on what the frozen trunk gives for the pretraining texts; return what did it.

    Args:
        graph: of trunk and head.
        weights: the trunk, and the head's start values, which are replaced; its meta's ``seed`` orders the batches.
        tokenizer: the model's own.
        loaded: the texts.
        recipe: ``batch``, ``epochs``, ``lr``, ``weight_decay``.
        progress: told what is done and how far it is.

    Raises:
        ImportError: no torch or no transformers.
    """
    import torch
    import torch.nn.functional as F

    from tunebench.workloads.engines.transformers.classifier import Classifier
    from tunebench.workloads.engines.transformers.session import Texts, version

    threads, seed = torch.get_num_threads(), weights.meta["seed"]
    torch.set_num_threads(1)
    try:
        model = Classifier(plan(table.head_alone(), graph, 1), weights, 1.0, seed)
        texts = Texts(_pretraining(tokenizer, loaded), _PART, graph.shape[0], "cpu")
        count = len(texts.lengths)
        trunk = _Trunk(_key(graph, weights, texts), lambda: _pooled(model, texts, recipe["batch"], progress))
        features = _features(trunk)
        trained = [item.requires_grad_(True) for item in model.head.parameters()]
        optimiser = torch.optim.AdamW(trained, lr=recipe["lr"], weight_decay=recipe["weight_decay"])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe["epochs"])
        for epoch in range(recipe["epochs"]):
            for chosen in seeds.batches(count, recipe["batch"], seed, epoch):
                index = torch.tensor(chosen)
                loss = F.cross_entropy(model.scores({POOL: features[index]}), texts.y[index])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            schedule.step()
            if progress is not None:
                progress("training the head", 0.9 + 0.1 * (epoch + 1) / recipe["epochs"])
        for name in ("weight", "bias"):
            item = getattr(model.head, name).detach()
            values = item.reshape(-1).tolist()
            weights.tensors[f"{HEAD}.{name}"] = artefact.tensor("float32", tuple(item.shape), values)
        return version()
    finally:
        torch.set_num_threads(threads)


def _pretraining(tokenizer: Tokenizer, loaded: TextSet) -> artefact.Artefact:
    made = tokenizer.tokens(loaded.texts[_PART])
    values = {"x": made.ids, "n": made.counts, "y": np.array(loaded.labels[_PART], dtype=np.int32)}
    tensors = {
        f"{_PART}_{name}": artefact.Tensor("int32", item.shape, memoryview(bytearray(item.tobytes())))
        for name, item in values.items()
    }
    return artefact.Artefact("data", {"end_token": tokenizer.end}, tensors)


@dataclass(frozen=True)
class _Trunk:
    """What runs a frozen trunk over the pretraining texts; equal keys give equal features."""

    key: str
    run: Callable[[], Any] = field(compare=False)


@lru_cache(maxsize=1)
def _features(trunk: _Trunk) -> Any:
    """Return the mean over each text's tokens, float32 (texts, width).

    Bases of one network share its trunk, and its run over the texts is nearly all that a head costs.
    """
    return trunk.run()


def _key(graph: Graph, weights: artefact.Artefact, texts: Any) -> str:
    made = hashlib.sha256(f"{graph.name} {graph.shape}".encode())
    for name, tensor in sorted(weights.tensors.items()):
        if not name.startswith(f"{HEAD}."):
            made.update(name.encode())
            made.update(tensor.data)
    made.update(texts.tokens.numpy().tobytes())
    made.update(texts.n.numpy().tobytes())
    return made.hexdigest()


def _pooled(model: Any, texts: Any, batch: int, progress: Progress | None) -> Any:
    import torch

    pooled, count = [], len(texts.lengths)
    with torch.no_grad():
        for at in range(0, count, batch):
            rows = torch.arange(at, min(at + batch, count))
            pooled.append(model.pooled(*texts.batch(rows, max(texts.lengths[at : at + len(rows)])))[POOL])
            if progress is not None:
                progress("features of the pretrained trunk", 0.9 * (at + len(rows)) / count)
    return torch.cat(pooled)
