"""What a disk may hold after a power cut: the promises of POSIX and no more.

A file's bytes are safe once the file was fsynced, a name once its folder was. Everything else may or may not have
reached the disk, in any combination, and a write in parts (a whole size with zeros in it, too: the size is metadata,
the blocks follow). Real file systems promise more; what survives here survives on all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tests.crash_states.tracing import Event

ROOT = 0
#: Up to so many changes that are not safe, every combination of them is tried.
ALL_COMBINATIONS = 5
#: A write is torn at so many places.
CUTS = 12

#: A tree: path below the root -> its bytes; None: a folder.
Tree = dict[str, bytes | None]


@dataclass(frozen=True)
class Change:
    """One change of one object: names in a folder, or bytes of a file (``size``: it is cut or extended to this)."""

    target: int
    names: tuple[tuple[str, int | None], ...] = ()
    data: bytes = b""
    offset: int = 0
    size: int | None = None
    safe: bool = False


class Disk:
    """Follows events and tells which trees a power cut may leave."""

    def __init__(self, before: Tree) -> None:
        """Begin with a tree that is safe."""
        self._names: dict[int, dict[str, int]] = {ROOT: {}}
        self._folders = {ROOT}
        self._next = 1
        self._log: list[Change] = []
        for path, data in sorted(before.items()):
            self._make(path, folder=data is None)
            if data:
                self._log.append(Change(self._find(path), data=data))
        self._log = [replace(one, safe=True) for one in self._log]

    def follow(self, event: Event) -> None:
        """Take in one event; paths are relative to the root."""
        if event.kind in ("create", "mkdir"):
            self._make(event.path, folder=event.kind == "mkdir")
        elif event.kind == "write":
            self._log.append(Change(self._find(event.path), data=event.data, offset=event.offset))
        elif event.kind == "truncate":
            self._log.append(Change(self._find(event.path), size=event.offset))
        elif event.kind == "sync":
            self._sync(self._find(event.path))
        elif event.kind in ("rename", "unlink"):
            self._move(event)
        else:
            raise NotImplementedError(f"{event.kind} of {event.path}: this model does not know it")

    def now(self) -> Tree:
        """What programs see: what a kill leaves."""
        return self._tree(self._log)

    def after_power_cut(self) -> Iterator[Tree]:
        """Trees that a power cut may leave now."""
        open_ones = [i for i, one in enumerate(self._log) if not one.safe]
        for kept in _choices(open_ones):
            yield self._tree(one for i, one in enumerate(self._log) if one.safe or i in kept)
        for i in open_ones:
            for part in _torn(self._log[i]):
                for others in (set(), {*open_ones} - {i}, {one for one in open_ones if one < i}):
                    log = [
                        (*part,) if j == i else (one,)
                        for j, one in enumerate(self._log)
                        if one.safe or j == i or j in others
                    ]
                    yield self._tree(itertools.chain.from_iterable(log))

    def _make(self, path: str, *, folder: bool) -> None:
        parent, name = self._parent(path)
        made, self._next = self._next, self._next + 1
        if folder:
            self._names[made] = {}
            self._folders.add(made)
        self._names[parent][name] = made
        self._log.append(Change(parent, names=((name, made),)))

    def _move(self, event: Event) -> None:
        parent, name = self._parent(event.path)
        moved = self._names[parent].pop(name)
        names: list[tuple[str, int | None]] = [(name, None)]
        if event.kind == "rename":
            to, new = self._parent(event.target)
            if to != parent:
                raise NotImplementedError("a rename into another folder")
            self._names[parent][new] = moved
            names.append((new, moved))
        self._log.append(Change(parent, names=tuple(names)))

    def _sync(self, target: int) -> None:
        self._log = [replace(one, safe=True) if one.target == target else one for one in self._log]

    def _parent(self, path: str) -> tuple[int, str]:
        pure = PurePosixPath(path)
        return self._find(str(pure.parent)), pure.name

    def _find(self, path: str) -> int:
        found = ROOT
        for part in PurePosixPath(path).parts:
            found = self._names[found][part]
        return found

    def _tree(self, log: Iterable[Change]) -> Tree:
        names: dict[int, dict[str, int]] = {folder: {} for folder in self._folders}
        files: dict[int, bytearray] = {}
        for one in log:
            for name, target in one.names:
                if target is None:
                    names[one.target].pop(name, None)
                else:
                    names[one.target][name] = target
            if not one.names:
                _apply(files.setdefault(one.target, bytearray()), one)
        return dict(self._walk(ROOT, "", names, files))

    def _walk(
        self, folder: int, prefix: str, names: dict[int, dict[str, int]], files: dict[int, bytearray]
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, target in sorted(names[folder].items()):
            if target in self._folders:
                yield prefix + name, None
                yield from self._walk(target, f"{prefix}{name}/", names, files)
            else:
                yield prefix + name, bytes(files.get(target, b""))


def _apply(content: bytearray, change: Change) -> None:
    if change.size is not None:
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _choices(open_ones: Sequence[int]) -> Iterator[set[int]]:
    """Which of them reached the disk: all combinations of a few; of many, what is likely or nasty."""
    n = len(open_ones)
    if n <= ALL_COMBINATIONS:
        for size in range(n + 1):
            yield from map(set, itertools.combinations(open_ones, size))
        return
    for i in range(n + 1):
        yield set(open_ones[:i])
        yield set(open_ones[i:])
    for i in open_ones:
        yield {i}
        yield {*open_ones} - {i}


def _torn(change: Change) -> Iterator[list[Change]]:
    """Parts of a write that may have reached the disk without the others."""
    size = len(change.data)
    if size < 2:
        return
    cuts = sorted({1, size - 1, *(size * i // CUTS for i in range(1, CUTS))})
    for cut in cuts:
        yield [replace(change, data=change.data[:cut])]
        yield [replace(change, data=bytes(cut) + change.data[cut:])]
        yield [replace(change, data=change.data[:cut] + bytes(size - cut))]
    yield [replace(change, data=bytes(size))]
