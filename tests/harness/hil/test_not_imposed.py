"""Installed is not imposed: a project that has our options' or fixtures' names of its own runs as without us."""

from __future__ import annotations

import pytest

from tunebench.harness.hil.options import LONG_NAMES

OPTIONS = sorted(LONG_NAMES)
FIXTURES = ("board", "workload", "remote")

#: A project's conftest.py with an option of its own, as sonic-mgmt's has `--inventory`.
OPTION = "    parser.addoption('{name}', {attributes})\n"
READS = """
def test_reads(request):
    assert request.config.getoption("{name}") == {value!r}
"""


def conftest(*names: str, attributes: str = "default='mine'") -> str:
    lines = [OPTION.format(name=name, attributes=attributes) for name in names]
    return "def pytest_addoption(parser):\n" + "".join(lines)


def passes(done, n: int = 1) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{n} passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("words", [["{name}=theirs"], ["{name}", "theirs"]], ids=["equals", "blank"])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_conftest_keeps_its_option(run_pytest, tmp_path, name, words):
    (tmp_path / "conftest.py").write_text(conftest(name))
    (tmp_path / "test_own.py").write_text(READS.format(name=name, value="theirs"))
    passes(run_pytest(*(word.format(name=name) for word in words)))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_theirs_that_is_not_given_has_their_default(run_pytest, tmp_path, name):
    (tmp_path / "conftest.py").write_text(conftest(name))
    (tmp_path / "test_own.py").write_text(READS.format(name=name, value="mine"))
    passes(run_pytest())


@pytest.mark.parametrize(
    ("attributes", "words", "value"),
    [
        ("action='store_true'", [], True),
        ("action='append'", ["theirs"], ["theirs"]),
        ("type=int", ["7"], 7),
        ("choices=['theirs', 'none']", ["theirs"], "theirs"),
        ("nargs=2", ["theirs", "too"], ["theirs", "too"]),
        ("dest='tunebench_inventory_of_theirs'", ["theirs"], "theirs"),
    ],
)
@pytest.mark.parametrize("name", ["--inventory", "--boards"])
def test_options_of_every_form_are_theirs(run_pytest, tmp_path, name, attributes, words, value):
    (tmp_path / "conftest.py").write_text(conftest(name, attributes=attributes))
    (tmp_path / "test_own.py").write_text(READS.format(name=name, value=value))
    passes(run_pytest("test_own.py", name, *words))


def test_all_of_them_at_once_in_a_folder_of_tests(run_pytest, tmp_path):
    """The values are no folders of tests: the conftest file is looked for below ``testpaths`` all the same."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text(conftest(*OPTIONS))
    (tmp_path / "tests" / "test_own.py").write_text(
        "".join(
            READS.format(name=name, value=f"for{name}").replace("test_reads", f"test_{number}")
            for number, name in enumerate(OPTIONS)
        )
    )
    passes(run_pytest(*(word for name in OPTIONS for word in (name, f"for{name}"))), n=len(OPTIONS))


def test_a_value_that_is_a_file_does_not_hide_the_conftest_files(run_pytest, tmp_path):
    (tmp_path / "lab.txt").write_text("hosts\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text(conftest("--inventory", "--theirs"))
    (tmp_path / "tests" / "test_own.py").write_text(READS.format(name="--theirs", value="x"))
    passes(run_pytest("--inventory", "lab.txt", "--theirs", "x"))


def test_an_option_of_a_plugin_that_a_conftest_names_is_theirs(run_pytest, tmp_path):
    (tmp_path / "their_plugin.py").write_text(conftest("--inventory"))
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['their_plugin']\n")
    (tmp_path / "test_own.py").write_text(READS.format(name="--inventory", value="hosts"))
    passes(run_pytest("--inventory", "hosts"))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_a_plugin_on_the_command_line_is_theirs(run_pytest, tmp_path, name):
    (tmp_path / "their_plugin.py").write_text(conftest(name))
    (tmp_path / "test_own.py").write_text(READS.format(name=name, value="theirs"))
    passes(run_pytest("-p", "their_plugin", name, "theirs"))


def test_an_option_of_a_conftest_that_is_met_late_has_its_default(run_pytest, tmp_path):
    """pytest meets it while it collects: what it declares must not clash then either."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "conftest.py").write_text(conftest(*OPTIONS))
    (tmp_path / "deep" / "er" / "test_own.py").write_text(READS.format(name="--boards", value="mine"))
    passes(run_pytest())


@pytest.mark.parametrize("names", [*[[name] for name in FIXTURES], FIXTURES], ids=" ".join)
def test_a_projects_own_fixtures_are_its_own(run_pytest, tmp_path, names):
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        + "".join(f"@pytest.fixture\ndef {name}():\n    return 'their {name}'\n" for name in names)
    )
    (tmp_path / "test_own.py").write_text(
        f"def test_own({', '.join(names)}):\n"
        + "".join(f"    assert {name} == 'their {name}'\n" for name in names)
    )
    passes(run_pytest())


@pytest.mark.parametrize(
    "text",
    [
        # a parameter of the test's own
        "import pytest\n@pytest.mark.parametrize('board', ['a', 'b'])\ndef test_own(board):\n    assert board in 'ab'\n",
        # made while tests are collected
        "def pytest_generate_tests(metafunc):\n"
        "    if 'board' in metafunc.fixturenames:\n        metafunc.parametrize('board', ['a', 'b'])\n"
        "def test_own(board):\n    assert board in 'ab'\n",
        # all three of them
        "def pytest_generate_tests(metafunc):\n"
        "    metafunc.parametrize('board,workload,remote', [(1, 2, 3), (1, 2, 3)])\n"
        "def test_own(remote, board, workload):\n    assert (board, workload, remote) == (1, 2, 3)\n",
        # a fixture with parameters
        "import pytest\n@pytest.fixture(params=['a', 'b'])\ndef board(request):\n    return request.param\n"
        "def test_own(board):\n    assert board in 'ab'\n",
        # in a class
        "import pytest\nclass TestOwn:\n    @pytest.fixture(params=[1, 2])\n    def remote(self, request):\n"
        "        return request.param\n    def test_own(self, remote):\n        assert remote in (1, 2)\n",
    ],
    ids=["mark", "generate", "generate all", "fixture", "class"],
)
def test_a_projects_own_parameters_are_its_own(run_pytest, tmp_path, text):
    (tmp_path / "test_own.py").write_text(text)
    passes(run_pytest(), n=2)


@pytest.mark.parametrize("name", ["board", "workload"])
def test_a_fixture_that_a_project_lacks_is_an_error_and_no_skip(run_pytest, tmp_path, name):
    (tmp_path / "test_own.py").write_text(f"def test_own({name}):\n    pass\n")
    done = run_pytest()
    assert done.returncode == 1
    assert "name `remote` among the test's arguments" in done.stdout
    assert "skipped" not in done.stdout


def test_the_help_has_our_long_names_and_nobody_elses(run_pytest, tmp_path):
    (tmp_path / "conftest.py").write_text(conftest("--inventory", attributes="help='theirs'"))
    shown = run_pytest("--help").stdout
    for name in LONG_NAMES.values():
        assert name in shown
    assert "theirs" in shown


def test_an_inventory_in_the_ini_file_does_not_touch_tests_that_measure_nothing(run_pytest, tmp_path):
    """It may be missing on a developer's machine, and xdist may run them."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntunebench_inventory = /nowhere/lab.toml\n")
    (tmp_path / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n    assert 'tunebench.harness.hil.session' not in sys.modules\n"
    )
    passes(run_pytest(cold=True))
    pytest.importorskip("xdist")
    passes(run_pytest("-n", "2"))


# With boards


@pytest.mark.slow
@pytest.mark.parametrize("names", [["board"], ["workload"], ["board", "workload"]], ids=" ".join)
def test_a_project_with_a_board_of_its_own_can_measure_by_the_long_names(
    run_pytest, tmp_path, quick, records, names
):
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        + "".join(f"@pytest.fixture\ndef {name}():\n    return 'their {name}'\n" for name in names)
    )
    (tmp_path / "test_own.py").write_text(
        f"def test_own(remote, tunebench_board, tunebench_workload, {', '.join(names)}):\n"
        "    assert remote().seconds\n    assert (tunebench_board.id, tunebench_workload.label) == ('one', 'a')\n"
        + "".join(f"    assert {name} == 'their {name}'\n" for name in names)
    )
    passes(run_pytest(*quick))
    assert len(records()) == 1


@pytest.mark.slow
def test_a_project_with_a_remote_of_its_own_can_measure_by_the_long_name(
    run_pytest, tmp_path, quick, records
):
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef remote():\n    return 'theirs'\n"
    )
    (tmp_path / "test_own.py").write_text(
        "def test_own(remote, tunebench_remote, board):\n"
        "    assert remote == 'theirs'\n    assert tunebench_remote().seconds\n    assert board.id == 'one'\n"
    )
    passes(run_pytest(*quick))
    assert len(records()) == 1


@pytest.mark.slow
def test_our_own_suite_measures_beside_a_projects_fixtures(run_pytest, tmp_path, quick, records):
    """A conftest.py at the root is heard by tests of installed packages, too."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        + "".join(f"@pytest.fixture\ndef {name}():\n    return 'their {name}'\n" for name in FIXTURES)
    )
    passes(run_pytest(*quick, "--pyargs", "tunebench.harness.hil", "--benchmark-group-by=param:board"))
    assert len(records()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_where_a_short_option_is_theirs_the_long_one_is_ours(
    run_pytest, tmp_path, lab, sleep_suite, measuring, records, name
):
    (tmp_path / "conftest.py").write_text(conftest(name))
    words = {
        "--inventory": str(lab("one", "two")),
        "--campaign": str(sleep_suite(["a", "b"], blocks=1)),
        "--boards": "one",
        "--methods": "a",
    }
    given = [f"{LONG_NAMES[short] if short == name else short}={value}" for short, value in words.items()]
    passes(run_pytest(*given, f"{name}=theirs"))
    assert [(record["board_id"], record["label"]) for record in records().values()] == [("one", "a")]


@pytest.mark.slow
def test_a_board_that_a_test_chooses_itself_is_the_only_one(run_pytest, tmp_path, lab, sleep_suite, records):
    (tmp_path / "test_own.py").write_text(
        "import pytest\n@pytest.mark.parametrize('board', ['two'], indirect=True)\n"
        "def test_own(remote, board, workload):\n    assert remote().seconds and board.id == 'two'\n"
    )
    passes(run_pytest("--inventory", str(lab("one", "two")), "--campaign", str(sleep_suite(["a"], blocks=1))))
    assert {record["board_id"] for record in records().values()} == {"two"}


@pytest.mark.slow
def test_options_may_stand_in_a_file_of_arguments(run_pytest, tmp_path, lab, sleep_suite, measuring, records):
    suite = sleep_suite(["a"], blocks=1)
    (tmp_path / "words.txt").write_text(f"--inventory={lab('one')}\n--campaign={suite}\n")
    passes(run_pytest("@words.txt"))
    assert len(records()) == 1
