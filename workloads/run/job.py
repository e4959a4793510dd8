# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""Entry point on the board: a job's spec in, marks and results out.

``TUNEBENCH_JOB=<job folder> python -m tunebench.workloads.run``; also from a zip on PYTHONPATH. Reads ``job.json``,
writes ``out/marks.json``, ``out/result.json`` and ``out/preds.jsonl``. Phases: load, evaluate (before),
warmup, the fine-tuning window, evaluate (after), save.

Exit codes: 0 also for a diverged training (an outcome, not an error); 2 for a job that cannot be run as
written, with one line on standard error and the same reason in ``result.json``.
"""

import gc
import os
import shutil
import sys
from typing import Any, Dict, List, Optional, Tuple, Union, cast

from tunebench.workloads import artefact, marks, updates
from tunebench.workloads.deploy import parent
from tunebench.workloads.engines import check_dtype, check_plan, check_training, load_engine
from tunebench.workloads.engines.session import Evaluation, Session, Told
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.marks.peak_memory import resident_b
from tunebench.workloads.methods import macs
from tunebench.workloads.models.graph import LANGUAGE, TEXT
from tunebench.workloads.run.correctness import check
from tunebench.workloads.run.own_module import OwnSession
from tunebench.workloads.run.window import _fine_tune
from tunebench.workloads.tasks.spec import Spec, SpecError, parse
from tunebench.workloads.tasks.task import Task, make_task

#: The metric that tells the resident memory of an interpreter with its engine loaded and nothing else.
IDLE_RSS = "idle_rss_b"


def main() -> int:
    """Run the job named by TUNEBENCH_JOB; return the exit code."""
    folder = marks.job_folder()
    if folder is None:
        print("error: %s is not set: this runs inside a job" % marks.JOB_VARIABLE, file=sys.stderr)
        return 2
    if marks.load_job().get("workload", {}).get("runtime") is not None:
        return parent.run(folder)
    try:
        run(folder)
    except WorkloadError as error:
        print("error: %s" % error, file=sys.stderr)
        _save(folder, dict(marks.empty_result(), outcome="failed", reason=str(error)))
        return 2
    return 0


def run(folder: str) -> None:
    """Run the job in ``folder`` and write its results."""
    recorder = marks.Recorder()
    recorder.mark("load")
    job = marks.load_job()
    spec, paths = parse(job.get("workload", {})), dict(job.get("paths", {}))
    if spec.module is not None and os.path.isdir(paths.get("src", "")):
        os.chdir(paths["src"])  # Python has started: it takes no file there for its own any more
    rows: Optional[List[Any]] = None
    session: Optional[Session] = None
    if spec.mode == "check":
        result = _checked(spec, paths, recorder)
    else:
        result, rows, session = _measured(spec, paths, recorder)
    recorder.mark("save")
    if rows is not None:
        marks.write_predictions(_out(folder, "preds.jsonl"), rows)
    recorder.mark("end")
    marks.write_json(_out(folder, "marks.json"), recorder.document())
    _save(folder, result)
    if spec.ship and session is not None and result["outcome"] == "ok":
        # Behind the result: neither its peak memory nor any mark of it holds what follows.
        _write_updates(folder, spec, paths, session)
    if spec.mode == "instrumented" and session is not None and result["outcome"] == "ok":
        kept = os.path.join(folder, "kept")
        os.makedirs(kept, exist_ok=True)
        try:
            session.keep(kept, _Phases(folder, result))
        finally:
            shutil.rmtree(kept, ignore_errors=True)


class _Phases(Told):
    """Adds the phases behind a fine-tuning to its result, each as soon as it is known.

    The result is there before: a process that runs out of memory in one of them has told where.
    """

    def __init__(self, folder: str, result: Dict[str, Any]) -> None:
        self._folder, self._result = folder, result
        self._missing: Dict[str, str] = {}
        result["missing"] = self._missing

    def begins(self, phase: str) -> None:
        self._missing[phase] = "it began, and the process ended in it"
        self._write()

    def ended(self, phase: str, seconds: float, peak_b: Optional[int]) -> None:
        self._missing.pop(phase, None)
        self._result["metrics"][phase + "_s"] = seconds
        if peak_b is not None:
            self._result["metrics"][phase + "_peak_b"] = float(peak_b)
        self._write()

    def has_none(self, phase: str, reason: str) -> None:
        self._missing[phase] = reason
        self._write()

    def _write(self) -> None:
        marks.write_json(_out(self._folder, "result.json"), self._result)


def _write_updates(folder: str, spec: Spec, paths: Dict[str, str], session: Session) -> None:
    """Write the updates that the job asks for; one that cannot be made is named in their index and fails nothing."""
    exported: Union[updates.Exported, str]
    try:
        exported = session.export() or "this engine and model tell no update"
    except (RuntimeError, MemoryError) as error:  # torch's own out of memory is a RuntimeError
        exported = "the network could not be exported: %s" % (str(error) or type(error).__name__)
    updates.write(folder, spec.ship, exported, spec.method or "own", paths.get("weights", os.devnull))


def load_task(spec: Spec, paths: Dict[str, str]) -> Task:
    """Read the job's artefacts and check them against the spec."""
    for role in ("data", "weights"):
        if role not in paths:
            raise SpecError("job.paths has no %r: a built-in method needs that artefact" % role)
    return make_task(spec, artefact.read(paths["data"]), artefact.read(paths["weights"]))


def _checked(spec: Spec, paths: Dict[str, str], recorder: marks.Recorder) -> Dict[str, Any]:
    """Run the correctness gate; its window is the check itself and is no measurement."""
    if spec.module:
        raise SpecError("workload.mode 'check' is for built-in methods; a module of your own is not checked")
    check_training(spec.engine, spec.training, spec.model)
    check_dtype(spec.engine, spec.dtype, spec.model)
    task = load_task(spec, paths)
    check_plan(spec.engine, str(spec.method), task.plan)
    engine_version = load_engine(spec.engine, spec.model).version()
    recorder.window_start("check")
    result = check(task)
    recorder.window_end("save")
    return dict(marks.empty_result(), check=result, steps=result["steps"], engine_version=engine_version)


def _session(spec: Spec, paths: Dict[str, str]) -> Tuple[Session, Dict[str, float]]:
    """Return the session, and the memory of the interpreter with its engine loaded but nothing to do yet, if known."""
    if spec.module:
        return OwnSession(spec, paths), {}
    check_training(spec.engine, spec.training, spec.model)
    check_dtype(spec.engine, spec.dtype, spec.model)
    started_b = resident_b()
    task = load_task(spec, paths)  # before torch is imported: a job that cannot be run ends at once
    check_plan(spec.engine, str(spec.method), task.plan)
    read_b = resident_b()
    engine = load_engine(spec.engine, spec.model)
    loaded_b = resident_b()
    idle: Dict[str, float] = {}
    if started_b is not None and read_b is not None and loaded_b is not None:
        # Data are read before the engine is loaded; an idle interpreter has none of them.
        idle[IDLE_RSS] = float(started_b + loaded_b - read_b)
    return cast(Session, engine.Session(task)), idle


def _measured(
    spec: Spec, paths: Dict[str, str], recorder: marks.Recorder
) -> Tuple[Dict[str, Any], Optional[List[Any]], Session]:
    """Evaluate, warm up, fine-tune in the window, evaluate; return the result, the predictions' rows, the session."""
    session, idle = _session(spec, paths)
    recorder.synchronise = session.synchronise
    recorder.mark("evaluate")
    before = session.evaluate()
    recorder.mark("warmup")
    session.warm_up(spec.warmup_steps)
    gc.collect()
    training = _fine_tune(spec, session, recorder)
    after = None if training.diverged else session.evaluate()
    facts = session.facts()
    metrics = dict(facts.pop("metrics"), **(after.metrics if after else {}))
    metrics.update(training.memory)
    metrics.update(idle)
    result = dict(marks.empty_result(), **facts)
    result["madds"] = _madds(session)
    result.update(
        outcome="diverged" if training.diverged else "ok",
        reason=training.diverged,
        metric=before.metric,
        before=before.accuracy,
        after=after.accuracy if after else None,
        n_items=before.n_items,
        losses=training.losses,
        loss_first=training.losses[0] if training.losses else None,
        loss_final=training.losses[-1] if after and training.losses else None,
        curve=training.curve,
        metrics=metrics,
        peak_rss_b=max(training.hidden_b, session.hidden_b) or None,
        pmu=recorder.counters.result,
    )
    if session.no_quality:
        result.update(before=None, after=None, curve=[], reason=training.diverged or session.no_quality)
    if spec.repeat is not None:
        result.update(repeats=len(training.repeats_s), repeats_s=training.repeats_s)
    return result, None if session.no_quality else _prediction_rows(before, after), session


def _madds(session: Session) -> Optional[Dict[str, int]]:
    """Return the fine-tuning's multiply-adds by phase; None for a user's module and for chains with convolutions."""
    task = getattr(session, "task", None)
    if not isinstance(task, Task):
        return None
    graph = task.plan.graph
    if graph.chain and any(layer.op != "linear" for layer in graph.layers):
        return None
    # Texts are padded to the longest of their batch: how many tokens run, the graph does not know.
    if graph.task in (TEXT, LANGUAGE):
        return None
    return macs.of_training(task.plan, task.n_train, task.spec.epochs, task.spec.batch)


def _prediction_rows(before: Evaluation, after: Optional[Evaluation]) -> Optional[List[Any]]:
    """Return rows (label, before, after), one for each test item; None if there are no predictions."""
    if before.labels is None or before.predictions is None:
        return None
    nothing: List[Optional[int]] = [None] * len(before.labels)
    later = after.predictions if after and after.predictions is not None else nothing
    return list(zip(before.labels, before.predictions, later))


def _out(folder: str, name: str) -> str:
    return os.path.join(folder, "out", name)


def _save(folder: str, result: Dict[str, Any]) -> None:
    """Write the result last, with the peak memory of the whole process."""
    os.makedirs(os.path.join(folder, "out"), exist_ok=True)
    peaks = [marks.peak_rss_b(), result.get("peak_rss_b")]
    result["peak_rss_b"] = max((peak_b for peak_b in peaks if peak_b is not None), default=None)
    marks.write_json(_out(folder, "result.json"), result)
