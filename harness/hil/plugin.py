"""The pytest plugin: ``pytest --inventory lab.toml --campaign quick --pyargs tunebench.harness.hil``.

Hooks, markers and fixtures. pytest imports this module wherever tunebench is installed, so it imports nothing but
pytest and the options: what measures (:mod:`tunebench.harness.hil.session`) is imported once an inventory is named and a
test asks for it.

Installed is not imposed. ``board``, ``workload`` and ``remote`` are short names of ``tunebench_board``,
``tunebench_workload`` and ``tunebench_remote``; a project that has fixtures of these names keeps its own, and may use the
long ones beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tunebench.harness.hil import options
from tunebench.harness.hil.items import REMOTE, measures

if TYPE_CHECKING:
    from tunebench.harness.config.inventory import BoardEntry
    from tunebench.harness.config.suite import Workload
    from tunebench.harness.hil.session import HilSession
    from tunebench.harness.hil.timer import Result

NO_INVENTORY = (
    "no inventory: give --inventory lab.toml (or --tunebench-inventory, or the ini key tunebench_inventory)"
)
NOTHING_MEASURES = (
    "no selected test asks for the fixture `remote`, so nothing would be measured. tunebench's own suite is named by"
    " `--pyargs tunebench.harness.hil`; to run the other tests, leave the inventory out"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    if sys.stdout is None or sys.stderr is None:
        from tunebench.harness.hil.streams import open_closed_streams

        open_closed_streams()
    options.foresee(early_config, parser, args)
    result = yield
    options.claim(early_config, parser, args)
    return result


@dataclass
class Lab:
    """The inventory of a pytest session: opened when the first test asks for a board.

    Attributes:
        config: of the session.
        source: where the inventory is named; None: nowhere.
        session: what measures, once it is open.
        refusal: why it cannot be opened.
        asking: ids of the tests that measure and that their own marks do not skip.
    """

    config: pytest.Config
    source: options.Source | None
    session: HilSession | None = None
    refusal: str | None = None
    asking: set[str] = field(default_factory=set)

    def open(self) -> HilSession | None:
        """Return what measures; None where no inventory is named, or where it is refused."""
        if self.session is None and self.source is not None and self.refusal is None:
            self.refusal = options.unfit(self.config)
            if self.refusal is None:
                from tunebench.harness.hil.session import open_hil_session

                try:
                    self.session = open_hil_session(self.config, self.source)
                except pytest.UsageError as error:
                    self.refusal = str(error)
                else:
                    self.config.pluginmanager.register(self.session, "tunebench-session")
        return self.session


_LAB: pytest.StashKey[Lab] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "tunebench(methods=None, tasks=None, min_valid=1): which workloads of the campaign a test takes (globs)"
        " and how many usable repetitions it needs",
        "delta(time=None, energy=None, memory=None, accuracy=None): differences that do not matter in this test's"
        " tasks, shares but for accuracy (points); beats the suite's",
        "needs(ram_gb=None, gpu=False): skip boards whose capabilities do not suffice",
    ):
        config.addinivalue_line("markers", line)
    lab = config.stash[_LAB] = Lab(config, options.inventory_source(config))
    if lab.source is not None and not hasattr(config, "workerinput"):
        from tunebench.harness.hil.streams import forgive_standard_streams

        config.add_cleanup(forgive_standard_streams())
    if lab.source is not None and lab.source.explicit and not config.option.help:
        lab.open()
        if lab.refusal is not None:
            raise pytest.UsageError(lab.refusal)


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test that measures for every workload that it takes and every board.

    Last of all: a board or workload that the project itself has chosen stays.
    """
    if REMOTE not in metafunc.fixturenames:
        return
    lab = metafunc.config.stash[_LAB]
    session = lab.open()
    workload, board = (_argument(metafunc, name) for name in ("workload", "board"))
    # Plain strings as parameters, so that --benchmark-group-by=param:board works and the JSON can hold them.
    workload_ids = session.workload_ids(metafunc.definition) if session is not None else []
    if session is not None and workload_ids:
        _parametrize(metafunc, workload, workload_ids)
        _parametrize(metafunc, board, session.board_ids())
        return
    # One test that skips, or that the fixture fails, with the reason.
    reason = NO_INVENTORY if lab.refusal is None and session is None else None
    if session is not None:
        reason = session.left_out(metafunc.definition)
    marks = [pytest.mark.skip(reason=reason)] if reason is not None else []
    _parametrize(metafunc, workload, [pytest.param("", marks=marks, id="none")])


def _argument(metafunc: pytest.Metafunc, name: str) -> str:
    """Return the short name of a fixture if the test has ours by it, else the long one."""
    return name if f"_tunebench_short_{name}" in metafunc.fixturenames else f"tunebench_{name}"


def _parametrize(metafunc: pytest.Metafunc, argument: str, values: list[Any]) -> None:
    try:
        metafunc.parametrize(argument, values, indirect=True)
    except (ValueError, pytest.Collector.CollectError):
        pass  # the project has parametrized it


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which tests measure, before ``--benchmark-skip`` marks them as skipped."""
    config.stash[_LAB].asking |= {
        item.nodeid for item in items if measures(item) and item.get_closest_marker("skip") is None
    }


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Refuse, before anything is measured, a session that could only seem to measure."""
    config = session.config
    lab = config.stash[_LAB]
    if lab.source is None or config.option.collectonly or hasattr(config, "workerinput"):
        return
    measuring = [item for item in session.items if measures(item)]
    if lab.refusal is not None and any(item.nodeid in lab.asking for item in measuring):
        raise pytest.UsageError(lab.refusal)
    if lab.source.explicit and session.items and not measuring:
        raise pytest.UsageError(f"{lab.source.named_by}: {NOTHING_MEASURES}")


def _session(request: pytest.FixtureRequest) -> HilSession:
    """Return what measures; skip without an inventory, fail where it is refused."""
    lab = request.config.stash[_LAB]
    if not measures(request.node):
        pytest.fail(
            "the fixtures `board` and `workload` of tunebench describe a measurement: name `remote` among the test's"
            " arguments, too. If this project has nothing to do with tunebench, a fixture of its own is missing",
            pytrace=False,
        )
    session = lab.open()
    if session is not None:
        return session
    if lab.refusal is None:
        pytest.skip(NO_INVENTORY)
    pytest.fail(lab.refusal, pytrace=False)


@pytest.fixture
def tunebench_board(request: pytest.FixtureRequest) -> BoardEntry:
    """Return the board of this test, as the inventory describes it."""
    return _session(request).board(request.node)


@pytest.fixture
def tunebench_workload(request: pytest.FixtureRequest) -> Workload:
    """Return the workload of this test: a row of the campaign's suite."""
    return _session(request).workload(request.node)


@pytest.fixture
def tunebench_remote(
    request: pytest.FixtureRequest,
    benchmark: Any,
    tunebench_workload: Workload,
    tunebench_board: BoardEntry,
) -> Callable[[], Result]:
    """Return a function that waits for this test's repetitions and accounts their seconds in pytest-benchmark."""
    session = _session(request)
    results: list[Result] = []

    def remote() -> Result:
        if not results:
            results.append(session.measure(request.node, benchmark, tunebench_board, tunebench_workload))
        return results[0]

    return remote


# These tell, among the names of a test's fixtures, that its `board` or `workload` is ours.


@pytest.fixture
def _tunebench_short_board(tunebench_board: BoardEntry) -> BoardEntry:
    return tunebench_board


@pytest.fixture
def _tunebench_short_workload(tunebench_workload: Workload) -> Workload:
    return tunebench_workload


@pytest.fixture
def board(_tunebench_short_board: BoardEntry) -> BoardEntry:
    """Return the board of this test, as the inventory describes it."""
    return _tunebench_short_board


@pytest.fixture
def workload(_tunebench_short_workload: Workload) -> Workload:
    """Return the workload of this test: a row of the campaign's suite."""
    return _tunebench_short_workload


@pytest.fixture
def remote(tunebench_remote: Callable[[], Result]) -> Callable[[], Result]:
    """Return a function that waits for this test's repetitions and accounts their seconds in pytest-benchmark."""
    return tunebench_remote
