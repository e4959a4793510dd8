"""A network that is cut between board and host: its cuts, and calls over each link."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunebench.reports.records.energy import Scope
from tunebench.reports.records.record import Record


class PartitionCut(Record):
    """One place at which a network is cut: what crosses there, and what each part takes alone, without a link."""

    cut: str = Field(max_length=128, description="last node on the board; 'input': nothing is computed there")
    shape: list[int] = Field(max_length=8, description="of what crosses, of one sample")
    dtype: Literal["float32", "uint8"]
    size_b: int = Field(
        ge=0, description="what crosses for one sample; 0: all of the network is on the board"
    )
    device_s: float = Field(ge=0, description="median of calls of the board's part, in the repetition itself")
    device_calls: int = Field(ge=1)
    device_j: float | None = Field(
        default=None,
        description="of one call of the board's part, gross, in energy repetitions; waiting for the host is not in it",
    )
    device_j_scope: Scope | None = None
    device_j_source: str | None = None
    remote_s: float | None = Field(
        default=None, ge=0, description="median of calls of the host's part, nothing else at work for it"
    )
    max_difference: float | None = Field(
        default=None, ge=0, description="of an output, cut against whole, the whole computed on the board"
    )
    equal: bool | None = Field(
        default=None, description="within the tolerance; null: not compared. A cut that is not is no best"
    )


class PartitionCall(Record):
    """A cut network over one link: medians of calls, each from the sample on the board to the outputs there."""

    cut: str = Field(max_length=128)
    n: int = Field(ge=0, description="calls; 0: see ``reason``")
    device_s: float | None = Field(default=None, ge=0)
    transfer_s: float | None = Field(
        default=None, ge=0, description="total less device and remote: there and back, SSH included"
    )
    remote_s: float | None = Field(default=None, ge=0, description="by the host's clock")
    total_s: float | None = Field(default=None, ge=0, description="by the board's clock")
    total_min_s: float | None = Field(default=None, ge=0)
    total_max_s: float | None = Field(default=None, ge=0)
    predicted_s: float | None = Field(
        default=None, ge=0, description="device_s and remote_s of the cut, a round trip, bytes over the rates"
    )
    reason: str | None = Field(default=None, max_length=500, description="why it was not called")


class PartitionLink(Record):
    """All cuts of a network over one link."""

    link: str = Field(
        max_length=64, description="'own': the board's link as it is; else a shaped link's name"
    )
    how: Literal["measured", "shaped"] = Field(
        description="shaped: the same SSH to the same board, through a proxy on this host that limits rate and delays"
    )
    up_bit_s: float | None = Field(
        default=None, gt=0, description="board -> host; declared, of 'own' measured"
    )
    down_bit_s: float | None = Field(default=None, gt=0)
    rtt_s: float | None = Field(default=None, ge=0)
    predicted_best: str | None = Field(default=None, max_length=128)
    measured_best: str | None = Field(default=None, max_length=128)
    calls: list[PartitionCall] = Field(default_factory=list, max_length=512)
    reason: str | None = Field(default=None, max_length=500, description="why it was not measured")


class Partition(Record):
    """A network cut between board and host: the link is what is measured, after the repetition's window."""

    cut: str = Field(max_length=128, description="as the suite asks: a layer, or 'auto'")
    answer_b: int = Field(ge=0, description="outputs that go back to the board for one sample")
    tolerance: float = Field(gt=0, description="largest difference of an output, of the largest output and 1")
    host_runtime: str | None = Field(default=None, max_length=200)
    host_threads: int | None = Field(default=None, ge=1)
    cuts: list[PartitionCut] = Field(max_length=512)
    links: list[PartitionLink] = Field(
        default_factory=list, max_length=32, description="in timed repetitions; the A/A control has none"
    )
