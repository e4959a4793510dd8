"""The form of what boards answer, checked where it is read: whoever uses an answer may rely on its types."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(max_length=4096)]


class _Reply(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Interpreter(_Reply):
    argv: list[Name] | None = Field(default=None, max_length=100)
    ok: bool | None = None
    python: Name | None = None
    torch: Name | None = None
    reason: Name | None = None


class _Probe(_Reply):
    fingerprint: dict[Name, dict[Name, Any]] = Field(default_factory=dict, max_length=20)
    fingerprint_sha256: dict[Name, Name | None] = Field(default_factory=dict, max_length=20)
    interpreters: list[_Interpreter] = Field(default_factory=list, max_length=100)
    channels: list[dict[Name, Any]] = Field(default_factory=list, max_length=1000)
    missing: dict[Name, Name] = Field(default_factory=dict, max_length=1000)
    jobs: list[dict[Name, Any]] = Field(default_factory=list, max_length=100_000)
    swaps: list[dict[Name, Any]] | None = Field(default=None, max_length=1000)
    lease: dict[Name, Any] | None = None
    cpu_features: str | None = Field(default=None, max_length=100_000)
    disk_free_b: int | None = None
    mem_total_b: int | None = None
    mem_available_b: int | None = None
    boot_id: Name | None = None
    governor: Name | None = None
    power_mode: Name | None = None
    undo_pending: bool = False
    simulated: bool = False


def check_probe(answer: dict[str, Any], interpreters: int = 0) -> dict[str, Any]:
    """Return a probe's answer if its fields have the types that we rely on.

    Args:
        interpreters: how many it was asked about.

    Raises:
        ValueError: the first field that does not, and what was expected.
    """
    try:
        found = _Probe.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:80] for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None
    if len(found.interpreters) != interpreters:
        raise ValueError(f"{len(found.interpreters)} interpreters, it was asked about {interpreters}")
    return answer
