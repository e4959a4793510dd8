"""Take one run out of a store, so that what reads runs' directories reads it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tunebench.reports.history import clock
from tunebench.reports.results.layout import RunNotFound
from tunebench.reports.stores.address import Address
from tunebench.reports.stores.sealed import Head, lay
from tunebench.reports.stores.store import opened


def run_folder(place: Path | Address) -> Path:
    """Return a folder as it is, or the directory of a stored run: in a temporary folder, until the process ends.

    An address without ``#RUN_ID`` stands for its newest run that is not of a day still to come. Traces, logs and
    predictions are in no store.

    Raises:
        RunNotFound: the store has no run, or not this one.
    """
    if isinstance(place, Path):
        return place
    with opened(place) as store:
        head = _chosen(store.heads(), place)
        return lay(_temporary(place.text), head, store.lines(head.path.rpartition("/")[2]))


def lay_probes(address: Address, folder: Path) -> None:
    """Write what was found on the boards before each stored run below a folder, where a results root has it."""
    with opened(address) as store:
        for head in store.heads():
            probes = {name: data for name, data in head.files.items() if name.endswith(".before.json")}
            lay(folder, Head(head.path, probes, head.written_s), b"")


def _chosen(heads: list[Head], address: Address) -> Head:
    if address.run_id is None:
        past = [head for head in heads if not clock.to_come(Path(head.path))]
        return (past or heads)[-1]
    for head in heads:
        if head.path.rpartition("/")[2] == address.run_id:
            return head
    newest = ", ".join(head.path.rpartition("/")[2] for head in heads[:-4:-1])
    raise RunNotFound(f"{address.text}: holds no run {address.run_id}; its newest are: {newest}")


@cache
def _temporary(text: str) -> Path:
    folder = tempfile.mkdtemp(prefix="tunebench-stored-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
