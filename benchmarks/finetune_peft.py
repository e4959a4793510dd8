"""LoRA-All as Hugging Face ``peft`` runs it: what a practitioner gets without writing anything.

From the same base weights, adapter starts and data order as our engines, so that its losses can be compared.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from tunebench.workloads import defaults, seeds
from tunebench.workloads.engines.pytorch.session import to_torch
from tunebench.workloads.engines.session import Mark
from tunebench.workloads.tasks.task import Task


class PeftSession:
    """A fine-tuning of method ``lora-all``; mirrors what an engine's session offers the benchmark."""

    def __init__(self, task: Task) -> None:
        if task.spec.method != "lora-all":
            raise ValueError(f"peft runs LoRA-All here, not {task.spec.method!r}")
        torch.set_num_threads(task.spec.threads)
        self.task = task
        self.x = to_torch(task.data.need("finetune_x"))
        self.y = to_torch(task.data.need("finetune_y")).to(torch.int64)
        spec = task.spec
        self.batches = [
            [torch.tensor(rows) for rows in seeds.batches(task.n_train, spec.batch, spec.seed, epoch)]
            for epoch in range(spec.epochs)
        ]
        linear = [f"{3 * index}" for index in range(len(task.plan.graph.layers))]
        config = LoraConfig(
            r=spec.rank,
            lora_alpha=spec.rank * spec.scale,
            target_modules=linear,
            lora_dropout=0.0,
            bias="none",
        )
        self.model: Any = get_peft_model(_base(task), config).eval()  # eval: BatchNorm stays frozen
        self._start()
        trained = [item for item in self.model.parameters() if item.requires_grad]
        self.optimiser = torch.optim.SGD(trained, lr=spec.lr)
        self.step_losses: list[float] = []

    def _start(self) -> None:
        for index, adapter in enumerate(self.task.plan.adapters):
            count = adapter.extractor[0] * adapter.extractor[1]
            values = seeds.kaiming_uniform(count, adapter.fan_in, self.task.spec.seed, adapter.name)
            layer = self.model.base_model.model[3 * index]
            with torch.no_grad():
                layer.lora_A["default"].weight.copy_(torch.tensor(values.tolist()).reshape(adapter.extractor))
                layer.lora_B["default"].weight.zero_()

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        """One epoch; the mean loss of its steps."""
        kept = [self._step(rows, mark) for rows in self.batches[epoch]]
        self.step_losses = torch.stack(kept).tolist()
        return sum(self.step_losses) / len(kept)

    def _step(self, rows: Any, mark: Mark) -> Any:
        mark("gather")
        x, y = self.x[rows], self.y[rows]
        mark("forward")
        loss = torch.nn.functional.cross_entropy(self.model(x), y)
        mark("backward")
        self.optimiser.zero_grad()
        loss.backward()
        mark("update")
        self.optimiser.step()
        return loss.detach()


def _base(task: Task) -> Any:
    """The MLP as modules: Linear, BatchNorm, ReLU, ..., Linear."""
    modules: list[Any] = []
    for index, layer in enumerate(task.plan.graph.layers):
        linear = torch.nn.Linear(layer.channels_in, layer.channels_out)
        _load(task, index, {"weight": linear.weight, "bias": linear.bias})
        modules.append(linear)
        if layer.norm:
            norm = torch.nn.BatchNorm1d(layer.channels_out, eps=defaults.BATCHNORM_EPSILON)
            parts = {"gamma": norm.weight, "beta": norm.bias, "mean": norm.running_mean}
            _load(task, index, {**parts, "variance": norm.running_var})
            modules += [norm, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules)


def _load(task: Task, index: int, parts: dict[str, Any]) -> None:
    with torch.no_grad():
        for part, target in parts.items():
            target.copy_(to_torch(task.weights.need(f"layer{index}.{part}")))
