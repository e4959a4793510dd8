"""The gate's commands: what they print, write and return."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import get_args
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from tests.reports.labs import quiet_lab
from tunebench.harness.campaign import closing
from tunebench.harness.cli.accept import find_series
from tunebench.harness.cli.app import app
from tunebench.harness.errors import UsageError
from tunebench.harness.nightly import gate
from tunebench.harness.nightly.decide import decide, decision_command
from tunebench.reports.history import decisions, gate_text
from tunebench.reports.history.confirm import Confirmation
from tunebench.reports.history.gating import Judgement, NightFinding, NightVerdict
from tunebench.reports.history.screen import Screening
from tunebench.reports.render import gate_block

NIGHTS = 12


@pytest.fixture
def lab():
    return quiet_lab()


@pytest.fixture
def store(tmp_path, lab):
    for night in range(NIGHTS):
        lab.write_night(tmp_path / "results", night)
    return tmp_path / "results"


def named(lab):
    """Return the lab's series with the names that people use."""
    return [
        SimpleNamespace(key=item.key, name=f"{item.board_id} / simulated/mlp / {item.label}")
        for item in lab.series
    ]


def called(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_index_says_what_it_holds(store):
    result = called("index", store)
    assert result.exit_code == 0
    assert f"({NIGHTS} runs, {NIGHTS * 20} repetitions)" in result.stdout


def test_gate_writes_json_junit_and_markdown_and_returns_its_code(store, lab, tmp_path):
    slow = lab.series[1]
    folder = lab.write_night(store, NIGHTS, slower={slow.key: 0.2})
    junit, markdown = tmp_path / "gate.xml", tmp_path / "gate.md"
    result = called("gate", "--run", folder, "--store", store, "--json", "--junit", junit, "--md", markdown)
    assert result.exit_code == 3
    value = json.loads(result.stdout)
    assert (value["exit_code"], value["findings"][0]["verdict"]) == (3, "UNCLEAR")
    suite = ElementTree.parse(junit).getroot()
    cases = suite.findall("testcase")
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    assert len(cases) == int(suite.get("tests")) == value["screened"], "every value that was judged is a case"
    assert {case.get("name").partition(" [")[0] for case in cases} == {series.name for series in named(lab)}
    assert "| UNCLEAR | board-00 / simulated/mlp / method-01 |" in markdown.read_text()


def test_the_newest_run_of_a_root_is_judged(store):
    result = called("gate", "--run", store, "--store", store)
    assert result.exit_code == 0
    assert "values screened" in result.stdout


def test_a_night_of_the_year_2099_is_not_the_newest_for_ever(store, lab):
    future = lab.write_night(store, 90, started=datetime(2099, 1, 1, 2, tzinfo=UTC))
    assert gate.judged_run(future) == future, "named outright, it is judged"
    assert gate.judged_run(store) == sorted(store.glob("*/2026/*/*/*"))[-1]
    judgement = gate.gate(store, store)
    assert (judgement.exit_code, judgement.learning) == (0, 0)
    assert "2099-01-01" in judgement.findings[-1].reason


def test_decisions_wait_for_a_clock_that_is_set(store, monkeypatch):
    monkeypatch.setattr(decisions, "now_utc", lambda: "1970-01-01T00:05:00Z")
    result = called("quarantine", "board-00", "--reason", "fan", "--store", store)
    assert isinstance(result.exception, UsageError)
    assert "this host's clock says 1970-01-01T00:05:00Z" in str(result.exception)
    assert not (store / "decisions.jsonl").exists()


def test_index_names_a_run_whose_date_cannot_be_right(store, lab):
    lab.write_night(store, NIGHTS, started=datetime(1970, 1, 1, tzinfo=UTC))
    result = called("index", store)
    assert result.exit_code == 0
    assert "it is dated 1970-01-01T00:00:00Z, which cannot be right" in result.output


def test_every_verdict_has_a_place_in_the_summaries():
    findings = [NightFinding(verdict, "b", "n") for verdict in get_args(NightVerdict) if verdict != "OK"]
    assert len(gate_text.as_json_value(Judgement("r", findings))["findings"]) == len(findings)


def test_a_run_outside_the_store_is_a_usage_error(store, lab, tmp_path):
    folder = lab.write_night(tmp_path / "elsewhere", NIGHTS + 1)
    with pytest.raises(UsageError, match="not below --store"):
        gate.gate(folder, store)


def test_corrupted_records_of_the_night_are_found(store, lab):
    folder = lab.write_night(store, NIGHTS)
    with (folder / "reps.jsonl").open("a") as file:
        file.write("\0\0\0\0\n")
    judgement = gate.gate(folder, store)
    assert judgement.exit_code == 4
    assert judgement.findings[-1].verdict == "DAMAGED"


def test_accept_makes_tonight_the_yardstick(store, lab):
    slow = lab.series[1]
    name = f"{slow.board_id} / simulated/mlp / {slow.label}"
    result = called("accept", name, "--reason", "larger rank", "--store", store)
    assert result.exit_code == 0, result.output
    line = json.loads((store / "decisions.jsonl").read_text())
    assert (line["kind"], line["series_key"], line["reason"]) == ("accept", slow.key, "larger rank")


@pytest.mark.parametrize(("wanted", "message"), [("board-0", "is ambiguous"), ("nowhere", "is not known")])
def test_a_series_that_is_not_one_is_refused_with_the_candidates(store, wanted, message):
    with pytest.raises(UsageError, match=message) as caught:
        find_series(store, wanted)
    assert "board-00 / simulated/mlp / ft-all" in str(caught.value)


def test_quarantine_and_release_are_decisions(store):
    assert called("quarantine", "board-00", "--reason", "fan", "--store", store).exit_code == 0
    assert (
        called("quarantine", "board-00", "--reason", "mended", "--release", "--store", store).exit_code == 0
    )
    kinds = [json.loads(line)["kind"] for line in (store / "decisions.jsonl").read_text().splitlines()]
    assert kinds == ["quarantine", "release"]


def test_an_unknown_board_is_named_with_the_known_ones(store):
    result = called("quarantine", "board-9", "--reason", "fan", "--store", store)
    assert isinstance(result.exception, UsageError)
    assert "the results have: board-00, board-01" in str(result.exception)


def test_an_empty_reason_is_refused(store):
    with pytest.raises(UsageError, match="say why"):
        decide(store, "note", "  ")


def test_hostile_names_stay_text_in_every_summary():
    name = "</testcase><script>alert(1)</script>|`x`\x1b[31m\n\0" + "y" * 10_000
    judgement = Judgement("run|<b>", [NightFinding("UNCLEAR", name, name, "k", "time", reason=name)])
    markdown = gate_text.markdown_text(judgement)
    assert "<script>" not in markdown
    assert "\x1b" not in markdown + gate_text.plain_text(judgement)
    assert all(line.count("|") in {0, 5} for line in markdown.splitlines())
    ElementTree.fromstring(gate_text.junit_xml(judgement))
    assert len(markdown) < 5_000


def test_a_night_without_findings_is_one_passing_case():
    suite = ElementTree.fromstring(gate_text.junit_xml(Judgement("r")))
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")


def test_many_findings_are_cut_and_counted():
    judgement = Judgement("r", [NightFinding("NEW", "b", f"s{i}") for i in range(100)])
    assert "and 60 more" in gate_text.plain_text(judgement)
    assert "and 60 more" in gate_text.markdown_text(judgement)


def test_junit_on_standard_output_is_alone_there(store, lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = lab.write_night(store, NIGHTS)
    done = called("gate", "--run", folder, "--store", store, "--junit", "-")
    assert ElementTree.fromstring(done.stdout).tag == "testsuite"
    assert "gate: exit" in done.stderr
    assert not (tmp_path / "-").exists()
    assert (
        "gate: exit"
        not in called("gate", "--run", folder, "--store", store, "--md", "-").stdout.split("###")[0]
    )
    refused = called("gate", "--run", folder, "--store", store, "--json", "--junit", "-")
    assert "--junit and --json: only one" in str(refused.exception)


def test_each_finding_has_the_command_that_accepts_it_and_that_command_works(store, lab, monkeypatch):
    slow = lab.series[1]
    folder = lab.write_night(store, NIGHTS, slower={slow.key: 0.2})
    result = called("gate", "--run", folder, "--store", store)
    (line,) = [line for line in result.stdout.splitlines() if " accept " in line]
    words = shlex.split(line)
    assert words[words.index("accept") + 1] == slow.key
    assert f"UNCLEAR of {folder.name} is meant: time +" in words[words.index("--reason") + 1]
    monkeypatch.setattr(decisions, "now_utc", lambda: "2026-01-13T12:00:00Z")  # the morning after
    accepted = called(*words[words.index("accept") :])
    assert accepted.exit_code == 0, accepted.output
    following = lab.write_night(store, NIGHTS + 1, slower={slow.key: 0.2})
    again = called("gate", "--run", following, "--store", store)
    assert again.exit_code == 0, again.output
    assert " accept " not in again.stdout


@pytest.mark.parametrize(
    ("verdict", "command"),
    [
        ("OFFLINE", "quarantine b"),
        ("BOARD", "quarantine b"),
        ("QUARANTINED", "quarantine b --release"),
        ("NEW", None),
    ],
)
def test_findings_on_a_board_have_the_command_for_the_board(tmp_path, verdict, command):
    finding = NightFinding(verdict, "b", "b / t / m", "k")
    accept = decision_command(finding, "run-1", tmp_path)
    assert accept is None if command is None else command in accept


def test_a_real_key_is_named_by_its_first_digits(tmp_path):
    accept = decision_command(NightFinding("IMPROVED", "b", "n", "ab" * 32, "time"), "r", tmp_path)
    assert " accept abababababababab --reason " in accept


def test_nothing_found_says_what_would_have_been_seen(store, lab):
    folder = lab.write_night(store, NIGHTS, factors={series.key: 1.0 for series in lab.series})
    result = called("gate", "--run", folder, "--store", store)
    assert re.search(
        r"exit 0: nothing found; slow-downs above [\d.]+% would have been seen in 8 of 10 nights",
        result.stdout,
    )


def test_a_young_lab_says_that_nothing_can_be_seen_yet(tmp_path, lab):
    for night in range(4):
        folder = lab.write_night(tmp_path, night)
    result = called("gate", "--run", folder, "--store", tmp_path)
    assert "nothing can be seen yet: all 4 series are still learning (3 of 10 nights)" in result.stdout
    suite = ElementTree.fromstring(gate_text.junit_xml(gate.gate(folder, tmp_path)))
    assert suite.get("skipped") == suite.get("tests") != "0"


def test_a_judgement_reads_back_from_its_json(store, lab):
    folder = lab.write_night(store, NIGHTS, slower={lab.series[1].key: 0.2}, left_out=[lab.series[2].key])
    judgement = gate.gate(folder, store)
    value = json.loads(json.dumps(gate_text.as_json_value(judgement)))
    assert gate_text.judgement_of(value) == replace(judgement, findings=gate_text.ordered(judgement))


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"schema": "tunebench.gate/2"}, {"schema": "tunebench.gate/1", "findings": [{}]}, "x"],
)
def test_what_is_no_judgement_is_refused(value):
    with pytest.raises(ValueError, match=r"judgement|schema|verdict"):
        gate_text.judgement_of(value)


def test_the_gate_keeps_its_verdict_and_the_report_begins_with_it(store, lab, tmp_path):
    slow = lab.series[1]
    folder = lab.write_night(store, NIGHTS, slower={slow.key: 0.2})
    assert called("gate", "--run", folder, "--store", store).exit_code == 3
    page = tmp_path / "page.html"
    assert called("report", folder, "--html", page).exit_code == 0
    text = page.read_text()
    assert "Nightly gate: Unclear" in text
    assert "<title>Unclear, 13 January 2026, 02:00 UTC · " in text, "pages of many nights are told apart"
    assert text.index("Nightly gate: Unclear") < text.index("<h1>")
    assert f"board-00 / simulated/mlp / {slow.label}" in text
    other = store / "elsewhere.html"
    gate_block.place_of(folder).write_text("torn {")
    assert called("report", folder, "--html", other).exit_code == 0
    assert "Nightly gate" not in other.read_text()


def test_a_regression_is_told_before_any_answer_and_never_as_the_fastest(store, lab, tmp_path):
    fast = min(
        (series for series in lab.series if series.board_id == "board-00"), key=lambda series: series.wall_s
    )
    folder = lab.write_night(store, NIGHTS)
    judgement = gate.gate(folder, store)
    name = f"board-00 / simulated/mlp / {fast.label}"
    screening = Screening("suspect", 0.348, 9.0, 12)
    judgement.findings.append(NightFinding("REGRESSION", "board-00", name, fast.key, "time", 1.0, screening))
    lines = closing.answer_lines(folder, judgement)
    (mine,) = [line for line in lines if line.startswith("board-00")]
    assert re.match(
        rf"board-00 · simulated/mlp: Regressed: {fast.label} \(time \+34\.8% against its last nights\)", mine
    )
    report = closing.write_report(folder, tmp_path / "page.html", gate=judgement)
    text = report.path.read_text()
    assert text.index("Nightly gate: Regression") < text.index("<h1>")


@pytest.mark.parametrize(
    ("metric", "screened", "paired", "words"),
    [
        ("time", 0.1, None, "time +10.0% against its last nights"),
        ("time", 0.1, 0.07, "time +7.0% against the pinned build"),
        ("accuracy", -0.02, None, "accuracy -2.0 points against its last nights"),
        ("accuracy", -0.02, 0.015, "accuracy -1.5 points against the pinned build"),
        ("memory", None, None, "memory worse"),
    ],
)
def test_what_became_worse_is_told_by_how_much_and_than_what(metric, screened, paired, words):
    rep = SimpleNamespace(series_key="k", board_id="b", task="t", label="m")
    pairs = None if paired is None else Confirmation("REGRESSION", paired, 0.0, 1.0, 0.98, 10, 0.0, "")
    finding = NightFinding(
        "REGRESSION", "b", "b / t / m", "k", metric, 1.0, Screening("suspect", screened, 3.0, 12), pairs
    )
    assert gate_block.regressed(Judgement("r", [finding]), [rep]) == {("b", "t", "m"): words}
