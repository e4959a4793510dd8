"""What a runtime took to run a network, over a cell's repetitions; and whether it is compressed in name only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from tunebench.reports.analysis.row import Served
from tunebench.reports.analysis.within.spreads import known_spread, spread
from tunebench.reports.records import Inference, Repetition

_T = TypeVar("_T")


def served(used: Sequence[Repetition]) -> Served | None:
    """Return medians over a cell's repetitions; None of a cell that runs no network."""
    reps = [(rep, rep.inference) for rep in used if rep.inference is not None]
    if not reps:
        return None
    all_of = [inference for _, inference in reps]
    first = all_of[0]
    decided, reason = _simulated(all_of)
    return Served(
        runtime=first.runtime,
        version=", ".join(sorted({inference.version for inference in all_of})),
        chain=list(first.chain),
        numbers=first.numbers or "float32",
        claimed=first.claimed,
        n=len(all_of),
        calls=first.calls,
        p50_s=known_spread([inference.p50_s for inference in all_of]),
        p90_s=known_spread([inference.p90_s for inference in all_of]),
        p99_s=known_spread([inference.p99_s for inference in all_of]),
        cpu_p50_s=spread(inference.cpu_p50_s for inference in all_of),
        cold_s=known_spread([inference.cold_s for inference in all_of]),
        import_s=known_spread([inference.import_s for inference in all_of]),
        load_s=known_spread([inference.load_s for inference in all_of]),
        runtime_rss_b=spread(_difference(inference) for inference in all_of),
        peak_rss_b=spread(inference.peak_rss_b for inference in all_of),
        installed_b=_last(inference.installed_b for inference in all_of),
        threads=first.threads,
        os_threads=_last(inference.os_threads for inference in all_of),
        params=first.params,
        madds=first.madds,
        dense_params=first.dense_params,
        dense_madds=first.dense_madds,
        model_b=first.model_b,
        model_zlib_b=first.model_zlib_b,
        dense_b=first.dense_b,
        agreement=_least(inference.parent_agreement for inference in all_of),
        max_difference=max(_known(inference.parent_max_difference for inference in all_of), default=None),
        time_share=_least(inference.claimed_time_share for inference in all_of),
        node_share=_least(inference.claimed_node_share for inference in all_of),
        simulated=decided,
        simulated_reason=reason,
        own_p50_s={rep.block: inference.p50_s for rep, inference in reps if rep.role == "timed"},
    )


def no_claim(used: Sequence[Repetition]) -> str | None:
    """Return why no speed of a cell is claimed: its network is compressed in name only; None if it is not so."""
    decided, reason = _simulated([rep.inference for rep in used if rep.inference is not None])
    return f"simulated: {reason or 'nothing was saved'}" if decided else None


def _simulated(all_of: Sequence[Inference]) -> tuple[bool | None, str | None]:
    """Return what most repetitions say that could tell, and the most frequent reason of those."""
    measured = [inference for inference in all_of if inference.simulated is not None]
    if not measured:
        return None, next((inference.simulated_reason for inference in all_of), None)
    yes = [inference for inference in measured if inference.simulated]
    if 2 * len(yes) <= len(measured):
        return False, None
    reasons = Counter(inference.simulated_reason for inference in yes)
    return True, reasons.most_common(1)[0][0]


def _difference(inference: Inference) -> int | None:
    before, after = inference.rss_start_b, inference.rss_import_b
    return after - before if before is not None and after is not None else None


def _known(values: Iterable[_T | None]) -> list[_T]:
    return [value for value in values if value is not None]


def _last(values: Iterable[int | None]) -> int | None:
    known = _known(values)
    return known[-1] if known else None


def _least(values: Iterable[float | None]) -> float | None:
    return min(_known(values), default=None)
