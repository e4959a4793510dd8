"""``tunebench report`` and ``compare``: what they print and write, and how they refuse."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests import mounts, warm
from tunebench.harness.cli.app import app
from tunebench.harness.errors import ending_of
from tunebench.reports.history import decisions
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.render import files
from tunebench.reports.results import ResultsError, layout


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    lab = SimulatedLab(boards=1, cells=2, repetitions=3, bad_nights=0.0)
    for night in range(3):
        lab.write_night(root, night)
    return root


@pytest.fixture
def runs(store):
    return layout.run_folders(store)


def tunebench(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_the_report_goes_beside_the_run(runs):
    done = tunebench("report", runs[0])
    assert done.exit_code == 0, done.output
    page = runs[0].with_name(f"{runs[0].name}.html")
    assert str(page) in done.stdout
    assert "No store was given" in page.read_text()
    page.unlink()


def test_with_a_store_it_shows_the_nights_and_their_decisions(store, runs, tmp_path):
    decisions.append(
        store,
        decisions.Decision(
            t_utc="2026-01-02T12:00:00Z", who="ann", kind="note", reason="moved the rack", board_id="board-00"
        ),
    )
    done = tunebench("report", runs[-1], "--store", store, "--html", tmp_path / "deep" / "r.html")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "deep" / "r.html").read_text()
    assert "moved the rack" in page
    assert "Every series of this run" in page


def test_a_store_without_runs_is_a_mistake(runs, tmp_path):
    with pytest.raises(Exception, match="holds no run"):
        files.report(runs[0], tmp_path / "r.html", None, None, store=tmp_path)


def test_the_environment_can_be_held_against_another_run(runs, tmp_path):
    files.report(runs[2], tmp_path / "r.html", None, None, against=runs[0])
    assert f"What differs from the baseline run {runs[0].name}" in (tmp_path / "r.html").read_text()


def test_markdown_and_text_are_printed_and_nothing_is_written(runs):
    printed = tunebench("report", runs[0], "--format", "md")
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.startswith("## tunebench: nightly")
    assert "| method |" in printed.stdout
    assert not runs[0].with_name(f"{runs[0].name}.html").exists()
    assert "What you may not conclude" in tunebench("report", runs[0], "--format", "text").stdout


def test_printing_and_writing_go_together(runs, tmp_path):
    done = tunebench("report", runs[0], "--format", "md", "--json", tmp_path / "r.json")
    assert done.stdout.startswith("## tunebench")
    assert "Report:" not in done.stdout
    assert json.loads((tmp_path / "r.json").read_text())["schema"]


def test_an_unknown_format_or_baseline_is_refused_with_what_is_known(runs):
    with pytest.raises(ResultsError, match=r"--format 'pdf': one of md, text"):
        files.printed(runs[0], None, "pdf")
    with pytest.raises(ResultsError, match=r"--format 'pdf'"):
        files.comparison(runs[0], runs[1], None, None, "pdf")
    with pytest.raises(ResultsError, match=r"not in this run; it has: ft-all, method-01"):
        files.printed(runs[0], "zzz", "md")


def test_two_runs_are_compared_in_every_form(runs, tmp_path):
    done = tunebench(
        "compare", runs[0], runs[1], "--html", tmp_path / "c.html", "--json", tmp_path / "c.json"
    )
    assert done.exit_code == 0, done.output
    assert f"A: {runs[0].name}" in done.stdout
    assert "are not paired" in " ".join(done.stdout.split())
    assert json.loads((tmp_path / "c.json").read_text())["schema"] == "tunebench.compare/1"
    assert "not paired" in (tmp_path / "c.html").read_text()
    assert tunebench("compare", runs[0], runs[1], "--format", "md").stdout.startswith(
        "## tunebench: two runs"
    )


def test_a_run_is_not_compared_with_itself(runs):
    with pytest.raises(ResultsError, match="is the same run"):
        files.comparison(runs[0], runs[0], None, None, "text")


def test_this_machines_and_its_users_names_are_known_as_names(monkeypatch):
    def nameless() -> str:
        raise OSError("no name for this uid")

    monkeypatch.setattr(socket, "gethostname", lambda: "thor-7.lab")
    monkeypatch.setattr(files.getpass, "getuser", nameless)
    assert files.names_here() == ["thor-7.lab", "thor-7"]


def test_boards_keep_their_names_even_if_a_machine_has_the_same(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "board-00")
    files.report(runs[0], tmp_path / "r.html", None, None)
    assert "board-00" in (tmp_path / "r.html").read_text()
    assert "board-00" in files.printed(runs[0], None, "md")
    assert "board-00" in files.comparison(runs[0], runs[1], None, None, "text")


# Results on a disk that cannot be written, or that is full


def real(lines, *words, cwd):
    """Run the real command in a mount namespace of its own."""
    return subprocess.run(
        mounts.within(lines, [sys.executable, "-m", "tunebench", *map(str, words)]),
        cwd=cwd, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_results_on_a_read_only_disk_say_how_to_name_another_place(store, runs, tmp_path):
    done = real([mounts.read_only(store)], "report", runs[0], cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "Read-only file system; name another place with --html FILE, e.g. tunebench report " in done.stderr
    pasted = shlex.split(done.stderr.strip().partition("e.g. tunebench ")[2])
    again = real([mounts.read_only(store)], *pasted, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / f"{runs[0].name}.html").read_text().startswith("<!")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["report", "gate", "calibrate"])
def test_a_history_on_a_read_only_disk_is_read_as_on_another(store, runs, tmp_path, command):
    words = {
        "report": ["report", runs[-1], "--store", store, "--html", "r.html"],
        "gate": ["gate", "--run", runs[-1], "--store", store],
        "calibrate": ["calibrate", "--store", store],
    }[command]
    done = real([mounts.read_only(store)], *words, cwd=tmp_path)
    other = real(["true"], *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (other.returncode, other.stdout), done.stderr


def test_an_index_on_a_read_only_disk_is_refused_with_the_reason(store, tmp_path):
    done = real([mounts.read_only(store)], "index", store, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "cannot be written, and the index would lie there" in done.stderr


def test_a_full_disk_leaves_the_page_that_was_there(runs, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    page = f"{disk}/r.html"
    report = f"{shlex.quote(sys.executable)} -m tunebench report {runs[0]} --html {page}"
    script = f"{report}; echo $?; cat {page}; ls -A {disk}"
    done = subprocess.run(
        mounts.within([mounts.small_disk(disk, 64), f"echo old > {page}"], ["sh", "-c", script]),
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["4", "old", "r.html"], done.stdout + done.stderr
    assert "No space left on device; the old file is unchanged" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_every_file_that_is_asked_for_is_told_by_its_option(runs, tmp_path):
    (tmp_path / "file").write_text("")
    for words, option in (
        (["report", runs[0], "--html", "file/r"], "--html"),
        (["report", runs[0], "--json", "file/r"], "--json"),
        (["compare", runs[0], runs[1], "--html", "file/c"], "--html"),
        (["compare", runs[0], runs[1], "--json", "file/c"], "--json"),
        (["export", runs[0], "--table", "file/t.csv"], "--table"),
        (["export", runs[0], "--table", "file/t.parquet"], "--table"),
        (["gate", "--run", runs[0], "--store", runs[0].parents[4], "--junit", "file/g.xml"], "--junit"),
        (["gate", "--run", runs[0], "--store", runs[0].parents[4], "--md", "file/g.md"], "--md"),
    ):
        done = warm.run(
            [sys.executable, "-m", "tunebench", *map(str, words)],
            cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert f"Not a directory; name another place with {option} FILE" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Work in a folder of its own, in which nothing of the name ``-`` may appear."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "-").exists()


def test_the_numbers_may_go_to_standard_output_alone(runs, elsewhere):
    done = tunebench("report", runs[0], "--json", "-")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["schema"] == "tunebench.summary/1"
    assert not list(runs[0].parent.glob("*.html"))


def test_beside_a_page_the_line_about_it_goes_to_standard_error(runs, elsewhere):
    done = tunebench("report", runs[0], "--json", "-", "--html", elsewhere / "r.html")
    assert json.loads(done.stdout)["schema"]
    assert f"Report: {elsewhere}/r.html" in done.stderr


def test_the_page_may_go_to_standard_output(runs, elsewhere):
    assert tunebench("report", runs[0], "--html", "-").stdout.lstrip().startswith("<!")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--json", "-", "--html", "-"), "--html and --json"),
        (("--json", "-", "--format", "md"), "--json and --format"),
    ],
)
def test_two_things_on_standard_output_are_refused(runs, elsewhere, words, reason):
    done = tunebench("report", runs[0], *words)
    assert done.exit_code == 2 or ending_of(done.exception).code == 2
    assert f"{reason}: only one of them can be standard output" in str(done.exception)


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_folder_for_a_file_is_refused_with_an_option_that_would_do(runs, elsewhere, option):
    (elsewhere / "out").mkdir()
    done = tunebench("report", runs[0], option, "out")
    assert ending_of(done.exception).code == 2
    assert (
        f"out: cannot be written: Is a directory; name a file in it with {option} FILE, e.g. {option} out/report."
        in str(done.exception)
    )


@pytest.mark.parametrize(
    "words", [("report", "RUN", "--html"), ("compare", "RUN", "RUN", "--json"), ("export", "RUN", "--table")]
)
def test_the_name_of_a_folder_that_is_not_there_yet_is_refused_too(runs, elsewhere, words):
    done = tunebench(*(runs[0] if word == "RUN" else word for word in words), "new/")
    assert ending_of(done.exception).code == 2
    assert "new/: is the name of a folder; name a file in it" in str(done.exception)
    assert not (elsewhere / "new").exists()


def test_a_comparison_on_standard_output_leaves_its_text_to_standard_error(runs, elsewhere):
    done = tunebench("compare", runs[0], runs[1], "--json", "-")
    assert done.exit_code == 0, done.output
    json.loads(done.stdout)
    assert "Comparison: " not in done.output
    assert done.stderr


def test_a_table_on_standard_output_is_csv(runs, elsewhere):
    done = tunebench("export", runs[0], "--table", "-")
    assert done.exit_code == 0, done.output
    head, *rows = done.stdout.splitlines()
    assert "rep_id" in head.split(",")
    assert rows


def test_an_export_of_nothing_says_what_to_give(runs, elsewhere):
    done = tunebench("export", runs[0])
    assert ending_of(done.exception).code == 2
    lines = str(done.exception).splitlines()
    assert lines[0].startswith("nothing to write: give --out DIR")
    assert lines[1].endswith(f"export {runs[0]} --out shared --anonymise")
    assert tunebench(*shlex.split(lines[2])[-4:]).exit_code == 0, "a command that works when it is pasted"
    assert (elsewhere / "repetitions.csv").is_file()


def test_a_table_into_a_folder_is_refused(runs, elsewhere):
    (elsewhere / "tables.csv").mkdir()
    done = tunebench("export", runs[0], "--table", "tables.csv")
    assert "tables.csv: cannot be written: Is a directory" in str(done.exception)
