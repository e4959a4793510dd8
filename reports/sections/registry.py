"""The list of report sections: the order of the page and of its navigation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TypeVar

from tunebench.reports.formatting.units import clean
from tunebench.reports.sections.base.section import Page, Section
from tunebench.reports.summary import Summary

_T = TypeVar("_T")

#: Another package's sections: entry points of this group name a class that follows the contract of ``Section``.
GROUP = "tunebench.sections"

#: A line a section, in the order of the page: the module below this package that holds it as ``SECTION``.
MODULES = (
    "skip2_lora",
    "lorae",
    "speed_up",
    "edge_workflow",
    "runtimes",
    "search",
    "partition",
    "comparison",
    "methods",
    "energy",
    "operating_points",
    "sustained",
    "robustness",
    "verdicts",
    "phases",
    "accuracy",
    "repetitions",
    "instructions",
    "traces",
    "memory",
    "language",
    "boards",
    "trends",
    "environment",
    "method",
)
SECTIONS: tuple[Section, ...] = tuple(import_module(f"{__package__}.{name}").SECTION for name in MODULES)


def sections() -> list[Section]:
    """Return all sections: tunebench's own, then those of other packages by the name of their entry point.

    A package's section that cannot be loaded is left out, and a sentence on standard error says so.
    """
    listed = list(SECTIONS)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            section: Section = point.load()()
            taken = any(section.ident == other.ident for other in listed)
            guarded = PluginSection(section, f"{point.name!r} ({point.value})")
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; the report is written without it
            _tell(f"{point.name!r} ({point.value})", f"{type(error).__name__}: {error}")
            continue
        if taken:
            _tell(guarded.name, f"another section has the ident {guarded.ident!r}")
        else:
            listed.append(guarded)
    return listed


def in_text_order(listed: Sequence[Section]) -> list[Section]:
    """Return sections in the order of plain text."""
    return sorted(listed, key=lambda section: section.text_place)


class PluginSection(Section):
    """Another package's section; if it fails, the report is written without it."""

    ident = ""

    def __init__(self, section: Section, name: str) -> None:
        self._section, self.name = section, name
        # These hide the contract's class attributes: a plugin's own stand for this object only.
        for attribute in ("ident", "nav", "text_place"):
            setattr(self, attribute, getattr(section, attribute))

    def template(self) -> str:
        """Return the plugin's partial."""
        return self._section.template()

    def view(self, page: Page) -> object | None:
        """Return the plugin's view; None if it fails."""
        return self._guarded(lambda: self._section.view(page), None)

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the plugin's blocks; none if it fails."""
        return self._guarded(lambda: list(self._section.text(summary)), [])

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the plugin's Markdown; empty if it fails or is too long."""
        text = self._guarded(lambda: str(self._section.markdown(summary, limit)), "")
        if len(text) <= limit:
            return text
        self.failed(f"{len(text)} characters of Markdown, at most {limit} fit")
        return ""

    def failed(self, reason: object) -> None:
        """Say on standard error that this section is left out."""
        _tell(self.name, reason)

    def _guarded(self, call: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
            self.failed(f"{type(error).__name__}: {error}")
            return otherwise


@lru_cache(maxsize=256)
def _tell(name: str, reason: object) -> None:
    """Print one sentence on standard error, once for each process."""
    print(clean(f"The report's section {name} is left out: {reason}", 400), file=sys.stderr)
