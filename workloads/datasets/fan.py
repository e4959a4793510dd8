"""Cooling-fan vibration spectra (Sunaga, Kondo, Matsutani, IEEE Micro 43(6):66-73, 2023).

Classes stop / normal / damaged. A set is one normal and one damaged recording of 235 rows each: pretrain
``silentA_1``, fine-tune ``noisy_1``, test ``noisy_2`` - different recordings, so nothing leaks. Class stop is
the 0 rpm rows of both. Inputs: bins 1..256 (1 Hz each). The splits are ours: the data's home defines none.

``-quiet`` sets drift the other way, onto recordings of another silent room that no other set holds: pretrain ``noisy_1``,
fine-tune ``silentB_1``, test ``silentB_2``. They are there to confirm what was found on the first ones.

Two ways to the arrays:

- ``fan12_hmlo.npz`` in a local folder: all recordings, converted once, its hash pinned;
- the home's zips, converted here (:mod:`~tunebench.workloads.datasets.fan_csv`). The zips' hashes are unknown and their
  CSV layout was not seen when this was written: the conversion is **unverified against the original files**. It is
  checked afterwards, though: the content of a converted recording is compared with that of the pinned copy
  (:data:`KNOWN`). If equal, it is the same data, and the speeds are those of the copy. If not, the meta says
  ``conversion: unverified against the original files``, and the 0 rpm rows come from the file names or not at all:
  where the names do not tell them, loading is refused, because they would be guessed.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets import fan_csv
from tunebench.workloads.datasets.archive import ArchiveError
from tunebench.workloads.datasets.base import Dataset, build
from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.store import Arrays, Store, StoredFile

FILE = "fan12_hmlo.npz"
SHA256 = "e8e62086f77403f0810d32254af51cba9e8a0eb066a97054102ed4e3654e1461"
HOME = "https://github.com/matutani/cooling-fan (commit fcd19b7, 12cm_hmlo_*.zip, converted to one .npz)"
#: the commit that holds the zips, in full; they have only this one version in the repository's history
ZIP_COMMIT = "ebc35d096fd7365c66ea8c0cd74d00c22d8d1345"
ZIP_HOME = f"https://raw.githubusercontent.com/matutani/cooling-fan/{ZIP_COMMIT}/DATA"
REVISION, TASK = 1, "rows"
CONVERSION = 1  # revision of the conversion from the zips
INPUTS = slice(1, 257)
STOPPED = 3  # code of 0 rpm in the speed arrays
UNVERIFIED = "unverified against the original files"


class Known(NamedTuple):
    """What is known of a recording from the pinned copy.

    Attributes:
        sha256: of its 235 x 512 values, little-endian float32.
        changes: first rows of 2000 rpm, 1500 rpm and 0 rpm.
    """

    sha256: str
    changes: tuple[int, int, int]


KNOWN = {
    "12cm_hmlo_normal_silentA_1": Known(
        "271544c7d31cd95a4baa07c7735970bdad6303e3b78273e0f9da8ff8578b504f", (61, 120, 177)
    ),
    "12cm_hmlo_normal_noisy_1": Known(
        "d48b70154a38dfe4319576a5d542fce4b71feb2a6d77e902844640e6afedd3ce", (61, 118, 177)
    ),
    "12cm_hmlo_normal_noisy_2": Known(
        "b5c85a96165b55fcee7ced55463ce2eb700ac3fe32a54ead72bb3583676a6aac", (62, 119, 178)
    ),
    "12cm_hmlo_damage1_silentA_1": Known(
        "577f6d05b06b7e85ebad877a50f86c41e6f737d6643f44458a8858aace56c9ab", (59, 120, 177)
    ),
    "12cm_hmlo_damage1_noisy_1": Known(
        "a69de58e12d045c745ee711d39f0d4cd1f354a948a01c7b37bad9714d9ced987", (60, 120, 178)
    ),
    "12cm_hmlo_damage1_noisy_2": Known(
        "f16ae09da4eaa8c7946c395d209bab66154861a8dbfb1d462ba755e056306448", (60, 120, 178)
    ),
    "12cm_hmlo_damage2_silentA_1": Known(
        "3d7e26545f1c661047e7cc0a0506305bbb1386d8699d77cd3c3870fff17b9708", (59, 118, 177)
    ),
    "12cm_hmlo_damage2_noisy_1": Known(
        "7f4812a112d87b1eb4943f8dcd84b284cd2408fd5467ffa7db1f4802f5a412bf", (62, 121, 179)
    ),
    "12cm_hmlo_damage2_noisy_2": Known(
        "9e0cd90e8dfc9cd67c78d8b39a18af73bb8f43cdcca439b838b92427587c5327", (63, 123, 180)
    ),
    "12cm_hmlo_normal_silentB_1": Known(
        "11c64b95c1e41d24a775db9182d0fdfd027092790f207224288fb6ff966b116d", (61, 119, 177)
    ),
    "12cm_hmlo_damage1_silentB_1": Known(
        "7892a7f6412c17a5c2c132ffcc1b8ebb4a0d08a55fc8ca17f499677ca880a24c", (61, 121, 179)
    ),
    "12cm_hmlo_damage2_silentB_1": Known(
        "8aed5aa155c5a6ede39128c804a9549cbbf617cfeba7d59043f10718de822b83", (61, 119, 178)
    ),
    "12cm_hmlo_normal_silentB_2": Known(
        "01e87feaa36dfb749e48c432865f0021bcf34176b5557f7ee5837e837022a040", (60, 119, 176)
    ),
    "12cm_hmlo_damage1_silentB_2": Known(
        "af3d74ba2a9d6229216c2d156d1967091e5c5227e432170604ff1090ac8702cc", (60, 121, 179)
    ),
    "12cm_hmlo_damage2_silentB_2": Known(
        "378c5289090f96a50becc999b9072ab39ace9a8c4b4174e6a5d25dae71b749b9", (63, 124, 181)
    ),
}

NPZ = Source(FILE, HOME, sha256=SHA256)

META: dict[str, Any] = {
    "classes": ["stop", "normal", "damaged"],
    "source": HOME,
    "licence": "no licence file, so not redistributed; "
    "cite Sunaga, Kondo, Matsutani, IEEE Micro 43(6):66-73, 2023",
    "drift": "",
    "splits": "",
    "revision": REVISION,
}


class Split(NamedTuple):
    """Which recording is which part, and the drift between them in words."""

    pretrain: str
    finetune: str
    test: str
    drift: str


#: end of the set's name -> its split
SPLITS = {
    "": Split(
        "silentA_1",
        "noisy_1",
        "noisy_2",
        "a silent room while pretraining, a noisy one while fine-tuning and testing",
    ),
    "-quiet": Split(
        "noisy_1",
        "silentB_1",
        "silentB_2",
        "a noisy room while pretraining, a silent one while fine-tuning and testing",
    ),
}


class _Fan:
    """The set with the recordings that are called ``damage1`` or ``damage2`` at their home, and one of the splits."""

    REVISION, TASK = REVISION, TASK

    def __init__(self, damage: str, split: str = "") -> None:
        self._damage, self._split = damage, split
        #: the set that this one confirms: nothing is chosen on it
        self.CONFIRMS = f"fan-{damage}" if split else None

    def load(self, store: Store) -> Dataset:
        """Return the set; see the module."""
        return _load(self._damage, self._split, store)


DAMAGE1, DAMAGE2 = _Fan("damage1"), _Fan("damage2")
DAMAGE1_QUIET, DAMAGE2_QUIET = _Fan("damage1", "-quiet"), _Fan("damage2", "-quiet")


def zip_source(name: str) -> Source:
    """Return where one recording's archive lies at the data's home; its hash is unknown."""
    url = f"{ZIP_HOME}/{name}.zip"
    return Source(f"{name}.zip", url, url, max_b=50_000_000, max_unpacked_b=200_000_000)


def _load(damage: str, split: str, store: Store) -> Dataset:
    parts = SPLITS[split]
    recordings = {"pretrain": parts.pretrain, "finetune": parts.finetune, "test": parts.test}
    names = [f"12cm_hmlo_{state}_{part}" for part in recordings.values() for state in ("normal", damage)]
    splits = "by recording: pretrain %s, fine-tune %s, test %s" % parts[:3]
    title = f"cooling fan, {damage}{', from noise to silence' if split else ''}"
    meta = {**META, "drift": parts.drift, "splits": splits, "title": title}
    whole = store.find(NPZ)
    if whole is not None:
        arrays = _of_npz(whole, names)
    elif not store.download and all(store.find(zip_source(name)) is None for name in names):
        raise store.missing(NPZ, fetchable=True)
    else:
        arrays, verified = _of_zips(store, names)
        if not verified:
            meta["conversion"] = UNVERIFIED
    rows = {part: _recordings(arrays, damage, recording) for part, recording in recordings.items()}
    return build(f"fan-{damage}{split}", rows, meta)


def _of_npz(whole: StoredFile, names: list[str]) -> Arrays:
    with np.load(whole.path, allow_pickle=False) as file:
        return {key: file[key] for name in names for key in (name, f"{name}__speed")}


def _of_zips(store: Store, names: list[str]) -> tuple[Arrays, bool]:
    """Return the recordings as in the .npz, and whether all of them equal those of the pinned copy."""
    arrays: Arrays = {}
    verified = True
    for name in names:
        file = store.obtain(zip_source(name))
        key = f"{name}-{file.sha256[:12]}-c{CONVERSION}"
        recording = store.converted(key, lambda name=name, file=file: _convert(name, file))  # type: ignore[misc]
        arrays[name], arrays[f"{name}__speed"] = recording["spectra"], recording["speed"]
        verified &= _is_known(name, recording["spectra"])
    return arrays, verified


def _convert(name: str, file: StoredFile) -> Arrays:
    """Convert one recording from its zip.

    Raises:
        DataUnavailable: the layout is not understood, or nothing tells the 0 rpm rows.
    """
    source = zip_source(name)
    try:
        spectra, speed = fan_csv.read_recording(file.path, source.max_unpacked_b)
    except ArchiveError as error:
        raise source.damaged(file.path, f"{error} (or place the converted {FILE})") from error
    if _is_known(name, spectra):
        first, second, third = KNOWN[name].changes
        speed = np.repeat(
            np.arange(4, dtype=np.uint8), [first, second - first, third - second, len(spectra) - third]
        )
    if speed is None:
        raise source.damaged(
            file.path,
            "its spectra are not those of the copy this program knows, and its file names do not tell the speeds, so "
            f"the rows at 0 rpm would be guessed. Place the converted {FILE} instead: an .npz of NAME (235, 512) "
            f"float32 and NAME__speed (235,) uint8 by recording, SHA-256 {SHA256}",
        )
    return {"spectra": spectra, "speed": speed}


def _is_known(name: str, spectra: npt.NDArray[Any]) -> bool:
    return hashlib.sha256(spectra.astype("<f4").tobytes()).hexdigest() == KNOWN[name].sha256


def _recordings(arrays: Arrays, damage: str, part: str) -> tuple[Any, Any]:
    """Return one normal and one damaged recording: 470 rows of 256 bins, labels 0 stop, 1 normal, 2 damaged."""
    inputs, labels = [], []
    for label, state in ((1, "normal"), (2, damage)):
        name = f"12cm_hmlo_{state}_{part}"
        inputs.append(arrays[name][:, INPUTS])
        labels.append(np.where(arrays[name + "__speed"] == STOPPED, 0, label))
    return np.concatenate(inputs), np.concatenate(labels)
