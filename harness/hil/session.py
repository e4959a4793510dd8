"""What a pytest session with an inventory measures: the hooks of the plugin that only then are registered.

The work is done by the same calls that the CLI makes. Jobs start when collection is final: one queue (thread) a board,
boards in parallel. A test waits for its repetitions and replays the board's seconds into pytest-benchmark.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.config.inventory import BoardEntry, Inventory, load_inventory
from tunebench.harness.config.suite import Suite, Workload, load_suite
from tunebench.harness.config.suite_schema import Delta
from tunebench.harness.errors import HarnessError, UsageError
from tunebench.harness.hil.run import HilRun
from tunebench.harness.hil.timer import ReplayClock, Result, replay
from tunebench.harness.planning.plan import unmet_need

_CLOCK = pytest.StashKey[ReplayClock]()


def open_hil_session(config: pytest.Config, inventory_path: str) -> HilSession:
    """Read the inventory and the suite that the options name.

    Raises:
        pytest.UsageError: one of them is wrong, or no board or method is left; pytest prints it without a traceback.
    """
    try:
        inventory = load_inventory(Path(inventory_path))
        suite = load_suite(_option(config, "tunebench_campaign")).only_methods(
            config.option.tunebench_methods
        )
        boards = inventory.select(config.option.tunebench_boards)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
    return HilSession(config, inventory, suite, boards)


def _option(config: pytest.Config, name: str) -> str:
    return str(getattr(config.option, name, None) or config.getini(name))


class HilSession:
    """A plugin object: the boards and the suite of this pytest session, and the run once it is started."""

    def __init__(
        self, config: pytest.Config, inventory: Inventory, suite: Suite, boards: list[BoardEntry]
    ) -> None:
        self._config = config
        self._inventory = inventory
        self._suite = suite
        self._boards = boards
        self._workloads: Mapping[str, Workload] = {
            f"{workload.task}:{workload.label}": workload for workload in suite.workloads
        }
        self._run: HilRun | None = None

    def board_ids(self) -> list[str]:
        """Return the ids of the boards that tests are made for, by alphabet."""
        return sorted(board.id for board in self._boards)

    def workload_ids(self, item: Any) -> list[str]:
        """Return ``task:label`` of every workload that the marker ``tunebench`` of a test lets through."""
        marker = item.get_closest_marker("tunebench")
        wanted = dict(marker.kwargs) if marker else {}
        return [
            workload_id
            for workload_id, workload in self._workloads.items()
            if _matches(workload.label, wanted.get("methods"))
            and _matches(workload.task, wanted.get("tasks"))
        ]

    def board(self, board_id: str) -> BoardEntry:
        """Return a board by its id."""
        return next(entry for entry in self._inventory.boards if entry.id == board_id)

    def workload(self, workload_id: str) -> Workload:
        """Return a workload by its ``task:label``."""
        return self._workloads[workload_id]

    def measure(self, node: Any, benchmark: Any, board: BoardEntry, workload: Workload) -> Result:
        """Wait for a test's repetitions, replay their seconds, and return them; skip or fail without enough."""
        _skip_if_unmet(node, board, workload)
        run = self._run
        if run is None:
            pytest.skip("the campaign was not started")
        result = run.wait(board.id, workload)
        reason = run.skip_reason(board.id, workload)
        if not result.records:
            pytest.skip(reason or f"board {board.id}: its queue ended before this workload")
        marker = node.get_closest_marker("tunebench")
        min_valid = (marker.kwargs if marker else {}).get("min_valid", 1)
        if len(result.seconds) < min_valid:
            reasons = {reason.message for record in result.records for reason in record.reasons}
            pytest.fail(
                f"{len(result.seconds)} usable repetitions of {len(result.records)}, {min_valid} needed: "
                + "; ".join(sorted(reasons)),
                pytrace=False,
            )
        replay(benchmark, node.stash[_CLOCK], result.seconds)
        benchmark.extra_info.update(run.extra_info(result))
        return result

    # Hooks of pytest and pytest-benchmark.

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if "remote" in getattr(item, "fixturenames", ()):
                marker = item.get_closest_marker("benchmark")
                clock = item.stash[_CLOCK] = ReplayClock()
                given = dict(marker.kwargs) if marker else {}
                item.add_marker(pytest.mark.benchmark(**{**given, "timer": clock}), append=False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start every board's queue: collection and selection are final."""
        if self._config.option.collectonly or session.testsfailed:
            return
        wanted = self._wanted(session)
        if not wanted:
            return
        try:
            self._run = HilRun(
                self._inventory,
                replace(self._suite, task_deltas=self._task_deltas(session)),
                wanted,
                out=Path(_option(self._config, "tunebench_out")),
                resume=self._config.option.tunebench_resume,
                command=["pytest", *sys.argv[1:]],
                data_dir=data_dir_from_env(),
                log=self._log,
            )
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from None
        self._run.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Mark a measurement in the benchmark JSON as failed if its test failed, e.g. its accuracy assertion."""
        report = yield
        if report.failed and _CLOCK in item.stash:
            benchmark = getattr(item, "funcargs", {}).get("benchmark")
            if benchmark is not None:
                benchmark.has_error = True
        return report

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Write into the benchmark file which results directory it was replayed from."""
        if self._run is not None:
            output_json["tunebench"] = self._run.summary()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._run is not None:
            interrupted = bool(session.shouldstop) or session.exitstatus == pytest.ExitCode.INTERRUPTED
            self._run.finish(interrupted=interrupted)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._run is None:
            return
        terminalreporter.section("tunebench")
        for line in self._run.closing_lines(self._config.option.tunebench_report):
            terminalreporter.write_line(line)

    def _wanted(self, session: pytest.Session) -> set[tuple[str, tuple[str, str]]]:
        """Return (board id, workload key) of every selected test that can run there."""
        pairs = set()
        for item in session.items:
            workload = self._workload_of(item)
            if workload is not None and item.get_closest_marker("skip") is None:
                pairs.add((str(_parameters(item)["board"]), workload.key))
        return pairs

    def _task_deltas(self, session: pytest.Session) -> dict[str, dict[str, float]]:
        """Return what the marker ``delta`` says, by task: a verdict belongs to a task, so its tests must agree.

        Raises:
            UsageError: an unknown quantity, a value that is no positive number, or tests of a task that disagree.
        """
        deltas: dict[str, dict[str, float]] = {}
        for item in session.items:
            marker = item.get_closest_marker("delta")
            workload = self._workload_of(item)
            if marker is None or workload is None:
                continue
            try:
                Delta(**marker.kwargs)
                if marker.args:
                    raise ValueError("give quantities by name, e.g. delta(time=0.05)")
            except ValueError as error:
                reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
                known = ", ".join(Delta.model_fields)
                raise UsageError(f"{item.nodeid}: marker delta: {reason}; quantities: {known}") from None
            if deltas.setdefault(workload.task, dict(marker.kwargs)) != marker.kwargs:
                raise UsageError(
                    f"{item.nodeid}: marker delta: another test of task {workload.task!r} says otherwise"
                )
        return deltas

    def _workload_of(self, item: pytest.Item) -> Workload | None:
        return self._workloads.get(_parameters(item).get("workload", ""))

    def _log(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self._config.get_verbosity() > 0:
            reporter.ensure_newline()
            reporter.write_line(f"tunebench: {line}")


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return parameters


def _matches(name: str, patterns: list[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


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
