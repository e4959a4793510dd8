"""The section on method: how this very run was measured, how to reproduce it, its data and its words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tunebench.reports.analysis.measured import Measured, UntilDecided
from tunebench.reports.formatting.units import clean, percent, seconds, signed_percent
from tunebench.reports.records import Repetition
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.downloads import Download, downloads
from tunebench.reports.sections.base.section import Page, Section, partial

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


@dataclass(frozen=True)
class _View:
    facts: Sequence[tuple[str, str]]
    command: str | None
    downloads: Sequence[Download]
    glossary: Sequence[tuple[str, str]]


class MethodSection(Section):
    """The section on method: how this run was measured."""

    ident = "method"
    nav = "Method"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("method")

    def view(self, page: Page) -> _View:
        """Return sentences, the command, the page's data and the glossary."""
        command = page.summary.run.command
        return _View(
            facts=method_facts(page.summary, page.reader),
            command=shlex.join(command) if command else None,
            downloads=downloads(page.summary),
            glossary=GLOSSARY,
        )


def method_facts(measured: Measured, reader: RunReader) -> list[tuple[str, str]]:
    """Return pairs (what, sentence) that say how this run was measured."""
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
            "or slower, wholly inside the same, across its edge unclear. Below six blocks, more with several methods: no "
            "verdict. "
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
    facts += _blocks(measured)
    facts += _sampling(reps)
    facts += _marks(measured)
    facts += _host(reps)
    facts += _checks(measured)
    facts += _hashes(reps, measured)
    return facts


def _blocks(measured: Measured) -> list[tuple[str, str]]:
    """Say which looks were taken at a run that stops when it is decided, and that blocks were added to one."""
    facts = []
    rule = measured.run.until_decided
    if rule is not None:
        at = ", ".join(str(blocks) for blocks, _ in rule.planned)
        facts.append(
            (
                "Looks",
                f"Measured until every comparison of times was decided. Looks were fixed beforehand, after {at} blocks; "
                "a difference where there is none is claimed at any of them with a probability of "
                f"{100 * rule.alpha:g}% at most. {_looks_taken(rule)}",
            )
        )
    if measured.run.earlier_blocks:
        counts = " -> ".join(str(count) for count in [*measured.run.earlier_blocks, measured.run.blocks])
        facts.append(
            ("Added blocks", f"Blocks were added when the run had ended: {counts}. The seeds go on.")
        )
    return facts


def _looks_taken(rule: UntilDecided) -> str:
    if not rule.taken:
        return "None was taken yet."
    ends = {}
    for look in rule.taken:
        ends[look.board_id, look.task] = look
    sentences = []
    for (board_id, task), look in ends.items():
        numbers = [taken.blocks for taken in rule.taken if (taken.board_id, taken.task) == (board_id, task)]
        open_labels = ", ".join(clean(label, 40) for label in look.undecided)
        end = "all decided" if look.stops else f"open: {open_labels}"
        sentences.append(
            f"{clean(task, 40)} on {clean(board_id, 40)}: after {', '.join(map(str, numbers))} ({end})"
        )
    return f"Taken: {'; '.join(sentences)}."


def _sampling(reps: Sequence[Repetition]) -> list[tuple[str, str]]:
    samplers = [rep.sampler for rep in reps if rep.sampler]
    if not samplers:
        return []
    sentence = f"Telemetry was sampled on the board every {seconds(samplers[0].period_s)}"
    costs = [
        rep.sampler.cpu_s / rep.process_s
        for rep in reps
        if rep.sampler and rep.sampler.cpu_s and rep.process_s
    ]
    if costs:
        sentence += f"; the sampler took {percent(median(costs), 2)} of one core (median)"
    gaps = [sampler.max_gap_s for sampler in samplers if sampler.max_gap_s is not None]
    if gaps:
        sentence += f"; longest gap {seconds(max(gaps))}"
    return [("Sampler", sentence + ".")]


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
    sentence = f"The host added {seconds(median(extra))} to a repetition (median)"
    return [("Host", sentence + (f", over {max(channels)} SSH channels at most." if channels else "."))]


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
        digests = sorted({value[:12] for rep in reps if (value := getattr(rep.prov, name))})
        if digests:
            facts.append(f"{what} {', '.join(digests[:4])}")
    if measured.run.plan_sha256:
        facts.append(f"plan {str(measured.run.plan_sha256)[:12]}")
    return [("Hashes", "SHA-256, first 12 digits: " + "; ".join(facts) + ".")] if facts else []


SECTION = MethodSection()
