"""Fine-tuning of a network on torch: the same protocol as the chain models' engine, for every method.

BatchNorm with its stored statistics, which a plan may re-estimate first. A plan that caches keeps what the head reads in
the first epoch; from the second on a step is: gather the batch's rows, run the head, loss, backward, update.
"""

import contextlib
from typing import Any, Dict, Iterator, List, Optional

import torch

from tunebench.workloads.engines.pytorch.networks.checkpointing import check_torch
from tunebench.workloads.engines.pytorch.networks.export import exported
from tunebench.workloads.engines.pytorch.networks.goals import entropy, make_goal
from tunebench.workloads.engines.pytorch.networks.network import Network, load_weights, norm_of
from tunebench.workloads.engines.pytorch.networks.node_cache import NodeCacheSession
from tunebench.workloads.engines.pytorch.networks.skips import mapper_of, start_skips
from tunebench.workloads.engines.pytorch.networks.wrapping import Rule, wrap
from tunebench.workloads.engines.pytorch.session import to_torch
from tunebench.workloads.engines.session import Evaluation, Mark
from tunebench.workloads.methods import memory
from tunebench.workloads.methods.plan import Plan, own_parts
from tunebench.workloads.methods.table import ENTROPY, FORWARD_ONLY
from tunebench.workloads.models.graph import INPUT
from tunebench.workloads.tasks.task import Task
from tunebench.workloads.updates import Exported

_EVALUATE_IMAGES = 32  # bounds the memory of an evaluation
#: Share by which the statistics follow each batch in steps that normalise by it: torch's ``momentum``.
_FOLLOW = 0.1


def apply_plan(model: Network, plan: Plan, scale: float, seed: int) -> List[Any]:
    """Freeze a network except what the plan trains, put its adapters in, and return the trained parameters."""
    model.eval()
    if plan.checkpoint:
        check_torch()
    model.checkpoint, model.lean = plan.checkpoint, plan.frozen_extractors
    for item in model.parameters():
        item.requires_grad_(False)
    chosen: List[Any] = []
    for node in plan.graph.layers:
        layer, norm = getattr(model, node.name), norm_of(model, node.name)
        own = {"weight": layer.weight, "bias": layer.bias}
        if norm is not None:
            own.update(gamma=norm.weight, beta=norm.bias)
        chosen += [own[part] for part in own_parts(plan, node)]
    chosen += start_skips(model, scale, seed)
    if plan.adapters:
        rule = Rule(
            rank=plan.rank, include=plan.adapted, linear=True, scale=scale, seed=seed,
            frozen_extractors=plan.frozen_extractors,
        )  # fmt: skip
        draw = torch.Generator().manual_seed(seed)
        for name in wrap(model, rule, example=torch.rand((1,) + plan.graph.shape, generator=draw)).adapted:
            layer = getattr(model, name)
            chosen += [layer.mapper] if plan.frozen_extractors else [layer.extractor, layer.mapper]
    for item in chosen:
        item.requires_grad_(True)
    return chosen


def mappers_of(model: Network, plan: Plan) -> List[Any]:
    """Return the mapper of each adapter: LoRA's B."""
    return [getattr(model, name).mapper for name in plan.adapted] + mapper_of(model)


class Session(NodeCacheSession):
    """A fine-tuning of a network.

    Args:
        task: what to train.
        cache: None follows the plan; False recomputes what the plan would cache (the correctness check).

    Raises:
        SpecError: no CUDA device where one is asked for.
    """

    def __init__(self, task: Task, cache: Optional[bool] = None) -> None:
        spec = task.spec
        super().__init__(task)
        self.images = {
            part: to_torch(task.data.need(part + "_x")).to(self.device) for part in ("finetune", "test")
        }
        self.goal, self.test_goal = (
            make_goal(task.plan.graph, task.data, part, self.device) for part in ("finetune", "test")
        )
        self.model = Network(task.plan.graph)
        load_weights(self.model, task.weights)
        trained = apply_plan(self.model, task.plan, spec.scale, spec.seed)
        self.model.to(self.device)
        self.will_train(trained, mappers_of(self.model, task.plan))
        self.norms = [norm_of(self.model, name) for name in self.plan.statistics]
        self.statistics = [item for norm in self.norms for item in (norm.running_mean, norm.running_var)]
        self.cache = self._empty_cache() if self.plan.caches and cache is not False else None

    def _batch(self, rows: Any) -> Any:
        return self.images["finetune"].index_select(0, rows).to(torch.float32).div_(255.0)

    def compute_cached(self, x: Any) -> List[Any]:
        """Return what the cache must hold for images ``x``: one tensor for each cached node."""
        with torch.no_grad():
            return list(self.model.run({INPUT: x}, self.plan.cached))

    def cached_values(self, rows: Any) -> List[Any]:
        return self.compute_cached(self._batch(rows))

    @contextlib.contextmanager
    def _by_batch(self, share: float) -> Iterator[None]:
        """Let BatchNorm normalise by each batch's own statistics, and the stored ones move by ``share`` towards them."""
        for norm in self.norms:
            norm.train()
            norm.momentum = share
        try:
            yield
        finally:
            for norm in self.norms:
                norm.eval()

    def observe(self, rows: Any, share: float) -> None:
        with self._by_batch(share):
            self.model(self._batch(rows))

    def _unlabelled_loss(self, x: Any) -> Any:
        """Return the entropy of the predictions for images ``x``, normalised by their own statistics (Tent).

        The stored statistics, by which the network is evaluated and shipped, follow.
        """
        with self._by_batch(_FOLLOW):
            return entropy(self.model(x)[0])

    def step(self, rows: Any, mark: Mark) -> Any:
        """Do one update on the images ``rows``; return the loss before it, detached, on the device."""
        mark("gather")
        if self.cache is None:
            x = self._batch(rows)
            if self.plan.gradient == FORWARD_ONLY:
                return self._forward_only(lambda: self.goal.loss(self.model(x), rows), mark)
            mark("forward")
            if self.plan.objective == ENTROPY:
                return self._descend(self._unlabelled_loss(x), mark)
            outputs = self.model(x)
        else:
            outputs = self.model.run(self._lookup(self.cache, rows, mark), self.plan.graph.outputs)
        loss = self.goal.loss(outputs, rows)
        return self._descend(loss, mark)

    def _lookup(self, cache: Dict[str, Any], rows: Any, mark: Mark) -> Dict[str, Any]:
        """Return the cached values of a batch; in the first epoch they are computed and stored."""
        self.lookups += len(rows)
        if self.filled_epoch is None:
            mark("cache_fill")
            kept = dict(zip(self.plan.cached, self.compute_cached(self._batch(rows))))  # noqa: B905
            for name, values in kept.items():
                cache[name].index_copy_(0, rows, values)
        else:
            self.hits += len(rows)
            kept = {name: values.index_select(0, rows) for name, values in cache.items()}
        mark("forward")
        return kept

    def evaluate(self) -> Evaluation:
        images = self.images["test"]
        with torch.no_grad():
            for at in range(0, images.shape[0], _EVALUATE_IMAGES):
                x = images[at : at + _EVALUATE_IMAGES].to(torch.float32).div_(255.0)
                self.test_goal.collect(self.model(x))
        return self.test_goal.evaluation()

    def _metrics(self) -> Dict[str, float]:
        predicted = memory.predict(self.plan, self.task.spec.batch)
        return {"predicted_step_b": predicted.step_b, **super()._metrics()}

    def export(self) -> Exported:
        return exported(self.model, self.plan, self.task.weights, self.task.spec.scale)
