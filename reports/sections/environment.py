"""Environment, validity and method: what a sceptical reader checks, in words made from the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup, escape

from tunebench.reports.analysis.measured import BoardProbe, Measured
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.formatting.units import clean, clean_block, percent, seconds, signed_percent, size
from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import ResultsError, rep_class
from tunebench.reports.results.reader import RunReader

#: Failed repetitions whose log is shown.
_MAX_LOGS = 12
_LOG_CHARS = 3000
GLOSSARY = (
    ("block", "every method once on one board, in random order, with one seed: the unit of pairing"),
    ("repetition", "one complete fine-tuning of one workload on one board with one seed"),
    ("A/A control", "one method measured twice under two names: what differs there is noise"),
    ("valid, degraded, invalid", "may be used; may be used with the named reservation; stands in no number"),
    (
        "instrumented",
        "a repetition with a mark at every phase of every step; kept apart, since marks cost time",
    ),
    ("speed-up", "the baseline's time over the method's, geometric, paired by block; above 1 is faster"),
    ("interval", "where the true value lies with 95% confidence; a range is only what was seen"),
    ("energy scope", "what the power sensor covers; joules of different scopes are never compared"),
    ("update", "what changed in the model: bytes to store or send"),
)
_TIERS = ("hardware", "firmware", "os", "python")


@dataclass(frozen=True)
class BoardFacts:
    """One board of the environment section."""

    name: str
    kind: str
    note: str
    tiers: list[tuple[str, list[tuple[str, str]]]]
    sensors: list[str]
    missing: list[tuple[str, str]]
    changed: list[tuple[str, str, str]]
    problem: str | None


@dataclass(frozen=True)
class Failure:
    """A repetition that stands in no number, with the end of its log."""

    title: str
    reason: str
    log: Markup | None


def board_facts(probe: BoardProbe) -> BoardFacts:
    """Return the words about a board; a loopback or emulated one says so."""
    note = ""
    if probe.kind == "loopback":
        note = "Loopback: the host's own machine, reached over SSH. Times on a shared machine are degraded."
    elif probe.emulated:
        note = "Emulated: its times are the emulator's, not a board's."
    fingerprint = probe.fingerprint
    tiers = [*(tier for tier in _TIERS if tier in fingerprint), *sorted(set(fingerprint) - set(_TIERS))]
    return BoardFacts(
        name=clean(probe.board_id, 60),
        kind=", ".join(str(part) for part in (probe.kind, probe.model, probe.power_mode) if part),
        note=note,
        tiers=[(tier, [(key, _value(key, v)) for key, v in fingerprint[tier].items()]) for tier in tiers],
        sensors=[_sensor(channel) for channel in probe.channels],
        missing=[(name, reason) for name, reason in sorted(probe.missing.items())],
        changed=[(f"{c.tier}.{c.key}", str(c.before), str(c.after)) for c in probe.changed],
        problem=probe.problem,
    )


def _value(key: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and key.endswith("_b"):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "not known" if value is None else str(value)


def _sensor(channel: Mapping[str, object]) -> str:
    known = (channel.get("id"), channel.get("unit"), channel.get("scope"), channel.get("source"))
    return " · ".join(clean(str(part), 60) for part in known if part)


def validity_rows(rows: Sequence[MethodResult]) -> list[tuple[str, str, str, str]]:
    """Return (reason, code, repetitions, where): each reason once."""
    found: dict[tuple[str, str], tuple[int, dict[str, None]]] = {}
    for row in rows:
        for reason in row.reasons:
            times, where = found.setdefault((reason.code, reason.message), (0, {}))
            where[f"{clean(row.label, 40)} on {clean(row.board_id, 40)}"] = None
            found[reason.code, reason.message] = (times + reason.n, where)
    return [
        (message, code, str(times), _some(list(where))) for (code, message), (times, where) in found.items()
    ]


def _some(names: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def failures(reader: RunReader, scrub: Scrub = str) -> list[Failure]:
    """Return repetitions that failed or were judged invalid, the first dozen with the end of their log."""
    lost = [rep for rep in reader.repetitions if rep_class(rep) in ("failed", "invalid")]
    return [_failure(rep, reader, scrub, with_log=index < _MAX_LOGS) for index, rep in enumerate(lost)]


def _failure(rep: Repetition, reader: RunReader, scrub: Scrub, *, with_log: bool) -> Failure:
    title = f"{clean(rep.label, 40)} on {clean(rep.board_id, 40)}, {rep.role}, block {rep.block + 1}"
    told = "; ".join(reason.message for reason in rep.reasons)
    reason = (
        f"{rep.outcome if rep.outcome != 'ok' else rep.verdict}: {rep.outcome_reason or told or 'no reason'}"
    )
    log: Markup | None = None
    try:
        text = reader.log(rep) if with_log else None
        log = None if text is None else Markup(escape(scrub(clean_block(text, _LOG_CHARS))))  # noqa: S704 - escaped
    except ResultsError as error:
        reason = f"{reason} (its log cannot be read: {error})"
    return Failure(title, scrub(reason), log)


def method_facts(measured: Measured, reader: RunReader) -> list[tuple[str, str]]:
    """Return (what, sentence): how this very run was measured."""
    reps = [rep for rep in reader.repetitions if rep.role == "timed" and rep.outcome == "ok"]
    facts = [
        (
            "Unit",
            "One repetition is one complete fine-tuning with one seed: the unit of every statistic. "
            "A block runs every method once, in random order, with equal seed, start weights and data order.",
        ),
        (
            "Time",
            "The fine-tuning window, on the board's own CLOCK_MONOTONIC. Start-up, loading, evaluation "
            "and saving lie outside it, and nothing crosses SSH inside it.",
        ),
        (
            "Comparison",
            "Log ratio of each block, Hodges-Lehmann estimate, exact Wilcoxon signed-rank interval at 95% with ranks "
            "capped at half of the blocks, so that one outlier does not decide. "
            f"Judged against a band of ±{percent(measured.delta['time'], 1)}: wholly outside is faster "
            "or slower, wholly inside the same, across its edge unclear. Below six blocks: no verdict. "
            "The A/A control is judged first; where it fails, verdicts are withheld.",
        ),
        (
            "Several methods",
            "Holm's procedure over the methods of one task and board, separately for each quantity: at most 5% for any "
            "false difference among them, at most 2.5% for any false SAME. It does not reach over tasks, boards and "
            "quantities: where a report holds many tables, some word in one of them may be wrong.",
        ),
        (
            "Accuracy",
            "Predictions paired by seed and test item; bootstrap over seeds and items at once, so that the interval "
            "speaks of other seeds and other items. Without stored predictions: over seeds only.",
        ),
        (
            "Medians",
            "Order-statistic interval of the median from six values on; below that the range seen.",
        ),
    ]
    facts += _sampling(reps)
    facts += _marks(measured)
    facts += _host(reps)
    facts += _checks(measured)
    facts += _hashes(reps, measured)
    return facts


def _sampling(reps: Sequence[Repetition]) -> list[tuple[str, str]]:
    samplers = [rep.sampler for rep in reps if rep.sampler]
    if not samplers:
        return []
    told = f"Telemetry was sampled on the board every {seconds(samplers[0].period_s)}"
    costs = [
        rep.sampler.cpu_s / rep.process_s
        for rep in reps
        if rep.sampler and rep.sampler.cpu_s and rep.process_s
    ]
    if costs:
        told += f"; the sampler took {percent(median(costs), 2)} of one core (median)"
    gaps = [sampler.max_gap_s for sampler in samplers if sampler.max_gap_s is not None]
    if gaps:
        told += f"; longest gap {seconds(max(gaps))}"
    return [("Sampler", told + ".")]


def _marks(measured: Measured) -> list[tuple[str, str]]:
    costs = [
        f"{clean(row.label, 40)} {signed_percent(row.instrumentation_overhead)}"
        for row in measured.rows
        if row.instrumentation_overhead is not None
    ]
    if not costs:
        return []
    return [
        (
            "Phases",
            "Phase times come from instrumented repetitions, kept apart from the timed ones. Their windows, "
            f"without evaluation, differ from the timed medians by: {', '.join(costs[:12])}.",
        )
    ]


def _host(reps: Sequence[Repetition]) -> list[tuple[str, str]]:
    extra = [
        rep.host_s - rep.process_s for rep in reps if rep.host_s is not None and rep.process_s is not None
    ]
    if not extra:
        return []
    channels = [rep.ssh_channels for rep in reps if rep.ssh_channels is not None]
    told = f"The host added {seconds(median(extra))} to a repetition (median)"
    return [("Host", told + (f", over {max(channels)} SSH channels at most." if channels else "."))]


def _checks(measured: Measured) -> list[tuple[str, str]]:
    checks = measured.checks
    if not checks:
        return []
    passed = sum(check.passed is True for check in checks)
    return [
        (
            "Correctness",
            f"{passed} of {len(checks)} checks passed: with the activation cache on and off, losses and "
            "activations must agree before a speed is believed.",
        )
    ]


def _hashes(reps: Sequence[Repetition], measured: Measured) -> list[tuple[str, str]]:
    names = {"payload": "payload_sha256", "data": "data_sha256", "start weights": "weights_sha256"}
    facts = []
    for what, name in names.items():
        found = sorted({value[:12] for rep in reps if (value := getattr(rep.prov, name))})
        if found:
            facts.append(f"{what} {', '.join(found[:4])}")
    if measured.run.plan_sha256:
        facts.append(f"plan {str(measured.run.plan_sha256)[:12]}")
    return [("Hashes", "SHA-256, first 12 digits: " + "; ".join(facts) + ".")] if facts else []
