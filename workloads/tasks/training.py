"""How weights are updated: optimizer, schedule, clipping, decay, and what BatchNorm and the head do meanwhile.

Keys of section ``workload`` of a job, all optional. The defaults are the protocol's first form: plain SGD at a constant
rate with BatchNorm frozen (see :mod:`tunebench.workloads.defaults`).
"""

import math
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from tunebench.workloads.errors import WorkloadError

OPTIMIZERS = ("sgd", "momentum", "adamw")
SCHEDULES = ("constant", "cosine")
#: What BatchNorm does: statistics re-estimated on the fine-tuning inputs before the first step, affine trained, or both.
BATCHNORMS = ("frozen", "reestimated", "affine", "reestimated+affine")
#: ``method``: as the method's row of the table says; ``trained``: the head's weights and biases train in any case.
HEADS = ("method", "trained")

#: of optimizer ``momentum`` (Polyak's form, as torch.optim.SGD has it: v = 0.9 v + g, p -= lr v)
MOMENTUM = 0.9
#: of optimizer ``adamw`` (Loshchilov and Hutter, ICLR 2019); the values are torch.optim.AdamW's defaults
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
#: share of the steps in which schedule ``cosine`` rises linearly from 0
WARMUP_SHARE = 0.05


class TrainingError(WorkloadError):
    """A key of training that is wrong; names the key, its value and what is allowed."""


class Training(NamedTuple):
    """How weights are updated.

    Attributes:
        optimizer: one of :data:`OPTIMIZERS`.
        schedule: of the learning rate, one of :data:`SCHEDULES`; see :func:`learning_rates`.
        clip: largest Euclidean norm of all gradients together, as in torch's ``clip_grad_norm_``; None: not clipped.
        weight_decay: decoupled with ``adamw`` (p -= lr * decay * p), else added to the gradient, as torch does.
        batchnorm: one of :data:`BATCHNORMS`.
        head: one of :data:`HEADS`.
        lora_plus: learning rate of every adapter's B over that of its A (Hayou et al., LoRA+, ICML 2024).
        accumulate: batches whose gradients are added up before an update, as with a batch so many times as large.
    """

    optimizer: str = "sgd"
    schedule: str = "constant"
    clip: Optional[float] = None
    weight_decay: float = 0.0
    batchnorm: str = "frozen"
    head: str = "method"
    lora_plus: float = 1.0
    accumulate: int = 1

    @property
    def reestimates(self) -> bool:
        """Return whether BatchNorm's statistics are re-estimated before the first step."""
        return self.batchnorm.startswith("reestimated")

    @property
    def trains_affine(self) -> bool:
        """Return whether BatchNorm's scales and shifts train, whatever the method."""
        return self.batchnorm.endswith("affine")

    @property
    def state_floats(self) -> int:
        """Return how many float32 values the optimizer keeps for each trained parameter."""
        return {"sgd": 0, "momentum": 1, "adamw": 2}[self.optimizer]

    @property
    def changed(self) -> Tuple[str, ...]:
        """Return the keys whose values are not the defaults, in the order of the attributes."""
        return tuple(key for key in self._fields if getattr(self, key) != getattr(PLAIN, key))


#: The first form of the protocol.
PLAIN = Training()


def parse_training(workload: Dict[str, Any]) -> Training:
    """Check the keys of training in a workload.

    Raises:
        TrainingError: the first key that is wrong.
    """
    get = workload.get
    clip = get("clip")
    return Training(
        optimizer=_choice("optimizer", get("optimizer", PLAIN.optimizer), OPTIMIZERS),
        schedule=_choice("schedule", get("schedule", PLAIN.schedule), SCHEDULES),
        clip=None if clip is None else _number("clip", clip, above=True),
        weight_decay=_number("weight_decay", get("weight_decay", PLAIN.weight_decay), above=False),
        batchnorm=_choice("batchnorm", get("batchnorm", PLAIN.batchnorm), BATCHNORMS),
        head=_choice("head", get("head", PLAIN.head), HEADS),
        lora_plus=_number("lora_plus", get("lora_plus", PLAIN.lora_plus), above=True),
        accumulate=_count("accumulate", get("accumulate", PLAIN.accumulate)),
    )


def learning_rates(training: Training, lr: float, steps: int) -> List[float]:
    """Return the learning rate of each step.

    ``constant``: ``lr``. ``cosine``: rises linearly over the first 5% of the steps (at least one step), reaches ``lr`` at
    their end, and falls along half a cosine to 0 behind the last step.
    """
    if training.schedule == "constant":
        return [lr] * steps
    rising = max(1, int(WARMUP_SHARE * steps))
    rates = []
    for step in range(steps):
        if step < rising:
            rates.append(lr * (step + 1) / rising)
        else:
            rates.append(0.5 * lr * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))))
    return rates


def _choice(key: str, value: Any, allowed: Any) -> str:
    if value not in allowed:
        raise TrainingError("workload.%s is %r, allowed: %s" % (key, value, ", ".join(allowed)))
    return str(value)


def _count(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise TrainingError("workload.%s is %r, expected a whole number from 1" % (key, value))
    return value


def _number(key: str, value: Any, above: bool) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf") or (above and value == 0):
        wanted = "a number above 0" if above else "a number, 0 or more"
        raise TrainingError("workload.%s is %r, expected %s" % (key, value, wanted))
    return float(value)
