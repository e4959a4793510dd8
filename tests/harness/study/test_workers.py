"""Pieces of work in several processes: each begins once, results come as they are done, an end is told."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from functools import partial

import pytest

from tunebench.harness.errors import HarnessError
from tunebench.harness.study.workers import Workers


def begin(add):
    return {"add": add, "begun": os.getpid()}


def add(made, piece):
    return made["add"] + piece, made["begun"]


def fail(made, piece):
    raise LookupError(f"piece {piece} of {made['add']}")


def vanish(made, piece):
    os.kill(os.getpid(), signal.SIGKILL)


def wait(made, piece):
    time.sleep(60)


def test_every_piece_is_done_once_in_a_process_that_began_once():
    with Workers(2, partial(begin, 10), add) as workers:
        first = list(workers.results(range(6)))
        second = list(workers.results([6, 7]))
    assert sorted(value for value, _ in first + second) == list(range(10, 18))
    assert os.getpid() not in {pid for _, pid in first}
    assert len({pid for _, pid in first + second}) <= 2


def test_an_error_of_a_piece_is_told_as_it_was_raised():
    with pytest.raises(LookupError, match="piece 3 of 1"), Workers(1, partial(begin, 1), fail) as workers:
        list(workers.results([3]))


def test_a_process_that_vanishes_ends_the_search_with_a_sentence():
    with pytest.raises(HarnessError, match="fewer --jobs"), Workers(1, partial(begin, 1), vanish) as workers:
        list(workers.results([1, 2]))


def test_what_ends_the_search_ends_its_processes_at_once():
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Workers(1, partial(begin, 1), wait) as workers:
        workers._pool.submit(wait, None)
        next(iter(workers.results([])), None)
        raise KeyboardInterrupt
    assert time.monotonic() - began_s < 30
    assert multiprocessing.active_children() == []
