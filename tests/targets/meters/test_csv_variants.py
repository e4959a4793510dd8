"""Loggers' files as they might be: right readings, gaps, or a refusal; never a wrong number. All made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tunebench.targets.meters import MeterError, MeterTrace, open_meter

_QUIET = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
EXAMPLES = settings(max_examples=150, **_QUIET)
#: Each example is cut at every one of its bytes.
FEW_EXAMPLES = settings(max_examples=8, **_QUIET)

BEGIN = datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC)  # midnight passes
#: How a time is written: its text, the name of its column, and the keys that it needs.
CLOCKS: dict[str, tuple[Callable[[float], str], str, dict[str, Any]]] = {
    "seconds": (lambda t: f"{t:.3f}", "time", {}),
    "seconds-told": (lambda t: f"{t:.3f}", "Time (s)", {"time_unit": "s"}),
    "milliseconds-told": (lambda t: f"{t * 1e3:.0f}", "Timestamp(ms)", {}),
    "microseconds-key": (lambda t: f"{t * 1e6:.0f}", "timestamp", {"time_unit": "us"}),
    "iso": (lambda t: at(t).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "time", {}),
    "iso-basic": (lambda t: at(t).strftime("%Y%m%dT%H%M%S.%fZ"), "time", {}),
    "iso-zone": (lambda t: at(t).strftime("%Y-%m-%d %H:%M:%S.%f+00:00"), "Date", {}),
    "python": (lambda t: str(at(t).replace(tzinfo=None)), "Date", {}),
    "dots": (lambda t: at(t).strftime("%d.%m.%Y %H:%M:%S.%f"), "Datum", {}),
    "american": (
        lambda t: at(t).strftime("%m/%d/%Y %I:%M:%S.%f %p"),
        "Date",
        {"time_format": "%m/%d/%Y %I:%M:%S.%f %p"},
    ),
    "time-of-day": (lambda t: at(t).strftime("%H:%M:%S.%f"), "Time", {}),
}
UNITS = {"W": 1.0, "mW": 1e3, "uW": 1e6, "V": 1.0, "mV": 1e3, "A": 1.0, "mA": 1e3, "uA": 1e6}
NAMES = {"power": "Power", "voltage": "Voltage", "current": "Current"}
#: Ways of telling a unit in a column's name.
TOLD = ("{name} ({unit})", "{name}({unit})", "{name} [{unit}]", "{name}/{unit}", "{name}_{unit}", "{unit}")
PREAMBLES = (
    "",
    "# exported by a logger\n#\n",
    "Model;UM25C\nSerial;12\n\n",
    "# Power and time, below\n",
    "\n\n",
)


def at(t_s: float) -> datetime:
    return BEGIN + timedelta(seconds=t_s)


@dataclass(frozen=True)
class Log:
    """A file, the keys that read it, and what it must give."""

    lines: list[str]
    keys: dict[str, Any]
    t_s: list[float]
    power_w: list[float | None]
    end: str = "\n"
    encoding: str = "utf-8"
    is_ended: bool = True
    preamble: str = ""

    def data(self) -> bytes:
        lines = self.preamble + "\n".join(self.lines) + ("\n" if self.is_ended else "")
        return lines.replace("\n", self.end).encode(self.encoding)


@st.composite
def logs(draw: Any) -> Log:
    count = draw(st.integers(3, 8))
    period_s = draw(st.sampled_from([0.25, 0.01, 1.0]))
    t_s = [round(index * period_s, 6) for index in range(count)]
    clock, time_name, keys = CLOCKS[draw(st.sampled_from(sorted(CLOCKS)))]
    keys = {**keys, "time_column": time_name}
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = draw(st.sampled_from([".", "."] if delimiter == "," else [".", ","]))
    columns: dict[str, list[str]] = {time_name: [clock(t) for t in t_s]}
    if decimal == "," and columns[time_name][0].replace(".", "").isdigit():
        columns[time_name] = [text.replace(".", ",") for text in columns[time_name]]
    layout = draw(st.sampled_from(["power", "factors", "fixed"]))
    asked = {"power": ["power"], "factors": ["voltage", "current"], "fixed": ["current"]}[layout]
    power_w: list[float | None] = [1.0] * count
    for quantity in asked:
        texts, values, name = draw(_column(quantity, count, decimal, keys))
        columns[name] = texts
        keys[f"{quantity}_column"] = name
        power_w = [None if None in (a, b) else a * b for a, b in zip(power_w, values, strict=True)]
    if layout == "fixed":
        keys["voltage_v"] = 3.7
        power_w = [None if value is None else value * 3.7 for value in power_w]
    columns |= draw(
        st.sampled_from(
            [
                {},
                {"Temperature (°C)": ["26"] * count},
                {"Model": ["UM25C"] * count, "Energy (Wh)": ["0"] * count},
            ]
        )
    )
    order = draw(st.permutations(sorted(columns)))
    sign = draw(st.sampled_from(["", "#", "# "]))
    trail = draw(st.sampled_from(["", "", delimiter]))
    lines = [sign + delimiter.join(order) + trail]
    lines += [delimiter.join(columns[name][index] for name in order) + trail for index in range(count)]
    if draw(st.booleans()):
        lines.insert(
            draw(st.integers(2, len(lines))), draw(st.sampled_from(["", "  ", "# a remark, of somebody"]))
        )
    if delimiter != ",":
        keys["delimiter"] = delimiter
    if decimal != ".":
        keys["decimal"] = decimal
    return Log(
        lines,
        keys,
        t_s,
        power_w,
        end=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
        is_ended=draw(st.sampled_from([True, True, False])),
        preamble=draw(st.sampled_from(PREAMBLES)),
    )


@st.composite
def _column(draw: Any, quantity: str, count: int, decimal: str, keys: dict[str, Any]) -> Any:
    """Texts of a column, their values in W, V or A, and its name; adds the key of its unit if it needs one."""
    unit = draw(
        st.sampled_from(
            [unit for unit in UNITS if unit[-1] == {"power": "W", "voltage": "V", "current": "A"}[quantity]]
        )
    )
    decimals = draw(st.integers(0, 4))
    texts, values = [], []
    for _ in range(count):
        if draw(st.integers(0, 9)) == 0:
            texts.append(draw(st.sampled_from(["", "nan", "-", "OL", "inf"])))
            values.append(None)
            continue
        text = f"{draw(st.floats(0.1, 24.0)) * UNITS[unit]:.{decimals}f}"
        texts.append(text.replace(".", decimal))
        values.append(float(text) / UNITS[unit])
    if draw(st.booleans()):
        name = draw(st.sampled_from(TOLD)).format(name=NAMES[quantity], unit=unit)
        if draw(st.booleans()):
            keys[f"{quantity}_unit"] = unit
    else:
        name = NAMES[quantity]
        keys[f"{quantity}_unit"] = unit
    return texts, values, name


def read(path: Path, data: bytes, keys: dict[str, Any]) -> MeterTrace | None:
    """What the meter makes of a file; None: it is refused."""
    path.write_bytes(data)
    try:
        with open_meter({"kind": "csv-replay", "scope": "dc_input", "path": str(path), **keys}) as meter:
            meter.start()
            return meter.stop()
    except MeterError as error:
        assert str(path) in str(error) or "csv-replay meter: " in str(error)
        return None


def check(trace: MeterTrace, log: Log, first_s: float) -> None:
    """Every reading is one of the file's, at its time; or a gap."""
    known = dict(zip((round(t, 4) for t in log.t_s), log.power_w, strict=True))
    for t_s, watts in zip(trace.t_s, trace.power_w, strict=True):
        if watts is not None:
            truth = known.get(round(t_s - first_s, 4))
            assert truth is not None, (t_s - first_s, watts)
            assert watts == pytest.approx(truth, rel=1e-9), (t_s - first_s, watts)


@EXAMPLES
@given(log=logs())
def test_a_file_is_read_as_its_columns_say(tmp_path, log):
    trace = read(tmp_path / "log.csv", log.data(), log.keys)
    assert trace is not None
    power_w = list(log.power_w)
    if not log.is_ended and trace.errors:  # the last row may be cut
        assert "has no line end and may be cut" in trace.errors[0]
        power_w.pop()
    else:
        assert trace.errors == []
    assert trace.power_w == [None if value is None else pytest.approx(value, rel=1e-9) for value in power_w]
    relative_s = [t_s - trace.t_s[0] for t_s in trace.t_s]
    assert relative_s == pytest.approx(log.t_s[: len(power_w)], abs=1e-4)


@FEW_EXAMPLES
@given(log=logs())
def test_a_file_that_is_cut_at_any_byte_has_no_wrong_reading(tmp_path, log):
    data = log.data()
    whole = read(tmp_path / "log.csv", data, log.keys)
    assert whole is not None
    for end in range(len(data)):
        trace = read(tmp_path / "log.csv", data[:end], log.keys)
        if trace is not None:
            check(trace, log, whole.t_s[0])


@FEW_EXAMPLES
@given(log=logs())
def test_a_file_whose_beginning_is_lost_has_no_wrong_reading(tmp_path, log):
    data = log.data()
    whole = read(tmp_path / "log.csv", data, log.keys)
    assert whole is not None
    for begin in range(1, len(data)):
        trace = read(tmp_path / "log.csv", data[begin:], log.keys)
        if trace is not None:
            check(trace, log, whole.t_s[0])


@EXAMPLES
@given(log=logs(), data=st.data())
def test_keys_that_contradict_the_file_make_no_wrong_reading(tmp_path, log, data):
    whole = read(tmp_path / "log.csv", log.data(), log.keys)
    assert whole is not None
    key = data.draw(
        st.sampled_from(["decimal", "delimiter", "power_unit", "voltage_unit", "current_unit", "time_unit"])
    )
    quantity = key.removesuffix("_unit")
    if key == "decimal":
        wrong = "," if log.keys.get("decimal", ".") == "." else "."
    elif key == "delimiter":
        wrong = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    else:
        name = str(log.keys.get(f"{quantity}_column"))
        units = (
            ["s", "ms", "us", "ns"] if quantity == "time" else [unit for unit in UNITS if unit[-1] in "WVA"]
        )
        wrong = data.draw(st.sampled_from(units))
        # A unit that the file does not tell cannot be contradicted.
        assume(
            any(mark in name for mark in "([/")
            or name in UNITS
            or (quantity == "time" and ":" in log.lines[1])
        )
    trace = read(tmp_path / "log.csv", log.data(), {**log.keys, key: wrong})
    if trace is not None:
        check(trace, log, whole.t_s[0])


@EXAMPLES
@given(log=logs(), data=st.data())
def test_a_row_that_lost_or_gained_a_field_is_a_gap(tmp_path, log, data):
    whole = read(tmp_path / "log.csv", log.data(), log.keys)
    assert whole is not None
    delimiter = log.keys.get("delimiter", ",")
    index = data.draw(st.integers(1, len(log.lines) - 1))
    fields = log.lines[index].split(delimiter)
    assume(len(fields) > 1)
    place = data.draw(st.integers(0, len(fields) - 1))
    if data.draw(st.booleans()):
        fields.insert(place, data.draw(st.sampled_from(["1", "99.5", "x"])))
    else:
        del fields[place]
    lines = [*log.lines[:index], delimiter.join(fields), *log.lines[index + 1 :]]
    trace = read(tmp_path / "log.csv", replace(log, lines=lines).data(), log.keys)
    if trace is not None:
        check(trace, log, whole.t_s[0])
