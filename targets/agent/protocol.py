"""What travels between a board and the host, and nothing else.

Everything here runs on the board and on the host: Python 3.6, standard library only.
Board output is untrusted on the host: readers check schema, type and size, and raise
:class:`ProtocolError` with what was wrong.

Files of one repetition, in ``<workdir>/jobs/<rep_id>/``::

    job.json        what to run (host -> board)
    journal.jsonl   one line an event, each with a sequence number (agent)
    samples.jsonl   telemetry: a header line, then rows (agent, after the window)
    log.txt         standard output and error of the workload, size-limited (agent)
    exit.json       how it ended; written last, by write-fsync-rename (agent)
    out/marks.json  (monotonic ns, phase) marks (workload)
    out/result.json accuracy, losses, counts (workload)
    out/preds.jsonl one line an evaluated item: [index, label, before, after] (workload)
"""

import json
import math
import re
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from tunebench.targets.agent import protocol

#: Every line an agent command prints for the host starts with this; all other lines (banners,
#: motd, a chatty interpreter) are noise and are skipped.
SENTINEL = "@tb1 "

JOB_SCHEMA = "tunebench.job/1"
MARKS_SCHEMA = "tunebench.marks/1"
RESULT_SCHEMA = "tunebench.result/1"
EXIT_SCHEMA = "tunebench.exit/1"
SAMPLES_SCHEMA = "tunebench.samples/1"
PROBE_SCHEMA = "tunebench.probe/1"

#: How a repetition can end. All but ``ok`` carry a reason.
OUTCOMES = ("ok", "failed", "deadline", "oom", "killed", "diverged", "lost")

#: Limits on what the host accepts from a board, in bytes.
MAX_LINE_B = 4 * 1024 * 1024
MAX_LOG_B = 1024 * 1024
MAX_FILE_B = 32 * 1024 * 1024
MAX_HARVEST_B = 64 * 1024 * 1024

_REP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


class ProtocolError(ValueError):
    """A message or file that does not have the agreed form."""


def check_rep_id(rep_id: Any) -> str:
    """Return ``rep_id`` if it is safe as a file name, else raise :class:`ProtocolError`."""
    if not isinstance(rep_id, str) or not _REP_ID.match(rep_id):
        raise ProtocolError("repetition id %r: use 1-128 letters, digits, '.', '_', '-'" % (rep_id,))
    return rep_id


def encode_line(message: Dict[str, Any]) -> str:
    """Encode one protocol line, newline included. NaN and infinity are refused: they are not JSON."""
    return SENTINEL + json.dumps(message, sort_keys=True, allow_nan=False) + "\n"


def decode_line(line: str) -> Optional[Dict[str, Any]]:
    """Return the message in ``line``; ``None`` if the line is noise.

    Raises:
        ProtocolError: the sentinel is there but no JSON object follows it.
    """
    if not line.startswith(SENTINEL):
        return None
    return parse_object(line[len(SENTINEL) :], "protocol line")


def parse_object(text: str, what: str) -> Dict[str, Any]:
    """Parse a JSON object of bounded size, depth and numbers: see :mod:`tunebench.targets.agent.protocol`."""
    if len(text) > MAX_LINE_B:
        raise ProtocolError("%s: %d characters, at most %d are accepted" % (what, len(text), MAX_LINE_B))
    try:
        value = protocol.loads(text)
    except ValueError as error:
        raise ProtocolError("%s: not JSON: %s" % (what, error)) from None
    if not isinstance(value, dict):
        raise ProtocolError("%s: expected an object, got %s" % (what, type(value).__name__))
    return value


def check_schema(value: Dict[str, Any], schema: str, what: str) -> Dict[str, Any]:
    """Accept ``name/major`` and any newer minor (``name/major.minor``)."""
    actual = value.get("schema")
    if not isinstance(actual, str) or (actual != schema and not actual.startswith(schema + ".")):
        raise ProtocolError("%s: schema %r, expected %r" % (what, actual, schema))
    return value


def monotonic_ns() -> int:
    """Return CLOCK_MONOTONIC in ns (``time.monotonic_ns`` came with Python 3.7)."""
    if hasattr(time, "monotonic_ns"):
        return time.monotonic_ns()  # novm: guarded
    return int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e9)


class Marks(NamedTuple):
    """The marks of one repetition: each opens its phase and closes the one before it.

    Attributes:
        window_ns: (start, end) of the fine-tuning, ns on the board's CLOCK_MONOTONIC.
        events: (t_ns, phase) in order; the last one closes the record.
    """

    window_ns: Tuple[int, int]
    events: List[Tuple[int, str]]

    def phases_s(self) -> Dict[str, float]:
        """Return seconds by phase over the whole process."""
        return _sum_phases(self.events)

    def window_phases_s(self) -> Dict[str, float]:
        """Return seconds by phase inside the fine-tuning window."""
        start, end = self.window_ns
        return _sum_phases([event for event in self.events if start <= event[0] <= end])


def _sum_phases(events: List[Tuple[int, str]]) -> Dict[str, float]:
    total: Dict[str, int] = {}
    for (t_ns, phase), (next_ns, _) in zip(events, events[1:]):  # noqa: B905, RUF007 - Python 3.6
        total[phase] = total.get(phase, 0) + next_ns - t_ns
    return {phase: ns / 1e9 for phase, ns in total.items()}


def read_marks(text: str) -> Marks:
    """Parse ``marks.json``.

    Form: ``{"schema", "clock": "CLOCK_MONOTONIC", "names": [str], "events": [[t_ns, name_index]],
    "window_ns": [start, end]}``; time never runs backwards.
    """
    value = check_schema(parse_object(text, "marks"), MARKS_SCHEMA, "marks")
    names, rows, window = value.get("names"), value.get("events"), value.get("window_ns")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProtocolError("marks: 'names' must be a list of strings")
    if not isinstance(rows, list):
        raise ProtocolError("marks: 'events' must be a list")
    events: List[Tuple[int, str]] = []
    last_ns = -1
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and all(type(item) is int for item in row)):
            raise ProtocolError("marks: an event must be [t_ns, name_index], got %.80r" % (row,))
        t_ns, index = row
        if not 0 <= index < len(names):
            raise ProtocolError("marks: name index %d, there are %d names" % (index, len(names)))
        if t_ns < last_ns:
            raise ProtocolError("marks: time runs backwards at %d ns" % t_ns)
        last_ns = t_ns
        events.append((t_ns, names[index]))
    if not (isinstance(window, list) and len(window) == 2 and all(type(item) is int for item in window)):
        raise ProtocolError("marks: 'window_ns' must be [start, end]")
    if window[1] < window[0]:
        raise ProtocolError("marks: the window ends before it starts")
    return Marks((window[0], window[1]), events)


#: Far below the interpreter's own limit, so that whoever walks the value later has stack left.
MAX_DEPTH = 64
_MIN_INT = -(1 << 63)
_MAX_INT = (1 << 64) - 1
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is no JSON, or holds a number that no 64 bits can hold, a key twice, text that cannot be
            encoded, or more than ``MAX_DEPTH`` levels.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    if _SURROGATE.search(text):
        _check_text(value)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError("%s is not a JSON number" % name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("%.40s is too large a number" % digits)
    return value


def _bounded(digits: str) -> int:
    # Not even converted if it is long: that takes time in the square of the length.
    value = int(digits) if len(digits) <= 20 else None
    if value is None or not _MIN_INT <= value <= _MAX_INT:
        raise ValueError("%.40s is too large an integer" % digits)
    return value


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: Set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError("key %.80r twice" % key)
            seen.add(key)
    return value


def _check_depth(value: Any) -> None:
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in _containers(outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise ValueError("nested too deeply")


def _containers(values: Iterable[Any]) -> List[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("text with half a surrogate pair") from None
