"""Energy repetitions and idle baselines in the plan: where they stand, how long, on which boards."""

from __future__ import annotations

import pytest

from tunebench.harness.board.environment import no_power_source
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.planning import energy_windows
from tunebench.harness.planning.durations import estimate
from tunebench.harness.planning.job import BoardContext, make_job
from tunebench.harness.planning.plan import make_plan
from tunebench.harness.planning.repetition import covers
from tunebench.reports.records import Skip
from tunebench.targets.client.replies import Owner, Probe

SUITE = """
[suite]
name = "joules"
blocks = 2
energy = {energy}
deadline_s = 100
{more}

[[workload]]
dataset = "digits"
model = "mlp"
methods = ["ft-all", "skip2-lora"]

[[workload]]
dataset = "digits"
model = "mlp"
label = "mine"
command = ["python3", "mine.py"]
files = ["mine.py"]
"""


@pytest.fixture
def plan(tmp_path):
    """Function (energy, more, **board) -> Plan of two methods, a control and a command on one board."""

    def make(energy="true", more="", **board):
        (tmp_path / "mine.py").touch()
        path = tmp_path / "suite.toml"
        path.write_text(SUITE.format(energy=energy, more=more))
        entry = BoardEntry(id="a", kind="linux", host="a", **board)
        return make_plan(load_suite(str(path)), [entry], run_id="r", lab="lab")

    return make


def rows(plan, role):
    return [planned for planned in plan.repetitions if planned.role == role]


def test_suites_ask_for_energy_by_a_header_that_defaults_to_no(plan):
    assert not {planned.role for planned in plan("false").repetitions} & {"energy", "idle"}
    asks = {name: load_suite(name).header.energy for name in ("smoke", "demo", "quick", "nightly", "paper")}
    assert asks == {"smoke": False, "demo": False, "quick": False, "nightly": True, "paper": True}


def test_a_plan_without_energy_keeps_its_substance(plan):
    assert "energy" not in plan("false").substance["suite"]
    assert plan("true").substance["suite"]["energy"] is True


def test_each_block_has_one_energy_repetition_a_method_between_idle_baselines(plan):
    made = [planned for planned in plan().repetitions if planned.role in energy_windows.ROLES]
    assert [(planned.role, planned.block) for planned in made] == [
        ("idle", 0), *[("energy", 0)] * 3,
        ("idle", 1), *[("energy", 1)] * 3,
        ("idle", 2),
    ]  # fmt: skip
    for block in (0, 1):
        workloads = {planned.workload.label for planned in rows(plan(), "energy") if planned.block == block}
        assert workloads == {"ft-all", "skip2-lora", "ft-all (A/A)"}
    assert {planned.seed for planned in rows(plan(), "energy")} == {0, 1}


def test_energy_repetitions_stand_behind_all_timed_blocks_and_before_instrumented_ones(plan):
    roles = list(dict.fromkeys(planned.role for planned in plan().repetitions))
    assert roles == ["check", "timed", "idle", "energy", "instrumented"]


def test_the_order_of_energy_repetitions_is_random_and_repeatable():
    def orders():
        board = BoardEntry(id="a", kind="linux", host="a")
        made = rows(make_plan(load_suite("nightly"), [board], run_id="r", lab="lab"), "energy")
        return [
            tuple(planned.workload.key for planned in made if planned.block == block) for block in range(5)
        ]

    assert orders() == orders()
    assert len(set(orders())) > 1


def test_a_command_is_not_repeated_and_the_plan_says_so(plan):
    made = plan()
    assert "mine" not in {planned.workload.label for planned in rows(made, "energy")}
    (skip,) = made.skipped
    assert (skip.label, skip.role) == ("mine", "energy")
    assert "is not repeated" in skip.reason
    assert not covers(
        skip, next(planned for planned in rows(made, "timed") if planned.workload.label == "mine")
    )


@pytest.mark.parametrize(
    ("more", "board", "window_s"),
    [
        ("", {}, 12.0),
        ("energy_s = 30", {}, 30.0),
        ("", {"meter": {"kind": "shelly", "scope": "wall_ac", "host": "10.0.0.7"}}, 65.0),
    ],
)
def test_the_window_follows_the_slowest_source(plan, more, board, window_s):
    assert {planned.window_s for planned in rows(plan(more=more, **board), "energy")} == {window_s}


def test_windows_under_the_rule_are_refused(plan):
    for key in ("idle_s = 11", "energy_s = 11"):
        with pytest.raises(UsageError, match=key.split()[0]):
            plan(more=key)


def test_a_job_is_told_how_long_and_has_the_time_for_it(plan):
    made = plan(more="idle_s = 20")
    context = BoardContext("r", "lab", "linux", ("python3",), artifacts=_NoArtifacts(), owner=Owner())
    energy = make_job(rows(made, "energy")[0], context).payload
    assert energy["workload"]["repeat"] == {"min_s": 12.0, "lead_s": 3.0, "tail_s": 1.0}
    assert energy["workload"]["mode"] == "energy"
    assert energy["argv"] == ["python3", "-m", "tunebench.workloads.run"]
    assert energy["deadline_s"] == 2 * 100 + 16
    assert energy["lease_s"] > energy["deadline_s"]
    idle = make_job(rows(made, "idle")[0], context).payload
    assert idle["workload"]["idle"] == {"settle_s": 5.0, "idle_s": 20.0}
    assert idle["argv"] == ["python3", "-m", "tunebench.workloads.run.idle"]
    assert idle["deadline_s"] == 60 + 26
    assert energy["sampling"] == idle["sampling"] == {"period_s": 0.1}
    timed = make_job(rows(made, "timed")[0], context).payload
    assert (timed["sampling"], timed["deadline_s"]) == ({"period_s": 0.2}, 100)
    assert "repeat" not in timed["workload"]


class _NoArtifacts:
    """Stand in for artifacts: it knows the payload's name alone."""

    def of_workload(self, workload, base=0):
        return {}


def test_the_eta_counts_their_windows_even_without_history(plan):
    made = plan(more="idle_s = 20")
    assert estimate(made.repetitions, {}).total_s is None
    timed = {(planned.board_id, *planned.workload.key, ""): 2.0 for planned in made.repetitions}
    guess = estimate(made.repetitions, timed)
    n_plain = sum(planned.role not in energy_windows.ROLES for planned in made.repetitions)
    assert guess.total_s == pytest.approx(2.0 * n_plain + 6 * (16 + 2) + 3 * (26 + 2))
    learnt = {planned.duration_key: 40.0 for planned in rows(made, "energy")}
    assert estimate(made.repetitions, {**timed, **learnt}).total_s > guess.total_s


def test_an_energy_skip_covers_energy_and_idle_repetitions_of_its_board_only(plan):
    made = plan()
    skip = Skip(board_id="a", role="energy", reason="no power source")
    assert {planned.role for planned in made.repetitions if covers(skip, planned)} == {"energy", "idle"}
    other = Skip(board_id="b", role="energy", reason="no power source")
    assert not any(covers(other, planned) for planned in made.repetitions)
    assert all(covers(Skip(board_id="a", reason="gone"), planned) for planned in made.repetitions)


@pytest.mark.parametrize(
    ("probe", "meter", "words"),
    [
        ({"channels": [{"kind": "power", "scope": "module"}]}, None, None),
        ({"channels": [{"kind": "temperature", "scope": None}]}, None, "no power sensor was found; the inv"),
        ({"missing": {"power": "no PMIC"}}, None, "no PMIC; the inventory names no meter"),
        ({"channels": []}, {"kind": "serial-csv", "scope": "dc_input", "port": "/dev/ttyACM0"}, None),
    ],
)
def test_a_board_has_power_by_a_sensor_or_by_a_meter(probe, meter, words):
    entry = BoardEntry(id="a", kind="linux", host="a", meter=meter)
    reason = no_power_source(entry, Probe.read(probe))
    assert reason is None if words is None else words in str(reason)
