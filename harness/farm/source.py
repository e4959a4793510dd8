"""Say where boards come from, ``labgrid://coordinator:20408?tag=board:rpi4``, and open it once a process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import parse_qsl, urlsplit

from tunebench.harness.errors import UsageError
from tunebench.harness.farm.provider import FarmBoard, FarmError, Provider

FORM = "labgrid://HOST:PORT?tag=NAME:VALUE"
_PORT = 20408
#: So many tags are named where none is that was asked for.
_MOST_TAGS = 20
_open: dict[str, Provider] = {}
_guard = threading.Lock()


@dataclass(frozen=True)
class Source:
    """A farm, and which of its boards.

    Attributes:
        coordinator: ``host:port``.
        tags: a board must have all of them.
    """

    coordinator: str
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def farm(self) -> str:
        """Return the farm without the choice of boards."""
        return f"labgrid://{self.coordinator}"

    def choose(self, boards: Sequence[FarmBoard]) -> list[FarmBoard]:
        """Return those of a farm's boards that have all of the tags.

        Raises:
            UsageError: none has; names the tags that there are.
        """
        chosen = [board for board in boards if dict(self.tags).items() <= board.tags.items()]
        if chosen or not self.tags:
            return chosen
        asked = [f"{name}:{value}" for name, value in self.tags]
        counts = Counter(f"{name}:{value}" for board in boards for name, value in board.tags.items())
        absent = [tag for tag in asked if tag not in counts]
        none_has = f"has the tag {', nor '.join(absent)}" if absent else f"has all of {', '.join(asked)}"
        there = [f"{tag} ({count})" for tag, count in sorted(counts.items())]
        more = f", and {len(there) - _MOST_TAGS} more" if len(there) > _MOST_TAGS else ""
        raise UsageError(
            f"{self.farm}: none of its {len(boards)} places {none_has};"
            f" tags there, with how many places have each: {', '.join(there[:_MOST_TAGS]) or 'none'}{more}"
        )


@dataclass(frozen=True)
class Pool:
    """Boards of a farm, so many of which a run takes.

    Attributes:
        source: the farm, and the tags of the boards.
        count: how many a run takes.
    """

    source: Source
    count: int


def parse(text: str) -> Source:
    """Read a source.

    Raises:
        UsageError: it is not of the form; says what is wrong and what would be right.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port or _PORT
        asked = parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=32
        )
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; expected {FORM}") from None
    if parts.scheme != "labgrid":
        raise UsageError(f"{text!r}: farms are named labgrid://...; expected {FORM}")
    if not host or parts.username is not None or parts.path not in ("", "/") or parts.fragment:
        raise UsageError(f"{text!r}: expected {FORM}, with neither a user nor a path")
    tags = []
    for key, value in asked:
        name, colon, wanted = value.partition(":")
        if key != "tag" or not (name and colon and wanted):
            raise UsageError(
                f"{text!r}: {key}={value}: expected tag=NAME:VALUE, once for each tag that a board must have"
            )
        tags.append((name, wanted))
    return Source(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tuple(tags))


def provider(source: Source) -> Provider:
    """Return the provider of a farm; the same one for all boards of this process.

    Raises:
        FarmError: its package is not installed, or it cannot be reached.
    """
    with _guard:
        if source.coordinator not in _open:
            if find_spec("labgrid") is None:
                raise FarmError(
                    f"{source.farm}: the package labgrid is not installed: pip install 'tunebench[labgrid]'"
                )
            from tunebench.harness.farm.labgrid_farm import LabgridFarm

            _open[source.coordinator] = LabgridFarm(source.coordinator)
        return _open[source.coordinator]
