"""The largest batch and the largest input that train within a limit of memory: tried, not calculated.

``python -m tunebench.workloads.run.max_batch`` as the command of a suite (``tunebench run --suite lorae-fit``).
``params``: ``model``; ``method``; ``rank``, ``optimizer``, ``batchnorm``, ``head``, ``skip_grid``, ``skip_blocks`` and
``checkpoint`` as in a ``[[workload]]``; ``batch`` (of the largest input); ``limit_mb`` (10^6 bytes beyond interpreter,
torch and weights, the optimizer's state in it; without it, 80% of what the board says is available); ``allocator``
(``default``, or ``mmap``: every larger tensor is mapped by itself).
A job without torch fails as any other does.

Every try is a process of its own, forked when torch is loaded and nothing has run: it takes a step with one sample, sets
``RLIMIT_DATA`` (private writable memory, Linux 4.7 and later) to what it has plus the limit, and takes two steps. So the
kernel refuses memory inside the try, before it has to kill or to swap. A try that swaps all the same, or that the kernel
kills, does not fit either. Nothing else of the board is asked to suffer for it.
"""

import json
import os
import resource
import signal
import sys
import traceback
from typing import Any, Callable, Dict, List, NamedTuple, Optional, cast

from tunebench.workloads import marks
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.marks.peak_memory import map_large_blocks, status_b
from tunebench.workloads.methods import memory, table
from tunebench.workloads.methods.memory import MOST_BATCH, MOST_SIDE, SIDE_STEP
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.methods.plan import plan as make_plan
from tunebench.workloads.methods.skips import USUAL, parse_skips
from tunebench.workloads.models import counted
from tunebench.workloads.tasks.training import BATCHNORMS, HEADS, OPTIMIZERS, PLAIN, Training

#: Of the memory that is available, where no limit is given.
SHARE = 0.8
#: Words of torch, C++ and oneDNN (whose scratch memory is part of a "primitive") for memory that was refused.
_NO_MEMORY = ("allocate memory", "out of memory", "bad_alloc", "could not create a primitive")
_TRAINING = ("optimizer", "batchnorm", "head")
_PLANNED = _TRAINING + ("skip_grid", "skip_blocks", "checkpoint")
_SETTINGS = ("model", "method", "rank") + _PLANNED + ("batch", "limit_mb", "allocator")
DEFAULT, MMAP = "default", "mmap"
#: A try that takes longer is ended: three steps, one of them with one sample.
TRY_S = 900


class FitError(WorkloadError):
    """Settings that cannot be tried, or a try that failed for another reason than memory."""


class Try(NamedTuple):
    """The outcome of one try.

    Attributes:
        fits: both steps ran, and nothing was swapped.
        reason: why not.
    """

    fits: bool
    reason: Optional[str]


class Largest(NamedTuple):
    """The largest number that fits.

    Attributes:
        number: 0: not even the smallest.
        tries: processes that it took.
        reason: why the next larger one did not fit; None where none was tried.
    """

    number: int
    tries: int
    reason: Optional[str]


class _Crash(Exception):
    """A try that failed by an error or a signal that says nothing of memory."""


def attempt(
    plan: Plan, batch: int, limit_b: int, allocator: str = DEFAULT, training: Training = PLAIN
) -> Try:
    """Try whether two steps with a batch fit into ``limit_b`` bytes beyond what one step of one sample has taken.

    The optimizer's state is in the limit: it is there before the limit is set, which is so much lower.

    Libraries may crash where memory is refused, instead of saying so. So what fails in other words is tried once more
    without a limit: if it runs then, it was the memory.

    Raises:
        FitError: the step fails without a limit, too.
    """
    try:
        return _tried(plan, batch, limit_b, allocator, training)
    except _Crash as error:
        why = str(error)
    try:
        free = _tried(plan, batch, None, allocator, training)
    except _Crash as error:
        raise FitError("a try with batch %d %s, and without a limit it %s" % (batch, why, error)) from None
    return Try(False, "%s; without a limit it %s" % (why, "runs" if free.fits else "does not fit either"))


def _tried(plan: Plan, batch: int, limit_b: Optional[int], allocator: str, training: Training) -> Try:
    """Make one try in a process of its own."""
    from tunebench.workloads.engines.pytorch.networks import (
        probe_step,  # torch is loaded here, once, before the fork
    )

    if limit_b is not None:
        limit_b -= memory.optimizer_state_b(plan, training.state_floats)
        if limit_b < 0:
            return Try(False, "the state of %s alone is larger than the limit" % training.optimizer)

    def stepper() -> Callable[[int], None]:
        return probe_step.stepper(plan, training)

    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        if allocator == MMAP:
            map_large_blocks()
        _child(stepper, batch, limit_b, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        message = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return Try(False, "killed by SIGKILL, as the kernel does when memory runs out")
        raise _Crash("died of signal %d" % number)
    try:
        answer = json.loads(message.decode("utf-8"))
    except ValueError:
        raise _Crash("ended without a word") from None
    if answer["error"] is not None:
        raise _Crash("failed: %s" % answer["error"])
    return Try(answer["fits"], answer["reason"])


def _child(
    stepper: Callable[[], Callable[[int], None]],
    batch: int,
    limit_b: Optional[int],
    writer: int,
) -> None:
    """Make the try inside the new process; never return."""
    answer: Dict[str, Any] = {"fits": False, "reason": None, "error": None}
    signal.alarm(TRY_S)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        step = stepper()
        step(1)
        swapped_b = status_b("VmSwap") or 0
        if limit_b is not None:
            resource.setrlimit(resource.RLIMIT_DATA, ((status_b("VmData") or 0) + limit_b, hard))
        step(batch)
        step(batch)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        more_b = (status_b("VmSwap") or 0) - swapped_b
        answer["fits"] = more_b <= 0
        answer["reason"] = None if more_b <= 0 else "%d bytes were swapped out" % more_b
    except (MemoryError, RuntimeError) as error:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        first = str(error).strip().split("\n")[0][:300] or type(error).__name__
        refused = isinstance(error, MemoryError) or any(word in str(error) for word in _NO_MEMORY)
        answer["reason" if refused else "error"] = first
    except BaseException as error:  # noqa: BLE001  a fork must not go on as if it were its parent
        answer["error"] = "".join(traceback.format_exception_only(type(error), error)).strip()[:300]
    os.write(writer, json.dumps(answer).encode("utf-8"))
    os._exit(0)


def _bisected(fits: Callable[[int], Try], limit: int) -> Largest:
    asked: List[int] = []
    reasons: Dict[int, Optional[str]] = {}

    def asks(number: int) -> bool:
        asked.append(number)
        done = fits(number)
        reasons[number] = done.reason
        return done.fits

    number = memory.largest(asks, limit)
    return Largest(number, len(asked), reasons.get(number + 1))


def largest_batch(plan: Plan, limit_b: int, allocator: str = DEFAULT, training: Training = PLAIN) -> Largest:
    """Find the largest batch that trains."""
    return _bisected(lambda batch: attempt(plan, batch, limit_b, allocator, training), MOST_BATCH)


def largest_side(
    plan_at: Callable[[int], Plan],
    batch: int,
    limit_b: int,
    allocator: str = DEFAULT,
    training: Training = PLAIN,
) -> Largest:
    """Find the largest side of a square input, in pixels, that trains with a batch; a multiple of 32."""

    def fits(count: int) -> Try:
        return attempt(plan_at(SIDE_STEP * count), batch, limit_b, allocator, training)

    largest = _bisected(fits, MOST_SIDE // SIDE_STEP)
    return largest._replace(number=SIDE_STEP * largest.number)


def available_b(path: str = "/proc/meminfo") -> int:
    """Return the bytes that the kernel says are available without swapping.

    Raises:
        FitError: it does not say.
    """
    try:
        with open(path) as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    raise FitError("%s does not tell MemAvailable: give params.limit_mb" % path)


def settings(params: Dict[str, Any]) -> Dict[str, Any]:
    """Check a suite's ``params`` and fill in what is left out.

    Raises:
        FitError: names the key and what is allowed.
    """
    unknown = sorted(set(params) - set(_SETTINGS))
    if unknown:
        raise FitError("params.%s is not known; known: %s" % (unknown[0], ", ".join(_SETTINGS)))
    usual = {"rank": 4, "checkpoint": False, "batch": 10, "limit_mb": None, "allocator": DEFAULT}
    usual.update((key, getattr(PLAIN, key)) for key in _TRAINING)
    usual.update(("skip_" + key, getattr(USUAL, key)) for key in USUAL._fields)
    chosen = dict(usual, **params)
    for key, what in (("model", "a network"), ("method", "a method")):
        if not isinstance(chosen.get(key), str):
            raise FitError("params.%s is missing: the name of %s" % (key, what))
    for key in ("rank", "batch"):
        if type(chosen[key]) is not int or chosen[key] < 1:
            raise FitError("params.%s is %r, expected a whole number from 1" % (key, chosen[key]))
    for key, allowed in (("optimizer", OPTIMIZERS), ("batchnorm", BATCHNORMS), ("head", HEADS)):
        if chosen[key] not in allowed:
            raise FitError("params.%s is %r, expected one of: %s" % (key, chosen[key], ", ".join(allowed)))
    if type(chosen["checkpoint"]) is not bool:
        raise FitError("params.checkpoint is %r, expected true or false" % (chosen["checkpoint"],))
    if chosen["allocator"] not in (DEFAULT, MMAP):
        raise FitError("params.allocator is %r, expected %s or %s" % (chosen["allocator"], DEFAULT, MMAP))
    limit = chosen["limit_mb"]
    if limit is not None and (type(limit) not in (int, float) or not 0 < limit < 1e6):
        raise FitError("params.limit_mb is %r, expected a number above 0" % (limit,))
    return chosen


def measure(params: Dict[str, Any]) -> Dict[str, float]:
    """Return the numbers of a record's ``metrics``: what was found and, beside it, what was predicted."""
    chosen = settings(params)
    row, training = table.method(chosen["method"]), Training(**{key: chosen[key] for key in _TRAINING})
    skips = parse_skips(chosen["skip_grid"], chosen["skip_blocks"])

    def plan_at(side: Optional[int]) -> Plan:
        graph = counted(chosen["model"], side=side)
        return make_plan(
            row, graph, chosen["rank"], training.batchnorm, training.head,
            skips=skips, checkpoint=chosen["checkpoint"],
        )  # fmt: skip

    plan, batch = plan_at(None), chosen["batch"]
    if not plan.trains:
        able = [other for other in table.METHODS if other.networks and table.honours(other, "optimizer")]
        fitting = ", ".join(other.name for other in able)
        raise FitError(
            "params.method is %r, which takes no step; methods that do: %s" % (chosen["method"], fitting)
        )
    limit_b = int(chosen["limit_mb"] * 1e6) if chosen["limit_mb"] else int(SHARE * available_b())
    by_batch = largest_batch(plan, limit_b, chosen["allocator"], training)
    by_side = largest_side(plan_at, batch, limit_b, chosen["allocator"], training)
    predicted_b = limit_b + _resident_b(plan)
    for what, largest in (("batch", by_batch), ("side", by_side)):
        print("largest %s %d; the next: %s" % (what, largest.number, largest.reason or "not tried"))
    return {
        "fit_limit_b": limit_b,
        "fit_batch": by_batch.number,
        "fit_batch_predicted": memory.largest_batch(plan, predicted_b, state_floats=training.state_floats),
        "fit_side_px": by_side.number,
        "fit_side_predicted_px": memory.largest_side(
            plan_at, batch, predicted_b, state_floats=training.state_floats
        ),
        "fit_side_batch": batch,
        "fit_tries": by_batch.tries + by_side.tries,
    }


def _resident_b(plan: Plan) -> int:
    """Return the bytes that are there before the limit is set, and not part of it: the weights."""
    return memory.predict(plan, 1).weights_b


def main() -> int:
    """Run the job; return the exit code."""
    try:
        params = dict(marks.spec().get("params") or {})
        marks.window_start("fit")
        metrics = measure(params)
        marks.window_end("save")
    except WorkloadError as error:
        print("error: %s" % error, file=sys.stderr)
        return 2
    marks.result(None, **cast(Dict[str, Any], metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main())
