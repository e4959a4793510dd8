"""The error of a store that is not there."""

from __future__ import annotations


class StoreLost(Exception):
    """The server or the share cannot be reached, or went away; no run is there by half, and trying again is safe."""


def first_line(error: BaseException, most: int = 300) -> str:
    """Return the first line of a library's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:most]
