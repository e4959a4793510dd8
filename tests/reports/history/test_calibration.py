"""What a lab learns of its own noise."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tunebench.harness.cli.app import app
from tunebench.harness.errors import UsageError
from tunebench.reports.history import index
from tunebench.reports.history.calibration import calibrate, false_alarms_a_month
from tunebench.reports.history.noise import PairedNoise, paired_noise, series_noise, smallest_seen
from tunebench.reports.history.series import opened
from tunebench.reports.history.simulated import SimulatedLab


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Forty nights of one board: a quiet cell and a noisy one."""
    lab = SimulatedLab(boards=1, cells=2, bad_nights=0.0, seed=5)
    quiet, noisy = lab.series
    lab.series = [
        type(quiet)(quiet.board_id, quiet.label, 2.0, 0.004, 0.004),
        type(noisy)(noisy.board_id, noisy.label, 2.0, 0.004, 0.03),
    ]
    root = tmp_path_factory.mktemp("store")
    for night in range(40):
        lab.write_night(root, night)
    return root


def noise_of(store):
    with opened(index.build(store).path) as database:
        return series_noise(database)


def test_the_two_noises_are_told_apart(store):
    quiet, noisy = noise_of(store)
    assert quiet.repetition == pytest.approx(0.004, rel=0.3)
    assert quiet.night == pytest.approx(0.004, abs=0.002)
    assert noisy.repetition == pytest.approx(0.004, rel=0.3)
    assert noisy.night == pytest.approx(0.03, rel=0.4)


def test_a_noisy_series_hides_larger_changes(store):
    quiet, noisy = noise_of(store)
    assert quiet.smallest <= 0.05
    assert noisy.smallest >= 2 * quiet.smallest


def test_more_noise_never_makes_smaller_changes_visible():
    smallest = [smallest_seen(0.005, night, 5) or 1.0 for night in (0.002, 0.01, 0.03, 0.2)]
    assert smallest == sorted(smallest)
    assert smallest_seen(0.005, 1.0, 5) is None


def test_false_alarms_follow_from_the_replay(store):
    noise = noise_of(store)
    nominated, red, most = false_alarms_a_month(noise)
    assert nominated == pytest.approx(30 * 2 * sum(series.nominated for series in noise) / 60)
    assert red < 0.05 * nominated + 1e-9
    assert most > nominated, "thirty nights do not promise that there are no more"
    assert false_alarms_a_month([]) is None


def test_the_control_is_paired_by_block(lab_run):
    with opened(index.build(lab_run.parents[4]).path) as database:
        controls = paired_noise(database)
    assert {noise.board_id for noise in controls} == {"pi5-01", "orin-02"}
    assert all(noise.n >= 9 and noise.spread > 0 and abs(noise.bias) < 0.05 for noise in controls)


def test_a_drill_tells_who_would_have_noticed(store):
    drill = calibrate(store, 0.20).drill
    assert (drill.caught, drill.missed) == (2, ())
    small = calibrate(store, 0.001).drill
    assert small.caught == 0
    assert len(small.missed) == 2


def test_the_command_prints_tables_and_json(store):
    result = CliRunner().invoke(app, ["calibrate", "--store", str(store), "--drill", "0.05"])
    assert result.exit_code == 0, result.output
    assert "Drill of +5%" in result.stdout
    assert "A/A: no control" in result.stdout
    value = json.loads(CliRunner().invoke(app, ["calibrate", "--store", str(store), "--json"]).stdout)
    assert len(value["series"]) == 2


def test_a_lab_without_history_says_so(lab_run):
    calibration = calibrate(lab_run.parents[4])
    assert calibration.alarms is None
    assert "10 nights" in calibration.reason


def test_an_absurd_drill_is_refused(store):
    result = CliRunner().invoke(app, ["calibrate", "--store", str(store), "--drill", "-1"])
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize("nights", [3, 9, 12, 19])
def test_too_few_nights_are_not_made_into_a_month(tmp_path, nights):
    lab = SimulatedLab(boards=1, cells=2, bad_nights=0.0, seed=5)
    for night in range(nights):
        lab.write_night(tmp_path, night)
    calibration = calibrate(tmp_path)
    assert calibration.alarms is None
    assert f"{nights} nights" in calibration.reason or f"({nights} at most)" in calibration.reason
    for series in calibration.series:
        known = nights >= 10
        assert (series.smallest is not None, series.night is not None) == (known, known)
        assert known == (series.reason is None)
    result = CliRunner().invoke(app, ["calibrate", "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "False alarms: not known: " in result.stdout
    assert ("not known for 2 series" in result.stdout) == (nights < 10)


def test_a_control_of_few_blocks_has_no_width(store):
    few = PairedNoise("b", "t", 3, None, 0.0)
    assert few.half_width is None
