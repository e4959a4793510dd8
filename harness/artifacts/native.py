"""The native engine's library for a board: built on the host for the probed CPU, pushed like any other blob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench.harness.account import cache_place
from tunebench.targets.client.replies import Probe
from tunebench.targets.payload import Blob
from tunebench.workloads.engines.native import build
from tunebench.workloads.engines.native.errors import NativeError

__all__ = ["NativeError", "NativeLibrary", "library_for", "why_no_kernels_here"]


@dataclass(frozen=True)
class NativeLibrary:
    """A compiled library and the account of how it was built.

    Attributes:
        variant: the CPU level it was built for, e.g. ``cortex-a53``.
        record: triple, compiler, flags, source hash.
    """

    blob: Blob
    variant: str
    record: Mapping[str, Any]


def library_for(probe: Probe, wanted: str | None = None) -> NativeLibrary:
    """Build the library for a probed board, or find it in the cache.

    Args:
        probe: what the board told of itself.
        wanted: a variant by name; None: the best for the board's CPU.

    Raises:
        NativeError: no variant runs there, or no compiler on this host builds for it.
    """
    machine = probe.machine
    variant = wanted or build.variant_of(machine, probe.cpu_features or "")
    if variant in build.VARIANTS and build.VARIANTS[variant].machine != machine:
        raise NativeError(
            f"build {variant!r} is for {build.VARIANTS[variant].machine}; this board is {machine}"
        )
    built = build.build(variant, str(cache_place("native")))
    return NativeLibrary(Blob.of_file(Path(built.path), ".so", role="native"), variant, built.record)


def why_no_kernels_here() -> str | None:
    """Return why nothing compiles the kernels for this machine; None if they are compiled (and kept for the run)."""
    try:
        build.build_here(str(cache_place("native")))
    except NativeError as error:
        return str(error)
    return None
