"""The base of all records: frozen, finite numbers, one JSON line each."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen, finite numbers only, tolerant of fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)

    def to_line(self) -> str:
        """Return one JSON line, newline included; keys sorted so that equal records are equal bytes."""
        value = self.model_dump(mode="json", by_alias=True)
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")) + "\n"
