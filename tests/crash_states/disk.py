"""What a disk may hold after a power cut: the promises of POSIX and no more.

A file's bytes are safe once the file was fsynced, a name once its folder was. Everything else may or may not have
reached the disk, in any combination. Of a write, any part may have reached it; the file may even have its whole size,
with zeros where bytes are missing, because the size is stored apart from the bytes. Real file systems promise more;
what survives here survives on all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tests.crash_states.tracing import Event

ROOT = 0
#: If at most this many changes are not safe, every combination of them is tried.
ALL_COMBINATIONS = 5
#: At how many places a write is torn.
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
    """Follow events and tell which trees a power cut may leave."""

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
        self._log = [replace(change, safe=True) for change in self._log]

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
        """Return the tree that programs see; a kill leaves the same."""
        return self._tree(self._log)

    def after_power_cut(self) -> Iterator[Tree]:
        """Yield the trees that a power cut may leave now."""
        open_ones = [i for i, change in enumerate(self._log) if not change.safe]
        for kept in _choices(open_ones):
            yield self._tree(change for i, change in enumerate(self._log) if change.safe or i in kept)
        for i in open_ones:
            for part in _torn(self._log[i]):
                for others in (set(), {*open_ones} - {i}, {index for index in open_ones if index < i}):
                    log = [
                        (*part,) if j == i else (change,)
                        for j, change in enumerate(self._log)
                        if change.safe or j == i or j in others
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
        self._log = [
            replace(change, safe=True) if change.target == target else change for change in self._log
        ]

    def _parent(self, path: str) -> tuple[int, str]:
        pure = PurePosixPath(path)
        return self._find(str(pure.parent)), pure.name

    def _find(self, path: str) -> int:
        inode = ROOT
        for part in PurePosixPath(path).parts:
            inode = self._names[inode][part]
        return inode

    def _tree(self, log: Iterable[Change]) -> Tree:
        names: dict[int, dict[str, int]] = {folder: {} for folder in self._folders}
        files: dict[int, bytearray] = {}
        for change in log:
            for name, target in change.names:
                if target is None:
                    names[change.target].pop(name, None)
                else:
                    names[change.target][name] = target
            if not change.names:
                _apply(files.setdefault(change.target, bytearray()), change)
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
    """Yield sets of changes that reached the disk: every combination of a few; of many, likely and nasty ones."""
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
    """Yield parts of a write that may have reached the disk without the others."""
    size = len(change.data)
    if size < 2:
        return
    cuts = sorted({1, size - 1, *(size * i // CUTS for i in range(1, CUTS))})
    for cut in cuts:
        yield [replace(change, data=change.data[:cut])]
        yield [replace(change, data=bytes(cut) + change.data[cut:])]
        yield [replace(change, data=change.data[:cut] + bytes(size - cut))]
    yield [replace(change, data=bytes(size))]
