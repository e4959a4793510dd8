"""Where a training step goes: stacked bars of the instrumented repetition, the unaccounted rest drawn too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunebench.reports.analysis.row import MethodResult, PhaseTimes
from tunebench.reports.analysis.within.phases import phase_order
from tunebench.reports.figures.base.legend import swatches, swatches_height
from tunebench.reports.figures.base.model import HALF, NARROW, WIDE, Figure, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, plain, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import percent, seconds, signed_percent, time_unit

#: phase -> colour class; a phase of one's own takes the next free one.
COLOURS = {
    "forward": "p-forward",
    "backward": "p-backward",
    "update": "p-update",
    "cache_fill": "p-cache",
    "gather": "p-gather",
    "evaluate": "p-evaluate",
    "finetune": "p-window",
    "load": "p-idle",
    "save": "p-save",
    "warm-up": "p-warm",
    "warmup": "p-warm",
}
_OWN = ("p-own0", "p-own1", "p-own2")
UNACCOUNTED = "unaccounted"
#: A marked repetition that differs by more from the timed median tells other seconds than the comparison does.
APART = 0.1
_ROW = 28


def phase_class(phase: str, known: Sequence[str]) -> str:
    """Return the colour class of a phase."""
    if phase == UNACCOUNTED:
        return "p-rest"
    own = [name for name in known if name not in COLOURS]
    return COLOURS.get(phase) or _OWN[own.index(phase) % len(_OWN)]


def phases_figure(
    ident: str, rows: Sequence[MethodResult], *, heading: str, share: bool = False, half: bool = False
) -> Figure:
    """Draw one bar for each method: mean seconds of one step by phase; with ``share``, shares of the whole step."""
    known = [(row, row.phases) for row in rows if row.phases]
    names = [*phase_order({name for _, phases in known for name in phases.by_phase_s}), UNACCOUNTED]
    table = DataTable(
        caption="Time of one training step by phase (instrumented repetition, evaluation excluded)",
        columns=("method", "step", *names, "against the timed median", "steps", "repetitions"),
        rows=[_table_row(row, phases, names) for row, phases in known],
    )
    steps = "; ".join(f"{row.label} {seconds(phases.step_s)}" for row, phases in known)
    return figure(
        ident,
        "Shares of one training step by phase" if share else "Time of one training step by phase",
        f"Stacked bars, one a method. Whole step: {steps}.",
        lambda width: _draw(width, known, names, share=share),
        table=None if share else table,
        heading=heading,
        notes=disagreements(known),
        wide=HALF if half else WIDE,
    )


def disagreements(known: Sequence[tuple[MethodResult, PhaseTimes]]) -> list[str]:
    """Say which marked repetitions took another time than the timed ones: their bars are not the medians' parts."""
    apart = [
        f"{row.label} {signed_percent(cost)}{' (n = 1)' if phases.n == 1 else ''}"
        for row, phases in known
        if (cost := row.instrumentation_overhead) is not None and abs(cost) > APART
    ]
    if not apart:
        return []
    return [f"Disagrees with the timed medians: {', '.join(apart)}. Read the shares, not the seconds."]


def parts(phases: PhaseTimes) -> Iterable[tuple[str, float]]:
    """Yield (phase, seconds per step), the unaccounted rest last."""
    yield from phases.by_phase_s.items()
    yield UNACCOUNTED, phases.unaccounted_s


def _draw(
    width: int, known: Sequence[tuple[MethodResult, PhaseTimes]], names: Sequence[str], *, share: bool
) -> Canvas:
    narrow = width <= NARROW
    top = swatches_height(names, width) + 10
    row_height = _ROW + (26 if narrow else 0)
    left, right = (0, 14) if narrow else (112, 106) if width <= HALF else (150, 130)
    canvas = Canvas(width, top + len(known) * row_height + 44)
    swatches(canvas, [(name, phase_class(name, names)) for name in names])
    most = max(phases.step_s for _, phases in known)
    unit_s, unit = time_unit(most)
    if share:
        most, unit_s, unit = 1.0, 0.01, "percent"
    scale = Scale(0, most * 1.02, left, width - right)
    bottom = top + len(known) * row_height + 4
    marks = ticks(0, most / unit_s * 1.02, 4 if narrow else 6)
    for tick in marks:
        canvas.line(scale(tick * unit_s), top, scale(tick * unit_s), bottom, "grid")
    canvas.ticks_below(lambda tick: scale(tick * unit_s), marks, bottom + 18, plain)
    canvas.text(
        width - right, bottom + 36, f"{unit} of a step" if share else f"{unit} a step", "tick", anchor="end"
    )
    for index, (row, phases) in enumerate(known):
        _bar(
            canvas,
            row.label,
            phases,
            scale,
            top=top + index * row_height,
            names=names,
            narrow=narrow,
            share=share,
        )
    return canvas


def _bar(
    canvas: Canvas,
    label: str,
    phases: PhaseTimes,
    scale: Scale,
    *,
    top: float,
    names: Sequence[str],
    narrow: bool,
    share: bool,
) -> None:
    whole_s = phases.step_s if share and phases.step_s else 1.0
    y = top + (26 if narrow else 6)
    canvas.text(0, top + 19, label, "t strong", width=200 if narrow else 104 if canvas.width <= HALF else 138)
    done_s = 0.0
    for phase, phase_s in parts(phases):
        x = scale(done_s)
        done_s += phase_s / whole_s
        hint = f"{label}, {phase}: {seconds(phase_s)} ({percent(phase_s / phases.step_s)})"
        canvas.rect(x, y, scale(done_s) - x, 20, f"bar {phase_class(phase, names)}", hint=hint)
    total = seconds(phases.step_s) + (", n = 1" if phases.n == 1 else "")
    if narrow:
        canvas.text(canvas.width - 14, top + 19, total, "t num", anchor="end")
    else:
        canvas.text(scale(done_s) + 8, top + 20, total, "t num")


def _table_row(row: MethodResult, phases: PhaseTimes, names: Sequence[str]) -> list[str]:
    values = dict(parts(phases))
    cells = [
        f"{seconds(values[name])} ({percent(values[name] / phases.step_s)})" if name in values else "–"
        for name in names
    ]
    overhead = row.instrumentation_overhead
    cost = "–" if overhead is None else f"{100 * overhead:+.1f}%"
    return [row.label, seconds(phases.step_s), *cells, cost, str(phases.steps), str(phases.n)]
