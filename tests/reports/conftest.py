"""Result directories made through the real writer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.reports.campaigns import ORIN, PI5, Campaign, FakeBoard, make_rep
from tests.reports.lorae_runs import LoraeRun
from tests.reports.study_runs import StudyRun
from tunebench.reports.records import Quality, Repetition, Skip
from tunebench.reports.results import RunReader, RunWriter, plan_sha256


@pytest.fixture
def campaign() -> Campaign:
    """A demo campaign of three blocks on a loopback board, not yet written."""
    return Campaign()


@pytest.fixture
def demo_run(campaign: Campaign, tmp_path: Path) -> Path:
    """The demo campaign's results directory."""
    return campaign.write(tmp_path / "results")


@pytest.fixture
def demo(demo_run: Path) -> RunReader:
    """A reader of the demo campaign."""
    return RunReader(demo_run)


@pytest.fixture(scope="session")
def lab_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten blocks on a Pi 5 and a Jetson with power, an invalid and a failed repetition and a skip."""
    lab = Campaign(
        boards=[PI5, ORIN],
        blocks=10,
        invalid={"b0-t3-m2"},
        failed={"b1-t4-m0"},
        skipped=[Skip(board_id="nano-03", reason="unreachable: no route to host")],
    )
    return lab.write(tmp_path_factory.mktemp("lab") / "results")


@pytest.fixture
def lab(lab_run: Path) -> RunReader:
    """A reader of the lab campaign."""
    return RunReader(lab_run)


@pytest.fixture
def make_record():
    """Builds one record; keyword arguments replace its fields."""

    def build(**fields):
        return make_rep().model_copy(update=fields)

    return build


@pytest.fixture
def fake_board():
    """Makes boards of the generator: id, kind, model and more."""
    return FakeBoard


@pytest.fixture
def store_reps(tmp_path):
    """Writes records into a run of their own, with a plan or an empty one, and opens it."""

    def write(reps: list[Repetition], plan: dict[str, Any] | None = None) -> RunReader:
        with RunWriter.create(tmp_path / "results", "lab1", reps[0].run_id, plan or {}) as writer:
            for i, rep in enumerate(reps):
                writer.append(rep.model_copy(update={"rep_id": f"r{i}"}))
        return RunReader(writer.path)

    return write


@pytest.fixture
def study(tmp_path, make_record):
    """Writes a run of the study; keyword arguments replace fields of its generator."""

    def write(**fields) -> RunReader:
        boards = fields.pop("boards", [PI5])
        return StudyRun(boards=boards, **fields).write(tmp_path / "study", make_record)

    return write


@pytest.fixture
def lorae(tmp_path, make_record):
    """Writes a run of the LoRAE study; keyword arguments replace fields of its generator."""

    def write(**fields) -> RunReader:
        boards = fields.pop("boards", [PI5])
        return LoraeRun(boards=boards, **fields).write(tmp_path / "lorae", make_record)

    return write


#: label -> (method, seconds, accuracy, bytes of the update). Made up, after a demo's native engine.
_CHOICES = {
    "lora-all": ("lora-all", 0.121, 0.867, 7_373),
    "lora-all A/A": ("lora-all", 0.121, 0.867, 7_373),
    "skip2-lora": ("skip2-lora", 0.0172, 0.870, 4_608),
    "ft-all": ("ft-all", 0.168, 0.886, 65_536),
    "lora-last": ("lora-last", 0.070, 0.839, 1_741),
}


@pytest.fixture(scope="session")
def answer_run(tmp_path_factory) -> Path:
    """Ten blocks of one task on one Pi: a clear answer, a more accurate and a less accurate method beside it."""
    rng = random.Random(5)
    plan = {"tasks": {"digits/mlp": {"baseline": "lora-all", "labels": list(_CHOICES)}}, "boards": ["pi5-01"]}
    plan["sha256"] = plan_sha256(plan)
    root = tmp_path_factory.mktemp("answer") / "results"
    with RunWriter.create(root, "lab1", make_rep().run_id, plan) as writer:
        for block in range(10):
            for slot, (label, (method, wall_s, accuracy, update_b)) in enumerate(_CHOICES.items()):
                made = make_rep("ft-all", PI5, rep_id=f"b{block}-{slot}", block=block, slot=slot)
                took_s = wall_s * (1 + rng.gauss(0, 0.004))
                quality = Quality(before=0.781, after=accuracy + 0.001 * (block % 3), n_items=447)
                energy = made.energy.model_copy(update={"gross_j": 5.4 * took_s, "net_j": 2.2 * took_s})
                writer.append(
                    made.model_copy(
                        update={
                            "label": label, "method": method, "aa_control": label.endswith("A/A"), "wall_s": took_s,
                            "update_b": update_b, "quality": quality, "energy": energy, "engine": "native",
                            "peak_rss_b": 40_000_000 + 4_000_000 * max(0, slot - 1) + 1000 * block,
                            "params": {"epochs": 10},
                        }
                    )
                )  # fmt: skip
        writer.finish(
            suite="demo", level="demo", command=["tunebench", "run"], tunebench="0.2.0", boards=["pi5-01"], blocks=10,
            started_utc="2026-11-21T07:45:00Z", ended_utc="2026-11-21T07:52:10Z", baselines={"digits/mlp": "lora-all"},
            delta={"time": 0.02}, skipped=[],
        )  # fmt: skip
    return writer.path


@pytest.fixture(scope="session")
def lorae_run(tmp_path_factory) -> Path:
    """Eight blocks of the LoRAE study: a Pi and this machine, three tasks, updates shipped."""

    def build(**fields):
        return make_rep().model_copy(update=fields)

    made = LoraeRun(boards=[PI5, FakeBoard()], shipped=True)
    return made.write(tmp_path_factory.mktemp("lorae") / "results", build).path


@pytest.fixture(scope="session")
def study_run(tmp_path_factory) -> Path:
    """Ten blocks of the study: a Pi and this machine, two engines, all data sets and methods."""

    def build(**fields):
        return make_rep().model_copy(update=fields)

    made = StudyRun(boards=[PI5, FakeBoard()])
    return made.write(tmp_path_factory.mktemp("study") / "results", build).path
