"""A network cut between board and host, over repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row.medians import Spread


@dataclass(frozen=True, slots=True)
class CutNumbers:
    """One place at which a network is cut: what crosses, and what each part takes alone.

    Attributes:
        cut: last node on the board; ``input``: nothing is computed there.
        size_b: what crosses for one sample; 0: all of the network is on the board.
        device_j: energy of one call of the board's part, over energy repetitions; None where nothing told it.
        equal: outputs are those of the whole network within the tolerance, in every repetition; None: not compared.
    """

    cut: str
    shape: list[int]
    dtype: str
    size_b: int
    device_s: Spread
    remote_s: Spread | None
    device_j: Spread | None
    device_j_scope: str | None
    max_difference: float | None
    equal: bool | None


@dataclass(frozen=True, slots=True)
class CallNumbers:
    """A cut network over one link, over repetitions: medians of their medians of calls.

    Attributes:
        total_s: None where it was not called; ``missing`` says why.
        predicted_s: from both parts alone, a round trip, and the bytes over the rates.
    """

    cut: str
    calls: int
    device_s: Spread | None
    transfer_s: Spread | None
    remote_s: Spread | None
    total_s: Spread | None
    predicted_s: Spread | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class LinkNumbers:
    """All cuts over one link.

    Attributes:
        how: ``measured``: the board's own link; ``shaped``: a proxy on the host limits rate and delays.
        predicted_best, measured_best: cut of the least median; cuts whose outputs differ are left out.
        excess: measured total of the predicted best over that of the measured best, less 1.
    """

    link: str
    how: str
    up_bit_s: float | None
    down_bit_s: float | None
    rtt_s: float | None
    predicted_best: str | None
    measured_best: str | None
    excess: float | None
    calls: Sequence[CallNumbers]
    missing: str | None


@dataclass(frozen=True, slots=True)
class PartitionNumbers:
    """A network cut between board and host, over a cell's repetitions.

    Attributes:
        n: repetitions.
        answer_b: outputs that go back for one sample.
    """

    n: int
    answer_b: int
    tolerance: float
    host_runtime: str | None
    host_threads: int | None
    cuts: Sequence[CutNumbers]
    links: Sequence[LinkNumbers]
