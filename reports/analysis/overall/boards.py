"""A method over several boards: the geometric mean of the boards' own ratios to its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tunebench.reports.analysis.measured import AcrossBoards, BoardRatio
from tunebench.reports.analysis.row import MethodResult, Verdict
from tunebench.reports.stats.across_boards import across_boards

_BY_BOARD = ("time", "energy")


class _Key(NamedTuple):
    """The fields that must be equal before ratios of several boards are averaged."""

    task: str
    label: str
    baseline: str | None
    quantity: str
    kind: str
    engine: str
    device: str
    threads: int
    dtype: str


def across(rows: Sequence[MethodResult]) -> list[AcrossBoards]:
    """Return the ratio of each method as the geometric mean over the boards that measured it.

    Only boards under the same conditions meet (engine build and power mode may differ: they are the board's); for
    energy only those with the same scope and source. Emulated boards are left out: their times are the emulator's.
    """
    members: dict[_Key, list[tuple[MethodResult, Verdict]]] = {}
    for row in rows:
        if row.aa_control or row.is_baseline:
            continue
        for name in _BY_BOARD:
            verdict = row.judged(name)
            if verdict is not None:
                key = _Key(
                    row.task, row.label, row.baseline, name, verdict.kind,
                    row.engine, row.device, row.threads, row.dtype,
                )  # fmt: skip
                members.setdefault(key, []).append((row, verdict))
    means = (_over_boards(key, pairs) for key, pairs in members.items())
    return [mean for mean in means if mean is not None]


def _over_boards(key: _Key, members: Sequence[tuple[MethodResult, Verdict]]) -> AcrossBoards | None:
    real = [(row.board_id, verdict) for row, verdict in members if not row.emulated]
    by_board = dict(real)
    # A board that ran a method twice (two builds, two power modes) has no one ratio: it is told, not chosen.
    twice = [board for board in by_board if sum(other == board for other, _ in real) > 1]
    by_board = {board: verdict for board, verdict in by_board.items() if board not in twice}
    if len(by_board) < 2:
        return None
    mean = across_boards([verdict.value for verdict in by_board.values()])
    left_out = {row.board_id: "emulated" for row, _ in members if row.emulated}
    left_out |= dict.fromkeys(twice, "measured under more than one build or power mode")
    return AcrossBoards(
        quantity=key.quantity,
        task=key.task,
        label=key.label,
        baseline=key.baseline,
        kind=key.kind,
        engine=key.engine,
        device=key.device,
        threads=key.threads,
        dtype=key.dtype,
        ratio=mean.ratio,
        low=mean.low,
        high=mean.high,
        interval=mean.interval,
        spread=mean.spread,
        boards=[
            BoardRatio(board, verdict.value, verdict.verdict, verdict.n)
            for board, verdict in by_board.items()
        ],
        left_out=left_out,
    )
