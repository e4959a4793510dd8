"""Keep what changes on a board while its queue runs: its start temperature, and which methods failed their check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunebench.harness.config.suite import Workload
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition
from tunebench.reports.results.state import Stored
from tunebench.targets.client.replies import StartWarning

_CHECK_FAILED = "correctness gate failed on this board: {}"


class BoardState:
    """The changing part of a board's run; the unchanging one is :class:`~tunebench.harness.planning.job.BoardContext`.

    Attributes:
        start_temp_c: where the first repetition began; later ones wait until the board is as cool again.
    """

    def __init__(self, start_temp_c: float | None = None) -> None:
        self.start_temp_c = start_temp_c
        self._failed_checks: dict[tuple[str, str], str] = {}

    @classmethod
    def resumed(cls, records: Iterable[Stored], board_id: str) -> BoardState:
        """Begin as the first stored repetition of a board did, so that a resumed run goes on alike.

        A method that failed its correctness check before is not believed now.
        """
        of_board = [record for record in records if record.board_id == board_id]
        temperatures = (record.temp_start_c for record in of_board)
        state = cls(next((temp_c for temp_c in temperatures if temp_c is not None), None))
        for record in of_board:
            if record.role == "check" and (record.outcome != "ok" or record.check_passed is not True):
                state._failed_checks[record.task, record.method] = _CHECK_FAILED.format(
                    "it had failed before"
                )
            elif record.role == "check":
                state._failed_checks.pop((record.task, record.method), None)
        return state

    def note_start(self, temp_c: float | None, warnings: Sequence[StartWarning]) -> None:
        """Note where a repetition began: the first sets the mark; one that could not keep it moves the mark.

        A board whose surroundings have warmed up would otherwise wait before every repetition, for nothing.
        """
        if temp_c is None:
            return
        codes = {warning.code for warning in warnings}
        if self.start_temp_c is None or codes & {"start-temp", "start-cold"}:
            self.start_temp_c = temp_c

    def note_check(self, record: Repetition, planned: Planned) -> None:
        """Remember a failed correctness check: no speed of that method is believed on this board."""
        if planned.role != "check":
            return
        if record.outcome != "ok" or record.check is None or record.check.get("passed") is not True:
            reason = record.outcome_reason or "cache on and off disagree"
            self._failed_checks[_key(planned.workload)] = _CHECK_FAILED.format(reason)
        else:  # the first attempt may have been lost
            self._failed_checks.pop(_key(planned.workload), None)

    def check_failed(self, workload: Workload) -> str | None:
        """Return why no speed of a workload's method is believed on this board."""
        return self._failed_checks.get(_key(workload))


def _key(workload: Workload) -> tuple[str, str]:
    return (workload.task, workload.method)
