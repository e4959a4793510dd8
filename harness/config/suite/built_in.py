"""The suites that come with tunebench: their names, their files and the methods that they name."""

from __future__ import annotations

import tomllib
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path

from tunebench.harness.config.tables.schema import LEVELS

_SUITES = "tunebench.harness.config.suites"


def built_in_suites() -> list[str]:
    """Return the names that ``--suite`` takes besides a file."""
    folder = resources.files(_SUITES)
    return sorted(
        (entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")),
        key=lambda name: (LEVELS.index(name) if name in LEVELS else len(LEVELS), name),
    )


def built_in_file(name: str) -> AbstractContextManager[Path]:
    """Return the file of a built-in suite, as a context: in a zip it is a file only so long."""
    return resources.as_file(resources.files(_SUITES).joinpath(f"{name}.toml"))


def methods_named(built_in: str) -> set[str]:
    """Return the methods and labels that the file of a built-in suite names."""
    text = resources.files(_SUITES).joinpath(f"{built_in}.toml").read_text(encoding="utf-8")
    workloads = tomllib.loads(text).get("workload", [])
    return {name for entry in workloads for name in [*entry.get("methods", []), entry.get("label")] if name}
