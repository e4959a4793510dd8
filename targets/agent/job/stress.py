"""What is put around a workload on purpose: a stressor is applied before it starts, verified, and removed after it.

The kinds stand in :mod:`tunebench.targets.agent.tuning.stressors`; whoever starts a job hands one in, so that a
supervisor knows none of them.
"""

from typing import Any, Callable, Dict, Optional

#: Figures read back from the board while a stressor holds; units stand in their names.
Figures = Dict[str, float]


class StressError(Exception):
    """A stressor could not be applied, or did not hold to the end; says why."""


class Stressor:
    """One stressor around one repetition."""

    def apply(self) -> Figures:
        """Apply it and read back what holds; raise StressError if it cannot be had."""
        raise NotImplementedError

    def verify(self) -> Figures:
        """Read back what held to the end, still applied; raise StressError if it did not."""
        raise NotImplementedError

    def remove(self) -> None:
        """Remove it, also where it was applied by half only; raise StressError if something is left."""
        raise NotImplementedError


#: (job.json, the job's folder) -> its stressor; ``None``: the job asks for none.
MakeStressor = Callable[[Dict[str, Any], str], Optional[Stressor]]


def none(_job: Dict[str, Any], _job_dir: str) -> Optional[Stressor]:
    """Return that there is no stressor: for jobs that ask for none."""
    return None


class Stress:
    """The stressor of one repetition and its entry in the exit record.

    Args:
        asked: ``job["stressor"]``, or ``None``.
        stressor: what it asks for.
    """

    def __init__(self, asked: Optional[Dict[str, Any]], stressor: Optional[Stressor]) -> None:
        self._asked = asked or {}
        self._stressor = stressor
        self._applied: Optional[Figures] = None
        self._held: Optional[Figures] = None
        self._reason: Optional[str] = None

    def begin(self) -> Optional[str]:
        """Apply it; return why that failed, then it is removed again."""
        if self._stressor is None:
            return None
        try:
            self._applied = self._stressor.apply()
        except (StressError, OSError) as error:
            self._reason = "it could not be applied: %s" % error
            self.remove()
        return self._reason

    def verify(self) -> None:
        """Read back whether it held; call it when the workload has ended, before :meth:`remove`."""
        if self._stressor is None or self._applied is None:
            return
        try:
            self._held = self._stressor.verify()
        except (StressError, OSError) as error:
            self._reason = "it did not hold to the end: %s" % error

    def remove(self) -> None:
        """Remove it; what is left is noted."""
        if self._stressor is None:
            return
        try:
            self._stressor.remove()
        except (StressError, OSError) as error:
            self._reason = "; ".join(filter(None, [self._reason, "it could not be removed: %s" % error]))

    def entry(self) -> Optional[Dict[str, Any]]:
        """Return what the exit record says of it; ``held``: it was applied, held to the end and is gone again."""
        if self._stressor is None:
            return None
        return {
            "id": self._asked.get("id"),
            "kind": self._asked.get("kind"),
            "applied": self._applied,
            "verified": self._held,
            "held": self._held is not None and self._reason is None,
            "reason": self._reason,
        }
