"""Prometheus's text, as node_exporter's textfile collector reads it, and OpenMetrics at the same time.

Both have gauges, base units in the names (https://prometheus.io/docs/practices/naming/) and ``# HELP``, ``# TYPE``. What
only OpenMetrics has (``# UNIT``, ``# EOF``) is a comment to Prometheus's own parser. There are no time stamps at the
samples: the textfile collector refuses a file that has any. When the run ended is a metric of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tunebench.reports.exports.figures import figures, identity, named, summary_of, write_text
from tunebench.reports.results.reader import RunReader
from tunebench.reports.summary import Summary

#: Figure -> (name, unit or empty, help). A name ends in its unit, as OpenMetrics wants it.
_METRICS: Mapping[str, tuple[str, str, str]] = {
    "duration": ("tunebench_finetuning_seconds", "seconds", "Median time of one fine-tuning."),
    "energy": ("tunebench_finetuning_energy_joules", "joules", "Median gross energy of one fine-tuning."),
    "memory": (
        "tunebench_finetuning_peak_memory_bytes",
        "bytes",
        "Median peak resident memory of the workload.",
    ),
    "instructions": (
        "tunebench_finetuning_instructions",
        "",
        "Median CPU instructions of one fine-tuning in user space.",
    ),
    "accuracy": (
        "tunebench_finetuning_accuracy_ratio",
        "ratio",
        "Mean of the task's metric after fine-tuning, 0-1.",
    ),
}
_BOUNDS = {"low": "Lower end of its interval.", "high": "Upper end of its interval."}

_Samples = list[tuple[Mapping[str, str], float]]


def export(reader: RunReader, to: str | None) -> str | None:
    """Write the run for the textfile collector; its file's name must end in ``.prom``."""
    return write_text(text_of(summary_of(reader)), to)


def text_of(summary: Summary) -> str:
    """Return the metrics of a run as text."""
    run = summary.run
    of_run = {"lab": run.lab, "suite": run.suite}
    families: dict[tuple[str, str, str], _Samples] = {}

    def add(family: tuple[str, str, str], labels: Mapping[str, str], value: float) -> None:
        families.setdefault(family, []).append((labels, value))

    info = {**of_run, "run_id": run.run_id, "tunebench": run.tunebench or "", "level": run.level or ""}
    add(("tunebench_run_info", "", "The newest run of this lab and suite."), info, 1.0)
    for name, moment in (("start", run.started_utc), ("end", run.ended_utc)):
        if moment is not None:
            family = (f"tunebench_run_{name}_time_seconds", "seconds", f"Unix time of the run's {name}.")
            add(family, of_run, _unix_s(moment))
    for kind, number in summary.counts.by_class.items():
        family = ("tunebench_run_repetitions", "", "Repetitions of the run by how they ended.")
        add(family, {**of_run, "state": kind}, float(number))
    for _, row in named(list(summary.rows)):
        labels = {**of_run, **identity(row)}
        for figure in figures(row):
            name, unit, text = _METRICS[figure.name]
            if figure.name == "energy" and row.energy is not None:
                labels = {**labels, "scope": row.energy.scope or "", "source": row.energy.source or ""}
            add((name, unit, text), labels, figure.value)
            for bound, value in (("low", figure.low), ("high", figure.high)):
                if value is not None:
                    # The unit stays last: tunebench_finetuning_low_seconds.
                    stem = name.removesuffix(f"_{unit}") if unit else name
                    add(
                        ("_".join(filter(None, [stem, bound, unit])), unit, f"{text} {_BOUNDS[bound]}"),
                        labels,
                        value,
                    )
            labels = {**of_run, **identity(row)}
    # Samples of one family stand together, whatever the order in which rows had them.
    return "".join(_family(*family, samples) for family, samples in families.items()) + "# EOF\n"


def _family(name: str, unit: str, text: str, samples: Sequence[tuple[Mapping[str, str], float]]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} gauge", *([f"# UNIT {name} {unit}"] if unit else [])]
    lines += [f"{name}{{{_labels(labels)}}} {value!r}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())


def escaped(value: str) -> str:
    r"""Return a label's value with what would end it escaped.

    >>> escaped('a"b' + chr(10) + chr(92))
    'a\\"b\\n\\\\'
    """
    # Other line ends would end a line to some readers, too.
    flat = value.replace("\r", " ").replace("\u2028", " ").replace("\u2029", " ")
    return flat.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _unix_s(moment: str) -> float:
    time = datetime.fromisoformat(moment)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
