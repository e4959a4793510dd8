"""What the keys of every kind of external meter (``[board.meter]`` of the inventory) have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Scope = Literal["wall_ac", "dc_input", "board_input", "module", "rails_sum", "soc_rail"]


def host_path(value: str) -> str:
    """Return a path on this machine with ``~`` expanded.

    Raises:
        ValueError: no file can have that name.
    """
    if "\0" in value:
        raise ValueError("a path holds no NUL character")
    try:
        return str(Path(value).expanduser())
    except RuntimeError:
        raise ValueError(f"{value.split('/', 1)[0]!r}: no such user on this machine") from None


HostPath = Annotated[str, AfterValidator(host_path)]


class MeterKeys(BaseModel):
    """The base of a kind's ``Keys``: a kind adds ``kind: Literal["its-name"]``, its own keys and their defaults.

    Attributes:
        private: keys whose values never stand in results: an error's text shows ``<host>`` instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    private: ClassVar[tuple[str, ...]] = ("host", "port", "path", "serial")

    kind: str
    scope: Scope = Field(description="what the meter's power covers: scopes never meet in one column")

    def spec(self) -> dict[str, Any]:
        """Return the keys as :func:`tunebench.targets.meters.open_meter` takes them, without those not given."""
        return self.model_dump(exclude_none=True)

    def placed(self, folder: Path) -> Self:
        """Return the keys with relative paths made absolute; ``folder`` is the inventory's."""
        return self

    @property
    def exclusive_name(self) -> str | None:
        """Return the name of what no two commands may use at once; None: any number may read it.

        A kind that does not say has what its private keys name, or all its keys: better to wait than to share a port.
        """
        keys = self.spec()
        named = {key: keys[key] for key in self.private if key in keys} or {
            key: value for key, value in keys.items() if key not in ("kind", "scope")
        }
        return f"{self.kind} {named}"

    @property
    def pulse_chip_s(self) -> float:
        """Return the length of a load pulse's chip (s), for meters whose trace is aligned by pulses."""
        return 0.5
