"""Every path of the gate, on stored results."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.reports.labs import quiet_lab
from tunebench.reports.history import gating, index
from tunebench.reports.history.confirm import PAIRS, confirm, rank_of_bound
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.gate_text import figures
from tunebench.reports.history.gating import NightFinding
from tunebench.reports.history.screen import Rule, Screening, screen
from tunebench.reports.history.series import opened
from tunebench.reports.history.simulated import SimulatedLab

NIGHTS = 14


@pytest.fixture
def lab():
    """Two quiet boards, three cells each."""
    return quiet_lab(cells=3, repetitions=5)


@pytest.fixture
def store(tmp_path, lab):
    for night in range(NIGHTS):
        lab.write_night(tmp_path, night)
    return tmp_path


def judged(store, folder, **kwargs):
    report = index.build(store)
    with opened(report.path) as database:
        return gating.judge(database, folder.name, **kwargs)


def verdicts(judgement):
    return {(finding.series_key or finding.board_id): finding.verdict for finding in judgement.findings}


def pairs_with(lab, tonight=1.0, baseline=1.0):
    by_key = {series.key: series for series in lab.series}

    def confirmer(series, _metric):
        item = by_key[series.series_key]
        return gating.Pairs(lab.values(item, baseline, PAIRS), lab.values(item, baseline * tonight, PAIRS))

    return confirmer


def test_the_first_night_learns_and_passes(tmp_path, lab):
    folder = lab.write_night(tmp_path, 0)
    judgement = judged(tmp_path, folder)
    assert judgement.exit_code == 0
    assert set(verdicts(judgement).values()) == {"NEW"}
    assert judgement.learning == judgement.screened > 0


def test_a_quiet_night_finds_nothing(store, lab):
    folder = lab.write_night(store, NIGHTS, factors={series.key: 1.0 for series in lab.series})
    judgement = judged(store, folder, confirmer=pairs_with(lab))
    assert (judgement.exit_code, judgement.findings, judgement.confirmed) == (0, [], 0)


def test_without_boards_a_slower_series_is_unclear(store, lab):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.15})
    judgement = judged(store, folder)
    assert verdicts(judgement) == {slow: "UNCLEAR"}
    assert judgement.exit_code == 3


def test_a_slower_build_is_a_regression(store, lab):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.15})
    judgement = judged(store, folder, confirmer=pairs_with(lab, tonight=1.15))
    assert verdicts(judgement) == {slow: "REGRESSION"}
    assert judgement.exit_code == 1
    finding = judgement.findings[0]
    assert finding.confirmation.change == pytest.approx(0.15, abs=0.02)
    assert finding.confirmation.confidence > 0.98


def test_a_sick_board_is_the_boards_doing(store, lab):
    sick = {series.key: 0.15 for series in lab.series if series.board_id == "board-01"}
    folder = lab.write_night(store, NIGHTS, slower=sick)
    judgement = judged(store, folder, confirmer=pairs_with(lab, baseline=1.15))
    assert verdicts(judgement) == dict.fromkeys(sick, "BOARD")
    assert judgement.exit_code == 0


def test_what_is_not_seen_again_is_transient(store, lab):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.15})
    judgement = judged(store, folder, confirmer=pairs_with(lab))
    assert verdicts(judgement) == {slow: "TRANSIENT"}
    assert judgement.exit_code == 0


def test_a_confirmation_that_was_not_possible_is_unclear_with_its_reason(store, lab):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.15})
    judgement = judged(store, folder, confirmer=lambda *_: gating.Pairs(reason="the pinned build is gone"))
    assert judgement.findings[0].reason == "the pinned build is gone"
    assert judgement.exit_code == 3


def test_beyond_the_limit_series_share_their_sick_boards_fate(store, lab, monkeypatch):
    monkeypatch.setattr(gating, "MAX_CONFIRMED", 1)
    sick = {series.key: 0.15 for series in lab.series if series.board_id == "board-01"}
    folder = lab.write_night(store, NIGHTS, slower=sick)
    judgement = judged(store, folder, confirmer=pairs_with(lab, baseline=1.15))
    assert judgement.confirmed == 1
    assert set(verdicts(judgement).values()) == {"BOARD"}
    judgement = judged(store, folder, confirmer=pairs_with(lab))
    assert sorted(verdicts(judgement).values()) == ["TRANSIENT", "UNCLEAR", "UNCLEAR"]


def test_a_better_night_is_told_and_passes(store, lab):
    fast = lab.series[0].key
    folder = lab.write_night(store, NIGHTS, slower={fast: -0.15})
    judgement = judged(store, folder)
    assert verdicts(judgement) == {fast: "IMPROVED"}
    assert judgement.exit_code == 0


def test_an_accepted_change_is_the_new_yardstick(store, lab):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.15})
    accept = Decision(t_utc="2026-01-14T12:00:00Z", who="ann", kind="accept", reason="x", series_key=slow)
    judgement = judged(store, folder, decisions=[accept])
    assert (judgement.exit_code, judgement.findings) == (0, [])
    assert judgement.learning >= 1


def test_a_missing_series_is_a_finding_until_it_is_accepted(store, lab):
    gone = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, left_out=[gone])
    judgement = judged(store, folder)
    assert verdicts(judgement) == {gone: "MISSING"}
    assert judgement.exit_code == 3
    accept = Decision(t_utc="2026-01-14T12:00:00Z", who="ann", kind="accept", reason="x", series_key=gone)
    assert judged(store, folder, decisions=[accept]).findings == []


def test_an_offline_board_is_no_pass(store, lab):
    gone = [series.key for series in lab.series if series.board_id == "board-00"]
    folder = lab.write_night(store, NIGHTS, left_out=gone)
    judgement = judged(store, folder)
    assert verdicts(judgement) == {"board-00": "OFFLINE"}
    assert judgement.exit_code == 4
    sick = Decision(
        t_utc="2026-01-10T00:00:00Z", who="ann", kind="quarantine", reason="x", board_id="board-00"
    )
    assert judged(store, folder, decisions=[sick]).exit_code == 0


def test_a_board_in_quarantine_is_left_out_and_said(store, lab):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.5})
    sick = Decision(
        t_utc="2026-01-10T00:00:00Z", who="ann", kind="quarantine", reason="fan", board_id="board-00"
    )
    judgement = judged(store, folder, decisions=[sick])
    assert set(verdicts(judgement).values()) == {"QUARANTINED"}
    assert judgement.exit_code == 0


def test_a_renamed_series_is_recognised(store, lab):
    old = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, rename={old: "another-key"})
    by_key = verdicts(judged(store, folder))
    assert by_key == {old: "RENAMED", "another-key": "NEW"}


def test_a_new_board_is_new_and_passes(store, lab):
    more = SimulatedLab(boards=3, cells=3, bad_nights=0.0)
    more.series = lab.series + [series for series in more.series if series.board_id == "board-02"]
    folder = more.write_night(store, NIGHTS, factors={series.key: 1.0 for series in more.series})
    judgement = judged(store, folder)
    assert set(verdicts(judgement).values()) == {"NEW"}
    assert judgement.exit_code == 0


def test_a_night_without_enough_valid_repetitions_is_infrastructure(store):
    few = SimulatedLab(boards=2, cells=3, repetitions=2, bad_nights=0.0)
    folder = few.write_night(store, NIGHTS)
    judgement = judged(store, folder)
    assert set(verdicts(judgement).values()) == {"INVALID"}
    assert judgement.exit_code == 4


def test_damaged_records_are_infrastructure(store, lab):
    folder = lab.write_night(store, NIGHTS, factors={series.key: 1.0 for series in lab.series})
    judgement = judged(store, folder, damaged=2)
    assert judgement.exit_code == 4
    assert "2 lines" in judgement.findings[0].reason


# -- machines that take turns, and series that learn for ever -----------------------------------


def fingerprint(**tiers):
    base = {
        "hardware": {"model": "a"},
        "firmware": {"version": "1"},
        "os": {"kernel": "6.1"},
        "python": {"torch": "2"},
    }
    return base | tiers


#: Machines, or cards in one of them, that are told apart by what the name says.
MACHINES = {
    "hardware": [fingerprint(hardware={"model": "a"}), fingerprint(hardware={"model": "b"})],
    "serial number": [
        fingerprint(hardware={"model": "a", "serial_sha256": "1"}),
        fingerprint(hardware={"model": "a", "serial_sha256": "2"}),
    ],
    "firmware": [fingerprint(firmware={"version": "1"}), fingerprint(firmware={"version": "2"})],
    "operating system": [fingerprint(os={"kernel": "6.1"}), fingerprint(os={"kernel": "6.6"})],
    "Python packages": [fingerprint(python={"torch": "2"}), fingerprint(python={"torch": "1"})],
    "three of them": [fingerprint(hardware={"model": model}) for model in "abc"],
}


def write_by_turns(lab, store, machines, nights, *, stay=1, slower=None):
    """Write nights that machines measured by turns, each slower than the one before by 60%; return the last."""
    boards = {series.board_id for series in lab.series}
    for night in nights:
        turn = night // stay % len(machines)
        factors = {series.key: 1.6**turn * (1 + 0.004 * (night % 3)) for series in lab.series}
        folder = lab.write_night(
            store, night, factors=factors, fingerprints=dict.fromkeys(boards, machines[turn]),
            slower=slower if night == nights[-1] else None,
        )  # fmt: skip
    return folder


@pytest.mark.parametrize("stay", [1, 5])
@pytest.mark.parametrize("machines", MACHINES.values(), ids=MACHINES)
def test_a_slower_build_is_red_where_machines_take_turns_under_one_id(tmp_path, lab, machines, stay):
    slow = lab.series[1].key
    last = range(12 * len(machines) * stay + 1)
    folder = write_by_turns(lab, tmp_path, machines, last, stay=stay, slower={slow: 0.25})
    judgement = judged(tmp_path, folder, confirmer=pairs_with(lab, tonight=1.25))
    assert judgement.exit_code == 1
    assert verdicts(judgement)[slow] == "REGRESSION"
    assert judgement.learning == 0


@pytest.mark.parametrize("machines", MACHINES.values(), ids=MACHINES)
def test_turns_are_told_and_each_machines_quiet_night_is_green(tmp_path, lab, machines):
    begun = 12 * len(machines)
    write_by_turns(lab, tmp_path, machines, range(begun))
    for night in range(begun, begun + len(machines)):
        judgement = judged(tmp_path, write_by_turns(lab, tmp_path, machines, [night]))
        assert judgement.exit_code == 0
        assert verdicts(judgement) == {"board-00": "SWAPPED", "board-01": "SWAPPED"}
        assert "take turns under this id" in judgement.findings[0].reason


@pytest.mark.parametrize("tier", ["firmware", "os"])
def test_an_update_that_was_taken_back_once_is_no_turn(store, lab, tier):
    boards = {series.board_id for series in lab.series}
    old = {"hardware": {"model": "simulated"}, "firmware": {}, "os": {}}
    quiet = {series.key: 1.0 for series in lab.series}
    for night, value in enumerate(({}, {"version": "2"}, {}), start=NIGHTS):
        prints = dict.fromkeys(boards, old | {tier: value})
        folder = lab.write_night(store, night, factors=quiet, fingerprints=prints)
    assert judged(store, folder).findings == []


def test_a_series_that_does_not_leave_learning_is_a_finding(tmp_path, lab):
    """A board whose fingerprint is another every night: nothing would ever be seen."""
    machines = [fingerprint(hardware={"model": str(number)}) for number in range(40)]
    folder = write_by_turns(lab, tmp_path, machines, range(13))
    judgement = judged(tmp_path, folder)
    assert (judgement.exit_code, judgement.findings) == (0, [])
    for nights in ([13], [14]):
        folder = write_by_turns(lab, tmp_path, machines, nights)
        judgement = judged(tmp_path, folder)
        assert judgement.exit_code == 3
        assert verdicts(judgement) == {series.key: "LEARNING" for series in lab.series}
    assert "still learning after 15 nights: 0 of the 10" in judgement.findings[0].reason
    assert "hardware changed: 14 times" in judgement.findings[0].reason


def test_a_slow_night_of_machines_that_still_learn_is_not_green(tmp_path, lab):
    slow = {lab.series[1].key: 0.25}
    folder = write_by_turns(lab, tmp_path, MACHINES["hardware"], range(16), slower=slow)
    judgement = judged(tmp_path, folder)
    assert judgement.exit_code == 3
    assert set(verdicts(judgement).values()) == {"LEARNING", "SWAPPED"}


def test_an_update_lets_an_old_series_learn_anew_without_a_word(store, lab):
    boards = {series.board_id for series in lab.series}
    for night in range(NIGHTS, NIGHTS + 10):
        prints = dict.fromkeys(boards, fingerprint(firmware={"version": "2"}))
        folder = lab.write_night(store, night, fingerprints=prints)
        assert judged(store, folder).findings == []


def test_nights_of_nothing_are_no_yardstick_and_it_is_told(store, lab):
    for folder in store.glob("*/*/*/*/*"):
        lines = [json.loads(line) for line in (folder / "reps.jsonl").read_text().splitlines()]
        text = "".join(json.dumps(line | {"peak_rss_b": 0}) + "\n" for line in lines)
        (folder / "reps.jsonl").write_text(text)
    folder = lab.write_night(store, NIGHTS, factors={series.key: 1.0 for series in lab.series})
    judgement = judged(store, folder)
    assert judgement.exit_code == 3
    assert "the median of its last 14 nights is 0" in judgement.findings[0].reason


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["REGRESSION", "OFFLINE", "UNCLEAR"], 1),
        (["OFFLINE", "UNCLEAR"], 4),
        (["UNCLEAR", "BOARD"], 3),
        (["LEARNING", "CLOCK"], 3),
        (["BOARD", "TRANSIENT", "IMPROVED", "NEW", "RENAMED", "SWAPPED", "CLOCK"], 0),
    ],
)
def test_exit_codes_have_their_precedence(names, code):
    findings = [gating.NightFinding(name, "b", "n") for name in names]
    assert gating.Judgement("r", findings).exit_code == code


# -- the arithmetic ---------------------------------------------------------------------------


def test_a_bound_is_as_sure_as_it_says():
    assert rank_of_bound(10) == (2, pytest.approx(1 - 11 / 1024))
    assert rank_of_bound(5)[0] == 0


def test_too_few_pairs_decide_nothing():
    confirmation = confirm([1.0] * 5, [2.0] * 5, past_centre=1.0)
    assert confirmation.verdict == "UNCLEAR"
    assert "only 5 valid pairs" in confirmation.reason


def test_accuracy_is_worse_when_it_falls():
    old, new = [0.95, 0.94, 0.95, 0.96, 0.95, 0.95, 0.94], [0.90, 0.89, 0.91, 0.90, 0.90, 0.91, 0.90]
    kwargs = {"past_centre": 0.95, "delta": 0.005, "excess": 0.01, "worse": "down", "absolute": True}
    assert confirm(old, new, **kwargs).verdict == "REGRESSION"
    assert confirm(new, old, **kwargs).verdict == "BOARD"


def test_pairs_that_spread_wide_are_unclear():
    new = [0.7, 1.3, 0.8, 1.2, 0.9, 1.1, 1.0, 1.4]
    assert confirm([1.0] * 8, new, past_centre=1.0).verdict == "UNCLEAR"


@pytest.mark.parametrize(
    ("past", "tonight", "rule", "state"),
    [
        ([1.0, 1.01, 0.99] * 5, 1.10, Rule(), "suspect"),
        ([1.0, 1.01, 0.99] * 5, 0.90, Rule(), "better"),
        ([1.0, 1.01, 0.99] * 5, 1.02, Rule(), "ok"),
        ([1.0, 1.2, 0.8] * 5, 1.10, Rule(), "ok"),
        ([1.0] * 5, 2.0, Rule(), "learning"),
        ([0.0] * 15, 2.0, Rule(), "learning"),
        ([1.0] * 15, None, Rule(), "no value"),
        ([0.95] * 15, 0.90, Rule(worse="down", absolute=True, excess=0.01), "suspect"),
        ([0.95] * 15, 0.945, Rule(worse="down", absolute=True, excess=0.01), "ok"),
    ],
)
def test_the_screen_nominates_what_is_far_and_large(past, tonight, rule, state):
    assert screen(past, tonight, rule).state == state


def test_judging_a_night_loads_no_scipy():
    """It takes nearly a second, and a timer's job on a small machine judges by medians alone."""
    code = "import sys, tunebench.harness.nightly.gate; print(sorted({'scipy', 'pandas'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_regression_is_told_with_its_unit():
    slower = confirm([1.0] * 10, [1.1] * 10, past_centre=1.0, delta=0.02)
    assert slower.verdict == "REGRESSION"
    assert slower.reason.endswith("worse than the pinned one by more than 2%")
    kwargs = {"past_centre": 0.95, "delta": 0.005, "excess": 0.01, "worse": "down", "absolute": True}
    worse = confirm([0.95] * 10, [0.90] * 10, **kwargs)
    assert worse.verdict == "REGRESSION"
    assert worse.reason.endswith("by more than 0.5 points")


def test_a_change_of_accuracy_is_shown_in_points():
    screening = Screening("suspect", -0.012, 5.0, 30)
    finding = NightFinding("UNCLEAR", "pi5", "pi5 · digits", metric="accuracy", screening=screening)
    assert figures(finding) == "accuracy -1.20 points (z 5.0, 30 nights)"
    kwargs = {"past_centre": 0.95, "delta": 0.005, "excess": 0.01, "worse": "down", "absolute": True}
    pairs = confirm([0.95] * 10, [0.90] * 10, **kwargs)
    finding = NightFinding(
        "REGRESSION", "pi5", "pi5", metric="accuracy", screening=screening, confirmation=pairs
    )
    assert figures(finding).endswith("pairs -5.00 points, bound -5.00 points"), "a fall is a fall in both"
