"""Paths in an ini file are relative to it, as pytest's own are; those on the command line to where it was called."""

from __future__ import annotations

import pytest

INI = """[{section}]
tunebench_inventory = {quote}labs/lab.toml{quote}
tunebench_campaign = {quote}sleep.toml{quote}
tunebench_out = {quote}kept/results{quote}
"""


@pytest.fixture
def project(tmp_path, lab, sleep_suite, measuring):
    """A folder with a lab, a suite and a test in a folder below."""
    sleep_suite(["a"], blocks=1)
    (tmp_path / "labs").mkdir()
    lab("one").rename(tmp_path / "labs" / "lab.toml")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    measuring.rename(tmp_path / "deep" / "er" / "test_own.py")
    return tmp_path


def measured(done, folder) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert len(list(folder.glob("**/reps.jsonl"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "section", "quote", "cwd"),
    [
        ("pytest.ini", "pytest", "", "."),
        ("pytest.ini", "pytest", "", "deep/er"),
        ("tox.ini", "pytest", "", "deep"),
        ("pyproject.toml", "tool.pytest.ini_options", '"', "deep"),
    ],
)
def test_the_keys_are_relative_to_their_file(run_pytest, project, name, section, quote, cwd):
    (project / "pyproject.toml").write_text("")
    (project / name).write_text(INI.format(section=section, quote=quote))
    measured(run_pytest(cwd=cwd), project / "kept" / "results")


@pytest.mark.slow
def test_an_ini_file_that_is_named_is_what_they_are_relative_to(run_pytest, project):
    (project / "conf").mkdir()
    (project / "conf" / "hil.ini").write_text(
        INI.format(section="pytest", quote="").replace("= ", "= ../").replace("../kept", "kept")
    )
    measured(run_pytest("-c", "../conf/hil.ini", cwd="deep"), project / "conf" / "kept" / "results")


@pytest.mark.slow
def test_an_absolute_path_and_a_home_are_taken_as_they_are(run_pytest, project):
    (project / "pytest.ini").write_text(
        f"[pytest]\ntunebench_inventory = ~/labs/lab.toml\ntunebench_campaign = {project}/sleep.toml\n"
    )
    measured(run_pytest(cwd="deep"), project / "deep" / "results")


@pytest.mark.slow
def test_the_command_line_is_relative_to_where_it_was_called(run_pytest, project):
    (project / "pytest.ini").write_text(
        "[pytest]\ntunebench_inventory = nowhere.toml\ntunebench_campaign = paper\n"
    )
    done = run_pytest(
        "--inventory=../labs/lab.toml", "--campaign=../sleep.toml", "--tunebench-out=here", cwd="deep"
    )
    measured(done, project / "deep" / "here")


@pytest.mark.slow
def test_an_override_on_the_command_line_is_relative_as_pytests_own_are(run_pytest, project):
    (project / "pytest.ini").write_text("[pytest]\ntunebench_campaign = sleep.toml\n")
    measured(run_pytest("-o", "tunebench_inventory=labs/lab.toml", cwd="deep"), project / "deep" / "results")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("tunebench_inventory = labs/lba.toml", "labs/lba.toml: no such file"),
        (
            "tunebench_inventory = labs/lab.toml\ntunebench_campaign = sleeep.toml",
            "sleeep.toml: no such file",
        ),
        ("tunebench_inventory = labs/lab.toml\ntunebench_campaign = tomorrow", "built in: "),
    ],
)
def test_a_key_that_names_nothing_is_refused_with_the_whole_path(run_pytest, project, key, reason):
    (project / "pytest.ini").write_text(f"[pytest]\n{key}\n")
    done = run_pytest(cwd="deep")
    assert done.returncode == 4, done.stdout + done.stderr
    assert reason in done.stderr + done.stdout
    if reason.endswith("file"):
        assert str(project) in done.stderr + done.stdout
