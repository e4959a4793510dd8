# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""Entry point on the board: a job's spec in, marks and results out.

``TUNEBENCH_JOB=<job folder> python -m tunebench.workloads.run``; also from a zip on PYTHONPATH. Reads ``job.json``,
writes ``out/marks.json``, ``out/result.json`` and ``out/preds.jsonl``. Phases: load, evaluate (before),
warmup, the fine-tuning window, evaluate (after), save.

Exit codes: 0 also for a diverged training (an outcome, not an error); 2 for a job that cannot be run as
written, with one line on standard error and the same reason in ``result.json``.
"""

import gc
import math
import os
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union, cast

from tunebench.workloads import artefact, marks, network_madds, updates
from tunebench.workloads.checks import check
from tunebench.workloads.engines import load_engine
from tunebench.workloads.engines.session import Evaluation, Session, no_mark
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import NETWORKS
from tunebench.workloads.multiply_adds import of_training
from tunebench.workloads.network_task import NetworkTask, make_network_task
from tunebench.workloads.own import OwnSession
from tunebench.workloads.peak import Watch
from tunebench.workloads.spec import Repeat, Spec, SpecError, parse
from tunebench.workloads.task import Task, make_task


class Training(NamedTuple):
    """What happened inside the window.

    Attributes:
        losses: mean loss of each finished epoch, finite ones only.
        curve: (epoch, seconds of training so far without evaluations, accuracy); instrumented runs only.
        diverged: why it stopped early, or None.
        repeats_s: seconds of each fine-tuning, where the window repeats it.
        memory: resident memory before and at the peak of training; instrumented runs only.
        hidden_b: peak of the process that measuring this has set back.
    """

    losses: List[float]
    curve: List[List[float]]
    diverged: Optional[str]
    repeats_s: List[float] = []
    memory: Dict[str, float] = {}
    hidden_b: int = 0


def main() -> int:
    """Run the job named by TUNEBENCH_JOB; return the exit code."""
    folder = marks.job_folder()
    if folder is None:
        print("error: %s is not set: this runs inside a job" % marks.JOB_VARIABLE, file=sys.stderr)
        return 2
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


def _write_updates(folder: str, spec: Spec, paths: Dict[str, str], session: Session) -> None:
    """The updates that the job asks for; one that cannot be made is told in their index and fails nothing."""
    exported: Union[updates.Exported, str]
    try:
        exported = session.export() or "this engine and model tell no update"
    except (RuntimeError, MemoryError) as error:  # torch's own out of memory is a RuntimeError
        exported = "the network could not be exported: %s" % (str(error) or type(error).__name__)
    updates.write(folder, spec.ship, exported, spec.method or "own", paths.get("weights", os.devnull))


def load_task(spec: Spec, paths: Dict[str, str]) -> Union[Task, NetworkTask]:
    """Read the job's artefacts and check them against the spec."""
    for role in ("data", "weights"):
        if role not in paths:
            raise SpecError("job.paths has no %r: a built-in method needs that artefact" % role)
    make = make_network_task if spec.model in NETWORKS else make_task
    return make(spec, artefact.read(paths["data"]), artefact.read(paths["weights"]))


def _checked(spec: Spec, paths: Dict[str, str], recorder: marks.Recorder) -> Dict[str, Any]:
    """The correctness gate; its window is the check itself and is no measurement."""
    if spec.module:
        raise SpecError("workload.mode 'check' is for built-in methods; a module of your own is not checked")
    task = load_task(spec, paths)
    engine_version = load_engine(spec.engine, spec.model).version()
    recorder.window_start("check")
    found = check(task)
    recorder.window_end("save")
    return dict(marks.empty_result(), check=found, steps=found["steps"], engine_version=engine_version)


def _session(spec: Spec, paths: Dict[str, str]) -> Session:
    if spec.module:
        return OwnSession(spec, paths)
    task = load_task(spec, paths)  # before torch is imported: a job that cannot be run ends at once
    return cast(Session, load_engine(spec.engine, spec.model).Session(task))


def _measured(
    spec: Spec, paths: Dict[str, str], recorder: marks.Recorder
) -> Tuple[Dict[str, Any], Optional[List[Any]], Session]:
    """Evaluate, warm up, fine-tune in the window, evaluate; return the result, the predictions' rows, the session."""
    session = _session(spec, paths)
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
        peak_rss_b=training.hidden_b or None,
    )
    if spec.repeat is not None:
        result.update(repeats=len(training.repeats_s), repeats_s=training.repeats_s)
    return result, _prediction_rows(before, after), session


def _madds(session: Session) -> Optional[Dict[str, int]]:
    """Multiply-adds of the fine-tuning by phase; None for a user's module and for chains with convolutions."""
    task = getattr(session, "task", None)
    if isinstance(task, NetworkTask):
        return network_madds.of_training(task.plan, task.n_train, task.spec.epochs, task.spec.batch)
    if not isinstance(task, Task) or any(layer.kind != "linear" for layer in task.plan.layers):
        return None
    return of_training(task.plan, task.n_train, task.spec.epochs)


def _fine_tune(spec: Spec, session: Session, recorder: marks.Recorder) -> Training:
    """The measured window: all epochs, stopped early only by a loss that is not finite.

    An instrumented run marks every phase and evaluates after each epoch; the curve's time leaves the
    evaluations out. A timed run marks the window's edges only.
    """
    if spec.repeat is not None:
        return _repeated(spec, spec.repeat, session, recorder)
    if spec.mode != "instrumented":
        recorder.reserve(16)
        recorder.window_start("finetune")
        losses = session.train_epochs(0, spec.epochs)
        recorder.window_end("evaluate")
        return _ended(spec, losses, [])
    return _instrumented(spec, session, recorder)


def _repeated(spec: Spec, repeat: Repeat, session: Session, recorder: marks.Recorder) -> Training:
    """Whole fine-tunings in one window, each from the same start weights and with an empty cache.

    A meter needs a window of seconds, and many a fine-tuning is shorter. The load begins before the window and
    goes on behind it, so that the power does not step at its edges; the results are those of the last one.
    """
    session.hold_start()
    _lead(spec, repeat.lead_s, session)
    recorder.reserve(16)
    repeats_ns: List[int] = []
    started_ns = begun_ns = recorder.window_start("finetune")
    while True:
        losses = session.train_epochs(0, spec.epochs)
        if session.synchronise is not None:
            session.synchronise()
        now_ns = marks.monotonic_ns()
        repeats_ns.append(now_ns - begun_ns)
        over = now_ns - started_ns >= repeat.min_s * 1e9 or len(repeats_ns) >= repeat.max_n
        if over or not losses or not math.isfinite(losses[-1]):
            break
        session.restart()
        begun_ns = marks.monotonic_ns()
    ended_ns = recorder.window_end("evaluate")
    while marks.monotonic_ns() - ended_ns < repeat.tail_s * 1e9:
        session.evaluate()
    return _ended(spec, losses, [])._replace(repeats_s=[each_ns / 1e9 for each_ns in repeats_ns])


def _lead(spec: Spec, lead_s: float, session: Session) -> None:
    """Train for ``lead_s`` seconds, to the end of an epoch, and go back to the start."""
    epoch, until_ns = 0, marks.monotonic_ns() + lead_s * 1e9
    while marks.monotonic_ns() < until_ns:
        session.train_epoch(epoch, no_mark)
        epoch = (epoch + 1) % spec.epochs
        if epoch == 0:
            session.restart()
    session.restart()


def _instrumented(spec: Spec, session: Session, recorder: marks.Recorder) -> Training:
    recorder.reserve(_marks_needed(spec, session))
    losses: List[float] = []
    curve: List[List[float]] = []
    training_ns = 0
    watch = Watch()
    watch.begin()
    started_ns = recorder.window_start(session.first_phase)
    for epoch in range(spec.epochs):
        losses.append(session.train_epoch(epoch, recorder.mark))
        if not math.isfinite(losses[-1]):
            break
        stopped_ns = recorder.mark("evaluate")
        watch.end()
        training_ns += stopped_ns - started_ns
        curve.append([epoch + 1, training_ns / 1e9, session.evaluate().accuracy])
        watch.begin()
        started_ns = recorder.mark(session.first_phase)
    recorder.window_end("evaluate")
    return _ended(spec, losses, curve)._replace(memory=watch.metrics(), hidden_b=watch.hidden_b)


def _ended(spec: Spec, losses: List[float], curve: List[List[float]]) -> Training:
    """The training as it ended; losses that are not finite are told, not kept."""
    if not losses or math.isfinite(losses[-1]):
        return Training(losses, curve, None)
    reason = "the loss became NaN or infinite in epoch %d of %d" % (len(losses), spec.epochs)
    return Training(losses[:-1], curve, reason)


def _marks_needed(spec: Spec, session: Session) -> int:
    steps = session.steps_per_epoch()
    return 16 + spec.epochs * (2 + session.marks_per_step * (1000 if steps is None else steps))


def _prediction_rows(before: Evaluation, after: Optional[Evaluation]) -> Optional[List[Any]]:
    """Rows (label, before, after) of each test item; None if predictions are not told."""
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
    result["peak_rss_b"] = max((each for each in peaks if each is not None), default=None)
    marks.write_json(_out(folder, "result.json"), result)


if __name__ == "__main__":
    sys.exit(main())
