"""A search of rates on the native engine: same runs for every method, kept after each, gone on with, lines to paste."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from tunebench.harness.artifacts.native import why_no_kernels_here
from tunebench.harness.cli import tune_rates
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.study import places as places_module
from tunebench.harness.study import protocol, search
from tunebench.harness.study.folds import Fold, folds_of
from tunebench.harness.study.places import places_of
from tunebench.harness.study.scores import Run, ScoresFile
from tunebench.harness.study.suite_lines import suite_lines
from tunebench.harness.study.workers import Workers
from tunebench.workloads import artefact
from tunebench.workloads.datasets import DataUnavailable
from tunebench.workloads.prepare.pretrain import CHAIN_RECIPE

TASK = "digits/mlp [native cpu x1 float32]"
RUN = Run("k", "t", "a", "ft-all", "paper", 0.002, 100, 0, 2, 3, 0.5, 0.9, 1.0, 0.1, 0.2)


SUITE = """[suite]
name = "mine"
blocks = 2

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
methods = ["ft-all", "skip2-lora"]
epochs = 2

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
methods = ["lora-all"]
label = "lora-r2"
rank = 2
epochs = 2
"""


@pytest.fixture
def suite_file(tmp_path):
    """Return a suite of three rows on digits."""
    path = tmp_path / "mine.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Return development bases and folds of digits: pretrained for one epoch, a fifth of the pool."""
    pytest.importorskip("torch", reason="pretraining needs torch")
    pytest.importorskip("sklearn", reason="digits are built from scikit-learn")
    if why := why_no_kernels_here():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("bases")
    suite = folder / "s.toml"
    suite.write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CHAIN_RECIPE, "epochs", 1)
        patch.setattr(places_module, "folds_of", lambda data, count: folds_of(_fifth(data), count))
        return places_of(load_suite(str(suite)).workloads[0], range(100, 102), 2, cache_dir=folder)


COMPRESSED = """
[suite]
name = "compressed"
baseline = "ft-all"

[compress]
source_steps = 4

[[transform]]
id = "half"
kind = "prune"
how = "structured"
ratio = 0.5
steps = 2

[[workload]]
dataset = "digits"
model = "cnn"
runtime = "onnxruntime"
chains = { "float" = ["tune"], "pruned" = ["half", "tune"] }

[[workload]]
dataset = "mnist"
model = "resnet-small"
start = ["half"]
methods = ["ft-all"]
"""


def test_rows_that_start_from_compressed_weights_are_searched_on_theirs(tmp_path):
    pytest.importorskip("torch", reason="pruning trains with torch")
    path = tmp_path / "compressed.toml"
    path.write_text(COMPRESSED)
    suite = load_suite(str(path))
    assert list(search.candidates(suite)) == ["mnist/resnet-small from half"], (
        "chains fine-tune nothing on a board"
    )
    chained = next(row for row in suite.workloads if row.label == "pruned")
    plain, pruned = (
        places_of(replace(chained, chain=chain), range(100, 101), 2, cache_dir=tmp_path)
        for chain in ((), chained.chain[:1])
    )
    sizes = [
        sum(len(tensor.data) for tensor in place.weights.tensors.values()) for place in (plain[0], pruned[0])
    ]
    assert sizes[1] < sizes[0] / 2
    assert plain[0].sha256 != pruned[0].sha256, "a score is never taken for that of other start weights"


def _fifth(data):
    tensors = {}
    for name, item in data.tensors.items():
        kept = np.frombuffer(bytes(item.data), item.dtype).reshape(item.shape)[::5]
        tensors[name] = artefact.Tensor(item.dtype, kept.shape, bytearray(kept.tobytes()))
    return data._replace(tensors=tensors)


def _run_in(folder, places, **settings):
    """Return the search of the suite with the scores that a folder keeps, and the runs that it made."""
    made: list[Run] = []
    suite = folder / "mine.toml"
    suite.write_text(SUITE)
    wanted = search.Settings(**{"track": "paper", **settings})
    trainer = search.Trainer(
        wanted, places, ScoresFile(folder / "mine.rates.json"), lambda run, *rest: made.append(run)
    )
    return search.search_task(search.candidates(load_suite(str(suite)))[TASK], trainer, wanted), made


@pytest.fixture(scope="module")
def first(places, tmp_path_factory):
    """Return a search from nothing, its runs, and the folder with its scores."""
    folder = tmp_path_factory.mktemp("first")
    return *_run_in(folder, places), folder


@pytest.fixture
def searched(first, places, tmp_path):
    """Function (**settings) -> another search with the scores of the first one, and the runs that it made."""
    shutil.copy(first[2] / "mine.rates.json", tmp_path)
    return lambda **settings: _run_in(tmp_path, places, **settings)


@pytest.mark.torch
def test_every_method_is_run_at_the_same_rates_on_the_same_bases_and_folds(first):
    task, made, _ = first
    runs = {
        label: sorted((run.lr, run.base, run.fold) for run in made if run.label == label)
        for label in ("ft-all", "skip2-lora", "lora-r2")
    }
    assert runs["ft-all"] == runs["skip2-lora"] == runs["lora-r2"]
    assert len(runs["ft-all"]) == len(task.rates) * 4 == len(set(runs["ft-all"]))
    assert {run.base for run in made} == {100, 101}
    for method in task.methods:
        assert method.choice.stands
        at = task.rates.index(method.choice.rate)
        assert 0 < at < len(task.rates) - 1  # both neighbours were scored


@pytest.mark.torch
def test_a_search_that_was_stopped_goes_on_and_one_that_ended_runs_nothing(first, searched, tmp_path):
    again, none = searched()
    assert none == []
    assert again == first[0]
    keep = tmp_path / "mine.rates.json"
    content = json.loads(keep.read_text())
    content["runs"] = content["runs"][:-7]
    keep.write_text(json.dumps(content))
    rest, seven = searched()
    assert len(seven) == 7
    assert rest == first[0]


@pytest.mark.torch
def test_the_steps_are_doubled_at_the_chosen_rates(searched):
    task, made = searched(steps=True)
    for method in task.methods:
        assert list(method.by_epochs)[:2] == [2, 4]
        assert set(method.by_epochs) <= {2, 4, 8, 16}
    assert task.epochs is None or task.epochs in (2, 4, 8)
    assert min(run.epochs for run in made) > 4  # a part of the pool trains, so more epochs than the suite's


@pytest.mark.torch
def test_the_lines_have_the_epochs_of_the_plateau_where_it_was_reached(first):
    task = first[0]
    assert "\nepochs = 2\n" in suite_lines(task, "paper")
    reached = suite_lines(replace(task, epochs=8), "paper")
    assert "\nepochs = 8\n" in reached
    assert "epochs = 2\n" not in reached


@pytest.mark.torch
def test_the_lines_are_a_suite_that_loads_with_the_chosen_rates(first, tmp_path):
    task = first[0]
    text = "\n".join(
        line
        for line in suite_lines(task, "paper").splitlines()
        if not line.startswith(("optimizer", "schedule"))
    )
    path = tmp_path / "pasted.toml"
    path.write_text(f'[suite]\nname = "mine"\n{text}\n')
    pasted = {row.key: row.params for row in load_suite(str(path)).workloads if not row.aa_control}
    for method in task.methods:
        row = method.workload
        assert pasted[row.key] == {**row.params, "lr": method.choice.rate}


def test_the_tracks_keys_are_told_to_every_method(suite_file):
    rows = search.candidates(load_suite(str(suite_file)))[TASK]
    for row in rows:
        given = search.spec_of(row, "main", 0.004, 6, seed=1)
        assert (given["optimizer"], given["schedule"], given["clip"]) == ("adamw", "cosine", 1.0)
        assert (given["lr"], given["epochs"], given["seed"], given["method"]) == (0.004, 6, 1, row.method)
        paper = search.spec_of(row, "paper", 0.004, 6, seed=1)
        assert (paper["optimizer"], paper["schedule"], paper["clip"]) == ("sgd", "constant", None)
        assert search.spec.parse(paper).training == search.spec.parse({"method": "ft-all"}).training


def test_controls_have_no_rate_and_a_method_goes_without_the_keys_that_mean_nothing_for_it(tmp_path):
    path = tmp_path / "controls.toml"
    path.write_text(
        '[suite]\nname = "controls"\nbaseline = "ft-all"\n[[workload]]\ndataset = "digits"\nmodel = "mlp"\n'
        'methods = ["ft-all", "mezo", "untrained", "reestimated"]\n'
    )
    suite = load_suite(str(path))
    ((_, rows),) = search.candidates(suite).items()
    assert [row.label for row in rows] == ["ft-all", "mezo"]
    assert search.spec_of(rows[0], "main", 0.1, 1, 0)["optimizer"] == "adamw"
    given = search.spec_of(rows[1], "main", 0.1, 1, 0)
    assert given["schedule"] == "cosine"
    assert not {"optimizer", "clip"} & set(given)
    with pytest.raises(UsageError, match="'untrained'"):
        search.candidates(suite, methods=["untrained"])


def test_of_a_suite_with_both_tracks_only_the_rows_of_the_searched_one_are_taken():
    suite = load_suite("skip2-quality-damage2")
    main = search.candidates(suite, track="main")
    assert list(main) == ["fan-damage2/mlp, main", "fan-damage2/mlp, main, controls"]
    paper = search.candidates(suite, track="paper")
    assert list(paper) == ["fan-damage2/mlp, paper", "fan-damage2/mlp, paper, controls"]
    with pytest.raises(UsageError, match="--task 'fan-damage2/mlp, main'"):
        search.candidates(suite, ["fan-damage2/mlp, main"], track="paper")
    # a suite on one track is searched on the other, too
    assert list(search.candidates(load_suite("skip2-paper"), track="main"))


def test_a_label_is_no_part_of_a_runs_key_but_rate_fold_and_settings_are(suite_file):
    row = search.candidates(load_suite(str(suite_file)))[TASK][0]
    place = search.Place(100, 0, None, None, "data weights 0/2")
    first = search.key_of(search.spec_of(row, "main", 0.004, 6, seed=0), place)
    assert first == search.key_of(
        search.spec_of(replace(row, label="other"), "main", 0.004, 6, seed=0), place
    )
    others = [
        search.key_of(search.spec_of(row, "paper", 0.004, 6, seed=0), place),
        search.key_of(search.spec_of(row, "main", 0.008, 6, seed=0), place),
        search.key_of(search.spec_of(row, "main", 0.004, 5, seed=0), place),
        search.key_of(
            search.spec_of(row, "main", 0.004, 6, seed=0), replace(place, sha256="data weights 0/3")
        ),
    ]
    assert len({first, *others}) == 5


@pytest.mark.parametrize(
    ("tasks", "methods", "message"),
    [
        (["digits"], [], "--task 'digits': suite 'mine' has: digits/mlp"),
        ([], ["lorae"], "--method 'lorae': suite 'mine' has: ft-all, lora-all, lora-r2, skip2-lora"),
    ],
)
def test_a_name_that_the_suite_lacks_is_refused(suite_file, tasks, methods, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        search.candidates(load_suite(str(suite_file)), tasks, methods)


def test_a_suite_of_own_methods_alone_has_nothing_to_search(sleep_suite):
    with pytest.raises(UsageError, match="no built-in method"):
        search.candidates(load_suite(str(sleep_suite(["a"]))))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "nonsense", '{"schema": "other/1", "runs": []}', '{"schema": "tunebench.rates/1"}',
             '{"schema": "tunebench.rates/1", "runs": [{"key": "k"}]}', '{"schema": "tunebench.rates/1", "runs": 3}'],
)  # fmt: skip
def test_a_file_that_holds_no_scores_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "keep.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="holds no scores of a search"):
        ScoresFile(path)
    assert path.read_text() == text


def test_scores_are_read_as_they_were_written_divergences_too(tmp_path):
    keep = ScoresFile(tmp_path / "deep" / "keep.json")
    keep.add(RUN)
    keep.add(replace(RUN, key="k2", score=None, loss_final=None))
    assert ScoresFile(keep.path).runs == keep.runs
    assert keep.runs["k2"].score is None


@pytest.mark.torch
def test_several_processes_give_the_scores_of_one(places, first, tmp_path):
    """The places travel here, since those of the fixture are smaller than what ``places_of`` finds."""
    rows = search.candidates(load_suite(str(_written(tmp_path))))[TASK]
    settings = search.Settings("paper", jobs=2)
    keep, made = ScoresFile(tmp_path / "two.json"), []
    with Workers(2, partial(_unpacked, tmp_path, _packed(places, tmp_path)), search.run_of) as workers:
        trainer = search.Trainer(settings, places, keep, lambda run, *rest: made.append((run, rest)), workers)
        trainer.fill([(row, rate, 2) for row in rows[:2] for rate in (0.016, 0.032)])
    alone = ScoresFile(first[2] / "mine.rates.json").runs
    assert len(keep.runs) == 16 == len(made)
    for key, run in keep.runs.items():
        assert replace(run, seconds=0) == replace(alone[key], seconds=0)
    assert [rest[0] for _, rest in made] == list(range(1, 17))


def _written(folder):
    suite = folder / "mine.toml"
    suite.write_text(SUITE)
    return suite


def _packed(places, folder):
    for place in places:
        for name, item in (("cut", place.cut.data), ("weights", place.weights)):
            artefact.write(
                str(folder / f"{name}{place.base}-{place.fold}"), item.kind, item.meta, item.tensors
            )
    return [(place.base, place.fold, place.cut.n_train, place.cut.n_pool, place.sha256) for place in places]


def _unpacked(folder, rows):
    return [
        search.Place(
            base,
            fold,
            Fold(artefact.read(str(folder / f"cut{base}-{fold}")), n_train, n_pool),
            artefact.read(str(folder / f"weights{base}-{fold}")),
            sha256,
        )
        for base, fold, n_train, n_pool, sha256 in rows
    ]


def command(*arguments):
    return CliRunner().invoke(tune_rates.app, [str(argument) for argument in arguments])


def test_the_command_refuses_another_track_before_anything_is_made(suite_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command(suite_file, "--track", "fast")
    assert isinstance(ended.exception, UsageError)
    assert "'fast': one of main, paper" in str(ended.exception)
    assert not (tmp_path / "mine.rates.json").exists()


def test_without_data_the_reason_is_told_and_the_code_is_4(suite_file, tmp_path, monkeypatch):
    def none(*arguments, **options):
        raise DataUnavailable("no file digits anywhere")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search.artefacts, "prepare_bases", none)
    ended = command(suite_file)
    assert ended.exit_code == 4
    assert f"{TASK}: not searched: no file digits anywhere" in ended.stdout
    assert ScoresFile(tmp_path / "mine.rates.json").runs == {}


def test_without_torch_a_torch_task_names_the_command(suite_file, tmp_path, monkeypatch):
    suite_file.write_text(suite_file.read_text().replace('"native"', '"torch"'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(search.importlib.util, "find_spec", lambda name: None)
    ended = command(suite_file)
    assert (ended.exit_code, "pip install 'tunebench[torch]'" in ended.stdout) == (4, True)


@pytest.mark.torch
def test_the_command_prints_the_table_and_the_lines_and_as_json_the_same(
    places, suite_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "places_of", lambda *arguments, **options: places)
    ended = command(suite_file, "--track", "paper", "--method", "ft-all")
    assert ended.exit_code == 0, ended.output
    assert "on bases 100, 101 and 2 folds" in ended.stdout
    assert 'methods = ["ft-all"]' in ended.stdout
    values = json.loads(command(suite_file, "--track", "paper", "--method", "ft-all", "--json").stdout)
    (task,) = values["tasks"]
    (method,) = task["methods"]
    assert f"lr = {method['rate']}" in ended.stdout
    assert task["runs_per_method"] == len(task["rates"]) * 4 == len(method["scores"])
    assert values["protocol"] == protocol.VERSION
