"""Show a run on a terminal while it is measured; without one, print a line for each repetition."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tunebench.harness.campaign.progress import clock
from tunebench.harness.watch.view import BoardView, SpeedUpView, View, Watch

#: How often a run's folder is looked at.
LOOK_S = 1.0


def follow(watch: Watch, console: Console, pause: Callable[[float], None] = time.sleep) -> View:
    """Show a run until nobody measures it any more; return the last view of it.

    Raises:
        ResultsError: its plan cannot be read.
    """
    view = watch.look()
    if not console.is_terminal:
        return _print_lines(watch, view, console, pause)
    with Live(drawn(view), console=console, auto_refresh=False) as live:
        while view.state == "running":
            pause(LOOK_S)
            view = watch.look()
            live.update(drawn(view), refresh=True)
        live.update(drawn(view), refresh=True)
    return view


def _print_lines(watch: Watch, view: View, console: Console, pause: Callable[[float], None]) -> View:
    _print(console, headline(view))
    lines = [] if view.state == "running" else list(watch.lines)
    for line in lines or [f"{board.board_id}: {progress_of(board)}" for board in view.boards]:
        _print(console, line)
    while view.state == "running":
        pause(LOOK_S)
        view = watch.look()
        for line in watch.lines:
            _print(console, line)
    for speed_up in view.speed_ups:
        _print(console, speed_text(speed_up))
    _print(console, ending(view))
    return view


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def headline(view: View) -> str:
    """Return a run in one line."""
    left = f", about {clock(view.left_s)} left" if view.left_s is not None else ""
    torn = f", {view.unreadable} lines unreadable" if view.unreadable else ""
    return f"{view.run_id}: {view.suite}: {view.state}, {view.recorded} of {view.planned} repetitions{left}{torn}"


def ending(view: View) -> str:
    """Return what to do with a run that nobody measures now."""
    if view.state == "complete":
        return f"complete; results: {view.path}"
    again = f"; to continue it: {view.continuing}" if view.continuing else ""
    return f"nobody measures it now{again}; results: {view.path}"


def progress_of(board: BoardView) -> str:
    """Return how far a board is, in one line."""
    parts = board.progress
    if board.left_s is not None:
        parts.append(f"about {clock(board.left_s)} left")
    if board.temp_c is not None:
        parts.append(f"{board.temp_c:.0f} C, at most {board.temp_max_c:.0f} C")
    return "; ".join(parts)


def speed_text(speed_up: SpeedUpView) -> str:
    """Return a speed-up as it forms, which is no verdict."""
    return (
        f"{speed_up.board_id}: {speed_up.task} {speed_up.label}: {speed_up.factor:.2f} times as fast as"
        f" {speed_up.baseline} so far ({speed_up.pairs} pairs; no verdict)"
    )


def drawn(view: View) -> Group:
    """Return a run as tables for a terminal; texts are text, whatever they hold."""
    boards = Table("board", "done", "now", "left", "C (most)", "newest", box=None, pad_edge=False)
    for board in view.boards:
        temps = "" if board.temp_c is None else f"{board.temp_c:.0f} ({board.temp_max_c:.0f})"
        boards.add_row(
            Text(board.board_id, style="bold"),
            f"{board.done}/{board.planned}",
            Text(f"missing: {board.missing}" if board.missing is not None else board.now or ""),
            clock(board.left_s) if board.left_s is not None else "",
            temps,
            Text(board.last[0] if board.last else ""),
        )
    parts: list[Text | Table] = [Text(headline(view)), boards]
    if view.speed_ups:
        speeds = Table("board", "task", "method", "so far", "pairs", box=None, pad_edge=False)
        for speed_up in view.speed_ups:
            speeds.add_row(
                *map(Text, (speed_up.board_id, speed_up.task, speed_up.label)),
                Text(f"{speed_up.factor:.2f} x {speed_up.baseline}"),
                str(speed_up.pairs),
            )
        parts += [Text("speed-ups as they form; verdicts come with the report", style="dim"), speeds]
    if view.state != "running":
        parts.append(Text(ending(view)))
    return Group(*parts)
