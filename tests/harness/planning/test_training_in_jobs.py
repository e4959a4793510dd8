"""What a job is told of its training, and which series it belongs to; the same as ever where nothing is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.job import BoardContext, Job, make_job
from tunebench.harness.planning.plan import make_plan
from tunebench.targets.client.replies import Owner
from tunebench.workloads.tasks.spec import parse
from tunebench.workloads.tasks.training import PLAIN, Training

#: Of ``lora-all`` below before there were keys of training; computed with the commit before them.
FORMER_SERIES_KEY = "428c24f28ad5ebdd8e017139fa16e2491ae6435e"


class _NoArtifacts:
    """Stand in for artifacts: there are no blobs."""

    def of_workload(self, workload, base=0):
        return {}


@pytest.fixture
def job(tmp_path: Path):
    """Function (keys of a workload) -> the job of its first timed repetition."""

    def make(keys: str = "") -> Job:
        path = tmp_path / "s.toml"
        path.write_text(
            '[suite]\nname = "s"\nblocks = 1\naa = false\ninstrumented = false\n'
            f'[[workload]]\ndataset = "digits"\nmodel = "mlp"\nmethods = ["lora-all"]\n{keys}\n'
        )
        board = BoardEntry(id="a", kind="linux", host="192.0.2.1")
        plan = make_plan(load_suite(str(path)), [board], run_id="r", lab="lab")
        context = BoardContext("r", "lab", "linux", ("python3",), artifacts=_NoArtifacts(), owner=Owner())
        return make_job(plan.repetitions[0], context)

    return make


def test_a_job_says_how_weights_are_updated_and_the_board_reads_the_same(job):
    made = job(
        'optimizer = "adamw"\nschedule = "cosine"\nclip = 1\nweight_decay = 0.01\nlora_plus = 4\nalpha = 8\nrank = 2'
    )
    spec = parse(dict(made.spec))
    assert spec.training == Training("adamw", "cosine", 1.0, 0.01, lora_plus=4.0)
    assert (spec.alpha, spec.scale) == (8.0, 4.0)


def test_a_job_that_asks_for_nothing_is_told_nothing_and_stays_in_its_series(job):
    keys = {
        "schema", "mode", "method", "label", "model", "dataset", "engine", "device", "threads", "dtype", "epochs",
        "batch", "lr", "rank", "scale", "warmup_steps", "seed", "module", "params",
    }  # fmt: skip
    for text in ("", 'optimizer = "sgd"\nschedule = "constant"\nlora_plus = 1.0'):
        made = job(text)
        assert set(made.spec) == keys
        assert made.series_key == FORMER_SERIES_KEY
        assert parse(dict(made.spec)).training == PLAIN


def test_every_key_makes_a_series_of_its_own(job):
    keys = ['optimizer = "momentum"', 'optimizer = "adamw"', 'schedule = "cosine"', "clip = 1", "clip = 2",
            "weight_decay = 0.1", "alpha = 4", "lora_plus = 2"]  # fmt: skip
    series = {job(text).series_key for text in ["", *keys]}
    assert len(series) == 1 + len(keys)
