"""Say what a chain is: its steps in order, what all chains of a suite have in common, and which orders are possible.

No torch and no numpy: suites are checked by it, and completion reads suites.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tunebench.workloads.compress import TRANSFORMS, TUNE
from tunebench.workloads.compress.keys import STEPS

#: Raised when what a chain gives changes: artefacts of an earlier one are not taken for it.
REVISION = 1


@dataclass(frozen=True)
class Settings:
    """What is equal for all chains of a suite.

    Attributes:
        source_steps, batch, source_rate: of training on the source domain.
        tune_epochs, tune_batch: of the fine-tuning.
        rates: that the fine-tuning's is chosen from.
        calibration: how many samples of the fine-tuning part fix scales.
    """

    source_steps: int = 0
    batch: int = 50
    source_rate: float = 0.0015
    tune_epochs: int = 4
    tune_batch: int = 20
    rates: tuple[float, ...] = (0.005, 0.0015, 0.0005)
    calibration: int = 128


@dataclass(frozen=True)
class Step:
    """A step of a chain: a transform with all its keys, or ``tune``."""

    ident: str
    kind: str
    how: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Return the steps on the source domain that it takes."""
        return int(self.keys.get(STEPS, 0))

    def as_dict(self) -> dict[str, Any]:
        """Return it as it stands in records; the order of steps is part of what a row is."""
        if self.kind == TUNE:
            return {"id": self.ident, "kind": TUNE}
        return {"id": self.ident, "kind": self.kind, "how": self.how, **self.keys}


def check_order(name: str, steps: Sequence[Step], settings: Settings) -> None:
    """Refuse a chain that cannot be run, before anything is trained.

    Raises:
        ValueError: names the step, why it cannot stand there, and where it can.
    """
    final: Step | None = None
    idents = [step.how for step in steps]
    if "qat" in idents and TUNE not in [step.kind for step in steps[idents.index("qat") :]]:
        raise ValueError(
            f"chain {name!r}: nothing trains behind 'qat', which is training in 8 bits; put 'tune' behind it"
        )
    for step in steps:
        if step.kind == TUNE:
            if final is not None:
                raise ValueError(
                    f"chain {name!r}: {step.ident!r} trains behind {final.ident!r} ({final.kind} {final.how}), which "
                    f"training would undo; put {final.ident!r} behind it"
                )
            continue
        transform = TRANSFORMS[step.kind, step.how]
        if "qat" in idents and transform.stage == "final":
            raise ValueError(
                f"chain {name!r}: {step.ident!r} cannot stand beside 'qat', which ends in int8 itself"
            )
        if final is not None and (transform.stage == "network" or final.kind != "share"):
            raise ValueError(
                f"chain {name!r}: {step.ident!r} stands behind {final.ident!r} ({final.kind} {final.how}), behind which "
                f"nothing can; put it before"
            )
        if transform.stage == "final":
            final = step
    _check_tuning(name, steps)
    names = [step.ident for step in steps]
    twice = [ident for ident in names if names.count(ident) > 1]
    if twice:
        raise ValueError(f"chain {name!r}: {twice[0]!r} stands twice")
    spent = sum(step.steps for step in steps)
    if spent > settings.source_steps:
        raise ValueError(
            f"chain {name!r}: its transforms train {spent} steps, [compress] source_steps = {settings.source_steps} is "
            f"what every chain may spend; set source_steps = {spent}, and all other chains train as long"
        )


def _check_tuning(name: str, steps: Sequence[Step]) -> None:
    """Refuse a second fine-tuning, and training on the source domain behind the first.

    Raises:
        ValueError: names the step.
    """
    kinds = [step.kind for step in steps]
    if kinds.count(TUNE) > 1:
        raise ValueError(f"chain {name!r}: 'tune' stands twice; all chains fine-tune once, for equal steps")
    if TUNE in kinds:
        for step in steps[kinds.index(TUNE) :]:
            if step.steps:
                raise ValueError(
                    f"chain {name!r}: {step.ident!r} trains {step.steps} steps on the source domain behind 'tune', which "
                    "they would undo; put it before 'tune', or leave out its 'steps'"
                )


def identity(steps: Sequence[Step], settings: Settings, *parts: str) -> str:
    """Return a short hash of all that decides what a chain gives: steps in order, settings, the files it begins from."""
    content = [REVISION, [step.as_dict() for step in steps], asdict(settings), *parts]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
