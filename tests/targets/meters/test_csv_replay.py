"""Files of vendors' loggers: column mapping and units, growing files, clocks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tunebench.targets.meters import MeterError, open_meter


def _spec(path: Path, **more) -> dict:
    return {"kind": "csv-replay", "scope": "dc_input", "path": str(path), "time_column": "t", **more}


def _whole(path: Path, **more):
    with open_meter(_spec(path, **more)) as meter:
        meter.start()
        return meter.stop()


def test_columns_are_mapped_by_name_or_number_with_their_units(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("t,mV,mA\n1000,5000,1000\n1100,5000,1200\n1200,,1200\n")
    trace = _whole(
        path, time_unit="ms", voltage_column="mV", voltage_unit="mV", current_column=2, current_unit="mA"
    )
    assert trace.t_s == pytest.approx([1.0, 1.1, 1.2])
    assert trace.power_w == [pytest.approx(5.0), pytest.approx(6.0), None]
    assert trace.info.clock == "own"


def test_continental_files_are_read_with_their_delimiter_and_decimal_comma(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('\ufeff# exported\n"t";"Power"\n0,5;1,25\n1,0;1,50', encoding="utf-8")
    trace = _whole(path, delimiter=";", decimal=",", power_column="Power", power_unit="W")
    assert trace.t_s == [0.5, 1.0]
    assert trace.power_w == [1.25, 1.5]


def test_a_last_row_without_a_line_end_counts_only_where_it_cannot_be_cut(tmp_path):
    path = tmp_path / "log.csv"
    for last, power_w in (
        ("2,2.50,x", 2.5),  # another field follows
        ("2,2.50", None),  # a field is missing
        ("2,2.", None),
    ):
        path.write_text("t,W,note\n0,1.25,\n1,2.25,\n" + last)
        assert _whole(path, power_column="W").power_w[2:] == ([] if power_w is None else [power_w])
    for last, power_w in (("2,2.50", [2.5]), ("2,2.5", []), ("2,25", []), ("2,", [])):
        path.write_text("t,W\n0,1.25\n1,2.25\n" + last)
        trace = _whole(path, power_column="W")
        assert trace.power_w[2:] == power_w
        assert trace.errors == ([] if power_w else [f"the last row has no line end and may be cut: {last!r}"])
    path.write_text("t,W\n0,1\n1,2\n2,3")  # integers: 3 may have been 35
    assert _whole(path, power_column="W").power_w == [1.0, 2.0]


def test_a_file_of_names_alone_has_no_reading(tmp_path):
    path = tmp_path / "log.csv"
    for text in ("t,W", "t,W\n", "#t,W\n", "# a logger\n\nt,W\n# begun\n"):
        path.write_text(text)
        trace = _whole(path, power_column="W")
        assert (trace.t_s, trace.errors) == ([], [])


def test_times_of_this_host_that_lie_elsewhere_are_told(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"t,W\n{time.time() * 1e3:.0f},3\n")
    trace = _whole(path, power_column="W", clock="host-wall")
    assert trace.n == 0
    assert "none of its 1 readings lies within the run" in trace.errors[0]
    assert _whole(path, power_column="W", clock="host-wall", time_unit="ms").power_w == [3.0]


def test_a_captured_log_whose_times_jump_back_is_rebuilt_from_its_count(tmp_path, capture):
    path = tmp_path / "fnirsi.txt"
    path.write_text(capture("fnirsi_logger_output.txt"))
    columns = {
        "time_column": "timestamp",
        "delimiter": " ",
        "voltage_column": "voltage_V",
        "current_column": "current_A",
    }
    backwards = _whole(path, **columns)
    assert "give 'rate_hz'" in backwards.errors[0]
    rebuilt = _whole(path, **columns, rate_hz=100.0)
    assert rebuilt.errors == []
    assert [b - a for a, b in zip(rebuilt.t_s, rebuilt.t_s[1:], strict=False)] == pytest.approx(
        [0.01] * (len(rebuilt.t_s) - 1), abs=1e-6
    )
    assert rebuilt.power_w[0] == 0.0


def test_only_what_a_growing_file_got_since_the_start_is_the_trace(tmp_path, monkeypatch):
    monkeypatch.setattr("tunebench.targets.meters.csv_replay.SETTLE_S", 0.1)
    path = tmp_path / "log.csv"
    path.write_text("t,W\n1,9\n2,9\n")
    with open_meter(_spec(path, power_column="W")) as meter:
        meter.start()
        with path.open("a") as file:
            file.write("3,1.5\n4,2.5\n5,3")  # the last line is still being written
        trace = meter.stop()
        assert trace.t_s == [3.0, 4.0]
        meter.start()
        with path.open("a") as file:
            file.write(".5\n6,4.5\n")
        assert meter.stop().power_w == [4.5]


def test_epoch_times_of_this_hosts_wall_clock_become_monotonic_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("tunebench.targets.meters.csv_replay.SETTLE_S", 0.1)
    path = tmp_path / "log.csv"
    path.write_text("t,W\n")
    with open_meter(_spec(path, power_column="W", clock="host-wall")) as meter:
        assert meter.info.clock == "host"
        meter.start()
        marks = []
        with path.open("a") as file:
            for _ in range(5):
                marks.append(time.monotonic())
                file.write(f"{time.time():.6f},3\n")
        trace = meter.stop()
    assert trace.t_s == pytest.approx(marks, abs=trace.t_bound_s)
    assert trace.t_bound_s < 0.02


def test_a_wall_clock_that_was_stepped_places_nothing(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_text(f"t,W\n{time.time():.3f},3\n")
    with open_meter(_spec(path, power_column="W", clock="host-wall")) as meter:
        meter.start()
        real = time.time
        monkeypatch.setattr("tunebench.targets.meters.csv_replay.time.time", lambda: real() + 3600)
        trace = meter.stop()
    assert trace.n == 0
    assert "wall clock moved by 3600" in trace.errors[-1]


def test_a_logger_that_writes_its_end_late_is_given_time(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("t,W\n")
    with open_meter(_spec(path, power_column="W")) as meter:
        meter.start()
        with path.open("a") as file:
            file.write("1,1\n")

        def late() -> None:
            time.sleep(0.4)
            with path.open("a") as file:
                file.write("2,2\n")

        thread = threading.Thread(target=late)
        thread.start()
        trace = meter.stop()
        thread.join()
    assert trace.t_s == [1.0, 2.0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"power_column": "Power"}, "no column 'Power'; it has: t, W"),
        ({"power_column": 7}, "no column number 7; it has 0 to 1"),
        ({"power_column": "W", "header": False}, "columns are given by number, not 't'"),
        ({"power_column": "W", "power_unit": "kW"}, "key 'power_unit' is 'kW'; allowed: W, mW, uW"),
        ({"power_column": "W", "time_unit": "min"}, "key 'time_unit' is 'min'; allowed: s, ms, us, ns"),
        ({"voltage_column": "W"}, "give either 'power_column', or"),
    ],
)
def test_a_wrong_mapping_names_what_would_be_right(tmp_path, more, message):
    path = tmp_path / "log.csv"
    path.write_text("t,W\n1,2\n")
    with pytest.raises(MeterError, match=message):
        open_meter(_spec(path, **more))


def test_a_file_that_is_not_there_or_empty_is_told(tmp_path):
    with pytest.raises(MeterError, match="No such file"):
        open_meter(_spec(tmp_path / "none.csv", power_column="W"))
    (tmp_path / "empty.csv").write_text("# only a comment\n")
    with pytest.raises(MeterError, match="the file is empty: start the logger first"):
        open_meter(_spec(tmp_path / "empty.csv", power_column="W"))


def test_rows_that_cannot_be_read_are_named_and_left_out(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("t,W\n1,2\noverload!\n2,inf\n3,4\n")
    trace = _whole(path, power_column="W")
    assert trace.t_s == [1.0, 2.0, 3.0]
    assert trace.power_w == [2.0, None, 4.0]
    assert trace.errors == ["no time in this row: 'overload!'"]
