"""The answer to "what should I use here", one a board and task: the sentence that every report and command shares.

What is recommended is read off verdicts, never off a bare number: a method is "faster" only where its verdict is
FASTER, "at equal accuracy" only where that verdict is SAME. Where no verdict stands, the sentence says which figure
is open, why, and how many blocks are missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tunebench.reports.analysis.answers.families import grouped
from tunebench.reports.analysis.answers.options import Option, options
from tunebench.reports.analysis.answers.words import (
    accuracy,
    brief_points,
    brief_speed,
    option_phrase,
    points,
    ship,
    speed,
    times,
)
from tunebench.reports.analysis.measured import Measured
from tunebench.reports.analysis.row import MethodResult, ToTarget
from tunebench.reports.analysis.verdict_words import Settling, effect, settling, span
from tunebench.reports.analysis.verdicts import aa_result
from tunebench.reports.formatting.json_value import LEFT_OUT
from tunebench.reports.formatting.units import clean, seconds, significant, size

#: ``use``: a method is shown to be better. ``use if``: it is faster, and whether it loses accuracy is open. ``keep``:
#: none is better, or only at a loss of accuracy that is shown. ``open``: a verdict is unclear. ``too few``: too few
#: blocks for any verdict. ``withheld``: the A/A control failed. ``emulated``: times are an emulator's. ``nothing``:
#: nothing could be compared.
State = Literal["use", "use if", "keep", "open", "too few", "withheld", "emulated", "nothing"]

#: (board, task, label) -> what the gate found, such as ``time +34.8% against its last nights``.
Regressed = Mapping[tuple[str, str, str], str]

_MOST_OTHERS = 2
#: (label, what is told of it)
_Phrase = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to use on one board for one task, and how sure that is.

    Attributes:
        where: board and task as people read them, with the conditions where these alone tell two answers apart.
        conditions: engine build, device, threads, number format and power mode, which the methods have in common.
        choice: the label to use; the baseline's for ``keep``; None where there is no answer.
        factor: the baseline's time over the choice's; ``verdict`` on it.
        points: the choice's accuracy less the baseline's; ``points_verdict`` on it.
        lead: the label that the sentence speaks of: the choice, else the method that comes nearest to being one.
        sentence: the whole answer in one sentence, ready to be shown; foreign names in it are clean.
        claim: its first part, without ``others``.
        others: what to use if something else counts more, each as a phrase.
        notes: further sentences: what else was seen, what is open.
        blocks_missing: about how many more blocks would give (or settle) the verdict; None if that is no matter.
        aa: result of the A/A control here: ``passed``, ``failed``, ``unclear``, ``no verdict`` or ``none``.
        regressed: what the gate found to have become worse in this run; the sentence begins with it.
        options: every method, in the run's order; in JSON the run's rows have their numbers.
    """

    board_id: str
    task: str
    where: str
    conditions: str
    baseline: str | None
    state: State
    choice: str | None
    factor: float | None
    verdict: str | None
    points: float | None
    points_verdict: str | None
    lead: str | None
    sentence: str
    claim: str
    others: list[str]
    notes: list[str]
    blocks_missing: int | None
    aa: str
    regressed: list[str]
    options: list[Option] = field(metadata=LEFT_OUT)

    @property
    def leading(self) -> Option | None:
        """Return the method that the sentence speaks of; None if it speaks of none."""
        return next((option for option in self.options if option.label == self.lead), None)

    @property
    def line(self) -> str:
        """Return the answer as one line that says where it holds."""
        return f"{self.where}: {self.sentence}"


def answers(summary: Measured, regressed: Regressed | None = None) -> list[Answer]:
    """Return the answer for each board and task (and set of conditions) of a run, in the order of its rows.

    Args:
        summary: what was measured; a :class:`tunebench.reports.summary.Summary` is one, and holds these answers.
        regressed: what the gate found to have become worse.
    """
    answers_of_tasks = []
    families = grouped(summary.rows)
    alike = Counter((board, task) for board, task, _ in families)
    for (board_id, task, conditions), rows in families.items():
        where = f"{clean(board_id, 60)} · {clean(task, 60)}"
        if alike[board_id, task] > 1:
            where += f" ({clean(conditions, 60)})"
        given = _Given(
            rows=rows,
            options=options(rows, summary.checks, summary.delta["accuracy"]),
            base=clean(rows[0].baseline, 40) if rows[0].baseline else "",
            where=where,
            conditions=conditions,
        )
        answer = _answer(given)
        answers_of_tasks.append(_with_regressions(answer, regressed or {}))
    return answers_of_tasks


def answer_lines(summary: Measured, regressed: Regressed | None = None) -> list[str]:
    """Return one line for each board and task: what ``run`` and ``nightly`` print at their end."""
    return [answer.line for answer in answers(summary, regressed)]


@dataclass(frozen=True)
class _Given:
    """What one answer is made from; ``base`` is the baseline's name as it is shown, empty without one."""

    rows: Sequence[MethodResult]
    options: list[Option]
    base: str
    where: str
    conditions: str

    @property
    def able(self) -> list[Option]:
        """Return the methods that were compared with the baseline and may be chosen, the fastest first."""
        known = [option for option in self.options if not option.is_baseline and option.refused is None]
        return sorted(known, key=lambda option: -(option.factor or 0.0))

    @property
    def baseline(self) -> Option | None:
        """Return the baseline itself; None if it was not measured."""
        return next((option for option in self.options if option.is_baseline), None)

    def row(self, option: Option) -> MethodResult:
        """Return the row of a method."""
        members = [row for row in self.rows if not row.aa_control]
        return next(row for row, made in zip(members, self.options, strict=True) if made is option)

    def settling(self, option: Option) -> Settling | None:
        """Return what would settle a method's verdict on time."""
        speed_up = self.row(option).speed_up
        return settling(speed_up) if speed_up else None


def _answer(given: _Given) -> Answer:
    refused = _refusal(given)
    if refused is not None:
        return _made(given, *refused, lead=given.able[0] if given.able else None)
    judged = [option for option in given.able if option.verdict != "NO VERDICT"]
    if not judged:
        return _too_few(given)
    choice = _choice(given)
    if choice is not None:
        return _use(given, choice)
    unclear = [option for option in judged if option.verdict == "UNCLEAR"]
    faster = [option for option in judged if option.verdict == "FASTER"]
    return _open(given, unclear[0]) if unclear and not faster else _keep(given, faster)


def _refusal(given: _Given) -> tuple[State, str] | None:
    """Return why no verdict on time may be read off at all, with the state that this is; None if one may."""
    first = given.rows[0]
    if first.emulated:
        name = clean(first.board_id, 40)
        return (
            "emulated",
            f"No answer on time: {name} is emulated, its times are the emulator's{_accuracies(given)}",
        )
    if not given.able:
        return "nothing", f"No answer: {_why_nothing(given)}"
    if any(row.speed_up is not None and row.speed_up.withheld for row in given.rows):
        return "withheld", f"No answer: {_why_withheld(given)}"
    return None


def _choice(given: _Given) -> Option | None:
    """Return the fastest method that is shown to be faster and not seen to lose accuracy.

    A method whose accuracy is settled goes before one whose accuracy is open, and that before one without any. A
    method that is only as fast is chosen if it is shown to be better in something else. Last comes one that is
    faster and may lose accuracy: it is recommended to who can bear the loss.
    """
    faster = [option for option in given.able if option.verdict == "FASTER"]
    same = [option for option in given.able if option.verdict == "SAME"]
    better = [
        option for option in same if _kept(option) and (option.points_verdict == "HIGHER" or option.savings)
    ]
    tiers = (
        [option for option in faster if _kept(option)],
        [option for option in faster if _open_without_loss(option)],
        [option for option in faster if option.points is None],
        better,
        [option for option in faster if _open_loss(option)],
    )
    return next((tier[0] for tier in tiers if tier), None)


def _kept(option: Option) -> bool:
    return option.points_verdict in {"SAME", "HIGHER"}


def _open_without_loss(option: Option) -> bool:
    """Return whether a difference of accuracy is not settled and its estimate is no loss that matters."""
    is_open = option.points_verdict in {"UNCLEAR", "NO VERDICT"}
    return is_open and option.points is not None and option.points >= -option.delta_points


def _open_loss(option: Option) -> bool:
    """Return whether an accuracy is not settled and its estimate is a loss that matters."""
    is_open = option.points_verdict in {"UNCLEAR", "NO VERDICT"}
    return is_open and option.points is not None and option.points < -option.delta_points


def _use(given: _Given, choice: Option) -> Answer:
    also = [] if choice.verdict == "FASTER" else choice.savings[:1]
    phrase = ", ".join([option_phrase(choice, given.base), *also])
    others = _first_of_each(
        [*_more_accurate(given, choice), *_faster_at_a_loss(given, choice), *_smaller(given, choice)]
    )
    if choice.verdict != "FASTER" or not _open_loss(choice):
        return _made(given, "use", f"Use {choice.name}: {phrase}", choice=choice, lead=choice, others=others)
    metric, lost = clean(choice.metric, 30), points(abs(choice.points or 0.0)).lstrip("+")
    claim = f"Use {choice.name} if {lost} of {metric} may be lost: {phrase}"
    others = dict(
        list({str(given.rows[0].baseline): f"{given.base} if not", **others}.items())[:_MOST_OTHERS]
    )
    return _made(given, "use if", claim, choice=choice, lead=choice, others=others)


def _keep(given: _Given, faster: Sequence[Option]) -> Answer:
    base = given.baseline
    others: dict[str, str] = {}
    if faster:
        why = f"no method is shown to be faster at equal {clean(faster[0].metric, 30)}"
        others = _first_of_each(_faster_at_a_loss(given, base)) if base else {}
    else:
        nearest = given.able[0]
        why = f"no method is shown to be faster (nearest: {nearest.name}, {speed(nearest, given.base)})"
        others = _first_of_each(_more_accurate(given, base)) if base else {}
    lead = next((option for option in given.able if option.label in others), given.able[0])
    return _made(given, "keep", f"Stay with {given.base}: {why}", choice=base, lead=lead, others=others)


def _first_of_each(phrases: Sequence[_Phrase]) -> dict[str, str]:
    """Return the first phrase on each method, by label, as many as a sentence can bear."""
    by_label: dict[str, str] = {}
    for label, phrase in phrases:
        by_label.setdefault(label, phrase)
    return dict(list(by_label.items())[:_MOST_OTHERS])


def _open(given: _Given, best: Option) -> Answer:
    needed = given.settling(best)
    interval = ""
    if best.low is not None and best.high is not None:
        interval = f", 95% interval {significant(best.low)} to {significant(best.high)}"
    sentence = (
        f"No verdict yet: whether {best.name} is faster than {given.base} is open "
        f"({times(best.factor or 1.0)} as fast{interval})"
    )
    if needed is not None:
        sentence += f"; {needed.words}"
    blocks = needed.blocks if needed else None
    sentence += f". Until then stay with {given.base}"
    return _made(given, "open", sentence, lead=best, missing=blocks)


def _too_few(given: _Given) -> Answer:
    seen_without_loss = [
        option for option in given.able if option.points is None or _open_without_loss(option)
    ]
    ahead = [option for option in seen_without_loss if (option.factor or 0.0) > 1]
    unbeaten = [option for option in given.able if option.frontier and (option.factor or 0.0) > 1]
    best = (ahead or unbeaten or given.able)[0]
    needed = given.settling(best)
    missing = needed.blocks if needed and needed.blocks else 1
    over = f" over {len(given.able)} methods" if len(given.able) > 1 else ""
    sentence = (
        f"No verdict yet: {_blocks(best.n)}, and a verdict{over} needs at least {best.n + missing}: "
        f"{missing} more {'are' if missing != 1 else 'is'} missing. "
    )
    if (best.factor or 0.0) > 1:
        sentence += (
            f"So far {best.name} ran {times(best.factor or 1.0)} as fast as {given.base}, {accuracy(best)}"
        )
    else:
        sentence += f"So far none ran faster than {given.base}"
    return _made(given, "too few", sentence, lead=best, missing=missing)


def _blocks(n: int) -> str:
    return f"{n} block{'s' if n != 1 else ''}"


def _more_accurate(given: _Given, choice: Option) -> list[_Phrase]:
    """Return the most accurate method as a phrase, if it gains what matters over the choice."""
    if choice.points is None:
        return []
    gains = [
        option
        for option in given.able
        if option.points is not None
        and option.points - choice.points > option.delta_points
        and option.points_verdict != "LOWER"
    ]
    best = max(gains, key=lambda option: option.points or 0.0, default=None)
    if best is None:
        return []
    metric = clean(best.metric, 30)
    return [(best.label, f"{best.name} if {metric} counts more ({brief_points(best)}, {brief_speed(best)})")]


def _faster_at_a_loss(given: _Given, choice: Option) -> list[_Phrase]:
    """Return the fastest method as a phrase, if it beats the choice in time at a loss of accuracy, seen or possible."""
    known = [
        option
        for option in given.able
        if option.verdict == "FASTER"
        and (option.factor or 0.0) > (choice.factor or 1.0)
        and not _kept(option)
    ]
    phrases = []
    for option in [option for option in known if option.frontier][:_MOST_OTHERS]:
        if option.points is None:
            continue
        lost = option.points < -option.delta_points
        size_ = points(abs(option.points)).lstrip("+")
        metric = clean(option.metric, 30)
        condition = f"{size_} of {metric} may be lost" if lost else f"its {metric} holds ({accuracy(option)})"
        also = [part for part in (brief_speed(option), ship(option)) if part]
        if lost and option.points_verdict != "LOWER":
            also.append("loss open")
        phrases.append((option.label, f"{option.name} if {condition} ({', '.join(also)})"))
    return phrases


def _smaller(given: _Given, choice: Option) -> list[_Phrase]:
    """Return the method with the smallest update as a phrase, if it ships half of the choice's or less."""
    known = [
        option
        for option in given.able
        if option.update_b is not None and option.verdict in {"FASTER", "SAME"}
    ]
    least = min(known, key=lambda option: option.update_b or 0, default=None)
    if least is None or choice.update_b is None or (least.update_b or 0) > choice.update_b / 2:
        return []
    beside = f"{size(least.update_b or 0, 2)}, {brief_speed(least)}, {clean(least.metric, 30)} {brief_points(least)}"
    return [(least.label, f"{least.name} if the update must be small ({beside})")]


def _accuracies(given: _Given) -> str:
    known = [option for option in given.options if option.accuracy is not None and not option.is_baseline]
    best = max(known, key=lambda option: option.accuracy or 0.0, default=None)
    if best is None:
        return ""
    return f". Accuracies and sizes hold: {best.name} ends best of the others, {accuracy(best)}"


def _why_nothing(given: _Given) -> str:
    rows, base = given.rows, given.baseline
    if not given.base:
        return "the task has no baseline to compare with"
    if base is None:
        return f"{given.base}, the baseline, was not measured here"
    if base.refused is not None:
        return f"{given.base}, the baseline, has no number that may be used ({clean(base.refused, 200)})"
    contenders = [option for option in given.options if not option.is_baseline]
    if not contenders:
        return f"only {given.base} was measured" + (" twice" if any(row.aa_control for row in rows) else "")
    reasons = dict.fromkeys(f"{option.name}: {clean(option.refused or '', 200)}" for option in contenders)
    return "no method may be compared with " + given.base + " (" + "; ".join(list(reasons)[:3]) + ")"


def _why_withheld(given: _Given) -> str:
    control = next((row for row in given.rows if row.aa_control), None)
    verdict = control.judged("time") if control else None
    size_ = f" by {effect(verdict)} {span(verdict)}" if verdict else ""
    return (
        f"the A/A control failed, {given.base} differs from itself{size_}, so no verdict on times is given. "
        "Make the board quiet and measure again"
    )


def _notes(given: _Given, choice: Option | None) -> list[str]:
    notes = []
    judged = given.row(choice).judged("accuracy") if choice is not None and not choice.is_baseline else None
    needed = settling(judged) if judged is not None else None
    if choice is not None and needed is not None:
        notes.append(
            f"Whether {choice.name} ends at another {clean(choice.metric, 30)} is open: {needed.words}."
        )
    reach = _first_to_target(given)
    if reach and choice is not None and reach[0] != choice.label:
        label, words = reach
        notes.append(
            f"Counted by the time to reach the baseline's quality, {clean(label, 40)} is first ({words})."
        )
    for option in given.options:
        if option.refused is not None and not option.is_baseline:
            notes.append(f"{option.name} is left out: {clean(option.refused, 200)}.")
    unsettled = [option.name for option in given.able if option.verdict == "UNCLEAR" and option is not choice]
    if unsettled and choice is not None:
        notes.append(f"Whether {', '.join(unsettled[:4])} differs in time is open.")
    return notes


def _first_to_target(given: _Given) -> tuple[str, str] | None:
    """Return the method that reaches the target quality soonest, by medians, and how long it takes."""
    known = [
        (reached.time_s.median, row.label, reached.time_s)
        for row in given.rows
        if not row.aa_control
        and isinstance(reached := row.to_quality, ToTarget)
        and reached.time_s.median is not None
    ]
    if len(known) < 2:
        return None
    median, label, first = min(known, key=lambda entry: entry[0])
    return label, f"{seconds(median, 2)}, {first.reached} of {first.n} runs"


def _made(
    given: _Given,
    state: State,
    claim: str,
    *,
    choice: Option | None = None,
    lead: Option | None = None,
    others: Mapping[str, str] | None = None,
    missing: int | None = None,
) -> Answer:
    first = given.rows[0]
    control = next((row for row in given.rows if row.aa_control), None)
    phrases = list((others or {}).values())
    claim = claim.rstrip(".")
    return Answer(
        board_id=first.board_id,
        task=first.task,
        where=given.where,
        conditions=given.conditions,
        baseline=first.baseline,
        state=state,
        choice=choice.label if choice else None,
        factor=choice.factor if choice else None,
        verdict=choice.verdict if choice else None,
        points=choice.points if choice else None,
        points_verdict=choice.points_verdict if choice else None,
        lead=lead.label if lead else None,
        sentence=f"{'; '.join([claim, *phrases])}.",
        claim=f"{claim}.",
        others=phrases,
        notes=_notes(given, choice),
        blocks_missing=missing,
        aa=aa_result(control.verdicts["time"]) if control and "time" in control.verdicts else "none",
        regressed=[],
        options=given.options,
    )


def _with_regressions(answer: Answer, regressed: Regressed) -> Answer:
    """Put what has become worse before everything else: a method that regressed is never told as fast first."""
    here = [
        f"{clean(label, 40)} ({clean(words, 120)})"
        for (board_id, task, label), words in regressed.items()
        if (board_id, task) == (answer.board_id, answer.task)
    ]
    if not here:
        return answer
    names = ", ".join(here[:3]) + (f" and {len(here) - 3} more" if len(here) > 3 else "")
    return replace(
        answer,
        regressed=here,
        sentence=f"Regressed: {names}. {answer.sentence}",
        claim=f"Regressed: {names}. {answer.claim}",
    )
