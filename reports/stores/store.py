"""What a store offers, whatever keeps it; and how one is opened by its address."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Literal, Protocol

import duckdb

from tunebench.reports.results.layout import ResultsError
from tunebench.reports.stores.address import Address, Scheme
from tunebench.reports.stores.sealed import Head, SealedRun

#: What became of a pushed run: added; there with this digest; replaced what it was before blocks were added to it; or
#: left, since the store has it with blocks added.
Pushed = Literal["added", "there", "extended", "older"]

#: Scheme -> module of this package with the class ``Store``: a line for each kind of store.
_MODULES: dict[Scheme, str] = {"parquet": "parquet", "postgres": "postgres"}


class Store(Protocol):
    """A place for the sealed runs of many hosts. Each method may raise ``StoreLost``."""

    def prepare(self) -> None:
        """Make the store ready to be written: its folder, its tables.

        Raises:
            ResultsError: it is of a newer version than this one writes.
        """
        ...

    def digest(self, run_id: str) -> str | None:
        """Return the digest of a stored run; None if it is not there."""
        ...

    def push(self, run: SealedRun) -> Pushed:
        """Store a run whole or not at all.

        Raises:
            ResultsError: another run of this id is there, or not all records arrived.
        """
        ...

    def push_decisions(self, lines: Sequence[str]) -> int:
        """Add lines of ``decisions.jsonl`` that are not there yet, in their order; return how many."""
        ...

    def decisions(self) -> list[str]:
        """Return all lines of decisions, in order of their dates."""
        ...

    def heads(self) -> list[Head]:
        """Return every run without its repetitions, oldest first.

        Raises:
            RunNotFound: there is none.
        """
        ...

    def load(self, database: duckdb.DuckDBPyConnection, table: str) -> None:
        """Make a table of all lines, in order: :data:`tunebench.reports.stores.columns.COLUMNS`."""
        ...

    def lines(self, run_id: str) -> bytes:
        """Return the ``reps.jsonl`` of a run, byte for byte."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@contextmanager
def opened(address: Address) -> Iterator[Store]:
    """Open a store.

    Raises:
        ResultsError: what it needs is not installed; the message has the line that installs it.
        StoreLost: it cannot be reached.
    """
    store: Store = import_module(f"{__package__}.{_MODULES[address.scheme]}").Store(address)
    try:
        yield store
    finally:
        store.close()


def order_of(path: str) -> tuple[str, ...]:
    """Return what puts runs in order: the date folders, then the id; as for directories."""
    parts = tuple(path.split("/"))
    return (*parts[-4:], parts[-1])


def joined(lines: Iterable[bytes], torn: bytes) -> bytes:
    """Return lines as the file that they came from."""
    return b"".join(line + b"\n" for line in lines) + torn


def verdict_on(run: SealedRun, lab: str, digest: str, earlier: Sequence[str], name: str) -> Pushed:
    """Say what is to become of a run whose id is in a store already, by the digests there.

    Raises:
        ResultsError: another run is there.
    """
    if digest == run.digest:
        return "there"
    if digest in run.earlier:
        return "extended"
    if run.digest in earlier:
        return "older"
    whose = "" if lab == run.lab else f" of lab {lab!r}, this one is of {run.lab!r}"
    raise ResultsError(
        f"{name}: has another run {run.run_id}{whose}: the SHA-256 of its run.json is {digest[:12]}..., of this one"
        f" {run.digest[:12]}...; neither was changed. Is this one"
        f" damaged? `tunebench verify {shlex.quote(str(run.folder))}` says so"
    )
