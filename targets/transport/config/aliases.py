"""List the hosts that the ssh config names: the aliases that a user types after ``ssh``.

ssh itself cannot list them. What each of them means is asked of ``ssh -G`` afterwards
(:func:`tunebench.targets.transport.config.route.route_to`), so the file is read here for its names only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tunebench.targets.transport.config.host_config import home
from tunebench.targets.transport.config.parsed import LINE, MAX_DEPTH, included, words_of

#: Criteria of Match that name hosts as they are typed.
_NAMING = ("host", "originalhost")
#: More names are a list that was generated, not boards that a person looks for.
MAX_ALIASES = 500


def aliases(file: str | None = None) -> list[str]:
    """Return the names of the Host and Match lines in their order, each once; patterns name no host.

    Args:
        file: the configuration; None: the user's own, which may not be there. The system's names no boards.
    """
    path = home() / ".ssh" / "config" if file is None else Path(file).expanduser()
    return list(dict.fromkeys(_names(path, 0, set())))[:MAX_ALIASES]


def _names(file: Path, depth: int, read: set[Path]) -> Iterator[str]:
    """Return the names of a file and of those it includes; one that is included again says nothing new."""
    if depth > MAX_DEPTH or file.resolve() in read:
        return
    read.add(file.resolve())
    try:
        text = file.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return
    for line in text.split("\n"):
        match = LINE.match(line)
        if match is None:
            continue
        keyword, words = match.group(1).lower(), list(words_of(match.group(2)))
        if keyword == "host":
            yield from filter(_is_a_name, words)
        elif keyword == "match":
            yield from _of_match(words)
        elif keyword == "include":
            for name in included(file, words):
                yield from _names(name, depth + 1, read)


def _of_match(words: list[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name.lower() in _NAMING:
            yield from filter(_is_a_name, (value if equals else following).split(","))


def _is_a_name(word: str) -> bool:
    """Tell whether a word stands for one host: no pattern, no negation, nothing that cannot be printed."""
    return bool(word) and word.isprintable() and not any(letter in word for letter in "*?!%\"'")
