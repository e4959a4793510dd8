"""The pytest plugin: ``pytest --inventory lab.toml --campaign quick --pyargs tunebench.harness.hil``.

Options, markers and fixtures; the work is done by the same calls that the CLI makes. Jobs start when collection
is final: one queue (thread) a board, boards in parallel. A test waits for its repetitions and replays the board's
seconds into pytest-benchmark.
"""

from __future__ import annotations

import fnmatch
import sys
from argparse import ArgumentError
from collections.abc import Callable, Generator
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.config.inventory import BoardEntry, Inventory, load_inventory
from tunebench.harness.config.suite import Suite, Workload, load_suite
from tunebench.harness.config.suite_schema import LEVELS, Delta
from tunebench.harness.errors import HarnessError, UsageError
from tunebench.harness.hil.run import HilRun
from tunebench.harness.hil.timer import ReplayClock, Result, replay
from tunebench.harness.planning.plan import unmet_need

_RUN = pytest.StashKey[HilRun]()
_SETUP = pytest.StashKey[tuple[Inventory, Suite] | None]()
_CLOCK = pytest.StashKey[ReplayClock]()

NO_INVENTORY = (
    "no inventory: give --inventory lab.toml (or --tunebench-inventory, or the ini key tunebench_inventory)"
)


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
        help=f"What to run: {', '.join(level for level in LEVELS if level != 'demo')}, or a suite file."
        " Default: smoke.",
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

    A plugin that is loaded after ours would fail on the conflict, so a known one is asked for first.
    """
    taken = name == "--inventory" and any(
        entry.value.startswith("pytest_ansible") for entry in entry_points(group="pytest11")
    )
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
    config.stash[_SETUP] = None
    path = _inventory_path(config)
    if not path:
        return
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError(
            "-n (xdist) does not go with --inventory: boards already run in parallel, one queue a board in this"
            " process; several processes would fight for the same boards, and pytest-benchmark disables itself"
            " under xdist. Leave -n out."
        )
    try:
        inventory = load_inventory(Path(path))
        suite = load_suite(_option(config, "tunebench_campaign")).only_methods(
            config.option.tunebench_methods
        )
        inventory.select(config.option.tunebench_boards)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_SETUP] = (inventory, suite)


def _inventory_path(config: pytest.Config) -> str:
    short = getattr(config.option, "inventory_short", None)
    return str(config.option.tunebench_inventory or short or config.getini("tunebench_inventory"))


def _option(config: pytest.Config, name: str) -> str:
    return str(getattr(config.option, name, None) or config.getini(name))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"board", "workload", "remote"} <= set(metafunc.fixturenames):
        return
    setup = metafunc.config.stash[_SETUP]
    if setup is None:
        skip = pytest.mark.skip(reason=NO_INVENTORY)
        metafunc.parametrize(
            "board,workload", [pytest.param("", "", marks=skip)], indirect=True, ids=["none"]
        )
        return
    inventory, suite = setup
    boards = [board.id for board in inventory.select(metafunc.config.option.tunebench_boards)]
    cells = [_cell_id(cell) for cell in suite.cells if _is_wanted(cell, metafunc.definition)]
    # Plain strings as parameters, so that --benchmark-group-by=param:board works and the JSON can hold them.
    metafunc.parametrize("workload", cells, indirect=True)
    metafunc.parametrize("board", sorted(boards), indirect=True)


def _cell_id(cell: Workload) -> str:
    return f"{cell.task}:{cell.label}"


def _is_wanted(cell: Workload, item: Any) -> bool:
    marker = item.get_closest_marker("tunebench")
    wanted = dict(marker.kwargs) if marker else {}
    for name, value in (("methods", cell.label), ("tasks", cell.task)):
        patterns = wanted.get(name)
        if patterns and not any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns):
            return False
    return True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "remote" in getattr(item, "fixturenames", ()):
            marker = item.get_closest_marker("benchmark")
            clock = item.stash[_CLOCK] = ReplayClock()
            given = dict(marker.kwargs) if marker else {}
            item.add_marker(pytest.mark.benchmark(**{**given, "timer": clock}), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Collection and selection are final: start every board's queue."""
    config = session.config
    setup = config.stash[_SETUP]
    if setup is None or config.option.collectonly or session.testsfailed:
        return
    wanted = _wanted_pairs(session, setup[1])
    if not wanted:
        return
    inventory, suite = setup
    try:
        run = HilRun(
            inventory,
            replace(suite, task_deltas=_task_deltas(session, suite)),
            wanted,
            out=Path(_option(config, "tunebench_out")),
            resume=config.option.tunebench_resume,
            command=["pytest", *sys.argv[1:]],
            data_dir=data_dir_from_env(),
            log=lambda line: _log(config, line),
        )
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_RUN] = run
    run.start()


def _wanted_pairs(session: pytest.Session, suite: Suite) -> set[tuple[str, tuple[str, str]]]:
    """(board id, cell key) of every selected test that can run there."""
    cells = {_cell_id(cell): cell for cell in suite.cells}
    pairs = set()
    for item in session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        cell = cells.get(params.get("workload", ""))
        if cell is not None and item.get_closest_marker("skip") is None:
            pairs.add((str(params["board"]), cell.key))
    return pairs


def _task_deltas(session: pytest.Session, suite: Suite) -> dict[str, dict[str, float]]:
    """What the marker ``delta`` says, by task: a verdict belongs to a task, so its tests must agree.

    Raises:
        UsageError: an unknown quantity, a value that is no positive number, or tests of a task that disagree.
    """
    cells = {_cell_id(cell): cell for cell in suite.cells}
    found: dict[str, dict[str, float]] = {}
    for item in session.items:
        marker = item.get_closest_marker("delta")
        cell = cells.get(getattr(getattr(item, "callspec", None), "params", {}).get("workload", ""))
        if marker is None or cell is None:
            continue
        try:
            Delta(**marker.kwargs)
            if marker.args:
                raise ValueError("give quantities by name, e.g. delta(time=0.05)")
        except ValueError as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            known = ", ".join(Delta.model_fields)
            raise UsageError(f"{item.nodeid}: marker delta: {why}; quantities: {known}") from None
        if found.setdefault(cell.task, dict(marker.kwargs)) != marker.kwargs:
            raise UsageError(
                f"{item.nodeid}: marker delta: another test of task {cell.task!r} says otherwise"
            )
    return found


def _log(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and config.get_verbosity() > 0:
        reporter.ensure_newline()
        reporter.write_line(f"tunebench: {line}")


@pytest.fixture
def board(request: pytest.FixtureRequest) -> BoardEntry:
    """The board of this test, as the inventory describes it."""
    setup = request.config.stash[_SETUP]
    if setup is None:
        pytest.skip(NO_INVENTORY)
    return next(entry for entry in setup[0].boards if entry.id == request.param)


@pytest.fixture
def workload(request: pytest.FixtureRequest) -> Workload:
    """The workload of this test: a row of the campaign's suite."""
    setup = request.config.stash[_SETUP]
    if setup is None:
        pytest.skip(NO_INVENTORY)
    return next(cell for cell in setup[1].cells if _cell_id(cell) == request.param)


@pytest.fixture
def remote(
    request: pytest.FixtureRequest, benchmark: Any, board: BoardEntry, workload: Workload
) -> Callable[[], Result]:
    """Call it to wait for this test's repetitions and to account the board's seconds in pytest-benchmark."""
    node = request.node

    def measure() -> Result:
        _skip_if_unmet(node, board, workload)
        run = request.config.stash.get(_RUN, None)
        if run is None:
            pytest.skip("the campaign was not started")
        result = run.wait(board.id, workload)
        reason = run.skip_reason(board.id, workload)
        if not result.records:
            pytest.skip(reason or f"board {board.id}: its queue ended before this workload")
        marker = node.get_closest_marker("tunebench")
        min_valid = (marker.kwargs if marker else {}).get("min_valid", 1)
        if len(result.seconds) < min_valid:
            reasons = {one.message for record in result.records for one in record.reasons}
            pytest.fail(
                f"{len(result.seconds)} usable repetitions of {len(result.records)}, {min_valid} needed: "
                + "; ".join(sorted(reasons)),
                pytrace=False,
            )
        replay(benchmark, node.stash[_CLOCK], result.seconds)
        benchmark.extra_info.update(run.extra_info(result))
        return result

    return measure


def _skip_if_unmet(node: Any, board: BoardEntry, workload: Workload) -> None:
    reason = unmet_need(workload, board)
    for marker in node.iter_markers("needs"):
        ram_gb = marker.kwargs.get("ram_gb")
        if marker.kwargs.get("gpu") and not board.capabilities.gpu:
            reason = "needs a GPU; the inventory gives this board none"
        if ram_gb is not None and (board.capabilities.ram_gb or 0) < ram_gb:
            reason = f"needs {ram_gb:g} GiB of memory; the inventory gives {board.capabilities.ram_gb}"
    if reason:
        pytest.skip(f"board {board.id}: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A measurement whose accuracy assertion failed is not a good result: say so in the JSON."""
    report = yield
    if report.failed and _CLOCK in item.stash:
        benchmark = getattr(item, "funcargs", {}).get("benchmark")
        if benchmark is not None:
            benchmark.has_error = True
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Point from the benchmark file to the results directory it was replayed from."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        output_json["tunebench"] = run.summary()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    run = session.config.stash.get(_RUN, None)
    if run is not None:
        run.finish(interrupted=bool(session.shouldstop) or session.exitstatus == pytest.ExitCode.INTERRUPTED)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is None:
        return
    terminalreporter.section("tunebench")
    for line in run.closing_lines(config.option.tunebench_report):
        terminalreporter.write_line(line)
