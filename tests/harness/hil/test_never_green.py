"""A session never passes without having measured what it was asked to; and it is refused before a board is touched."""

from __future__ import annotations

import json
import re

import pytest

from tunebench.harness.hil.session import _globs

TAKEN = "def pytest_addoption(parser):\n    parser.addoption('--inventory', default='hosts')\n"

UNREACHABLE = '\n[[board]]\nid = "{board}"\nkind = "linux"\nhost = "127.0.0.1"\nport = 9\n'


def refused(done, *reasons: str) -> None:
    output = done.stdout + done.stderr
    assert done.returncode == 4, output
    assert "Traceback" not in output
    for text in reasons:
        assert text in output


# An --inventory that belongs to somebody else


def test_anothers_inventory_that_is_none_of_ours_is_refused_where_tests_measure(
    run_pytest, tmp_path, measuring, nothing_measured
):
    (tmp_path / "conftest.py").write_text(TAKEN)
    (tmp_path / "hosts").write_text("[boards]\npi5-01 ansible_host=192.0.2.1\n")
    refused(
        run_pytest("--inventory", "hosts"),
        "belongs to another plugin or a conftest.py",
        "not valid TOML",
        "--tunebench-inventory lab.toml",
    )
    assert nothing_measured()


@pytest.mark.parametrize("name", ["lba.toml", "lba"])
def test_anothers_inventory_that_is_not_there_is_refused_where_tests_measure(
    run_pytest, tmp_path, measuring, name
):
    (tmp_path / "conftest.py").write_text(TAKEN)
    refused(run_pytest("--inventory", name), "no such file", name)


def test_anothers_inventory_is_no_matter_where_no_selected_test_measures(run_pytest, tmp_path, measuring):
    (tmp_path / "conftest.py").write_text(TAKEN)
    (tmp_path / "test_theirs.py").write_text("def test_theirs():\n    pass\n")
    done = run_pytest("--inventory", "hosts", "-k", "theirs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 deselected" in done.stdout


def test_an_empty_long_name_says_that_there_is_none(run_pytest, tmp_path, measuring):
    (tmp_path / "conftest.py").write_text(TAKEN)
    done = run_pytest("--inventory", "hosts", "--tunebench-inventory=", "-rs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 skipped" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["--inventory", "{lab}"], ["--inventory={lab}"], ["--inventory", "x", "--inventory={lab}"]]
)
def test_anothers_inventory_that_is_ours_is_read(
    run_pytest, tmp_path, lab, sleep_suite, measuring, records, words
):
    (tmp_path / "conftest.py").write_text(TAKEN)
    path = lab("one")
    done = run_pytest(
        *(word.format(lab=path) for word in words), "--campaign", str(sleep_suite(["a"], blocks=1))
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert len(records()) == 1


@pytest.mark.slow
def test_the_ini_key_names_ours_beside_anothers_inventory(
    run_pytest, tmp_path, lab, sleep_suite, measuring, records
):
    (tmp_path / "conftest.py").write_text(TAKEN)
    (tmp_path / "hosts").write_text("[boards]\npi5-01 ansible_host=192.0.2.1\n")
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\ntunebench_inventory = {lab('one')}\ntunebench_campaign = {sleep_suite(['a'], blocks=1)}\n"
    )
    done = run_pytest("--inventory", "hosts")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records()) == 1


# Nothing was measured


@pytest.mark.slow
def test_boards_that_are_all_out_of_reach_are_no_pass(run_pytest, tmp_path, sleep_suite, measuring):
    (tmp_path / "lab.toml").write_text(UNREACHABLE.format(board="gone") + UNREACHABLE.format(board="away"))
    done = run_pytest("--inventory", "lab.toml", "--campaign", str(sleep_suite(["a", "b"], blocks=1)), "-rs")
    refused(done, "Nothing was measured", "gone: quarantined", "4 skipped")


@pytest.mark.slow
def test_boards_that_all_lack_what_is_needed_are_no_pass(run_pytest, tmp_path, quick):
    (tmp_path / "test_own.py").write_text(
        "import pytest\n@pytest.mark.needs(ram_gb=4096)\ndef test_big(remote, board, workload):\n    remote()\n"
    )
    refused(run_pytest(*quick), "Nothing was measured", "1 skipped")


#: A marker, and what its failed test tells. All stand in one session: each start of pytest costs a second.
MATCH_NOTHING = {
    "methods=['lora-al']": "methods=['lora-al']) matches no workload",
    "tasks=['digits-*']": "tasks=['digits-*']) matches no workload",
    "methods=['a'], tasks=['other']": "sleep:a, sleep:b",
    "methods='lora*'": "methods='lora*') matches no workload",
    "methods='x,y'": "methods='x,y') matches no workload",
    "methods=['x, y']": "methods=['x, y']) matches no workload",
    "methods=[]": "methods=[]) matches no workload",
    "methods=''": "methods='') matches no workload",
    "methods=('x',)": "methods=('x',)) matches no workload",
    "methods=5": "methods=5) matches no workload",
    "tasks=None, methods={'x': 1}": "methods={'x': 1}) matches no workload",
}


def test_a_marker_that_matches_no_workload_fails_its_test(
    run_pytest, tmp_path, lab, sleep_suite, nothing_measured
):
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        + "".join(
            f"@pytest.mark.tunebench({marker})\ndef test_{number}(remote, board, workload):\n    remote()\n"
            for number, marker in enumerate(MATCH_NOTHING)
        )
    )
    done = run_pytest("--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a", "b"], blocks=1)))
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(f"{len(MATCH_NOTHING)} (failed|errors?)", done.stdout), done.stdout
    assert "passed" not in done.stdout
    for reason in MATCH_NOTHING.values():
        assert reason in done.stdout
    assert "Traceback" not in done.stdout
    assert nothing_measured()


@pytest.mark.slow
@pytest.mark.parametrize("methods", ["'a, b'", "['a', 'b']"])
def test_methods_may_be_one_text_or_several(run_pytest, tmp_path, lab, sleep_suite, records, methods):
    (tmp_path / "test_own.py").write_text(
        f"import pytest\n@pytest.mark.tunebench(methods={methods})\ndef test_it(remote, board, workload):\n    remote()\n"
    )
    done = run_pytest(
        "--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a", "b", "ab"], blocks=1))
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record["label"] for record in records().values()} == {"a", "b"}


@pytest.mark.parametrize(
    ("given", "globs"),
    [
        (None, None),
        ("a,b", ["a", "b"]),
        (" a , b, ", ["a", "b"]),
        (["a,b", "c"], ["a", "b", "c"]),
        (("a", "b"), ["a", "b"]),
        ({"a"}, ["a"]),
        ("", []),
        ([], []),
        (5, []),
        ([5], []),
        (b"ab", []),
        ({"a": 1}, []),
    ],
)
def test_what_a_marker_names_is_read_as_globs_or_as_nothing(given, globs):
    assert _globs(given) == globs


def test_a_name_that_matches_nothing_beside_one_that_does_is_told(run_pytest, tmp_path, lab, sleep_suite):
    (tmp_path / "test_own.py").write_text(
        "import pytest\n@pytest.mark.tunebench(methods='a,lora-al')\ndef test_it(remote, workload):\n    remote()\n"
    )
    done = run_pytest(
        "--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a", "b"], blocks=1)), "--setup-plan"
    )
    warning = "tunebench: test_own.py::test_it: marker tunebench(methods='lora-al') matches no workload of suite 'sleep'"
    assert done.stdout.count(warning) == 1, done.stdout


@pytest.mark.parametrize("name", ["", ","])
def test_empty_options_are_refused_and_do_not_measure_everything(
    run_pytest, quick, measuring, nothing_measured, name
):
    refused(run_pytest(*quick, f"--tunebench-methods={name}"), "names no method")
    refused(run_pytest(*quick, f"--tunebench-boards={name}"), "names no board")
    assert nothing_measured()


@pytest.mark.slow
def test_a_test_whose_workloads_the_command_line_leaves_out_skips_beside_those_that_measure(
    run_pytest, tmp_path, lab, sleep_suite, records
):
    (tmp_path / "test_own.py").write_text(
        "import pytest\n@pytest.mark.tunebench(methods=['b'])\ndef test_b(remote, board, workload):\n    remote()\n"
        "def test_all(remote, board, workload):\n    remote()\n"
    )
    words = ("--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a", "b"], blocks=1)), "-rs")
    done = run_pytest(*words, "--methods", "a")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert "--methods a leaves out what this test takes" in done.stdout
    refused(run_pytest(*words, "--methods", "a", "-k", "test_b"), "Nothing was measured")


def test_methods_that_name_none_are_refused(run_pytest, lab, sleep_suite, measuring, nothing_measured):
    suite = str(sleep_suite(["a"], blocks=1))
    refused(
        run_pytest("--inventory", str(lab("one")), "--campaign", suite, "--methods", " , "), "names no method"
    )
    assert nothing_measured()


@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        ("method=['a']", "unknown method; known: methods, min_valid, tasks"),
        ("'a'", "unknown 'a'"),
        ("min_valid=0", "a whole number from 1"),
        ("min_valid='2'", "a whole number from 1"),
    ],
)
def test_a_marker_that_says_what_is_not_known_is_refused(
    run_pytest, tmp_path, quick, nothing_measured, marker, reason
):
    (tmp_path / "test_own.py").write_text(
        f"import pytest\n@pytest.mark.tunebench({marker})\ndef test_it(remote, board, workload):\n    remote()\n"
    )
    done = run_pytest(*quick)
    refused(done, "marker tunebench")
    assert reason.split(";")[0] in done.stdout + done.stderr
    assert nothing_measured()


@pytest.mark.slow
def test_a_test_that_never_calls_its_remote_fails(run_pytest, tmp_path, quick):
    (tmp_path / "test_own.py").write_text("def test_it(remote, board, workload):\n    pass\n")
    done = run_pytest(*quick)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "never calls it" in done.stdout


def test_an_inventory_on_the_command_line_that_no_test_uses_is_refused(run_pytest, tmp_path, quick):
    (tmp_path / "test_theirs.py").write_text("def test_theirs():\n    pass\n")
    refused(run_pytest(*quick), "no selected test asks for the fixture `remote`", "--pyargs")


def test_an_inventory_in_addopts_that_no_test_uses_is_not(run_pytest, tmp_path, lab):
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = --inventory {lab('one')}\n")
    (tmp_path / "test_theirs.py").write_text("def test_theirs():\n    pass\n")
    done = run_pytest()
    assert done.returncode == 0, done.stdout + done.stderr


# Refused before a board is touched


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-n", "2"], "-n (pytest-xdist)"),
        (["--tx", "2*popen", "--dist", "load"], "--tx (pytest-xdist)"),
        (["-d", "--tx", "popen"], "--tx (pytest-xdist)"),
        (["-p", "no:benchmark"], "pytest-benchmark is not loaded"),
        (["--benchmark-skip"], "--benchmark-skip leaves out every test that measures"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_goes_against_measuring_is_refused(
    run_pytest, quick, measuring, nothing_measured, words, reason
):
    pytest.importorskip("xdist")
    refused(run_pytest(*quick, *words), reason)
    assert nothing_measured()


def test_without_autoload_the_message_names_what_is_missing(run_pytest, quick, measuring, nothing_measured):
    done = run_pytest(
        "-p", "tunebench.harness.hil.plugin", *quick, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    )
    refused(done, "pytest-benchmark is not loaded", "-p benchmark")
    assert nothing_measured()


@pytest.mark.parametrize("words", [["-n", "2"], ["-p", "no:benchmark"], ["--benchmark-skip"]], ids=" ".join)
def test_what_goes_against_measuring_is_refused_with_an_ini_inventory_too(
    run_pytest, tmp_path, lab, measuring, nothing_measured, words
):
    pytest.importorskip("xdist")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\ntunebench_inventory = {lab('one')}\n")
    done = run_pytest(*words)
    # Under xdist the controller sees no tests: those that measure fail in the workers.
    assert done.returncode == (1 if "-n" in words else 4), done.stdout + done.stderr
    assert "passed" not in done.stdout
    assert nothing_measured()


@pytest.mark.parametrize("word", ["--setup-plan", "--setup-only", "--collect-only", "--fixtures"])
def test_what_only_lists_measures_nothing_and_passes(run_pytest, quick, measuring, nothing_measured, word):
    done = run_pytest(*quick, word)
    assert done.returncode == 0, done.stdout + done.stderr
    assert nothing_measured()


# What goes with measuring


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--benchmark-cprofile=tottime", "-s"],
        ["--benchmark-cprofile=cumtime", "--benchmark-cprofile-loops=3", "-p", "no:terminal"],
        ["--benchmark-warmup=on", "--benchmark-min-rounds=9", "--benchmark-disable-gc", "--capture=sys"],
        ["--benchmark-only", "--benchmark-skip", "-n", "0"],
        ["--setup-show", "-p", "no:warnings", "-W", "error"],
    ],
    ids=" ".join,
)
def test_options_that_go_with_measuring_leave_the_seconds_as_they_are(
    run_pytest, tmp_path, quick, measuring, records, words
):
    pytest.importorskip("xdist")
    done = run_pytest(*quick, *words, "--benchmark-json", "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = records().values()
    (benchmark,) = json.loads((tmp_path / "out.json").read_text())["benchmarks"]
    assert benchmark["stats"]["data"] == [record["wall_s"]]


@pytest.mark.slow
def test_disabled_benchmarks_measure_and_account_nothing(run_pytest, quick, measuring, records):
    done = run_pytest(*quick, "--benchmark-disable")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "plugins",
    [("tunebench.harness.hil.plugin", "pytest_benchmark.plugin"), ("tunebench", "benchmark")],
    ids=" ".join,
)
def test_without_autoload_named_plugins_measure_and_the_short_names_are_ours(
    run_pytest, lab, sleep_suite, measuring, records, plugins
):
    ours, theirs = plugins
    done = run_pytest(
        "-p", ours, "-p", theirs, "--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a"], blocks=1)),
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records()) == 1


@pytest.mark.slow
def test_a_fixture_benchmark_of_the_projects_own_fails_with_a_sentence(
    run_pytest, tmp_path, quick, measuring
):
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef benchmark():\n    return 'theirs'\n"
    )
    done = run_pytest(*quick)
    assert done.returncode != 0, done.stdout
    assert "is not pytest-benchmark's (str)" in done.stdout or "must be a BenchmarkFixture" in done.stdout


@pytest.mark.slow
def test_a_test_in_a_process_of_its_own_fails_and_does_not_wait_for_ever(
    run_pytest, tmp_path, quick, measuring
):
    """As a plugin does that we do not know: the child has the campaign's objects, and none of its threads."""
    (tmp_path / "conftest.py").write_text(
        "import os\n"
        "import pytest\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_pyfunc_call(pyfuncitem):\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os.waitpid(child, 0)\n"
        "        pytest.fail(open('said').read(), pytrace=False)\n"
        "    try:\n"
        "        return (yield)\n"
        "    except BaseException as error:\n"
        "        with open('said', 'w') as file:\n"
        "            file.write(str(error))\n"
        "    finally:\n"
        "        os._exit(0)\n"
    )
    done = run_pytest(*quick)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "in another process than the one that measures" in done.stdout
