"""Updates that were shipped, and their way over each link."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunebench.reports.records.record import Record


class Transfer(Record):
    """One update over one link in one direction; see docs/results.md for what the seconds hold."""

    direction: Literal["board-host", "host-board"]
    link: str = Field(description="'own': the board's link as it is; else a profile's name")
    how: Literal["measured", "shaped", "computed"] = Field(
        description="shaped: through a rate-limiting, delaying proxy; computed: from bytes, nothing was sent"
    )
    size_b: int
    seconds: float | None = Field(default=None, description="null: it failed, see ``reason``")
    bit_s: float | None = Field(default=None, description="effective throughput: 8 size_b / seconds")
    link_bit_s: float | None = Field(default=None, description="a profile's rate in this direction")
    link_rtt_s: float | None = None
    apply_s: float | None = Field(
        default=None, description="host-board: checking and putting in force, on the board; not in seconds"
    )
    reason: str | None = None


class Update(Record):
    """What the fine-tuning changed, in one form, as a file that was shipped."""

    form: Literal["weights", "delta", "adapter"]
    dtype: Literal["float32", "float16", "int8"]
    packed: bool = Field(description="compressed with zlib")
    size_b: int = Field(description="of the file as it travels")
    safetensors_b: int = Field(description="header_b + tensor_b; size_b unless packed")
    header_b: int = Field(description="length, names, shapes and metadata")
    tensor_b: int = Field(description="the values, int8 scales included")
    n_tensors: int
    n_values: int
    max_error: float = Field(description="largest difference of a value from float32")
    rms_error: float
    sha256: str
    base_sha256: str = Field(description="of the weights artefact that it applies to")
    made_s: float = Field(description="converting, writing, compressing, on the board")
    transfers: list[Transfer] = Field(default_factory=list)
