"""Is the board fit to be measured now? One table of checks, each with its limit and where that comes from.

A gate that fails makes the host wait where the inventory says ``gates = "enforce"`` (the default on boards);
everywhere else, and for what waiting would not mend, it is a warning that the record carries. What cannot be
read is said to be unjudged, never taken for good. ``docs/verdicts.md`` is held against this table by a test.
"""

import shutil
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from tunebench.targets.agent.health import background_load
from tunebench.targets.agent.sensors import load, memory, thermal, throttled
from tunebench.targets.agent.sensors.base import Discovery
from tunebench.targets.agent.workdir import AgentError

Values = Dict[str, Optional[float]]

#: A gate whose quantity cannot be read.
UNJUDGED = "unjudged"


class GateResult(NamedTuple):
    """A gate that is not passed.

    Attributes:
        level: ``fail`` (the board is not fit now) or ``warn`` (to be noted).
        message: a sentence with the value and the limit.
    """

    level: str
    message: str


class Facts(NamedTuple):
    """What the gates look at.

    Attributes:
        values: numbers by name, null where unreadable; they become the record's conditions.
        users: who is logged in at a terminal or a desktop.
        disturbers: programs at work that are known to disturb, by gate level.
        scaling: CPU clusters whose frequency is not fixed; ``None`` if the board scales none.
        consumers: the busiest other processes, as ``name (pid) cores``.
    """

    values: Values
    users: List[str]
    disturbers: Dict[str, List[str]]
    scaling: Optional[List[str]]
    consumers: List[str]


class Gate(NamedTuple):
    """One check before a repetition.

    Attributes:
        code: the reason's code in records.
        what: what is looked at.
        level: the worst level that it can give.
        threshold: the limit in words; the keys of ``gates`` in job.json that set it.
        why: why this limit, and its source.
        judge: (facts, gates of the job) -> a finding, or ``None``.
    """

    code: str
    what: str
    level: str
    threshold: str
    why: str
    judge: Callable[[Facts, Dict[str, Any]], Optional[GateResult]]


class Looked(NamedTuple):
    """What was read, and what is to be noted: ``{"code", "message"}`` each."""

    conditions: Values
    warnings: List[Dict[str, str]]


def look(folder: str, gates: Dict[str, Any], root: str = "/") -> Looked:
    """Read the board's state and compare it with the limits in ``gates``.

    Args:
        folder: on the disk that the job will write to.
        gates: limits by name; those that are null are not looked at. ``policy`` is ``enforce`` or ``warn``,
            ``waived`` lists codes that only warn from now on.
        root: where the board's files begin.

    Raises:
        AgentError: (kind ``condition``) a gate fails and ``policy`` is ``enforce``; the message begins with
            the code.
    """
    facts = _facts(folder, gates, root)
    enforced = gates.get("policy") == "enforce"
    warnings = _judged(CHEAP, facts, gates, enforced)
    if enforced and _limit(gates, "note_background_cores") is not None:
        # Last, since it takes a while: not before the board is fit in all other respects.
        facts = _with_background(facts, gates, root)
        warnings += _judged(TIMED, facts, gates, enforced)
    return Looked(facts.values, warnings)


def _judged(
    table: "tuple[Gate, ...]", facts: Facts, gates: Dict[str, Any], enforced: bool
) -> List[Dict[str, str]]:
    warnings = []
    for gate in table:
        finding = gate.judge(facts, gates)
        if finding is None:
            continue
        if finding.level == "fail" and enforced and gate.code not in (gates.get("waived") or []):
            raise AgentError("condition", "%s: %s" % (gate.code, finding.message), gate.code)
        code = UNJUDGED if finding.level == UNJUDGED else gate.code
        warnings.append({"code": code, "message": finding.message})
    return warnings


def _facts(folder: str, gates: Dict[str, Any], root: str) -> Facts:
    values = {
        "temp_c": _first(thermal.discover(root), "cpu_temp_c"),
        "load_1m": _first(load.discover(root), "load_1m"),
        "mem_available_b": _first(memory.discover(root), "mem_available_b"),
        "swap_used_b": _first(memory.discover(root), "swap_used_b"),
        "disk_free_b": float(shutil.disk_usage(folder).free),
        "throttled": _first(throttled.discover(root), "throttled"),
        "clock_bound_s": _limit(gates, "clock_bound_s"),
        "background_cores": None,
    }  # type: Values
    others = bool(gates.get("others"))
    users, disturbers = (
        (background_load.users(root), background_load.disturbers(root)) if others else ([], {})
    )
    return Facts(
        values, users, disturbers, background_load.scaling(root) if gates.get("fixed_clock") else None, []
    )


def _with_background(facts: Facts, gates: Dict[str, Any], root: str) -> Facts:
    window_s = _limit(gates, "idle_window_s")
    window_s = background_load.WINDOW_S if window_s is None else window_s
    cores, consumers = background_load.background(root, window_s)
    if cores is not None and cores > (_limit(gates, "note_background_cores") or 0.0):
        # What the repetition before left to do (writing back, tidying up) is over by now.
        again, others = background_load.background(root, window_s)
        if again is not None and again < cores:
            cores, consumers = again, others
    return facts._replace(values=dict(facts.values, background_cores=cores), consumers=consumers)


def _first(discovery: Discovery, wanted: str) -> Optional[float]:
    for sensor in discovery.sensors:
        for channel, value in zip(sensor.channels, sensor.read()):  # noqa: B905 - Python 3.6
            if channel.id == wanted:
                return value
    return None


def _limit(gates: Dict[str, Any], name: str) -> Optional[float]:
    value = gates.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


# -- the checks -----------------------------------------------------------------------------------


def _bounded(
    field: str, limit_name: str, sign: int
) -> Callable[[Facts, Dict[str, Any]], Optional[GateResult]]:
    """Return a check that objects to a value above (sign 1) or below (sign -1) the limit of that name."""

    def judge(facts: Facts, gates: Dict[str, Any]) -> Optional[GateResult]:
        limit, value = _limit(gates, limit_name), facts.values[field]
        if limit is None:
            return None
        if value is None:
            return GateResult(UNJUDGED, "gate %s: %s cannot be read" % (limit_name, field))
        if sign * (value - limit) <= 0:
            return None
        return GateResult("fail", "%s is %g, the gate %s is %g" % (field, value, limit_name, limit))

    return judge


def _start_temp(sign: int, level: str) -> Callable[[Facts, Dict[str, Any]], Optional[GateResult]]:
    """Return a check that objects to a start warmer (sign 1) or colder (sign -1) than the campaign's first one.

    Differences within the window (``start_window_c``) pass.
    """

    def judge(facts: Facts, gates: Dict[str, Any]) -> Optional[GateResult]:
        begun_c, window_c = _limit(gates, "start_temp_c"), _limit(gates, "start_window_c")
        temp_c = facts.values["temp_c"]
        if begun_c is None or window_c is None or temp_c is None:
            return None
        if sign * (temp_c - begun_c) <= window_c:
            return None
        words = "temp_c is %g, this campaign's repetitions begin at %g +-%g"
        return GateResult(level, words % (temp_c, begun_c, window_c))

    return judge


def _throttled_now(facts: Facts, _gates: Dict[str, Any]) -> Optional[GateResult]:
    value = facts.values["throttled"]
    names = [name for bit, name in sorted(throttled.NAMES.items()) if value and int(value) >> bit & 1]
    return GateResult("fail", "the firmware reports now: " + ", ".join(names)) if names else None


def _disturber(facts: Facts, gates: Dict[str, Any]) -> Optional[GateResult]:
    if not gates.get("others"):
        return None
    working, resident = facts.disturbers.get("fail") or [], facts.disturbers.get("warn") or []
    if working:
        return GateResult("fail", "at work: " + ", ".join(working + resident))
    return GateResult("warn", "running: " + ", ".join(resident)) if resident else None


def _users(facts: Facts, gates: Dict[str, Any]) -> Optional[GateResult]:
    if not facts.users or not gates.get("others"):
        return None
    return GateResult("warn", "logged in: " + ", ".join(facts.users[:4]))


def _governor(facts: Facts, gates: Dict[str, Any]) -> Optional[GateResult]:
    if not facts.scaling or not gates.get("fixed_clock"):
        return None
    return GateResult("warn", "the CPU frequency is not fixed: " + ", ".join(facts.scaling[:4]))


def _clock_bound(facts: Facts, gates: Dict[str, Any]) -> Optional[GateResult]:
    bound_s, limit_s = facts.values["clock_bound_s"], _limit(gates, "max_clock_bound_s")
    if bound_s is None or limit_s is None or bound_s <= limit_s:
        return None
    return GateResult(
        "warn", "host-board clock known to +-%.0f ms only, over %.0f ms" % (1e3 * bound_s, 1e3 * limit_s)
    )


def _busy(facts: Facts, gates: Dict[str, Any]) -> Optional[GateResult]:
    cores, note = facts.values["background_cores"], _limit(gates, "note_background_cores")
    limit = _limit(gates, "max_background_cores")
    if cores is None:
        return GateResult(
            UNJUDGED, "gate note_background_cores: no counters of CPU time in proc/stat that move"
        )
    if note is None or cores <= note:
        return None
    who = " (%s)" % ", ".join(facts.consumers) if facts.consumers else ""
    level = "fail" if limit is not None and cores > limit else "warn"
    return GateResult(
        level,
        "others use %.2f cores%s, over %.2f" % (cores, who, limit if level == "fail" and limit else note),
    )


CHEAP = (
    Gate(
        "hot",
        "CPU temperature",
        "fail",
        "above `max_temp_c` (75 C)",
        "5 C under the 80 C at which a Raspberry Pi's firmware begins to throttle (raspberrypi.com documentation,"
        " frequency management)",
        _bounded("temp_c", "max_temp_c", 1),
    ),
    Gate(
        "start-temp",
        "CPU temperature against the one at which this campaign's first repetition began",
        "fail",
        "warmer by more than `start_window_c` (3 C): waits 2 minutes at most, then a warning, and the next begin there",
        "repetitions that start alike are comparable: leakage and the distance to the throttling point depend on"
        " the temperature; sensors have steps of 0.5 C and as much noise",
        _start_temp(1, "fail"),
    ),
    Gate(
        "start-cold",
        "the same, the other way",
        "warn",
        "colder by more than `start_window_c` (3 C); the next begin there",
        "waiting does not warm a board",
        _start_temp(-1, "warn"),
    ),
    Gate(
        "throttled-before",
        "the Raspberry Pi firmware's bits 0-3, now",
        "fail",
        "any set",
        "under-voltage, frequency cap, throttling or soft limit now (documentation of vcgencmd get_throttled)",
        _throttled_now,
    ),
    Gate(
        "load",
        "load average of the last minute, where the CPU's idle time is not measured",
        "fail",
        "above `max_load_1m`",
        "slow to fall: the repetition before this one is still in it",
        _bounded("load_1m", "max_load_1m", 1),
    ),
    Gate(
        "disturber",
        "programs known to disturb: package managers at work, packagekitd, jtop",
        "fail",
        "apt, dpkg or unattended-upgrade at work: fail; packagekitd or jtop resident: warn",
        "package managers keep CPU and SD card busy; jtop's service reads the same INA3221 and halves its rate",
        _disturber,
    ),
    Gate(
        "users",
        "terminals in use (/dev/pts, typed or printed in within 15 minutes) and desktop or console sessions",
        "warn",
        "any",
        "somebody may do something at any moment",
        _users,
    ),
    Gate(
        "governor",
        "cpufreq governor, smallest and largest frequency",
        "warn",
        "neither `performance` nor smallest = largest, on any cluster",
        "a governor that follows the load makes the first seconds slower (Documentation/admin-guide/pm/cpufreq.rst)",
        _governor,
    ),
    Gate(
        "disk",
        "free space where the job writes",
        "fail",
        "below `min_disk_b` (64 MiB)",
        "logs, samples and predictions of one repetition have room",
        _bounded("disk_free_b", "min_disk_b", -1),
    ),
    Gate(
        "memory",
        "MemAvailable",
        "fail",
        "below `min_mem_b` (64 MiB)",
        "less would swap or be killed",
        _bounded("mem_available_b", "min_mem_b", -1),
    ),
    Gate(
        "clock-bound-before",
        "bound of the host-board clock exchange before the start",
        "warn",
        "above `max_clock_bound_s` (0.4 s)",
        "MLPerf's power-dev refuses more than 400 ms (time_sync.py); durations are the board's own and not affected",
        _clock_bound,
    ),
)  # type: tuple[Gate, ...]

#: Looked at only where gates are enforced: measuring idle time takes the time that is measured.
TIMED = (
    Gate(
        "busy",
        "CPU time that others use, from /proc/stat over `idle_window_s` (1 s), the lower of two if the first is high",
        "fail",
        "above `note_background_cores` (0.03 of one core): warn; above `max_background_cores` (0.25): fail",
        "3% of one core is what sbc-bench waits for (2.5%) at the resolution of a 10 ms tick; a quarter of a core"
        " is work that will end",
        _busy,
    ),
)  # type: tuple[Gate, ...]

GATES = CHEAP + TIMED
