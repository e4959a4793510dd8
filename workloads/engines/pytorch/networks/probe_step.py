"""A training step of a network on noise: for memory and time, where what is learnt does not matter."""

from typing import Any, Callable, Tuple

import torch
import torch.nn.functional as F

from tunebench.workloads.engines.pytorch import forward_only
from tunebench.workloads.engines.pytorch.networks import detection
from tunebench.workloads.engines.pytorch.networks.goals import entropy
from tunebench.workloads.engines.pytorch.networks.network import Network, start
from tunebench.workloads.engines.pytorch.networks.session import apply_plan
from tunebench.workloads.engines.pytorch.optimizers import make_optimizer
from tunebench.workloads.engines.session import no_mark
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.methods.table import ENTROPY, FORWARD_ONLY
from tunebench.workloads.tasks.training import PLAIN, Training

_LEARNING_RATE = 1e-6


def stepper(plan: Plan, training: Training = PLAIN) -> Callable[[int], None]:
    """Return a function that runs one step, as a session does, on a batch of so many inputs; one thread.

    The optimizer's state is there from the beginning.
    """
    torch.set_num_threads(1)
    network = Network(plan.graph)
    start(network, 0)
    trained = apply_plan(network, plan, 1.0, 0)
    optimizer = make_optimizer(training, trained)

    def step(batch: int) -> None:
        x = torch.rand((batch,) + tuple(plan.graph.shape))
        if plan.gradient == FORWARD_ONLY:
            forward_only.step(trained, lambda: loss_of(plan, network(x)), 0, _LEARNING_RATE, no_mark)
            return
        loss = loss_of(plan, network(x))
        optimizer.step(torch.autograd.grad(loss, trained), _LEARNING_RATE)

    return step


def loss_of(plan: Plan, outputs: Tuple[Any, ...]) -> Any:
    """Return the task's own loss, on labels that are noise; or the entropy, which needs none."""
    first = outputs[0]
    if plan.objective == ENTROPY:
        return entropy(first)
    if plan.graph.task == "detect":
        boxes = torch.rand_like(outputs[1]).cumsum(1) * 20
        inside = torch.ones(first.shape[0], *first.shape[2:])
        return detection.loss(outputs, detection.Targets(torch.zeros_like(first), boxes, inside))
    return F.cross_entropy(first, torch.zeros((first.shape[0],) + tuple(first.shape[2:]), dtype=torch.int64))
