"""The pytest plugin: ``pytest --inventory lab.toml --campaign quick --pyargs tunebench.harness.hil``.

Options, markers and fixtures. pytest imports this module wherever tunebench is installed, so it imports nothing but
pytest: what measures (:mod:`tunebench.harness.hil.session`) is imported and registered once an inventory is given.
"""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry
    from tunebench.harness.config.suite import Workload
    from tunebench.harness.hil.session import HilSession
    from tunebench.harness.hil.timer import Result

#: What measures in this session; None where no inventory is given.
_SESSION: pytest.StashKey[HilSession | None] = pytest.StashKey()

NO_INVENTORY = (
    "no inventory: give --inventory lab.toml (or --tunebench-inventory, or the ini key tunebench_inventory)"
)
#: The built-in suites that the help names; :data:`tunebench.harness.config.suite_schema.LEVELS` without the demo.
LEVELS = "smoke, quick, nightly, paper"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tunebench", "tunebench: fine-tuning on the boards of an inventory")
    _add(group, "--inventory", dest="inventory_short", metavar="FILE", help="The lab's boards (TOML).")
    group.addoption(
        "--tunebench-inventory",
        dest="tunebench_inventory",
        metavar="FILE",
        help="The same; the only one where another plugin has taken --inventory.",
    )
    _add(
        group,
        "--boards",
        dest="tunebench_boards",
        metavar="GLOB",
        help="Only boards whose id or tag matches.",
    )
    _add(group, "--methods", dest="tunebench_methods", metavar="LIST", help="Only these methods.")
    _add(
        group,
        "--campaign",
        dest="tunebench_campaign",
        metavar="NAME|FILE",
        help=f"What to run: {LEVELS}, or a suite file. Default: smoke.",
    )
    group.addoption(
        "--tunebench-out", dest="tunebench_out", metavar="DIR", help="Root of the results. Default: results."
    )
    group.addoption(
        "--tunebench-resume",
        dest="tunebench_resume",
        action="store_true",
        default=False,
        help="Continue the newest unfinished run of the same campaign.",
    )
    group.addoption(
        "--tunebench-report", dest="tunebench_report", metavar="FILE", help="Write the HTML report here."
    )
    parser.addini("tunebench_inventory", "The lab's boards (TOML).", default="")
    parser.addini("tunebench_campaign", "What to run.", default="smoke")
    parser.addini("tunebench_out", "Root of the results.", default="results")


def _add(group: Any, name: str, **attributes: Any) -> None:
    """Add an option whose short name another plugin may have taken; ours then has its long name only.

    A plugin that is loaded after ours would fail on the conflict, so a known one is looked for first.
    """
    taken = name == "--inventory" and find_spec("pytest_ansible") is not None
    try:
        if not taken:
            group.addoption(name, **attributes)
            return
    except (ValueError, ArgumentError):
        pass
    if name != "--inventory":
        group.addoption(f"--tunebench-{name.removeprefix('--')}", **attributes)


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "tunebench(methods=None, tasks=None, min_valid=1): which workloads of the campaign a test takes (globs)"
        " and how many usable repetitions it needs",
        "delta(time=None, energy=None, memory=None, accuracy=None): differences that do not matter in this test's"
        " tasks, shares but for accuracy (points); beats the suite's",
        "needs(ram_gb=None, gpu=False): skip boards whose capabilities do not suffice",
    ):
        config.addinivalue_line("markers", line)
    config.stash[_SESSION] = None
    path = _inventory_path(config)
    if not path:
        return
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError(
            "-n (xdist) does not go with --inventory: boards already run in parallel, one queue a board in this"
            " process; several processes would fight for the same boards, and pytest-benchmark disables itself"
            " under xdist. Leave -n out."
        )
    from tunebench.harness.hil.session import open_hil_session

    session = config.stash[_SESSION] = open_hil_session(config, path)
    config.pluginmanager.register(session, "tunebench-session")


def _inventory_path(config: pytest.Config) -> str:
    short = getattr(config.option, "inventory_short", None)
    return str(config.option.tunebench_inventory or short or config.getini("tunebench_inventory"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"board", "workload", "remote"} <= set(metafunc.fixturenames):
        return
    session = metafunc.config.stash[_SESSION]
    if session is None:
        skip = pytest.mark.skip(reason=NO_INVENTORY)
        metafunc.parametrize(
            "board,workload", [pytest.param("", "", marks=skip)], indirect=True, ids=["none"]
        )
        return
    # Plain strings as parameters, so that --benchmark-group-by=param:board works and the JSON can hold them.
    metafunc.parametrize("workload", session.workload_ids(metafunc.definition), indirect=True)
    metafunc.parametrize("board", session.board_ids(), indirect=True)


def _session(request: pytest.FixtureRequest) -> HilSession:
    session = request.config.stash[_SESSION]
    if session is None:
        pytest.skip(NO_INVENTORY)
    return session


@pytest.fixture
def board(request: pytest.FixtureRequest) -> BoardEntry:
    """Return the board of this test, as the inventory describes it."""
    return _session(request).board(request.param)


@pytest.fixture
def workload(request: pytest.FixtureRequest) -> Workload:
    """Return the workload of this test: a row of the campaign's suite."""
    return _session(request).workload(request.param)


@pytest.fixture
def remote(
    request: pytest.FixtureRequest, benchmark: Any, board: BoardEntry, workload: Workload
) -> Callable[[], Result]:
    """Return a function that waits for this test's repetitions and accounts their seconds in pytest-benchmark."""
    session = _session(request)
    return lambda: session.measure(request.node, benchmark, board, workload)
