"""A stressor that is a reversible operation: set as tuning sets it, on the undo list while it holds, put back after."""

from typing import Any, Dict, Optional

from tunebench.targets.agent.job.stress import Figures, StressError, Stressor
from tunebench.targets.agent.tuning import apply
from tunebench.targets.agent.tuning.operation import UNAVAILABLE, Operation
from tunebench.targets.agent.tuning.stressors.kind import Place
from tunebench.targets.agent.tuning.system import System
from tunebench.targets.agent.workdir import AgentError


class OperationStressor(Stressor):
    """Holds an operation around a workload.

    Args:
        operation: what is set.
        wanted: to what, by the operation's keys.
        place: where.
    """

    def __init__(self, operation: Operation, wanted: Dict[str, Any], place: Place) -> None:
        self._operation = operation
        self._wanted = wanted
        self._place = place
        self._system = System(place.root)

    def figures(self, system: System) -> Figures:
        """Return what holds now, read back from the board."""
        raise NotImplementedError

    def apply(self) -> Figures:
        """Set it; what is changed stands on the undo list before."""
        place = self._place
        try:
            with place.workdir.locked():
                row = apply.set_one(place.workdir, self._operation, self._system, self._wanted, place.owner)
        except AgentError as error:
            raise StressError(str(error)) from None
        if row["state"] not in apply.GOOD:
            raise StressError("%s: %s" % (row["op"], row["reason"] or row["state"]))
        return self.figures(self._system)

    def verify(self) -> Figures:
        """Look again whether the board is as it was set."""
        look = self._operation.look(self._system, self._wanted)
        reason = look.reason or self._operation.wrong(self._system, look.items)
        if reason is not None:
            raise StressError(reason)
        return self.figures(self._system)

    def remove(self) -> None:
        """Put back what was there before."""
        try:
            with self._place.workdir.locked():
                left = apply.undo_of(self._place.workdir, str(self._place.owner.get("rep_id")))
        except AgentError as error:
            raise StressError(str(error)) from None
        if left:
            raise StressError("; ".join(left))


def not_permitted(operation: Operation, wanted: Dict[str, Any], place: Place) -> Optional[str]:
    """Return why an operation cannot be made on this board by this account; ``None`` if it can. Changes nothing."""
    system = System(place.root)
    look = operation.look(system, wanted)
    if look.state == UNAVAILABLE:
        return look.reason
    able = apply.possible_one(operation, system, wanted)
    if able["how"] is None:
        return (
            "%s may not be set by this account: `tunebench doctor` prints the lines that sudoers would need"
            % (operation.name)
        )
    return None
