"""Run the measured window of a job: fine-tune once or again and again, and mark its phases."""

import math
from typing import Dict, List, NamedTuple, Optional

from tunebench.workloads import marks
from tunebench.workloads.engines.session import Session
from tunebench.workloads.marks.peak_memory import Watch
from tunebench.workloads.tasks.spec import FLOAT16, Repeat, Spec


class Training(NamedTuple):
    """The outcome of the measured window.

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


def _fine_tune(spec: Spec, session: Session, recorder: marks.Recorder) -> Training:
    """Run the measured window: all epochs, stopped early only by a loss that is not finite.

    A method without steps (a control) only begins: it has neither losses nor a curve. An instrumented run marks every
    phase and evaluates after each epoch; the curve's time leaves the evaluations out. A timed run marks the window's
    edges only.
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
    """Run whole fine-tunings in one window, each from the same start weights and with an empty cache.

    A meter needs a window of seconds, and many a fine-tuning is shorter. The load begins before the window and
    goes on behind it, so that the power does not step at its edges; the results are those of the last one.
    """
    session.hold_start()
    without_steps = session.steps_per_epoch() == 0
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
        failed = not losses or not math.isfinite(losses[-1])
        if over or not session.changes or (failed and not without_steps):
            break
        session.restart()
        begun_ns = marks.monotonic_ns()
    ended_ns = recorder.window_end("evaluate")
    while marks.monotonic_ns() - ended_ns < repeat.tail_s * 1e9:
        session.evaluate()
    return _ended(spec, losses, [])._replace(repeats_s=[duration_ns / 1e9 for duration_ns in repeats_ns])


def _lead(spec: Spec, lead_s: float, session: Session) -> None:
    """Train for ``lead_s`` seconds, to the end of an epoch, and go back to the start."""
    epoch, until_ns = 0, marks.monotonic_ns() + lead_s * 1e9
    while marks.monotonic_ns() < until_ns:
        session.train_epochs(epoch, 1)
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
    if session.steps_per_epoch() == 0:
        session.begin(recorder.mark)
        watch.end()
        recorder.window_end("evaluate")
        return Training(losses, curve, None)._replace(memory=watch.metrics(), hidden_b=watch.hidden_b)
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
    """Return the training as it ended; a loss that is not finite becomes the reason and is not kept."""
    if not losses or math.isfinite(losses[-1]):
        return Training(losses, curve, None)
    reason = "the loss became NaN or infinite in epoch %d of %d" % (len(losses), spec.epochs)
    if spec.dtype == FLOAT16:
        reason += "; float16 holds nothing above 65,504: bfloat16 has the range of float32, and a smaller lr or clip help"
    return Training(losses[:-1], curve, reason)


def _marks_needed(spec: Spec, session: Session) -> int:
    steps = session.steps_per_epoch()
    return 16 + spec.epochs * (2 + session.marks_per_step * (1000 if steps is None else steps))
