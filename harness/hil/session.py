"""What a pytest session with an inventory measures: the hooks of the plugin that only then are registered.

The work is done by the same calls that the CLI makes. Jobs start when collection is final: one queue (thread) a board,
boards in parallel. A test waits for its repetitions and replays the board's seconds into pytest-benchmark.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import sys
import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tunebench.harness.account import complete_account
from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.harness.board.drawing import check_counts, pools_of
from tunebench.harness.config.inventory import BoardEntry, Inventory, load_inventory
from tunebench.harness.config.suite import Suite, Workload, load_suite, sized
from tunebench.harness.config.tables.schema import Delta
from tunebench.harness.errors import HarnessError, UsageError, ending_of
from tunebench.harness.hil import options
from tunebench.harness.hil.items import measures, parameter
from tunebench.harness.hil.options import Source
from tunebench.harness.hil.run import HilRun
from tunebench.harness.hil.timer import ReplayClock, Result, replay
from tunebench.harness.hil.waiting import WaitingTests
from tunebench.harness.planning.plan import unmet_need

_CLOCK = pytest.StashKey[ReplayClock]()


#: What the marker ``tunebench`` may say.
_MARKER_KEYS = {"methods", "tasks", "min_valid"}
FORKED = (
    "the marker `forked` (pytest-forked) runs this test in another process than the one that measures: take the marker"
    " away, or leave out the tests that have it (`-m 'not forked'`)"
)
#: Exit code of a session in which nothing was measured, pytest's for a session that was asked for wrongly.
NOTHING_MEASURED = pytest.ExitCode.USAGE_ERROR


def open_hil_session(config: pytest.Config, source: Source) -> HilSession:
    """Read the inventory and the suite that the options name.

    Raises:
        pytest.UsageError: one of them is wrong, or no board or method is left; pytest prints it without a traceback.
    """
    complete_account()
    report = config.option.tunebench_report
    if report and Path(report).is_dir():
        raise pytest.UsageError(f"--tunebench-report {report}: is a folder; name a file in it")
    if report == "-":
        raise pytest.UsageError(
            "--tunebench-report -: names a file; standard output is pytest's own. Later: tunebench report RUN --html -"
        )
    try:
        inventory = _inventory(source)
        full_suite = sized(load_suite(options.campaign(config)), blocks=config.option.tunebench_blocks)
        suite = full_suite.only_methods(config.option.tunebench_methods)
        if not suite.workloads:
            raise UsageError(f"--methods {config.option.tunebench_methods!r}: names no method")
        boards = inventory.select(config.option.tunebench_boards)
        check_counts(boards)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
    except Exception as error:
        raise pytest.UsageError(ending_of(error).message) from error
    return HilSession(config, inventory, suite, boards, full_suite)


def _inventory(source: Source) -> Inventory:
    """Read the inventory.

    Raises:
        UsageError: it cannot be read; if the option belongs to somebody else, that is said, too.
    """
    try:
        return load_inventory(source.path)
    except UsageError as error:
        if not source.taken:
            raise
        raise UsageError(
            f"{source.named_by} belongs to another plugin or a conftest.py here, and what it names is no inventory of"
            f" tunebench's ({error}). Give --tunebench-inventory lab.toml; or --tunebench-inventory= to skip the tests"
            " that measure"
        ) from None


class HilSession:
    """A plugin object: the boards and the suite of this pytest session, and the run once it is started."""

    def __init__(
        self,
        config: pytest.Config,
        inventory: Inventory,
        suite: Suite,
        boards: list[BoardEntry],
        full_suite: Suite,
    ) -> None:
        self._config = config
        self._inventory = inventory
        self._suite = suite
        self._boards = boards
        self._workloads: Mapping[str, Workload] = {
            f"{workload.task}:{workload.label}": workload for workload in suite.workloads
        }
        self._full_suite = full_suite
        self._run: HilRun | None = None
        self._waiting = WaitingTests()
        self._asked: set[str] = set()
        self._measured = False
        self._troubles: list[str] = []
        self._unmatched: list[str] = []
        self._unshown: deque[str] = deque()
        self._thread_id = threading.get_ident()

    def board_ids(self) -> list[str]:
        """Return the ids of the boards that tests are made for, by alphabet; of a pool all, since any may be drawn."""
        return sorted(board.id for board in self._boards)

    def workload_ids(self, item: Any) -> list[str]:
        """Return ``task:label`` of every workload that the marker ``tunebench`` of a test lets through."""
        return [
            workload_id for workload_id, workload in self._workloads.items() if _lets_through(item, workload)
        ]

    def left_out(self, item: Any) -> str | None:
        """Return why a test without workloads skips: ``--methods`` leaves out what it takes.

        None: no workload of the whole campaign matches its marker, which is a mistake and fails the test.
        """
        if any(_lets_through(item, workload) for workload in self._full_suite.workloads):
            return f"--methods {self._config.option.tunebench_methods} leaves out what this test takes"
        return None

    def board(self, node: Any) -> BoardEntry:
        """Return the board of a test; a test without one fails."""
        self.workload(node)
        board_id = parameter(node, "board")
        for entry in self._boards:
            if entry.id == board_id:
                return entry
        known = ", ".join(self.board_ids())
        pytest.fail(f"no board {board_id!r}; the inventory has: {known}", pytrace=False)

    def workload(self, node: Any) -> Workload:
        """Return the workload of a test; a test without one fails."""
        workload_id = parameter(node, "workload")
        workload = self._workloads.get(workload_id or "")
        if workload is not None:
            return workload
        known = ", ".join(self._workloads)
        marker = node.get_closest_marker("tunebench")
        if workload_id == "" and marker is not None:
            words = ", ".join(f"{name}={value!r}" for name, value in marker.kwargs.items())
            message = f"marker tunebench({words}) matches no workload of suite {self._suite.name!r}, which has: {known}"
        else:
            message = f"no workload {workload_id!r}; suite {self._suite.name!r} has: {known}"
        pytest.fail(message, pytrace=False)

    def measure(self, node: Any, benchmark: Any, board: BoardEntry, workload: Workload) -> Result:
        """Wait for a test's repetitions, replay their seconds, and return them; skip or fail without enough."""
        self._asked.add(node.nodeid)
        _skip_if_unmet(node, board, workload)
        run = self._run
        if run is None:
            pytest.fail("the campaign was not started: nothing is measured in this session", pytrace=False)
        if os.getpid() != run.pid:
            pytest.fail(
                "this test runs in another process than the one that measures; leave out the plugin or option that"
                " starts a process for each test",
                pytrace=False,
            )
        if not hasattr(benchmark, "pedantic"):
            pytest.fail(
                f"the fixture `benchmark` is not pytest-benchmark's ({type(benchmark).__name__}): the boards' seconds"
                " are accounted there, so give the project's own fixture another name",
                pytrace=False,
            )
        result = self._waited(run, board, workload)
        self._waiting.bring_in(node.session, run.board_ids)
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
        self._measured = True
        replay(benchmark, node.stash[_CLOCK], result.seconds)
        benchmark.extra_info.update(run.extra_info(result))
        return result

    def _waited(self, run: HilRun, board: BoardEntry, workload: Workload) -> Result:
        """Wait for a test's repetitions; an error that ended the campaign is one sentence, unless a trace is wanted."""
        try:
            return run.wait(board.id, workload)
        except Exception as error:
            if _wants_traces(self._config.option):
                raise
            pytest.fail(f"the campaign has ended: {ending_of(error).message}", pytrace=False)

    # Hooks of pytest and pytest-benchmark.

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if measures(item):
                self._note_unmatched(item)
                marker = item.get_closest_marker("benchmark")
                clock = item.stash[_CLOCK] = ReplayClock()
                given = dict(marker.kwargs) if marker else {}
                item.add_marker(pytest.mark.benchmark(**{**given, "timer": clock}), append=False)

    def _note_unmatched(self, item: pytest.Item) -> None:
        """Note what a marker names beside what it matches: a slip of the pen there would be measured by no test."""
        for words in unmatched(item, self._full_suite.workloads):
            test = item.nodeid.partition("[")[0]
            line = f"tunebench: {test}: marker tunebench({words}) matches no workload of suite {self._suite.name!r}"
            if line not in self._unmatched:
                self._unmatched.append(line)

    @pytest.hookimpl(trylast=True)
    def pytest_report_collectionfinish(self) -> list[str]:
        """Say what is going to be measured, and which options are not ours."""
        if self._config.get_verbosity() < 0:
            return []
        lines = [
            f"tunebench: suite {self._suite.name}, boards {', '.join(self.board_ids())}",
            *(
                f"tunebench: of {', '.join(board.id for board in candidates)} any {pool.count} are drawn when tests run"
                for pool, candidates in pools_of(self._boards).items()
            ),
            *self._unmatched,
        ]
        foreign = [name for name in options.taken(self._config) if name != options.INVENTORY]
        lines += [
            f"tunebench: {name} belongs to another plugin or a conftest.py here; ours is {options.LONG_NAMES[name]}"
            for name in foreign
        ]
        return lines

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start every board's queue: collection and selection are final."""
        option = self._config.option
        broken = session.testsfailed and not option.continue_on_collection_errors
        if broken or not _runs_tests(option):
            return
        try:
            _check_markers(session)
            wanted = self._wanted(session)
            if not wanted:
                return
            self._run = HilRun(
                self._inventory,
                replace(self._suite, task_deltas=self._task_deltas(session)),
                wanted,
                out=options.out(self._config),
                resume=option.tunebench_resume,
                command=["pytest", *sys.argv[1:]],
                data_dir=data_dir_from_env(),
                log=self._log,
                tell=self._tell,
                idle=self._show,
            )
        except Exception as error:
            if _wants_traces(option):
                raise
            raise pytest.UsageError(ending_of(error).message) from None
        drawn_from = {board.id for board in self._boards if board.pool is not None}
        self._waiting.set_aside(session, drawn_from - self._run.board_ids)
        self._run.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Mark a measurement in the benchmark JSON as failed if its test failed, e.g. its accuracy assertion.

        A test that never calls its ``remote`` has looked at no measurement, and fails.
        """
        report = yield
        if call.when == "call" and report.passed and measures(item) and item.nodeid not in self._asked:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} asks for `remote` and never calls it: nothing was looked at"
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
            try:
                self._run.finish(interrupted=interrupted)
            except Exception as error:  # noqa: BLE001 - pytest would print a traceback of its own
                self._troubles.append(ending_of(error).message)
        if session.exitstatus == pytest.ExitCode.OK and self._nothing_measured(session):
            self._troubles.append(
                "Nothing was measured: no test got a usable repetition, so this session does not pass."
                " `pytest -rs` shows why each was skipped."
            )
        if self._troubles and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = NOTHING_MEASURED

    def _nothing_measured(self, session: pytest.Session) -> bool:
        """Tell whether tests asked for measurements, and not one has got a usable one."""
        asked = any(measures(item) for item in getattr(session, "items", ()))
        return asked and not self._measured and _runs_tests(self._config.option)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._run is None and not self._troubles:
            return
        terminalreporter.section("tunebench")
        if self._run is not None:
            for line in self._run.closing_lines(self._config.option.tunebench_report):
                terminalreporter.write_line(line)
        for trouble in self._troubles:
            terminalreporter.write_line(trouble, red=True)

    def _wanted(self, session: pytest.Session) -> set[tuple[str, tuple[str, str]]]:
        """Return (board id, workload key) of every selected test that can run there."""
        pairs = set()
        for item in session.items:
            workload = self._workload_of(item)
            if workload is not None and measures(item) and item.get_closest_marker("skip") is None:
                board_id = parameter(item, "board")
                if any(entry.id == board_id for entry in self._boards):
                    pairs.add((str(board_id), workload.key))
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
            if marker is None or workload is None or not measures(item):
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
        return self._workloads.get(parameter(item, "workload") or "")

    def _log(self, line: str) -> None:
        """Show a line with ``-v``."""
        if self._config.get_verbosity() > 0:
            self._write(line)

    def _tell(self, line: str) -> None:
        """Show a line that comes seldom, also with ``-q``; with ``-v`` every event is shown instead."""
        if -1 <= self._config.get_verbosity() <= 0:
            self._write(line)

    def _write(self, line: str) -> None:
        """Show a line; one of a board's thread as soon as the session's own thread waits or comes by."""
        self._unshown.append(line)
        self._show()

    def _show(self) -> None:
        """Show the lines that wait, past pytest's capture, which would keep them for a test that fails.

        Only the session's own thread may turn the capture off for a moment. A terminal that is gone is no reason to stop
        a board's queue.
        """
        if threading.get_ident() != self._thread_id:
            return
        plugins = self._config.pluginmanager
        reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
        while self._unshown:
            line = self._unshown.popleft()
            if reporter is None:
                continue
            shown = capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext()
            with contextlib.suppress(OSError, ValueError), shown:
                reporter.ensure_newline()
                reporter.write_line(f"tunebench: {line}")


def _wants_traces(option: Any) -> bool:
    """Tell whether whoever called wants to see where an error came from."""
    return bool(getattr(option, "fulltrace", False) or getattr(option, "debug", None))


def _runs_tests(option: Any) -> bool:
    """Tell whether this session runs tests at all, and not only lists them or sets fixtures up."""
    return not (
        option.collectonly or getattr(option, "setuponly", False) or getattr(option, "setupplan", False)
    )


def _lets_through(item: Any, workload: Workload) -> bool:
    """Tell whether the marker ``tunebench`` of a test lets a workload through."""
    marker = item.get_closest_marker("tunebench")
    wanted = dict(marker.kwargs) if marker else {}
    return _matches(workload.label, _globs(wanted.get("methods"))) and _matches(
        workload.task, _globs(wanted.get("tasks"))
    )


def _matches(name: str, globs: Sequence[str] | None) -> bool:
    return globs is None or any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _globs(patterns: Any) -> list[str] | None:
    """Return the globs that a marker names: one text may hold several, with commas. None: all; empty: it names nothing.

    What is neither text nor a list of texts matches nothing; so its test fails, and shows what the marker says.
    """
    if patterns is None:
        return None
    texts = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(texts, list | tuple | set | frozenset) or not all(
        isinstance(text, str) for text in texts
    ):
        return []
    return [glob.strip() for text in texts for glob in text.split(",") if glob.strip()]


def unmatched(item: Any, workloads: Sequence[Workload]) -> list[str]:
    """Return the globs of a test's marker that match no workload at all, as ``methods='lora-al'``."""
    marker = item.get_closest_marker("tunebench")
    wanted = dict(marker.kwargs) if marker else {}
    names = {
        "methods": [workload.label for workload in workloads],
        "tasks": [workload.task for workload in workloads],
    }
    return [
        f"{key}={glob!r}"
        for key, known in names.items()
        for glob in _globs(wanted.get(key)) or ()
        if not any(fnmatch.fnmatchcase(name, glob) for name in known)
    ]


def _check_markers(session: pytest.Session) -> None:
    """Refuse a marker ``tunebench`` that says what we do not know (it would choose everything), and one that forks.

    Raises:
        UsageError: names the test, and what is known.
    """
    forks = session.config.pluginmanager.hasplugin("pytest_forked")
    for item in filter(measures, session.items):
        if forks and item.get_closest_marker("forked") is not None:
            raise UsageError(f"{item.nodeid}: {FORKED}")
        marker = item.get_closest_marker("tunebench")
        if marker is None:
            continue
        unknown = [repr(value) for value in marker.args] + sorted(marker.kwargs.keys() - _MARKER_KEYS)
        if unknown:
            known = ", ".join(sorted(_MARKER_KEYS))
            raise UsageError(f"{item.nodeid}: marker tunebench: unknown {', '.join(unknown)}; known: {known}")
        min_valid = marker.kwargs.get("min_valid", 1)
        if not isinstance(min_valid, int) or min_valid < 1:
            raise UsageError(
                f"{item.nodeid}: marker tunebench: min_valid={min_valid!r}: a whole number from 1"
            )


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
