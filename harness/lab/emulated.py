"""Fetches the wheels of runtimes that an emulated board is to have on its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunebench.harness.lab import wheelhouse
from tunebench.harness.lab.setup import downloads_beside, runtime_beside
from tunebench.targets.virtual.qemu import recipe
from tunebench.targets.virtual.qemu.runtimes import Runtimes


def fetched_runtimes(names: Sequence[str], say: Callable[[str], None]) -> Runtimes:
    """Return runtimes with their wheels, which are fetched where the wheelhouse of this machine lacks them.

    Args:
        names: as ``setup --runtime`` is asked for them, in any order.
        say: told which is fetched.

    Raises:
        FetchError: pip is missing or found none.
    """
    beside = [runtime_beside(name, recipe.FACTS) for name in sorted(set(names))]
    downloads = downloads_beside(beside, index=None)
    return Runtimes(
        tuple(sorted(set(names))),
        tuple(wheelhouse.fetch(downloads, recipe.FACTS, wheelhouse.default_cache(), say)),
    )
