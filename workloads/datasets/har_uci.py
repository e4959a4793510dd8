"""Human activity: the official 561 features of UCI HAR (Anguita et al., ESANN 2013), 7,352 + 2,947 rows.

Drift as in ``har-hapt``: subjects 9, 14, 16, 19, 25 are held out of pretraining, whichever official part they
are in; a part of each one's rows fine-tunes, the other tests.

Where to cut a subject's rows. Each subject did the protocol twice, and the official files do not say which
row belongs to which time. A random split would leak, because neighbouring windows overlap by half. But the
rows lie one subject after the other, one pass after the other, and every pass begins with standing and ends on
the stairs, so a stairs row followed by a standing row is where the second pass begins. Windows of two passes
share no signal, so nothing is dropped there. Seen in the labels of the training part of published copies (every
subject twice); the test part's were not seen. Where a subject's labels do not show exactly one such place, its
rows are cut in half, and :data:`GAP` windows on either side of the cut are dropped (two that overlap are next to
each other). The meta says which subject was cut how.

The archive's hash is unknown: it could not be fetched when this was written; it is recorded at first use.
The official archive holds the data in a second archive; the bare inner one is taken as well.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets import archive
from tunebench.workloads.datasets.archive import ArchiveError
from tunebench.workloads.datasets.base import Dataset, build
from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.har import CLASSES, TARGET_SUBJECTS
from tunebench.workloads.datasets.store import Arrays, Store

URL = "https://archive.ics.uci.edu/static/public/240/human+activity+recognition+using+smartphones.zip"
INNER = "UCI HAR Dataset.zip"
SOURCE = Source(
    "human+activity+recognition+using+smartphones.zip",
    f"{URL} (or the {INNER!r} inside it)",
    URL,
    also=(INNER,),
)
REVISION, TASK = 1, "rows"
CONVERSION = 1
ROWS = {"train": 7352, "test": 2947}
FEATURES = 561
SUBJECTS = 30
STAIRS, STANDING = (2, 3), 5  # the files' labels: 1..6
GAP = 2
BY_PASS, BY_HALF = "at the second pass", "in half"

META: dict[str, Any] = {
    "title": "activity (UCI HAR)",
    "classes": CLASSES,
    "source": URL,
    "licence": "CC BY 4.0 on its page, its README says no commercial use; cite Anguita et al. ESANN 2013",
    "drift": "people unseen while pretraining: subjects 9, 14, 16, 19, 25",
    "splits": "by subject: rows of each target before the cut fine-tune, those behind it test; cut where the labels "
    f"show the second pass of the protocol, else in half with {GAP} windows on either side dropped (see cuts); the "
    "files carry no experiment number",
    "revision": REVISION,
}


class Cut(NamedTuple):
    """How one subject's rows are split: ``[:end]`` fine-tune, ``[begin:]`` test."""

    how: str
    end: int
    begin: int


def load(store: Store) -> Dataset:
    """Load UCI HAR's official features (``har-uci``).

    Raises:
        DataUnavailable: not there, damaged, or not what the official files hold.
    """
    file = store.obtain(SOURCE)

    def make() -> Arrays:
        if store.progress is not None:
            store.progress("converting UCI HAR", 0.0)
        try:
            return convert(file.path)
        except ArchiveError as error:
            raise SOURCE.damaged(file.path, error) from error

    arrays = store.converted(f"har-uci-{file.sha256[:12]}-c{CONVERSION}", make)
    inputs, labels, subject = arrays["X"], arrays["y"], arrays["subject"]
    target = np.isin(subject, TARGET_SUBJECTS)
    tuned, tested = np.zeros(len(subject), dtype=bool), np.zeros(len(subject), dtype=bool)
    cuts = {}
    for subject_id in TARGET_SUBJECTS:
        rows = np.flatnonzero(subject == subject_id)
        where = cut(labels[rows])
        tuned[rows[: where.end]] = tested[rows[where.begin :]] = True
        cuts[str(subject_id)] = where.how
    masks = {"pretrain": ~target, "finetune": tuned, "test": tested}
    parts = {part: (inputs[mask], labels[mask] - 1) for part, mask in masks.items()}
    meta = {**META, "cuts": cuts, "source_sha256": file.sha256, "source_sha256_pinned": False}
    return build("har-uci", parts, meta)


def cut(labels: npt.NDArray[Any]) -> Cut:
    """Return where to split one subject's rows, by their labels (1..6) in the files' order."""
    begins = np.flatnonzero(np.isin(labels[:-1], STAIRS) & (labels[1:] == STANDING)) + 1
    if len(begins) == 1:
        return Cut(BY_PASS, int(begins[0]), int(begins[0]))
    half = len(labels) // 2
    return Cut(BY_HALF, half - GAP, half + GAP)


def convert(path: Path) -> Arrays:
    """Read the archive: ``X`` (n, 561) float32 in -1..1, ``y`` (n,) 1..6, ``subject`` (n,) 1..30; train, then test.

    Raises:
        ArchiveError: a file is missing or holds something else; says which and what.
    """
    with _files(path) as files:
        parts = [_part(files, part) for part in ROWS]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    absent = [subject_id for subject_id in TARGET_SUBJECTS if subject_id not in arrays["subject"]]
    if absent:
        raise ArchiveError(f"no rows of subjects {absent}")
    return arrays


@contextmanager
def _files(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive that holds the files: the given one, or the one inside it."""
    with archive.opened(path, SOURCE.max_unpacked_b) as outer:
        inner = archive.member(outer, INNER)
        if inner is None:
            yield outer
        else:
            with archive.nested(outer, inner, SOURCE.max_unpacked_b) as files:
                yield files


def _part(files: zipfile.ZipFile, part: str) -> Arrays:
    """Read the three files of one official part."""
    arrays = {
        "X": _features(files, f"{part}/X_{part}.txt"),
        "y": _integers(files, f"{part}/y_{part}.txt", len(CLASSES)),
        "subject": _integers(files, f"{part}/subject_{part}.txt", SUBJECTS),
    }
    for name, values in arrays.items():
        if len(values) != ROWS[part]:
            raise ArchiveError(f"{name} of {part} has {len(values)} rows, expected {ROWS[part]}")
    return arrays


def _text(files: zipfile.ZipFile, name: str) -> io.TextIOWrapper:
    item = archive.member(files, name)
    if item is None:
        raise ArchiveError(f"no file {name} in it")
    return io.TextIOWrapper(files.open(item), encoding="ascii")


def _features(files: zipfile.ZipFile, name: str) -> npt.NDArray[np.float32]:
    with _text(files, name) as text:
        try:
            values = np.loadtxt(text, dtype=np.float32, ndmin=2)
        except ValueError as error:
            raise ArchiveError(f"{name}: {error}") from error
    if values.shape[1:] != (FEATURES,):
        raise ArchiveError(f"{name} has {values.shape[1]} columns, expected {FEATURES}")
    if not (np.abs(values) <= 1).all():  # NaN fails as well
        raise ArchiveError(f"{name} holds values outside -1..1")
    return values


def _integers(files: zipfile.ZipFile, name: str, highest: int) -> npt.NDArray[np.int32]:
    values = []
    with _text(files, name) as text:
        for number, line in enumerate(text, 1):
            word = line.strip()
            if not (word.isdecimal() and 1 <= int(word) <= highest):
                raise ArchiveError(f"{name} line {number} is {word[:20]!r}, expected 1..{highest}")
            values.append(int(word))
    return np.array(values, dtype=np.int32)
