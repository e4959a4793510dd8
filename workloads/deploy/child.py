# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""Measure one runtime with one network: import, load, first call, timed calls, what it computed in, how well it does.

The timer's border: a float32 sample in, float32 outputs out, batch 1. Reading data, scaling pixels and making samples lie
outside. The window of the repetition holds ``calls`` calls; in energy repetitions it holds rounds of so many.
"""

import gc
import math
import os
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from tunebench.workloads import marks
from tunebench.workloads.artefact import ArtefactError
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.deploy.device_parts import DeviceParts, timed_parts
from tunebench.workloads.deploy.model import Model, Share
from tunebench.workloads.deploy.parent import STAGE
from tunebench.workloads.deploy.subject import (
    Subject,
    import_runtime,
    loaded,
    network_of,
    read_items,
    read_role,
)
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.tasks.spec import MAX_REPEATS

#: samples that timed calls go round
_SAMPLES = 32
#: items that are held against the float parent
_AGREEING = 500
#: seconds that the test set may take; a slower board gets as many items as fit, and says how many
_TEST_S = 120.0
#: a network is simulated where its bytes are no less than this share of the uncompressed network's
SMALLER = 0.9
#: and where less than this share of the kernels' time is in the type that it claims
MOSTLY = 0.5


def main() -> int:
    """Run the job named by TUNEBENCH_JOB; return the exit code."""
    folder = marks.job_folder()
    if folder is None:
        print("error: %s is not set: this runs inside a job" % marks.JOB_VARIABLE, file=sys.stderr)
        return 2
    os.makedirs(os.path.join(folder, "out"), exist_ok=True)
    recorder = marks.Recorder()
    recorder.mark("load")
    try:
        result, rows = _measured(folder, recorder)
    except WorkloadError as error:
        print("error: %s" % error, file=sys.stderr)
        _save(folder, dict(marks.empty_result(), outcome="failed", reason=str(error)))
        return 2
    recorder.mark("save")
    marks.write_predictions(os.path.join(folder, "out", "preds.jsonl"), rows)
    recorder.mark("end")
    marks.write_json(os.path.join(folder, "out", "marks.json"), recorder.document())
    _save(folder, result)
    return 0


def _save(folder: str, result: Dict[str, Any]) -> None:
    result["peak_rss_b"] = marks.peak_rss_b()
    marks.write_json(os.path.join(folder, "out", "result.json"), result)


def _measured(folder: str, recorder: marks.Recorder) -> Tuple[Dict[str, Any], List[Any]]:
    job = marks.load_job()
    spec, paths = dict(job.get("workload", {})), dict(job.get("paths", {}))
    name, stage = str(spec.get("runtime")), _Stages(folder)
    runtime = RUNTIMES[name]
    module = runtime.load()
    account: Dict[str, Any] = {"runtime": name, "rss_start_b": _resident_b()}

    stage("import")
    begun_ns = marks.monotonic_ns()
    account["version"], folders = import_runtime(name, runtime, module)
    account.update(import_s=_since(begun_ns), rss_import_b=_resident_b())

    subject = Subject(name, module, network_of(paths, name), int(spec.get("threads", 1)), folder)
    stage("load")
    begun_ns = marks.monotonic_ns()
    model = loaded(subject, "model")
    account.update(load_s=_since(begun_ns), rss_load_b=_resident_b())
    if model is None:
        raise ArtefactError("weights: this artefact holds no network for runtime %r" % name)

    data = read_role(paths, "data")
    items, labels = read_items(data, subject.shape)
    samples = [model.prepare(items(at), subject.shape) for at in range(min(_SAMPLES, len(labels)))]
    stage("cold")
    begun_ns = marks.monotonic_ns()
    model.call(samples[0])
    account.update(cold_s=_since(begun_ns), rss_cold_b=_resident_b())

    stage("calls")
    recorder.mark("warmup")
    times = _window(spec, recorder, model, samples)
    # The profile and the parent come behind: they are no part of the memory.
    account.update(os_threads=_threads(), rss_end_b=_resident_b(), peak_rss_b=marks.peak_rss_b())

    stage("parts")
    parts = timed_parts(DeviceParts(subject, data), times.calls, spec.get("repeat") or {})
    stage("test")
    quality = _tested(model, items, labels, subject.shape, times.p50_s)
    account.update(_agreement(subject, items, quality), installed_b=_installed_b(folders))
    stage("profile")
    account.update(_profile(subject, samples))
    account.update(calls=times.calls, threads=subject.threads, n_items=quality.n)
    for key in ("p50_s", "p90_s", "p99_s", "cpu_p50_s"):
        account[key] = getattr(times, key)
    result = dict(
        marks.empty_result(),
        after=quality.accuracy,
        n_items=quality.n,
        params_total=account["params"],
        engine_version="%s %s" % (name, account["version"]),
        inference=account,
        parts=parts,
        repeats=len(times.rounds_s) if spec.get("repeat") else None,
        repeats_s=times.rounds_s if spec.get("repeat") else [],
    )
    return result, [(label, None, guess) for label, guess in zip(labels, quality.guesses)]


def _since(begun_ns: int) -> float:
    return (marks.monotonic_ns() - begun_ns) / 1e9


def _profile(subject: Subject, samples: List[Any]) -> Dict[str, Any]:
    """Return what the artefact says of itself, and what the runtime's own profile says of that."""
    facts = subject.compressed.meta
    claimed = facts.get("claimed")
    share: Optional[Share] = None
    if claimed:
        share = subject.module.profiled(subject.compressed, subject.threads, subject.folder, samples)
    account = {key: facts.get(key) for key in _FACTS}
    account["chain"] = [str(step.get("id")) for step in facts.get("chain", [])]
    account["claimed_time_share"] = share.time.get(str(claimed), 0.0) if share and share.time else None
    account["claimed_node_share"] = share.nodes.get(str(claimed), 0.0) if share else None
    account["simulated"], account["simulated_reason"] = simulated(facts, share)
    return account


#: what the artefact says of itself, handed on
_FACTS = [
    "numbers",
    "claimed",
    "params",
    "zeros",
    "madds",
    "dense_params",
    "dense_madds",
    "model_b",
    "model_zlib_b",
    "dense_b",
    "model_sha256",
    "log",
]


def simulated(facts: Dict[str, Any], share: Optional[Share]) -> Tuple[Optional[bool], Optional[str]]:
    """Return whether the compression is one in name only, by what was measured, and why; None where nothing says.

    Raw bytes no less than nine tenths of the uncompressed network's, or less than half of the kernels' time in the type
    that is claimed; of the nodes, where a runtime gives no times. A network to which nothing was done claims nothing.
    """
    model_b, dense_b, claimed = facts.get("model_b"), facts.get("dense_b"), facts.get("claimed")
    steps = [step for step in facts.get("chain", []) if step.get("kind") not in ("tune", "distil")]
    if not steps:
        return False, None
    if isinstance(model_b, int) and isinstance(dense_b, int) and model_b >= SMALLER * dense_b:
        return True, "the network is %d bytes, uncompressed %d" % (model_b, dense_b)
    if claimed:
        if share is None:
            return None, "the runtime does not tell in which types it computes"
        shares, what = (
            (share.time, "the kernels' time is") if share.time else (share.nodes, "the nodes compute")
        )
        part = shares.get(str(claimed), 0.0)
        if part < MOSTLY:
            return True, "%.0f%% of %s in %s" % (100 * part, what, claimed)
    return False, None


class _Stages:
    """Write down what is being done, for the parent of a process that dies."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, STAGE)

    def __call__(self, stage: str) -> None:
        with open(self._path, "w") as file:
            file.write(stage)


class _Times:
    """What the timed calls took.

    Attributes:
        calls: in one round.
        p50_s, p90_s, p99_s: of one call of the last round, by the monotonic clock.
        cpu_p50_s: CPU time of one call: of the calling thread, or with several threads of the process.
        rounds_s: seconds of each round in the window.
    """

    def __init__(self, wall_ns: List[int], cpu_s: List[float], rounds_s: List[float]) -> None:
        ordered = sorted(wall_ns)
        self.calls = len(wall_ns)
        self.p50_s, self.p90_s, self.p99_s = (_quantile(ordered, share) / 1e9 for share in (0.5, 0.9, 0.99))
        self.cpu_p50_s = _quantile(sorted(cpu_s), 0.5)
        self.rounds_s = rounds_s


def _quantile(ordered: List[Any], share: float) -> float:
    """Return the value below which a share lies: the nearest rank."""
    return float(ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))])


def _window(spec: Dict[str, Any], recorder: marks.Recorder, model: Model, samples: List[Any]) -> _Times:
    """Warm up and run the measured window."""
    alone = int(spec.get("threads", 1)) == 1
    clock = time.CLOCK_THREAD_CPUTIME_ID if alone else time.CLOCK_PROCESS_CPUTIME_ID
    calls, repeat = int(spec.get("calls", 100)), spec.get("repeat") or {}
    wall_ns: List[int] = [0] * calls
    cpu_s: List[float] = [0.0] * calls
    count = len(samples)

    def round_of_calls() -> None:
        for at in range(calls):
            sample = samples[at % count]
            cpu = time.clock_gettime(clock)
            begun_ns = marks.monotonic_ns()
            model.call(sample)
            wall_ns[at] = marks.monotonic_ns() - begun_ns
            cpu_s[at] = time.clock_gettime(clock) - cpu

    for at in range(max(2, calls // 10)):
        model.call(samples[at % count])
    _keep_on(round_of_calls, float(repeat.get("lead_s", 0.0)))
    gc.collect()
    gc.disable()
    recorder.reserve(16)
    rounds_s: List[float] = []
    begun_ns = started_ns = recorder.window_start("infer")
    while True:
        round_of_calls()
        now_ns = marks.monotonic_ns()
        rounds_s.append((now_ns - begun_ns) / 1e9)
        begun_ns = now_ns
        over = now_ns - started_ns >= float(repeat.get("min_s", 0.0)) * 1e9
        if over or len(rounds_s) >= int(repeat.get("max_n", MAX_REPEATS)):
            break
    recorder.window_end("evaluate")
    gc.enable()
    _keep_on(round_of_calls, float(repeat.get("tail_s", 0.0)))
    return _Times(wall_ns, cpu_s, rounds_s)


def _keep_on(call: Callable[[], None], seconds: float) -> None:
    """Repeat a call for so long: the load around a window whose power is measured."""
    until_ns = marks.monotonic_ns() + seconds * 1e9
    while marks.monotonic_ns() < until_ns:
        call()


class _Quality:
    """How well it does: over the first ``n`` test items."""

    def __init__(self, labels: List[int], outputs: List[List[float]]) -> None:
        self.n, self.outputs = len(outputs), outputs
        self.guesses = [_best(scores) for scores in outputs]
        right = sum(label == guess for label, guess in zip(labels, self.guesses))
        self.accuracy = right / self.n if self.n else None


def _best(scores: List[float]) -> int:
    return max(range(len(scores)), key=lambda at: scores[at])


def _tested(
    model: Model, items: Callable[[int], Any], labels: List[int], shape: Tuple[int, ...], p50_s: float
) -> _Quality:
    n = min(len(labels), max(1, int(_TEST_S / max(p50_s, 1e-7))))
    return _Quality(labels, [model.call(model.prepare(items(at), shape)) for at in range(n)])


def _agreement(subject: Subject, items: Callable[[int], Any], quality: _Quality) -> Dict[str, Any]:
    """Hold the outputs against those of the float parent, computed here: int8 differs between processors."""
    parent = loaded(subject, "parent")
    if parent is None:
        return {"parent_agreement": None, "parent_max_difference": None, "parent_items": None}
    n = min(_AGREEING, quality.n)
    equal, largest = 0, 0.0
    for at in range(n):
        scores = parent.call(parent.prepare(items(at), subject.shape))
        equal += _best(scores) == quality.guesses[at]
        largest = max([largest] + [abs(a - b) for a, b in zip(scores, quality.outputs[at])])
    return {"parent_agreement": equal / n, "parent_max_difference": largest, "parent_items": n}


def _resident_b() -> Optional[int]:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _threads() -> Optional[int]:
    """Count the threads of this process: what the runtime has really started, besides the one that calls."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None


def _installed_b(folders: List[str]) -> int:
    """Return the bytes on disk of what is installed, with the shared libraries that a wheel puts beside its package."""
    total = 0
    for folder in folders:
        for place in (folder, folder + ".libs"):
            for root, _, names in os.walk(place):
                for name in names:
                    try:
                        total += os.lstat(os.path.join(root, name)).st_size
                    except OSError:
                        continue
    return total


if __name__ == "__main__":
    sys.exit(main())
