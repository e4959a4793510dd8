"""The gradients of one update: of one batch or of several, in any number format.

Several batches count by what they hold (texts, tokens), so that their sum is the gradient of one batch as large as all
of them. float16 holds nothing below 6e-8, and many gradients are smaller: the loss is then scaled up before the backward
pass and the gradients down again, by the rule of ``torch.amp.GradScaler`` with its defaults (Micikevicius et al., Mixed
Precision Training, ICLR 2018): gradients that are not finite leave an update out and halve the scale, 2,000 updates
double it.
"""

import contextlib
from typing import Any, List, Optional, Sequence

import torch

from tunebench.workloads.tasks.spec import FLOAT16, FLOAT32, SpecError

_START, _GROWTH, _BACKOFF, _INTERVAL = 65536.0, 2.0, 0.5, 2000


class Descent:
    """The gradients of an update.

    Args:
        trained: tensors that train.
        dtype: what maps are computed in.

    Attributes:
        left_out: updates that were left out because their gradients were not finite; float16 only.
    """

    def __init__(self, trained: Sequence[Any], dtype: str) -> None:
        self.trained = list(trained)
        self.scaled = dtype == FLOAT16
        self.reset()

    def reset(self) -> None:
        """Go back to the state before the first update."""
        self.scale = _START if self.scaled else 1.0
        self.good = self.left_out = 0

    def of_one(self, loss: Any) -> List[Any]:
        """Return the gradients of a batch that is an update alone."""
        return list(torch.autograd.grad(loss * self.scale if self.scaled else loss, self.trained))

    def add(self, loss: Any, share: float) -> None:
        """Add a batch's gradients to the sum: each is added as soon as it is there, and none is kept beside it."""
        (loss * (share * self.scale)).backward(inputs=self.trained)

    def taken(self) -> List[Any]:
        """Return the sum and begin a new one."""
        made = [
            torch.zeros_like(item, requires_grad=False) if item.grad is None else item.grad
            for item in self.trained
        ]
        for item in self.trained:
            item.grad = None
        return made

    def ready(self, gradients: List[Any]) -> Optional[List[Any]]:
        """Return gradients without their scale; None if this update is to be left out."""
        if not self.scaled:
            return gradients
        for gradient in gradients:
            gradient.div_(self.scale)
        # One number is read back from the device, as GradScaler does.
        if bool(torch.stack([torch.isfinite(gradient).all() for gradient in gradients]).all()):
            self.good += 1
            if self.good % _INTERVAL == 0:
                self.scale *= _GROWTH
            return gradients
        self.left_out += 1
        self.good, self.scale = 0, self.scale * _BACKOFF
        return None


def autocast(device: Any, dtype: str) -> Any:
    """Return a function that makes a context in which maps are computed in a number format.

    Raises:
        SpecError: this torch does not compute in it on this device; it would go on in float32 with a warning.
    """
    if dtype == FLOAT32:
        return contextlib.ExitStack
    wanted = getattr(torch, dtype)

    def context() -> Any:
        return torch.autocast(device.type, dtype=wanted)

    try:
        with context():
            probe = torch.ones(2, 2, device=device)
            made = torch.nn.functional.linear(probe, probe).dtype
    except (RuntimeError, AttributeError) as error:
        raise SpecError(_cannot(device, dtype, str(error).split("\n")[0])) from None
    if made is not wanted:
        raise SpecError(_cannot(device, dtype, "its autocast gives %s" % str(made).replace("torch.", "")))
    return context


def _cannot(device: Any, dtype: str, why: str) -> str:
    return "workload.dtype is %r: torch %s does not compute in it on %s (%s); use 'float32' or another torch" % (
        dtype, torch.__version__, device.type, why,
    )  # fmt: skip
