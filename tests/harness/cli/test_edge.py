"""The edge of the command line: whatever is raised below ends as one sentence and the documented exit code."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import threading

import pytest

from tunebench.harness.cli import app
from tunebench.harness.errors import UsageError, ending_of
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.results import ResultsError, layout
from tunebench.targets.errors import LinkError

ERRORS = (KeyError, AttributeError, ValueError)

#: Where a fault is injected, and the command that meets it. Each of our layers is there.
RUN = "run -i {lab} -s {suite}"
LAYERS = {
    "tunebench.harness.config.inventory:load_inventory": RUN,
    "tunebench.harness.config.suite:load_suite": RUN,
    "tunebench.harness.config.toml:tomllib.load": RUN,
    "tunebench.harness.artifacts.gather:build_payload": RUN,
    "tunebench.harness.campaign.session:dry_run": "plan -i {lab} -s {suite}",
    "tunebench.harness.campaign.session:make_plan": RUN,
    "tunebench.harness.campaign.session:durations_below": RUN,
    "tunebench.harness.campaign.run:open_session": RUN,
    "tunebench.harness.campaign.run:PlainLines": RUN,
    "tunebench.harness.lab.survey:look_at": "boards -i {lab}",
    "tunebench.harness.lab.doctor:examine_all": "doctor -i {lab}",
    "tunebench.harness.nightly.gate:gate": "gate --run {run} --store {store}",
    "tunebench.harness.verify:look_through": "verify {run}",
    "tunebench.reports.results.reader:with_net": "report {run} --html {out}",
    "tunebench.reports.analysis.two_runs.comparison:compare_runs": "compare {run} {other}",
    "tunebench.reports.summary:summarise": "report {run} --html {out} --json {out}",
    "tunebench.reports.render.html:render": "report {run} --html {out}",
    "tunebench.reports.formatting.output:_write": "report {run} --html {out}",
    "tunebench.reports.results.export:write_table": "export {run} --table {out}.csv",
    "tunebench.reports.history.index:build": "index {store}",
    "tunebench.targets.payload:deterministic_zip": RUN,
    "tunebench.workloads.prepare.artefacts:prepare_bases": "run -i {lab} -s quick",
    "tunebench.harness.cli.params:counted": "params --model yolov8n",
}
#: These are met in the thread of a board: a campaign runs.
BOARD_LAYERS = (
    "tunebench.harness.campaign.board_run:BoardRun.run",
    "tunebench.harness.campaign.board_run:run_repetition",
    "tunebench.harness.board.lease:BoardLease.__init__",
    "tunebench.harness.campaign.repetition:make_record",
    "tunebench.harness.record.record:judge",
    "tunebench.harness.campaign.progress:describe",
    "tunebench.targets.client.board:Board.probe",
    "tunebench.targets.transport.ssh:Ssh.connect",
    "tunebench.reports.results.writer:RunWriter.append",
)


class Injected:
    """A fake, for faults that cannot be made otherwise: what raises in place of one of our functions."""

    def __init__(self, error: type[Exception], original: object) -> None:
        self._error = error
        self.original = original

    def __call__(self, *arguments: object, **more: object) -> object:
        raise self._error("injected")

    def __get__(self, instance: object, owner: type) -> object:
        return self


def inject(monkeypatch: pytest.MonkeyPatch, where: str, error: type[Exception]) -> None:
    module, _, name = where.partition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, last)
    fault: object = Injected(error, original)
    if isinstance(original, property):
        fault = property(Injected(error, original))
    monkeypatch.setattr(owner, last, fault)


@pytest.fixture(autouse=True)
def nothing_stays_injected():
    """Put the original back where a module that was first imported during a test has taken the fault by ``from``."""
    yield
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "tunebench":
            for attribute, value in list(vars(module).items()):
                if isinstance(value, Injected):
                    setattr(module, attribute, value.original)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    made = SimulatedLab(boards=1, cells=2, repetitions=3, bad_nights=0.0)
    for night in range(2):
        made.write_night(root, night)
    return root


@pytest.fixture
def ends(monkeypatch, tmp_path, capfd, lab, sleep_suite, store):
    """Function (words) -> (exit code, output, errors) of the command line, run in this process."""
    runs = layout.run_folders(store)
    names = {
        "lab": lab("one"),
        "suite": sleep_suite(["a"], blocks=1),
        "store": store,
        "run": runs[0],
        "other": runs[-1],
        "out": tmp_path / "out",
    }
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    hook = threading.excepthook, sys.unraisablehook, sys.stdout, sys.stderr

    def run(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tunebench", *words.format(**names).split()])
        with pytest.raises(SystemExit) as ending:
            app.main()
        captured = capfd.readouterr()
        return int(ending.value.code or 0), captured.out, captured.err

    yield run
    threading.excepthook, sys.unraisablehook, sys.stdout, sys.stderr = hook


def one_sentence(message: str) -> str:
    """Return the line that ends a command; there is one."""
    lines = [line for line in message.splitlines() if line.startswith("tunebench: ")]
    assert len(lines) == 1, message
    return lines[0]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("where", LAYERS, ids=lambda where: where.removeprefix("tunebench."))
def test_an_injected_error_is_one_sentence_and_a_documented_code(ends, monkeypatch, where, error):
    inject(monkeypatch, where, error)
    code, printed, message = ends(LAYERS[where])
    # A ValueError may be what the layer above expects of a wrong file: then it is a mistake of the user's, code 2.
    assert code == 4 or (code == 2 and error is ValueError), message
    assert "Traceback" not in printed + message
    assert "injected" in one_sentence(message)


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("where", BOARD_LAYERS, ids=lambda where: where.removeprefix("tunebench."))
def test_an_injected_error_on_a_board_is_one_sentence_and_never_a_measured_failure(
    ends, monkeypatch, where, error
):
    inject(monkeypatch, where, error)
    code, printed, message = ends(RUN)
    assert code == 4, message
    assert "Traceback" not in printed + message
    assert "injected" in message


@pytest.mark.parametrize("words", ["--debug report {run} --html {out}", "report {run} --html {out} --debug"])
def test_the_traceback_is_there_for_who_asks(ends, monkeypatch, words):
    inject(monkeypatch, "tunebench.reports.render.html:render", KeyError)
    code, _, message = ends(words)
    assert code == 4
    assert "Traceback (most recent call last)" in message
    assert "KeyError: 'injected'" in message
    one_sentence(message)


def test_the_sentence_says_what_where_and_how_to_see_more(ends, monkeypatch):
    inject(monkeypatch, "tunebench.reports.render.html:render", KeyError)
    _, _, message = ends("report {run} --html {out}")
    sentence = one_sentence(message)
    assert "unexpected KeyError: 'injected' (in reports/render/files.py, line " in sentence
    whole = re.search(r"; `(.*)` shows the traceback\Z", sentence)
    assert whole is not None
    assert re.search(r"tunebench --debug report \S+ --html \S+\Z", whole.group(1)), "it can be pasted"


def test_a_mistake_of_the_user_is_not_called_unexpected(ends):
    code, _, message = ends("report /nowhere")
    assert code == 2
    assert (
        one_sentence(message)
        == "tunebench: /nowhere: does not exist; give a run's directory or a results root"
    )


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), EOFError("no more"), EOFError()], ids=repr
)
def test_a_connection_that_breaks_is_no_measured_failure(ends, monkeypatch, error):
    """typer ends both with 1 by itself."""

    def breaks(*_: object) -> None:
        raise error

    monkeypatch.setattr("tunebench.harness.lab.survey.look_at", breaks)
    code, _, message = ends("boards -i {lab}")
    assert code == 4, message
    one_sentence(message)


def test_ctrl_c_in_any_command_ends_with_130(ends, monkeypatch):
    def interrupts(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunebench.harness.lab.survey.look_at", interrupts)
    assert ends("boards -i {lab}")[0] == 130


def test_a_question_that_nobody_answers_is_no_measured_failure(tmp_path, lab):
    done = subprocess.run(
        [sys.executable, "-m", "tunebench", "meter", "power-cycle", "one", "-i", str(lab("one"))],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (2, 4), done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_in_a_thread_is_one_sentence(ends, monkeypatch, capfd):
    def looks(*_: object) -> tuple[int, list]:
        thread = threading.Thread(target=lambda: {}["injected"], name="reader")
        thread.start()
        thread.join()
        return 0, []

    monkeypatch.setattr("tunebench.harness.lab.survey.look_at", looks)
    code, _, message = ends("boards -i {lab} --json")
    assert code == 0
    assert "Traceback" not in message
    assert one_sentence(message).startswith("tunebench: reader: unexpected KeyError: 'injected'")


@pytest.mark.parametrize(
    ("error", "code", "closing"),
    [
        (UsageError("lab.toml: what"), 2, "lab.toml: what"),
        (ResultsError("run: what"), 2, "run: what"),
        (LinkError("pi5: the link failed"), 4, "pi5: the link failed"),
        (PermissionError(13, "Permission denied", "/x"), 4, "[Errno 13] Permission denied: '/x'"),
        (KeyError("a"), 4, "unexpected KeyError: 'a'"),
        (ValueError("two\nlines   and blanks"), 4, "unexpected ValueError: two lines and blanks"),
        (RuntimeError(), 4, "unexpected RuntimeError"),
        (MemoryError(), 4, "unexpected MemoryError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_has_its_ending(error, code, closing):
    ending = ending_of(error)
    assert (ending.code, ending.message) == (code, closing)


def test_what_is_noted_on_the_way_up_stands_before_the_sentence():
    error = KeyError("a")
    error.add_note("board pi5-01")
    assert ending_of(error).message == "board pi5-01: unexpected KeyError: 'a'"


@pytest.mark.parametrize(
    ("words", "kept", "debug"),
    [
        ("run -i lab.toml", "run -i lab.toml", False),
        ("--debug run -i lab.toml", "run -i lab.toml", True),
        ("run --debug -i lab.toml", "run -i lab.toml", True),
        ("run -i lab.toml --debug", "run -i lab.toml", True),
        ("--debug", "", True),
        ("run -- --debug", "run -- --debug", False),
        ("noise --debug", "noise --debug", False),  # of another package: its option is its own
        ("--debug noise --debug", "noise --debug", True),
    ],
)
def test_debug_may_stand_anywhere(words, kept, debug):
    assert app.without_debug(words.split()) == (kept.split(), debug)
