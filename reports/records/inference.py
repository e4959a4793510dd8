"""What a runtime took to run a network."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from tunebench.reports.records.record import Record


class Inference(Record):
    """What a board's own runtime took to run a network: medians and quantiles of calls with one sample each.

    Float in, float out: what scales pixels and what makes a sample lie outside of the timer.
    """

    # Older releases of pydantic take names that begin with model_ for their own.
    model_config = ConfigDict(protected_namespaces=())

    runtime: str = Field(max_length=64)
    version: str = Field(max_length=200)
    chain: list[Annotated[str, Field(max_length=64)]] = Field(
        default_factory=list, max_length=64, description="what was done to the network, in order; on the host"
    )
    numbers: str | None = Field(
        default=None,
        max_length=64,
        description="in which the network is written: float32, float16, int8-static, ...",
    )
    claimed: str | None = Field(
        default=None, max_length=64, description="type in which it is to be computed; null: none but float32"
    )
    calls: int = Field(ge=1, description="in one round; a window of an energy repetition holds several")
    import_s: float = Field(ge=0)
    load_s: float = Field(ge=0, description="from the artefact in memory to a network that can be called")
    cold_s: float = Field(ge=0, description="the first call")
    p50_s: float = Field(ge=0)
    p90_s: float = Field(ge=0)
    p99_s: float = Field(ge=0)
    cpu_p50_s: float | None = Field(
        default=None,
        ge=0,
        description="CPU time of a call: of the calling thread, with several threads of the process",
    )
    threads: int = Field(ge=1, description="asked for")
    os_threads: int | None = Field(
        default=None, ge=0, description="threads of the process, counted after the calls"
    )
    installed_b: int | None = Field(
        default=None, ge=0, description="of the runtime and what it needs, on the board"
    )
    rss_start_b: int | None = Field(
        default=None, ge=0, description="resident memory before anything is imported"
    )
    rss_import_b: int | None = Field(default=None, ge=0)
    rss_load_b: int | None = Field(default=None, ge=0)
    rss_cold_b: int | None = Field(default=None, ge=0)
    rss_end_b: int | None = Field(default=None, ge=0)
    peak_rss_b: int | None = Field(default=None, ge=0, description="at the end of the timed calls")
    params: int | None = Field(default=None, ge=0)
    zeros: int | None = Field(default=None, ge=0, description="weights that are 0")
    madds: int | None = Field(
        default=None, ge=0, description="multiply-adds of a call; counted, not measured"
    )
    dense_params: int | None = Field(default=None, ge=0, description="of the network before the chain")
    dense_madds: int | None = Field(default=None, ge=0)
    model_b: int | None = Field(default=None, ge=0, description="the network as the runtime reads it")
    model_zlib_b: int | None = Field(default=None, ge=0, description="the same, packed with zlib")
    dense_b: int | None = Field(
        default=None, ge=0, description="the network before the chain, in the same form"
    )
    model_sha256: str | None = Field(default=None, max_length=64)
    n_items: int | None = Field(default=None, ge=0, description="test items that accuracy is of")
    parent_agreement: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of items with the class of its float parent, computed on the board",
    )
    parent_max_difference: float | None = Field(
        default=None, ge=0, description="largest difference of an output"
    )
    parent_items: int | None = Field(default=None, ge=0)
    claimed_time_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of the kernels' time by the runtime's own profile; null: it has none",
    )
    claimed_node_share: float | None = Field(default=None, ge=0, le=1)
    simulated: bool | None = Field(
        default=None,
        description="compressed in name only: raw bytes at least 0.9 of the uncompressed network's, or under half of the "
        "kernels' time in the claimed type; such a row stands in no claim of speed",
    )
    simulated_reason: str | None = Field(default=None, max_length=400)
    log: list[dict[str, object]] = Field(
        default_factory=list,
        max_length=64,
        description="each step of the chain: its keys, steps trained, the rate and its scores on held-out halves, counts",
    )
