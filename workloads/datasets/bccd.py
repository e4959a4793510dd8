"""Blood cells under a microscope with their boxes (BCCD), 128x160 RGB, with a documented drift.

364 photographs of 640x480, made smaller by the mean of 4x4 pixels (120x160) and given 4 rows of border above and
below, so that sides are multiples of 16. The set's own splits are kept: pretrain = its 205 training images (clean),
fine-tune = its 87 validation images, test = its 72 test images (both drifted). Boxes are turned with the images.

Needs Pillow to read JPEG: another libjpeg may give pixels that differ by 1, and then another artefact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets.base import DataUnavailable
from tunebench.workloads.datasets.images import PARTS, Drift, ImageSet, build
from tunebench.workloads.datasets.store import Store

REVISION, TASK = 1, "detect"
FOLDER = "bccd/BCCD"
HOME = "https://github.com/Shenggan/BCCD_Dataset at d272fb1 (folder BCCD, placed as bccd/BCCD)"
#: of the splits, annotations and images in order of name
SHA256 = "77a00567613f53c045179a4a1d9c038ef0a6c123f8311b2012c7d53d82f6e030"
CLASSES = ["RBC", "WBC", "Platelets"]
SHRINK, BORDER = 4, 4
HEIGHT, WIDTH = 480 // SHRINK + 2 * BORDER, 640 // SHRINK
DRIFT = Drift(degrees=15.0, contrast=0.6, floor=0.2, noise=0.06, seed=20261124)
_SPLITS = dict(zip(PARTS, ("train", "val", "test"), strict=True))

META: dict[str, Any] = {
    "title": "blood cells (BCCD)",
    "classes": CLASSES,
    "source": HOME,
    "licence": "MIT",
    "drift": str(DRIFT),
    "splits": "the set's own: 205 clean, 87 and 72 drifted",
    "revision": REVISION,
}


def load(store: Store) -> ImageSet:
    """Load BCCD with drift (``bccd``).

    Raises:
        DataUnavailable: the folder is not there (it is not downloaded) or not the known one, or no Pillow.
    """
    folder = _folder(store)
    arrays: dict[str, Any] = {}
    for part in PARTS:
        names = _names(folder, part)
        images = np.stack([_image(folder / "JPEGImages" / f"{name}.jpg") for name in names])
        rows, corners = _boxes(folder, names)
        if part != "pretrain":
            images = DRIFT.images(images)
            corners, kept = DRIFT.boxes(corners, HEIGHT, WIDTH)
            rows, corners = rows[kept], corners[kept]
        arrays.update({f"{part}_x": images, f"{part}_y": rows, f"{part}_boxes": corners})
    return build("bccd", "detect", arrays, META)


#: pixels (3, 480, 640), class of each box, corners (m, 4) of each box in pixels
Photograph = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.float64]]


def photographs(store: Store) -> Iterator[tuple[str, Iterator[Photograph]]]:
    """Walk through the parts and their photographs at full size, undrifted, with their boxes.

    Raises:
        DataUnavailable: as :func:`load`.
    """
    folder = _folder(store)
    for part in PARTS:
        yield part, (_photograph(folder, name) for name in _names(folder, part))


def _photograph(folder: Path, name: str) -> Photograph:
    pixels = _pixels(folder / "JPEGImages" / f"{name}.jpg").astype(np.uint8).transpose(2, 0, 1)
    rows, corners = _boxes(folder, [name], shrink=1, border=0)
    return pixels, rows[:, 1], corners.astype(np.float64)


def _folder(store: Store) -> Path:
    places = [base / FOLDER for base in (store.data_dir, store.cache_dir, *store.also) if base is not None]
    for place in places:
        if place.is_dir():
            sha256_here = content_hash(place)
            if sha256_here != SHA256:
                raise DataUnavailable(
                    f"{place} is not the known copy: its content hash is {sha256_here}; {_by_hand()}"
                )
            return place
    raise DataUnavailable(f"no folder {places[0]}; {_by_hand()}")


def _by_hand() -> str:
    return f"it comes from {HOME}; place it in a folder and name that in TUNEBENCH_DATA or data_dir"


def content_hash(folder: Path) -> str:
    """Return the SHA-256 over the names and hashes of the files that are used."""
    total = hashlib.sha256()
    names = [name for part in PARTS for name in _names(folder, part)]
    try:
        for name in names:
            for file in (f"Annotations/{name}.xml", f"JPEGImages/{name}.jpg"):
                total.update(f"{file} {hashlib.sha256((folder / file).read_bytes()).hexdigest()}\n".encode())
    except OSError as error:
        raise DataUnavailable(f"cannot read {error.filename}: {error.strerror}; {_by_hand()}") from error
    return total.hexdigest()


def _names(folder: Path, part: str) -> list[str]:
    path = folder / "ImageSets" / "Main" / f"{_SPLITS[part]}.txt"
    try:
        return sorted(path.read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnavailable(f"cannot read {path}: {error}; {_by_hand()}") from error


def _image(path: Path) -> npt.NDArray[np.uint8]:
    """Read a photograph and make it smaller: (3, 128, 160)."""
    pixels = _pixels(path)
    height, width = (size // SHRINK for size in pixels.shape[:2])
    small = pixels.reshape(height, SHRINK, width, SHRINK, 3).mean((1, 3)).transpose(2, 0, 1)
    return np.pad(np.round(small), ((0, 0), (BORDER, BORDER), (0, 0)), mode="edge").astype(np.uint8)


def _pixels(path: Path) -> npt.NDArray[np.float64]:
    """Read a photograph: (480, 640, 3)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataUnavailable("BCCD's images are JPEG, which Pillow reads: pip install pillow") from error
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"), dtype=np.float64)


def _boxes(
    folder: Path, names: list[str], shrink: int = SHRINK, border: int = BORDER
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Read (image, class) and the corners in pixels of each box.

    A box without area, of which the set has some, is left out.
    """
    rows, corners = [], []
    for at, name in enumerate(names):
        tree = ElementTree.parse(folder / "Annotations" / f"{name}.xml")  # noqa: S314  pinned hash
        for item in tree.iter("object"):
            box = item.find("bndbox")
            sides = (
                []
                if box is None
                else [float(box.findtext(key, "0")) for key in ("xmin", "ymin", "xmax", "ymax")]
            )
            if sides and sides[2] > sides[0] and sides[3] > sides[1]:
                rows.append((at, CLASSES.index(item.findtext("name", ""))))
                corners.append([value / shrink + (border if i % 2 else 0) for i, value in enumerate(sides)])
    return np.array(rows, dtype=np.int32).reshape(-1, 2), np.array(corners, dtype=np.float32).reshape(-1, 4)
