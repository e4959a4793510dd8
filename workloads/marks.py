"""Marks and results of a workload, for tunebench's own runs and for a user's own command.

In a command of your own (standard library only; outside tunebench all of it does nothing)::

    from tunebench import marks

    spec = marks.spec()                 # the workload, with spec["paths"]; {} outside tunebench
    before = evaluate()
    marks.window_start()                # the measured fine-tuning begins
    for epoch in range(spec.get("epochs", 10)):
        marks.mark("forward")           # optional: opens a phase, closes the one before it
        ...
    marks.window_end()                  # it ends; the board's clock between the two is the result
    marks.result(accuracy=evaluate(), before=before)

Marks are (CLOCK_MONOTONIC ns, phase) in a buffer in memory; files are written by :func:`result` and once more
when the process exits, with the peak memory of the whole process.
"""

import atexit
import json
import math
import os
import sys
import time
from array import array
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

MARKS_SCHEMA = "tunebench.marks/1"
RESULT_SCHEMA = "tunebench.result/1"
JOB_VARIABLE = "TUNEBENCH_JOB"


_clock: Optional[Callable[[], int]] = getattr(time, "monotonic_ns", None)


class MarksError(RuntimeError):
    """Marks used in an order that cannot be measured."""


def monotonic_ns() -> int:
    """Return CLOCK_MONOTONIC in ns (``time.monotonic_ns`` came with Python 3.7)."""
    return _clock() if _clock is not None else int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e9)


def peak_rss_b() -> Optional[int]:
    """Return the peak memory of this process, VmHWM + VmSwap, in bytes; None where /proc does not say."""
    try:
        with open("/proc/self/status") as file:
            rows = dict(line.split(":", 1) for line in file if ":" in line)
        return 1024 * (int(rows["VmHWM"].split()[0]) + int(rows.get("VmSwap", "0 kB").split()[0]))
    except (OSError, KeyError, ValueError):
        return None


class Recorder:
    """A preallocated buffer of marks.

    Args:
        capacity: marks for which memory is taken at once; more are kept too, at the cost of growing.
        synchronise: called before each mark is taken (``torch.cuda.synchronize``); None on a CPU.
    """

    def __init__(self, capacity: int = 1024, synchronise: Optional[Callable[[], None]] = None) -> None:
        self._times = array("q", bytes(8 * capacity))
        self._phases = array("l", bytes(array("l").itemsize * capacity))
        self._used = 0
        self._names: Dict[str, int] = {}
        self.synchronise = synchronise
        self.window: Optional[Tuple[int, Optional[int]]] = None

    def reserve(self, count: int) -> None:
        """Take memory for ``count`` further marks now, so that none is taken inside the window."""
        missing = self._used + count - len(self._times)
        if missing > 0:
            self._times.extend(array("q", bytes(8 * missing)))
            self._phases.extend(array("l", bytes(self._phases.itemsize * missing)))

    def mark(self, phase: str, t_ns: Optional[int] = None) -> int:
        """Open ``phase`` and close the one before it, now or at ``t_ns`` (an engine's own clock); return the time, ns."""
        index = self._names.setdefault(phase, len(self._names))
        if t_ns is None:
            if self.synchronise is not None:
                self.synchronise()
            t_ns = monotonic_ns()
        if self._used < len(self._times):
            self._times[self._used] = t_ns
            self._phases[self._used] = index
        else:
            self._times.append(t_ns)
            self._phases.append(index)
        self._used += 1
        return t_ns

    def window_start(self, phase: str = "finetune") -> int:
        """Open the measured window."""
        if self.window is not None:
            raise MarksError("window_start() was called twice: one repetition has one window")
        t_ns = self.mark(phase)
        self.window = (t_ns, None)
        return t_ns

    def window_end(self, phase: str = "evaluate") -> int:
        """Close the measured window; ``phase`` names what follows."""
        if self.window is None or self.window[1] is not None:
            raise MarksError("window_end() needs one window_start() before it")
        t_ns = self.mark(phase)
        self.window = (self.window[0], t_ns)
        return t_ns

    def document(self) -> Dict[str, Any]:
        """Return the content of ``marks.json``; the last mark must have been taken."""
        if self.window is None or self.window[1] is None:
            raise MarksError("no window: call window_start() and window_end() around the fine-tuning")
        names = sorted(self._names, key=lambda name: self._names[name])
        events = [[self._times[i], self._phases[i]] for i in range(self._used)]
        return {
            "schema": MARKS_SCHEMA,
            "clock": "CLOCK_MONOTONIC",
            "names": names,
            "events": events,
            "window_ns": list(self.window),
        }

    def window_s(self) -> float:
        """Return the length of the window in seconds."""
        if self.window is None or self.window[1] is None:
            raise MarksError("the window is not closed")
        return (self.window[1] - self.window[0]) / 1e9


def finite(value: Any) -> Any:
    """Return ``value`` in a form fit for JSON: non-finite numbers become None, tuples become lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def write_json(path: str, value: Any) -> None:
    """Write JSON so that it is there whole or not at all."""
    part = path + ".part"
    with open(part, "w") as file:
        json.dump(finite(value), file, sort_keys=True, allow_nan=False)
        file.write("\n")
    os.replace(part, path)


#: fields of a result that stay null where nobody fills them
RESULT_FIELDS = (
    "reason before after n_items loss_first loss_final steps params_total params_trainable update_b optimizer_state_b "
    "cache_b cache_hit_ratio peak_rss_b engine_version check repeats"
)


def empty_result() -> Dict[str, Any]:
    """Return a result with every field of its schema; fields that nobody fills stay null."""
    fields: Dict[str, Any] = dict.fromkeys(RESULT_FIELDS.split())
    fields.update(
        schema=RESULT_SCHEMA, outcome="ok", metric="accuracy", losses=[], curve=[], metrics={}, repeats_s=[]
    )
    fields["python"] = "%d.%d.%d" % sys.version_info[:3]
    return fields


def engine_version() -> str:
    """Return the version of what a user's own code runs on: torch if it imported it, else Python."""
    torch = sys.modules.get("torch")
    return "python %d.%d.%d" % sys.version_info[:3] if torch is None else "torch %s" % torch.__version__


def job_folder() -> Optional[str]:
    """Return the job's folder; None outside tunebench."""
    return os.environ.get(JOB_VARIABLE) or None


def load_job() -> Dict[str, Any]:
    """Return ``job.json`` of the job that this process runs in; {} outside tunebench."""
    folder = job_folder()
    if folder is None:
        return {}
    with open(os.path.join(folder, "job.json")) as file:
        job = json.load(file)
    return dict(job)


def spec() -> Dict[str, Any]:
    """Return the workload of the job with ``paths`` in it; {} outside tunebench."""
    job = load_job()
    return dict(job.get("workload", {}), paths=job.get("paths", {})) if job else {}


class _Command:
    """State of a user's own command; made at the first mark inside tunebench."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.result: Optional[Dict[str, Any]] = None
        atexit.register(self.write)

    def write(self) -> None:
        folder = job_folder()
        if self.result is None or folder is None:
            return
        self.result["peak_rss_b"] = peak_rss_b()
        write_json(os.path.join(folder, "out", "result.json"), self.result)


#: the process's one command: a process is one repetition, and its marks must meet in one buffer
_command: List[_Command] = []


def _current() -> Optional[_Command]:
    if job_folder() is None:
        return None
    if not _command:
        _command.append(_Command())
    return _command[0]


def mark(phase: str) -> None:
    """Open ``phase`` ("forward", "backward", "update", ...) and close the one before it."""
    command = _current()
    if command is not None:
        command.recorder.mark(phase)


def window_start(phase: str = "finetune") -> None:
    """Mark where the measured fine-tuning begins."""
    command = _current()
    if command is not None:
        command.recorder.window_start(phase)


def window_end(phase: str = "evaluate") -> None:
    """Mark where the measured fine-tuning ends."""
    command = _current()
    if command is not None:
        command.recorder.window_end(phase)


def result(
    accuracy: Optional[float],
    *,
    before: Optional[float] = None,
    losses: Optional[List[float]] = None,
    steps: Optional[int] = None,
    n_items: Optional[int] = None,
    params_trainable: Optional[int] = None,
    predictions: Optional[Sequence[Tuple[int, Optional[int], Optional[int]]]] = None,
    **metrics: float,
) -> None:
    """Report what the fine-tuning reached; call it once, after :func:`window_end`.

    Args:
        accuracy: on held-out target data after fine-tuning, 0..1; None where nothing is to be learnt.
        before: the same before it.
        losses: mean training loss of each epoch.
        steps: updates done.
        n_items: test items behind the accuracies.
        params_trainable: trained parameters (float32; the update's bytes follow from it).
        predictions: (label, predicted before or None, predicted after) of each test item.
        metrics: further numbers of your own.

    Raises:
        MarksError: there was no window.
        ValueError: an accuracy outside 0..1.
    """
    for name, value in (("accuracy", accuracy), ("before", before)):
        if value is not None and not 0.0 <= value <= 1.0:
            raise ValueError("%s is %r, expected a share between 0 and 1" % (name, value))
    command = _current()
    if command is None:
        return
    command.recorder.mark("save")
    out = os.path.join(str(job_folder()), "out")
    fields = empty_result()
    kept = [float(loss) for loss in losses or []]
    diverged = not all(math.isfinite(loss) for loss in kept)
    update_b = None if params_trainable is None else 4 * params_trainable
    fields.update(
        outcome="diverged" if diverged else "ok",
        reason="the loss became NaN or infinite" if diverged else None,
        before=before,
        after=None if diverged else accuracy,
        n_items=n_items,
        losses=[loss for loss in kept if math.isfinite(loss)],
        loss_first=kept[0] if kept else None,
        loss_final=kept[-1] if kept and not diverged else None,
        steps=steps,
        params_trainable=params_trainable,
        update_b=update_b,
        engine_version=engine_version(),
        metrics=metrics,
    )
    if predictions is not None:
        write_predictions(os.path.join(out, "preds.jsonl"), predictions)
    command.recorder.mark("end")
    write_json(os.path.join(out, "marks.json"), command.recorder.document())
    command.result = fields
    command.write()


def write_predictions(path: str, rows: Sequence[Tuple[int, Optional[int], Optional[int]]]) -> None:
    """Write ``[index, label, before, after]`` lines."""
    with open(path, "w") as file:
        for index, row in enumerate(rows):
            file.write(json.dumps([index] + list(row)) + "\n")
