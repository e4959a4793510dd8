"""The recipes of docs/extending.md, read as a contributor reads them: code blocks with the name of their file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "extending.md"
_BLOCK = re.compile(
    r'^```(?P<language>\w+) title="(?P<title>[^"]+)"(?: section="(?P<section>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A code block that has the name of a file.

    Attributes:
        section: of an entry point's line, its group.
    """

    language: str
    title: str
    section: str | None
    text: str


@dataclass(frozen=True)
class Recipe:
    """What stands below one heading of the page."""

    heading: str
    blocks: tuple[Block, ...]

    @property
    def files(self) -> dict[str, str]:
        """New files: name -> content."""
        return {
            block.title: block.text for block in self.blocks if block.language != "diff" and not block.section
        }

    @property
    def entry_points(self) -> dict[str, list[str]]:
        """Lines of entry points by their group, without the heading of their table."""
        return {block.section: block.text.strip().splitlines()[1:] for block in self.blocks if block.section}

    @property
    def diffs(self) -> dict[str, str]:
        """Changes of files that are there: name -> lines that begin with a space or with ``+``."""
        return {block.title: block.text for block in self.blocks if block.language == "diff"}


def recipes() -> dict[str, Recipe]:
    """Return the recipes by their heading."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        heading: Recipe(heading, tuple(Block(**match.groupdict()) for match in _BLOCK.finditer(text)))
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


def applied(text: str, diff: str) -> str:
    """Return a file's text with the lines of a diff put in; its other lines must stand there, once and in one piece."""
    lines = diff.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines)
    assert text.count(old) == 1, f"the page's lines do not stand in the file once:\n{old}"
    return text.replace(old, new)


def added(diff: str) -> list[str]:
    """Return the lines that a diff adds."""
    return [line[1:] for line in diff.splitlines() if line.startswith("+")]
