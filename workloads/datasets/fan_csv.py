"""Conversion of one cooling-fan recording from its home's zip: 235 CSV files of one spectrum each.

The home says (README): each directory holds a series of spectra "from 1Hz to 512Hz at 1Hz resolution", one CSV
file a spectrum; ``hmlo`` recordings hold 235 files, the speed "changed in the order of h, m, l, and o". It does not
show a file. The reader therefore takes every layout that leaves no doubt (one row, one column, or rows of frequency
and value; a heading line) and refuses everything else with what it found.

The order in time is that of the numbers in the file names. Whether that, the layout and the speeds are right is not
assumed: :mod:`tunebench.workloads.datasets.fan` compares the result with the hash of the copy that was converted and
looked at once, and calls anything else unverified.
"""

from __future__ import annotations

import itertools
import re
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets import archive
from tunebench.workloads.datasets.archive import ArchiveError

ROWS, BINS = 235, 512
MAX_CSV_B = 1_000_000
#: codes of the speeds by what a file or folder name may say: the README's letters, or rpm
SPEEDS = {"h": 0, "m": 1, "l": 2, "o": 3, "2500rpm": 0, "2000rpm": 1, "1500rpm": 2, "0rpm": 3}


def read_recording(
    path: Path, max_unpacked_b: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Read the spectra of one recording in order of time.

    Args:
        path: the zip.
        max_unpacked_b: most that it may hold.

    Returns:
        (235, 512) values in 0..1, and (235,) speed codes (0 = 2500 rpm .. 3 = stopped) if the names tell
        them, else None.

    Raises:
        ArchiveError: what was found instead.
    """
    with archive.opened(path, max_unpacked_b) as file:
        items = [item for item in file.infolist() if _is_spectrum(item)]
        if len(items) != ROWS:
            raise ArchiveError(f"it holds {len(items)} CSV files, expected {ROWS}")
        speeds = _speeds([item.filename for item in items])
        order = _in_time([item.filename for item in items], speeds)
        spectra = np.stack([_spectrum(file, items[index]) for index in order])
    if spectra[:, 0].any():
        raise ArchiveError(
            "bin 0 is not 0 in every spectrum: the bins are not those this data set is known by"
        )
    return spectra, None if speeds is None else np.array([speeds[index] for index in order], dtype=np.uint8)


def _is_spectrum(item: zipfile.ZipInfo) -> bool:
    return (
        not item.is_dir()
        and item.filename.lower().endswith(".csv")
        and not archive.is_mac_note(item.filename)
    )


def _speeds(names: list[str]) -> list[int] | None:
    """Return the speed that each name gives; None unless every name gives exactly one and all four occur."""
    codes_seen = []
    for name in names:
        # the recording's own folder says hmlo and 12cm: neither is a token of SPEEDS
        tokens = re.split(r"[^a-z0-9]+", str(PurePosixPath(name).with_suffix("")).lower())
        codes = {SPEEDS[token] for token in tokens if token in SPEEDS}
        if len(codes) != 1:
            return None
        codes_seen.append(codes.pop())
    return codes_seen if set(codes_seen) == {0, 1, 2, 3} else None


def _in_time(names: list[str], speeds: list[int] | None) -> list[int]:
    """Return the indices of the files in order of time.

    They are sorted by speed where the names give it, then by the numbers in the names.

    Raises:
        ArchiveError: the names do not number the files.
    """
    shapes = {re.sub(r"\d+", "#", name): name for name in names}
    if speeds is None and len(shapes) > 1:
        first, second = list(shapes.values())[:2]
        raise ArchiveError(
            f"its CSV files are not named alike, so their order in time is unknown: {first!r}, {second!r}"
        )
    keys = [
        (0 if speeds is None else speeds[index], [int(number) for number in re.findall(r"\d+", name)])
        for index, name in enumerate(names)
    ]
    order = sorted(range(len(names)), key=lambda index: keys[index])
    for before, after in itertools.pairwise(order):
        if keys[before] == keys[after]:
            raise ArchiveError(
                f"the names of its CSV files do not tell their order in time: {names[before]!r}, {names[after]!r}"
            )
    return order


def _spectrum(file: zipfile.ZipFile, item: zipfile.ZipInfo) -> npt.NDArray[np.float32]:
    """Read the 512 values of one file."""
    if item.file_size > MAX_CSV_B:
        raise ArchiveError(f"{item.filename!r} has {item.file_size} bytes, too many for {BINS} values")
    try:
        text = file.read(item).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{item.filename!r} is no text: {error}") from error
    table = _table(text, item.filename)
    values = _values(table)
    if values is None:
        shape = sorted({len(row) for row in table})
        raise ArchiveError(
            f"{item.filename!r} holds {len(table)} rows of {shape} numbers, expected {BINS} values: in one row, in one "
            "column, or as rows of frequency (1 Hz apart from 0 or 1) and value"
        )
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ArchiveError(
            f"{item.filename!r} holds values from {values.min():g} to {values.max():g}, expected 0 to 1"
        )
    return values.astype(np.float32)


def _table(text: str, name: str) -> list[list[float]]:
    """Return the numbers of a CSV file by row; words in the first line and separators at line ends are allowed."""
    table: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = [field for field in re.split(r"[,;\s]+", line.strip()) if field]
        try:
            row = [float(field) for field in fields]
        except ValueError as error:
            if number == 1:
                continue
            raise ArchiveError(f"{name!r} line {number} is not numeric: {line[:60]!r}") from error
        if row:
            table.append(row)
    return table


def _values(table: list[list[float]]) -> npt.NDArray[np.float64] | None:
    """Return the 512 values of a table in one of the three layouts; None if it has another layout."""
    widths = {len(row) for row in table}
    if len(widths) != 1:
        return None
    array = np.array(table)
    if array.shape in ((1, BINS), (BINS, 1)):
        return array.reshape(BINS)
    if array.shape == (BINS, 2):
        first = array[0, 0]
        if first in (0, 1) and np.array_equal(array[:, 0], np.arange(first, first + BINS)):
            return array[:, 1].copy()
    return None
