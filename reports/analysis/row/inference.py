"""What a runtime took to run a network, over repetitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunebench.reports.analysis.row.medians import Spread
from tunebench.reports.formatting.json_value import LEFT_OUT


@dataclass(frozen=True, slots=True)
class Served:
    """What a runtime took to run a network, over the repetitions that stand in the times; of a row that runs one.

    Attributes:
        chain: what was done to the network, in order.
        own_p50_s: median of the calls of each block's repetition.
        runtime_rss_b: resident memory after the runtime's import less that before it.
        time_share: least share of the kernels' time in the type that is claimed; None where nothing tells.
        simulated: compressed in name only, by most of the repetitions that could tell; None if none could.
    """

    runtime: str
    version: str
    chain: list[str]
    numbers: str
    claimed: str | None
    n: int
    calls: int
    p50_s: Spread
    p90_s: Spread
    p99_s: Spread
    cpu_p50_s: Spread | None
    cold_s: Spread
    import_s: Spread
    load_s: Spread
    runtime_rss_b: Spread | None
    peak_rss_b: Spread | None
    installed_b: int | None
    threads: int
    os_threads: int | None
    params: int | None
    madds: int | None
    dense_params: int | None
    dense_madds: int | None
    model_b: int | None
    model_zlib_b: int | None
    dense_b: int | None
    agreement: float | None
    max_difference: float | None
    time_share: float | None
    node_share: float | None
    simulated: bool | None
    simulated_reason: str | None
    own_p50_s: Mapping[int, float] = field(metadata=LEFT_OUT)
