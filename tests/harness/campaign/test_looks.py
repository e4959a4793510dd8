"""Runs that stop when they are decided: looks, what they leave out, what stands on disk, what the report says of them.

The boards of most tests are a loop that writes made-up seconds through the real plan, writer and looks: a campaign of
some hundred repetitions in a second. One test at the end runs on a real board.
"""

import json
import math
import random
import shutil
from dataclasses import replace

import pytest

from tests.reports.campaigns import make_rep
from tunebench.harness.board import link
from tunebench.harness.campaign.campaign import Campaign
from tunebench.harness.campaign.looks import BoardLooks
from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import exit_code
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite, sized
from tunebench.harness.planning import attempts
from tunebench.harness.planning.plan import make_plan
from tunebench.harness.planning.repetition import covers
from tunebench.harness.verify import audit
from tunebench.reports.records import BoardEnv
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader, RunWriter
from tunebench.reports.results.export import export_run
from tunebench.reports.summary import as_json, summarise

MLP, CNN = "digits/mlp", "digits/cnn"
#: Every method clearly faster or slower than ft-all.
CLEAR = {"lora-all": 1.5, "lora-last": 0.5, "skip2-lora": 0.3, "lorae": 1.4}
#: lora-all on the edge of the band of cnn and mlp alike: never decided.
OPEN = {**CLEAR, "lora-last": 1.02}


class Board:
    """One board that takes made-up seconds: ratios of labels to the baseline, with 0.3% of noise."""

    def __init__(self, plan, writer, board_id="a", ratios=CLEAR):
        self.plan, self.writer, self.board_id, self.ratios = plan, writer, board_id, ratios
        self.outcome = CampaignOutcome(plan.skipped)
        self.notes = []

    def run(self, stop_after=None):
        """Work the board's queue off as a BoardRun does; stop after so many repetitions, as a crash would."""
        looks = BoardLooks(self.plan, self.board_id, self.writer, self.outcome, self.notes.append)
        queue = attempts.still_open(self.plan.of_board(self.board_id), self.writer.stored)
        queue = [planned for planned in queue if not self.outcome.is_skipped(planned)]
        done = 0
        while queue:
            looks.take_due(queue)
            queue = [planned for planned in queue if not self.outcome.is_skipped(planned)]
            if not queue or done == stop_after:
                return
            planned, *queue = queue
            self.writer.append(self.record(planned))
            done += 1
        looks.take_due([])

    def record(self, planned):
        workload = planned.workload
        noise = random.Random(planned.rep_id).gauss(0, 0.003)
        wall_s = self.ratios.get(workload.label, 1.0) * math.exp(noise)
        return make_rep().model_copy(
            update={
                "rep_id": planned.rep_id, "run_id": self.plan.run_id, "lab": self.plan.lab, "board_id": self.board_id,
                "board_kind": "linux", "reasons": [], "verdict": "valid", "block": planned.block, "slot": planned.slot,
                "role": planned.role, "seed": planned.seed, "task": workload.task, "label": workload.label,
                "method": workload.method, "aa_control": workload.aa_control, "wall_s": wall_s,
                "check": {"passed": True} if planned.role == "check" else None,
            }
        )  # fmt: skip


@pytest.fixture
def begin(tmp_path):
    """Function (suite, boards, max_blocks) -> plan and writer of a run that stops when it is decided."""

    def make(suite="quick", boards=("a",), max_blocks=None, run_id="20261121T074500Z-aaaa"):
        chosen = sized(load_suite(suite), until_decided=True, max_blocks=max_blocks)
        entries = [BoardEntry(id=name, kind="linux", host=name) for name in boards]
        plan = make_plan(chosen, entries, run_id=run_id, lab="lab1")
        content = {**plan.as_dict(), "started_utc": "2026-11-21T07:45:00Z"}
        writer = RunWriter.create(tmp_path / "results", "lab1", run_id, content)
        for board in boards:
            for when in ("before", "after"):
                env = BoardEnv(
                    board_id=board, t_utc="2026-11-21T07:45:00Z", fingerprint={"os": {"kernel": "6"}}
                )
                writer.write_env(env, when)
        return plan, writer

    return make


def finish(plan, writer, *outcomes):
    skipped = [skip for outcome in outcomes for skip in outcome.skipped]
    header = plan.suite.header
    writer.finish(
        suite=plan.suite.name, tunebench="0", started_utc="2026-11-21T07:45:00Z", ended_utc="2026-11-21T08:45:00Z",
        boards=[board.id for board in plan.boards], blocks=header.blocks, baselines=dict(plan.suite.baselines),
        delta=header.delta.model_dump(), skipped=skipped,
    )  # fmt: skip
    return RunReader(writer.path)


def blocks_of(reader, task):
    return {rep.block for rep in reader.repetitions if rep.role == "timed" and rep.task == task}


def test_a_run_stops_at_the_first_look_that_decides_everything(begin):
    plan, writer = begin()
    board = Board(plan, writer)
    board.run()
    reader = finish(plan, writer, board.outcome)
    assert [(look.task, look.blocks, look.stops) for look in reader.looks] == [
        (MLP, 11, True),
        (CNN, 11, True),
    ]
    assert reader.looks[0].decided == {"lora-all": "SLOWER", "lora-last": "FASTER", "skip2-lora": "FASTER"}
    assert blocks_of(reader, MLP) == blocks_of(reader, CNN) == set(range(11))
    assert "look after 11 blocks: digits/cnn: lora-last FASTER, lorae SLOWER: decided" in board.notes
    assert {rep.role for rep in reader.repetitions} == {"check", "timed", "instrumented"}


def test_every_repetition_is_measured_or_left_out_with_the_reason_and_the_audit_agrees(begin):
    plan, writer = begin()
    board = Board(plan, writer)
    board.run()
    left = attempts.still_open(plan.repetitions, writer.stored)
    assert all(any(covers(skip, planned) for skip in board.outcome.skipped) for planned in left)
    assert {skip.reason for skip in board.outcome.skipped} == {"decided after 11 of at most 30 blocks"}
    assert exit_code(board.outcome, writer, plan) == 0
    reader = finish(plan, writer, board.outcome)
    findings = [str(finding) for finding in audit(reader.path) if finding.code != "side-file"]
    assert findings == []


def test_a_task_that_is_open_goes_on_alone(begin):
    plan, writer = begin()
    board = Board(plan, writer, ratios={**CLEAR, "lora-all": 1.02})
    board.run()
    reader = finish(plan, writer, board.outcome)
    taken = [(look.task, look.blocks, look.stops) for look in reader.looks]
    assert taken == [(MLP, 11, False), (CNN, 11, True), (MLP, 17, False), (MLP, 30, False)]
    assert (len(blocks_of(reader, MLP)), len(blocks_of(reader, CNN))) == (30, 11)
    assert reader.looks[-1].undecided == ["lora-all"]
    assert "not decided, and no more blocks are planned" in board.notes[-1]


def test_each_board_has_its_own_looks_and_one_that_falls_out_has_none_missing(begin):
    plan, writer = begin(boards=("a", "b"))
    decided, lost = Board(plan, writer, "a"), Board(plan, writer, "b", OPEN)
    lost.run(stop_after=60)
    decided.run()
    assert {(look.board_id, look.stops) for look in RunReader(writer.path).looks} == {("a", True)}
    # It comes back: the looks are its own.
    back = Board(plan, writer, "b", OPEN)
    back.run()
    reader = finish(plan, writer, decided.outcome, back.outcome)
    assert {look.blocks for look in reader.looks if look.board_id == "b"} == {11, 17, 30}
    assert {rep.block for rep in reader.repetitions if rep.board_id == "a" and rep.role == "timed"} == set(
        range(11)
    )


@pytest.mark.parametrize("stop_after", [0, 5, 99, 100, 101, 102, 106])
def test_a_run_that_was_cut_takes_no_look_twice_and_ends_as_if_it_had_not_been(begin, stop_after):
    plan, writer = begin()
    Board(plan, writer).run(stop_after=stop_after)
    resumed = Board(plan, writer)
    resumed.run()
    reader = finish(plan, writer, resumed.outcome)
    assert [(look.task, look.blocks) for look in reader.looks] == [(MLP, 11), (CNN, 11)]
    assert blocks_of(reader, MLP) == set(range(11))
    assert len({rep.rep_id for rep in reader.repetitions}) == len(reader.repetitions)


def test_a_run_whose_host_died_when_all_was_decided_ends_though_the_board_is_gone(begin, monkeypatch):
    monkeypatch.setattr(link, "CONNECT_PATIENCE_S", 0.0)
    plan, writer = begin()
    Board(plan, writer).run()
    gone = BoardEntry(id="a", kind="linux", host="127.0.0.1", port=9, host_keys="accept-new")
    campaign = Campaign(replace(plan, boards=(gone,)), None, writer, Silent())
    outcome = campaign.run()
    assert outcome.given_up == {}
    left = attempts.still_open(plan.repetitions, writer.stored)
    assert left
    assert all(any(covers(skip, planned) for skip in outcome.skipped) for planned in left)
    writer.close()


def test_a_run_that_is_read_between_looks_is_judged_by_the_last_look_alone(begin):
    plan, writer = begin()
    board = Board(plan, writer, ratios={**CLEAR, "lora-all": 1.02})
    board.run(stop_after=40)
    early = summarise(RunReader(writer.path))
    reasons = {row.verdicts["time"].reason for row in early.rows if row.label == "lorae"}
    assert reasons == {"No look was taken yet: the first one comes after 11 blocks."}
    assert {row.verdicts["time"].verdict for row in early.rows if row.label in CLEAR} == {"NO VERDICT"}
    again = Board(plan, writer, ratios=board.ratios)
    again.run(stop_after=80)
    reader = RunReader(writer.path)
    assert max(blocks_of(reader, MLP)) > 11
    between = {
        (row.task, row.label): row.verdicts["time"] for row in summarise(reader).rows if row.label in CLEAR
    }
    assert {verdict.n for verdict in between.values()} == {11}
    assert {verdict.alpha for verdict in between.values()} == {0.005}
    assert between[MLP, "skip2-lora"].verdict == "FASTER"
    assert between[MLP, "lora-all"].verdict == "UNCLEAR"
    writer.close()


def test_a_verdict_and_the_report_speak_of_the_look(begin):
    plan, writer = begin()
    board = Board(plan, writer)
    board.run()
    reader = finish(plan, writer, board.outcome)
    summary = summarise(reader)
    verdict = next(row for row in summary.rows if row.label == "skip2-lora").verdicts["time"]
    assert (verdict.verdict, verdict.alpha) == ("FASTER", 0.005)
    assert verdict.level <= 0.005
    accuracy = next(row for row in summary.rows if row.label == "skip2-lora").verdicts["accuracy"]
    assert accuracy.alpha == 0.05
    run = as_json(summary)["run"]
    assert run["until_decided"]["planned"] == [[11, 0.005], [17, 0.0025], [30, 0.0025]]
    assert [look["stops"] for look in run["until_decided"]["taken"]] == [True, True]
    assert summary.skipped == []
    assert summary.counts.planned == summary.counts.recorded
    page = render(reader)
    assert "Looks were fixed beforehand, after 11, 17, 30 blocks" in page
    assert "after 11 (all decided)" in page


def test_a_run_without_looks_says_nothing_of_them(tmp_path):
    plan = make_plan(
        load_suite("quick"), [BoardEntry(id="a", kind="linux", host="a")], run_id="r", lab="lab1"
    )
    with RunWriter.create(tmp_path / "results", "lab1", "r", plan.as_dict()) as writer:
        board = Board(plan, writer)
        board.run()
    assert not (writer.path / "looks.jsonl").exists()
    assert "until_decided" not in as_json(summarise(RunReader(writer.path)))["run"]
    assert len(writer.stored) == len(plan.repetitions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda looks: looks[0].update(decided={}, undecided=["lora-all"], stops=False), "the records make"),
        (lambda looks: looks[0].update(blocks=12), "was not planned"),
        (lambda looks: looks[0].update(task="other"), "was not planned"),
        (lambda looks: looks.pop(0) and looks.append(dict(looks[0])), "out of order"),
    ],
)
def test_a_look_that_was_changed_is_found(begin, change, words):
    plan, writer = begin()
    board = Board(plan, writer)
    board.run()
    path = writer.path / "looks.jsonl"
    looks = [json.loads(line) for line in path.read_text().splitlines()]
    change(looks)
    path.write_text("".join(json.dumps(look) + "\n" for look in looks))
    reader = finish(plan, writer, board.outcome)
    assert any(words in finding.message for finding in audit(reader.path) if finding.code == "look")


def test_a_failed_control_decides_nothing(begin):
    plan, writer = begin(max_blocks=17)
    board = Board(plan, writer, ratios={**CLEAR, "ft-all (A/A)": 1.2})
    board.run()
    assert {look.blocks for look in RunReader(writer.path).looks} == {11, 17}
    assert not any(look.stops for look in RunReader(writer.path).looks)
    writer.close()


def test_a_method_that_never_works_is_not_waited_for(begin):
    plan, writer = begin()
    board = Board(plan, writer)
    real = board.record
    board.record = lambda planned: (
        real(planned).model_copy(update={"outcome": "failed", "verdict": "invalid", "wall_s": None})
        if planned.workload.label == "lorae"
        else real(planned)
    )
    board.run()
    cnn = [look for look in RunReader(writer.path).looks if look.task == CNN]
    assert [(look.stops, look.not_compared) for look in cnn] == [(True, ["lorae"])]
    writer.close()


def test_energy_repetitions_are_those_of_the_blocks_that_were_measured(begin):
    plan, writer = begin(suite="nightly")
    board = Board(plan, writer)
    board.run()
    roles = {role: [] for role in ("idle", "energy")}
    for rep in RunReader(writer.path).repetitions:
        if rep.role in roles:
            roles[rep.role].append(rep.block)
    most = max(roles["energy"]) + 1
    assert set(roles["energy"]) == set(range(most))
    assert roles["idle"] == list(range(most + 1))
    writer.close()


def test_a_copy_that_is_given_away_keeps_its_looks_and_hides_its_boards(begin, tmp_path):
    from tunebench.reports.formatting.privacy import Anonymiser

    plan, writer = begin()
    board = Board(plan, writer)
    board.run()
    reader = finish(plan, writer, board.outcome)
    copy = RunReader(export_run(reader.path, tmp_path / "public", Anonymiser(b"salt")))
    assert [(look.task, look.stops) for look in copy.looks] == [(MLP, True), (CNN, True)]
    assert {look.board_id for look in copy.looks} == {rep.board_id for rep in copy.repetitions} != {"a"}
    assert {skip.from_block for skip in copy.manifest.skipped} == {11}
    same = {row.label: row.verdicts["time"].verdict for row in summarise(reader).rows if row.label in CLEAR}
    assert {
        row.label: row.verdicts["time"].verdict for row in summarise(copy).rows if row.label in CLEAR
    } == same
    shutil.rmtree(copy.path)


@pytest.mark.slow
def test_a_real_board_stops_when_it_is_decided_and_takes_no_more_blocks(cli, lab, sleep_suite, tmp_path):
    suite = sleep_suite(["a", "b"], blocks=2, sleep_s=0.02, aa=False)
    head, label, rest = suite.read_text().partition('label = "b"')
    suite.write_text(head + label + rest.replace("sleep_s = 0.02", "sleep_s = 0.2"))
    words = ["run", "-i", str(lab("here")), "-s", str(suite), "--until-decided", "--max-blocks", "14"]
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    (plan,) = (tmp_path / "results").glob("**/plan.json")
    reader = RunReader(plan.parent)
    assert [(look.blocks, look.decided, look.stops) for look in reader.looks] == [(9, {"b": "SLOWER"}, True)]
    assert len(reader.repetitions) == 18
    assert "here: look after 9 blocks: sleep: b SLOWER: decided" in done.stderr
    assert {finding.code for finding in audit(plan.parent)} == {"no-control"}  # this suite has none
    more = cli("run", "-i", str(lab("here")), "-s", str(suite), "--add-blocks", "2")
    assert more.returncode == 2
    assert "until it was decided" in more.stderr
    assert f"run -i {lab('here')} -s {suite} --until-decided --max-blocks 28` begins a new run" in more.stderr
