"""Do equal pieces of work in several processes of this machine, each of which makes what all pieces need once."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from tunebench.harness.errors import HarnessError

#: What :func:`_begin` made in this process, and what it does with a piece of work.
_context: list[Any] = []


class Workers:
    """Processes that work on pieces.

    They are started anew, not forked: a library with threads of its own, as torch, survives no fork.

    Args:
        count: how many.
        begin: makes, in each process, what every piece needs.
        work: (what ``begin`` made, a piece) -> its result. Both are functions of a module or ``functools.partial``.
    """

    def __init__(self, count: int, begin: Callable[[], object], work: Callable[[Any, Any], Any]) -> None:
        spawned = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, spawned, _begin, (begin, work))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for child in multiprocessing.active_children():
                child.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def results(self, pieces: Sequence[Any]) -> Iterator[Any]:
        """Return the pieces' results as each is done, in whatever order.

        Raises:
            HarnessError: a process ended before its piece was done, as where memory runs out.
        """
        pending = [self._pool.submit(_work, piece) for piece in pieces]
        try:
            for done in as_completed(pending):
                yield done.result()
        except BrokenProcessPool:
            raise HarnessError(
                "a process of --jobs ended before its run did (killed, or out of memory); what was done is kept, "
                "and the same command goes on: use fewer --jobs if it happens again"
            ) from None


def _begin(begin: Callable[[], object], work: Callable[[Any, Any], Any]) -> None:
    # Ctrl-C goes to all processes of a terminal: the first one tells it, these just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _context[:] = [begin(), work]


def _work(piece: Any) -> Any:
    made, work = _context
    return work(made, piece)
