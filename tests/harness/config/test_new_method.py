"""The scaffold of a method of one's own works as it is written, and takes no name that would break something."""

from __future__ import annotations

import ast
import shlex

import pytest

from tunebench.harness.config.new_method import write_scaffold
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError


@pytest.mark.parametrize("form", ["module", "command"])
def test_the_suite_is_a_suite_and_the_code_is_python_of_old_boards(tmp_path, form):
    scaffold = write_scaffold("my-method", tmp_path, form)
    suite = load_suite(str(scaffold.suite))
    own = [workload for workload in suite.workloads if workload.own]
    assert [workload.label for workload in own] == ["my-method"]
    assert len(suite.workloads) >= 3, "it is compared with others"
    assert suite.header.blocks >= 8, "with so many, verdicts are possible"
    text = scaffold.code.read_text()
    ast.parse(text, feature_version=(3, 6))
    for name in ("NAME", "FORM", "FILE"):
        assert name not in scaffold.suite.read_text() + text.replace("__name__", "")
    assert "CHANGE" in text


@pytest.mark.parametrize("name", ["my-method", "v2.1", "Rank_8", "x" * 64])
def test_a_name_that_can_be_a_label_is_taken(tmp_path, name):
    scaffold = write_scaffold(name, tmp_path, "module")
    assert scaffold.code.stem.isidentifier() or scaffold.code.stem[0].isdigit()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ft-all", "built-in method"),
        ("skip2-lora", "built-in method"),
        ("nightly", "built-in method or suite"),
        ("random", "Python's own random"),
        ("Torch", "Python's own"),
        ("../evil", "use 1-64 letters"),
        ("a b", "use 1-64 letters"),
        ("", "use 1-64 letters"),
        ("é", "use 1-64 letters"),
        ("x" * 65, "use 1-64 letters"),
    ],
)
def test_a_name_that_stands_for_something_else_is_refused_and_nothing_is_written(tmp_path, name, why):
    with pytest.raises(UsageError, match=why):
        write_scaffold(name, tmp_path, "module")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["mine.toml", "mine.py"])
def test_a_file_that_is_there_is_kept(tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        write_scaffold("mine", tmp_path, "module")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--dir .*cannot be written"):
        write_scaffold("mine", tmp_path / "file", "module")


def tried(cli, *words):
    made = cli("new-method", "mine", *words)
    assert made.returncode == 0, made.stderr
    following = shlex.split(made.stdout.splitlines()[-1].removeprefix("Next: "))
    return cli(*following[following.index("try") :])


@pytest.mark.slow
@pytest.mark.torch
def test_the_module_as_it_is_written_runs_and_learns(cli, tmp_path):
    done = tried(cli)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "mine (digits/mlp), 2 of 60 epochs: ok" in done.stdout
    words = done.stdout.split()
    before, after = (
        float(words[at - 1].rstrip("%")) for at in (words.index("before,"), words.index("after"))
    )
    assert after > before
    assert done.stdout.splitlines()[-1].endswith("run -s mine.toml")
    assert not (tmp_path / "results").exists(), "nothing is kept"


@pytest.mark.slow
def test_the_command_as_it_is_written_runs_without_any_library(cli, monkeypatch, tmp_path):
    done = tried(cli, "--command", "--dir", "sub")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "mine (digits/mlp), 2 of 60 epochs: ok" in done.stdout
    assert "before, " in done.stdout
    (tmp_path / "sub" / "mine.py").write_text(
        "import sys\nprint('what happened')\nsys.exit('told to fail')\n"
    )
    failed = cli("try", "sub/mine.toml")
    assert failed.returncode == 1
    assert "mine (digits/mlp), 2 of 60 epochs: failed" in failed.stdout
    assert "    told to fail" in failed.stdout, "its last lines are shown"
    assert "Traceback" not in failed.stderr


def test_the_name_of_a_suite_here_is_short_for_its_file(cli, tmp_path, monkeypatch):
    from tunebench.harness.campaign.trial import suite_name

    monkeypatch.chdir(tmp_path)
    write_scaffold("mine", tmp_path, "module")
    assert suite_name("mine") == suite_name("mine.toml") == suite_name("mine.py") == "mine.toml"
    assert suite_name("smoke") == "smoke"
    (tmp_path / "other.py").write_text("")
    with pytest.raises(UsageError, match=r"other\.py: is the method itself"):
        suite_name("other.py")


def test_a_trial_is_of_ones_own_methods_once_and_short(tmp_path):
    from tunebench.harness.campaign.trial import shortened

    scaffold = write_scaffold("mine", tmp_path, "module")
    short = shortened(load_suite(str(scaffold.suite)), 2)
    assert [(workload.label, workload.params["epochs"]) for workload in short.workloads] == [("mine", 2)]
    assert (short.header.blocks, short.header.aa, short.header.instrumented) == (1, False, False)
    whole = shortened(load_suite("smoke"), 1)
    assert len(whole.workloads) >= 2, "a suite without own methods is tried whole"
    assert not any(workload.aa_control for workload in whole.workloads)
