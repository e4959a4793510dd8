"""A board that is not reached keeps the run open; `--resume` measures what is missing and nothing else, or says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.reports.campaigns import Campaign as Stored
from tunebench.harness.campaign.session import Request, exit_code, open_session
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.runs.ending import closing_lines
from tunebench.harness.planning.runs.unfinished import continuing, nothing_to_resume, unfinished_run
from tunebench.reports.results import RunReader
from tunebench.reports.summary import summarise
from tunebench.targets.virtual.loopback import LoopbackServer

GONE = '\n[[board]]\nid = "gone"\nkind = "linux"\nhost = "127.0.0.1"\nport = 9\n'


@pytest.mark.slow
def test_a_run_with_a_missing_board_stays_open_and_resume_measures_that_board_alone(
    campaign, lab, sleep_suite, tmp_path, make_proxy, workload_python
):
    """The second board's link is cut when the campaign begins, and there when it is resumed."""
    with LoopbackServer() as server:
        end = server.endpoint
        link = make_proxy(end.port)
        known = tmp_path / "known_hosts"
        known.write_text(Path(end.known_hosts).read_text().replace(f"]:{end.port} ", f"]:{link.port} "))
        inventory = lab("here")
        inventory.write_text(
            inventory.read_text()
            + f'\n[[board]]\nid = "late"\nkind = "linux"\nhost = "127.0.0.1"\nport = {link.port}\n'
            f'user = "{end.user}"\nkey = "{end.key_file}"\nknown_hosts = "{known}"\ngates = "warn"\n'
            f'workdir = "{tmp_path}/work-late"\ninterpreter = "{workload_python}"\n'
        )
        suite = sleep_suite(["a"], blocks=2)
        link.unplug()
        first = campaign(inventory, suite)
        assert first.reader.manifest is None, "the run is open"
        assert {record.board_id for record in first.reader.repetitions} == {"here"}
        assert exit_code(first.outcome, first.session.writer, first.session.plan) == 3
        (missing,) = first.reader.missing
        assert missing.board_id == "late"
        assert "127.0.0.1" in missing.reason
        assert [skip["board_id"] for skip in summarise(first.reader).skipped] == ["late"]
        measured = [(record.rep_id, record.t_start_utc) for record in first.reader.repetitions]
        link.plug_in()
        second = campaign(inventory, suite, resume=True)
    assert second.path == first.path
    assert second.reader.manifest is not None
    assert [(record.rep_id, record.t_start_utc) for record in second.reader.repetitions][:2] == measured
    assert [record.board_id for record in second.reader.repetitions] == ["here"] * 2 + ["late"] * 2
    assert exit_code(second.outcome, second.session.writer, second.session.plan) == 0
    assert second.reader.verify() == [], "nothing of the missing board is left beside the manifest"
    with pytest.raises(UsageError, match="nothing to resume"):
        campaign(inventory, suite, resume=True)
    assert len(list(tmp_path.glob("results/**/plan.json"))) == 1


@pytest.mark.slow
def test_the_command_says_what_is_missing_and_how_to_go_on_and_can_leave_it_out(
    cli, lab, sleep_suite, tmp_path
):
    inventory = lab("here")
    inventory.write_text(inventory.read_text() + GONE)
    suite = str(sleep_suite(["a"], blocks=1))
    done = cli("run", "-i", str(inventory), "-s", suite)
    assert done.returncode == 3, done.stderr
    assert "Missing: gone: " in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("The run is not complete (1 of 2 repetitions are recorded). To continue it: ")
    assert last.endswith(f"run -i {inventory} -s {suite} --resume")
    closed = cli("run", "-i", str(inventory), "-s", suite, "--resume", "--leave-out-missing")
    assert closed.returncode == 3, closed.stderr
    assert "The run is complete without gone." in closed.stderr
    (manifest,) = tmp_path.glob("results/**/run.json")
    assert [skip["board_id"] for skip in json.loads(manifest.read_text())["skipped"]] == ["gone"]
    again = cli("run", "-i", str(inventory), "-s", suite, "--resume")
    assert again.returncode == 2
    assert "nothing to resume" in again.stderr


@pytest.mark.slow
def test_an_unreachable_host_alone_ends_with_a_closing_sentence(cli, tmp_path, sleep_suite):
    (tmp_path / "lab.toml").write_text(GONE)
    done = cli("run", "-i", "lab.toml", "-s", str(sleep_suite(["a"], blocks=1)))
    assert done.returncode == 4
    lines = done.stderr.strip().splitlines()[-4:]
    assert lines[0].startswith("Missing: gone: ")
    assert lines[1] == "Nothing was measured: no board could be used."
    assert "doctor gone -i lab.toml" in lines[2]
    assert lines[3].endswith("--resume")


def test_resume_from_another_folder_says_where_it_looked_and_makes_nothing(cli, lab, sleep_suite, tmp_path):
    done = cli(
        "run", "-i", str(lab("here")), "-s", str(sleep_suite(["a"])), "--resume", "-o", "elsewhere/results"
    )
    assert done.returncode == 2, done.stderr
    assert f"no unfinished run of suite 'sleep' below {tmp_path}/elsewhere/results" in done.stderr
    assert "there is no run at all; if it lies elsewhere, name its folder with --out DIR" in done.stderr
    assert "A new run begins with: " in done.stderr
    assert "--resume" not in done.stderr.splitlines()[-1]
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "work-here").exists()


@pytest.fixture
def asked(
    lab: Callable[..., Path], sleep_suite: Callable[..., Path], tmp_path: Path
) -> Callable[..., Request]:
    """Function (root, **fields) -> a request to resume."""

    def make(root: Path, **fields: object) -> Request:
        inventory = load_inventory(lab("here"))
        suite = load_suite(str(sleep_suite(["a"], name="demo")))
        return Request(
            suite, inventory.boards, "lab1", root, True, ["tunebench", "run", "--resume"], **fields
        )

    return make


def test_a_complete_run_is_not_resumed_and_is_named(asked, tmp_path):
    run = Stored().write(tmp_path)
    with pytest.raises(UsageError, match=f"the newest run of this suite there is complete: {run}"):
        open_session(asked(tmp_path))
    with pytest.raises(UsageError, match="is complete"):
        open_session(asked(run))


def test_unfinished_runs_of_other_suites_are_named(tmp_path):
    run = Stored(finish=False).write(tmp_path)
    message = nothing_to_resume(tmp_path, "nightly", ["tunebench", "run", "-s", "nightly", "--resume"])
    assert f"unfinished, of suite 'demo': {run}" in message
    assert message.endswith("run -s nightly")
    assert unfinished_run(tmp_path, "nightly") is None
    assert unfinished_run(tmp_path, "demo").path == run
    assert unfinished_run(run, "demo").path == run, "its own folder stands for it"


def test_a_night_does_not_go_on_with_the_run_of_another_night(tmp_path):
    """Else a board that was lost once would keep every later night from being measured."""
    run = Stored(finish=False).write(tmp_path)
    plan = json.loads((run / "plan.json").read_text())
    for hours, resumed in ((1, True), (30, False), (-5, True)):
        began = datetime.now(UTC) - timedelta(hours=hours)
        (run / "plan.json").write_text(
            json.dumps({**plan, "started_utc": began.strftime("%Y-%m-%dT%H:%M:%SZ")})
        )
        assert (unfinished_run(tmp_path, "demo", within_s=20 * 3600) is not None) == resumed
    assert unfinished_run(tmp_path, "demo") is not None


def test_with_or_begin_a_run_begins_where_there_is_none_to_continue(asked, tmp_path):
    session = open_session(asked(tmp_path / "new", or_begin=True))
    session.writer.close()
    assert session.writer.path.is_dir()


@pytest.mark.parametrize(
    ("command", "continued"),
    [
        (["tunebench", "run", "-i", "my lab.toml"], "run -i 'my lab.toml' --resume"),
        (["tunebench", "run", "--resume"], "run --resume"),
        (["tunebench", "run", "--add-blocks", "3", "-s", "q"], "run -s q --resume"),
        (["tunebench", "--debug", "run"], "--debug run --resume"),
        (["tunebench", "nightly", "-i", "lab.toml"], "nightly -i lab.toml"),
        (["tunebench", "demo"], None),
        (["tunebench.run", "lab.toml", "quick"], None),
        (["pytest", "-q"], None),
        ([], None),
    ],
)
def test_the_command_that_continues_a_run_is_whole_or_none(command, continued):
    line = continuing(command)
    assert (line is None) == (continued is None)
    if continued is not None:
        assert line.endswith(f" {continued}")


def lines_of(missing: dict[str, str] | None = None, **fields: object) -> list[str]:
    values = {
        "interrupted": False,
        "recorded": 3,
        "planned": 12,
        "complete": False,
        "command": ["tunebench", "run"],
    }
    return closing_lines(missing or {}, **{**values, **fields})


def test_a_run_that_ended_well_needs_no_closing_sentence():
    assert lines_of(complete=True) == []


def test_an_interrupted_run_says_how_to_continue():
    (line,) = lines_of(interrupted=True)
    assert line.startswith("The run is not complete (3 of 12 repetitions are recorded). To continue it: ")


def test_many_missing_boards_are_counted_and_long_reasons_cut():
    lines = lines_of({f"b{number}": "no\nroute " * 200 for number in range(30)})
    assert lines[10] == "Missing: 20 more boards"
    assert all(len(line) < 400 for line in lines)
    assert not any("\n" in line for line in lines)


def test_a_run_of_the_demo_begins_anew():
    assert lines_of(interrupted=True, command=["tunebench", "demo"])[-1].endswith(" demo")


def test_a_reader_of_an_open_run_survives_notes_that_make_no_sense(tmp_path):
    run = Stored(finish=False).write(tmp_path)
    for text in (
        "{",
        "[]",
        '{"schema": "tunebench.missing/1", "boards": [3, {"reason": "x"}, {"board_id": "a"}]}',
    ):
        (run / "missing.json").write_text(text)
        assert RunReader(run).missing == []
