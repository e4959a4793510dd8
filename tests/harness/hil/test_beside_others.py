"""Beside other plugins, really installed: pytest-ansible has an ``--inventory`` of its own, pytest-forked forks.

A virtual environment is made on top of this one, and pip fetches into it what a CI machine fetches, too.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

OTHERS = ("pytest-ansible>=25", "pytest-forked>=1.6", "pytest-rerunfailures>=14", "pytest-randomly>=3.15")


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a virtual environment that has these plugins besides what this one has; one for all workers."""
    base = tmp_path_factory.getbasetemp()
    environment = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "beside-others"
    interpreter, outcome = environment / "bin" / "python", environment.with_suffix(".json")
    with environment.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not outcome.exists():
            code, said = install(environment)
            outcome.write_text(json.dumps([code, said]))
    code, said = json.loads(outcome.read_text())
    if code != 0:
        if any(word in said for word in ("Failed to establish", "Temporary failure", "No matching")):
            pytest.skip(f"pip cannot fetch {', '.join(OTHERS)}: {said[-300:]}")
        pytest.fail(said[-2000:])
    return str(interpreter)


def install(environment: Path) -> tuple[int, str]:
    """Make the environment; return pip's exit code and what it said."""
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    (packages,) = environment.glob("lib/python*/site-packages")
    # addsitedir reads the .pth files in it, too: an editable checkout is found.
    (packages / "beside.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    done = subprocess.run(
        [
            str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *OTHERS,
        ],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_it_is_really_there(run_pytest, python):
    shown = run_pytest("--help", python=python).stdout
    assert "--ansible-inventory" in shown
    assert "--tunebench-inventory" in shown


@pytest.mark.parametrize("words", [["--inventory", "lab.toml"], ["--inventory=lab.toml"]], ids=" ".join)
def test_what_our_pages_say_measures(run_pytest, python, lab, sleep_suite, measuring, records, words):
    lab("one")
    done = run_pytest(*words, "--campaign", str(sleep_suite(["a"], blocks=1)), python=python)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert len(records()) == 1


def test_an_ansible_inventory_is_refused_where_tests_measure(
    run_pytest, python, tmp_path, measuring, nothing_measured
):
    (tmp_path / "hosts").write_text("[boards]\nlocalhost ansible_connection=local\n")
    done = run_pytest("--inventory", "hosts", python=python)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "--tunebench-inventory lab.toml" in done.stderr + done.stdout
    assert nothing_measured()


def test_ansibles_tests_run_with_its_inventory(run_pytest, python, tmp_path):
    (tmp_path / "hosts").write_text("[boards]\nlocalhost ansible_connection=local\n")
    (tmp_path / "test_theirs.py").write_text(
        "def test_theirs(request):\n    assert request.config.getoption('ansible_inventory') == 'hosts'\n"
    )
    done = run_pytest("--inventory", "hosts", python=python)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_inventories_in_one_session(run_pytest, python, tmp_path, lab, sleep_suite, measuring, records):
    (tmp_path / "hosts").write_text("[boards]\nlocalhost ansible_connection=local\n")
    done = run_pytest(
        "--inventory", "hosts", "--tunebench-inventory", str(lab("one")),
        "--campaign", str(sleep_suite(["a"], blocks=1)), python=python,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records()) == 1


@pytest.fixture(scope="module")
def ansible(python) -> str:
    """The name under which pytest knows pytest-ansible; 26.10 has changed it from `ansible` to `pytest-ansible`."""
    program = (
        "from importlib.metadata import entry_points\n"
        "print(*(point.name for point in entry_points(group='pytest11') if point.value == 'pytest_ansible.plugin'))"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["-p", "tunebench", "-p", "benchmark"], {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
        (["-p", "no:{ansible}"], {}),
        ([], {"PYTEST_ADDOPTS": "-p no:{ansible}"}),
    ],
    ids=["autoload off", "-p no:", "PYTEST_ADDOPTS"],
)
def test_where_it_is_not_loaded_the_short_name_is_ours(
    run_pytest, python, ansible, lab, sleep_suite, measuring, records, words, env
):
    done = run_pytest(
        *(word.format(ansible=ansible) for word in words),
        "--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a"], blocks=1)),
        python=python, env={name: value.format(ansible=ansible) for name, value in env.items()},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records()) == 1


def test_forked_tests_are_refused(run_pytest, python, quick, measuring, nothing_measured):
    done = run_pytest(*quick, "--forked", python=python)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "--forked (pytest-forked)" in done.stderr + done.stdout
    assert nothing_measured()


def test_a_test_that_a_marker_forks_is_refused(run_pytest, python, tmp_path, quick, nothing_measured):
    (tmp_path / "test_own.py").write_text(
        "import pytest\n@pytest.mark.forked\ndef test_it(remote, board, workload):\n    remote()\n"
    )
    done = run_pytest(*quick, python=python)
    assert done.returncode == 4, done.stdout + done.stderr
    assert (
        "test_own.py::test_it[sleep:a-one]: the marker `forked` (pytest-forked)" in done.stdout + done.stderr
    )
    assert nothing_measured()


def test_a_failed_test_that_is_run_again_measures_no_second_time(
    run_pytest, python, tmp_path, quick, records
):
    (tmp_path / "test_own.py").write_text(
        "N = []\ndef test_it(remote, board, workload):\n    remote()\n    N.append(1)\n    assert len(N) == 2\n"
    )
    done = run_pytest(*quick, "--reruns", "1", python=python)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records()) == 1


def test_a_random_order_changes_nothing(run_pytest, python, lab, sleep_suite, measuring, records):
    done = run_pytest(
        "--tunebench-inventory", str(lab("one")), "--campaign", str(sleep_suite(["a", "b"], blocks=2)), "-p", "randomly",
        python=python,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records()) == 4


def test_the_environment_is_ours_plus_theirs(python):
    """The fixture's `.pth` brings this environment's packages: else these tests would try another tunebench."""
    done = subprocess.run(
        [python, "-c", "import tunebench; print(tunebench.__path__[0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).resolve() == Path(__file__).resolve().parents[3] / "tunebench"
