# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""The session of a graph whose cached nodes are kept by name: networks of images, transformers.

What differs is how the cached values of some rows are computed.
"""

import math
from typing import Any, Dict, List, Optional

import torch

from tunebench.workloads.engines.pytorch.session import TorchSession
from tunebench.workloads.engines.session import no_mark


class NodeCacheSession(TorchSession):
    """A fine-tuning that keeps one tensor for each cached node. Base class: says what a model's session must do."""

    def cached_values(self, rows: Any) -> List[Any]:
        """Return what the cache must hold for ``rows``: one tensor for each cached node."""
        raise NotImplementedError

    def filled_rows(self, epoch: int) -> List[Any]:
        """Return the rows that were run together when an epoch filled the cache."""
        return self.batches[epoch]

    def _empty_cache(self) -> Dict[str, Any]:
        shapes = {node.name: node.shape for node in self.plan.graph.nodes}
        return {
            name: torch.full((self.task.n_train,) + shapes[name], float("nan"), device=self.device)
            for name in self.plan.cached
        }

    def cache_error(self) -> Optional[float]:
        """Return the largest |cached - recomputed| over the fine-tuning set; None if nothing is cached."""
        if self.cache is None:
            return None
        worst = 0.0
        for rows in self.filled_rows(self.filled_epoch or 0):
            for name, again in zip(self.plan.cached, self.cached_values(rows)):
                difference = float((self.cache[name].index_select(0, rows) - again).abs().max())
                if math.isnan(difference):  # a row that was never filled
                    return float("inf")
                worst = max(worst, difference)
        return worst

    def warm_up(self, steps: int) -> None:
        """Run steps on this session itself and take them back afterwards: a copy would double the peak memory."""
        self.hold_start()
        if self.plan.statistics:
            self.reestimate(self.batches[0][:steps])
        for _ in range(2 if self.cache is not None else 1):  # a cached plan has two kinds of step
            for rows in self.batches[0][:steps] if self.plan.trains else ():
                self.step(rows, no_mark)
            self.filled_epoch = 0
        self.restart()
        self.start = []
