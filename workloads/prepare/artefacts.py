"""The host's ``prepare`` step: data and start weights as artefacts that boards receive.

Digits for both models ship in the package (no torch, no scikit-learn needed); others are built once into a
cache folder. File names carry a hash of the recipe, so that a changed recipe never meets an old file.

Start weights exist for many **bases**: base k is the network pretrained with seed k, from other start values and in
another order. Base 0 is the one that every suite begins from unless it asks for several. Data sets with one pretraining
part (:func:`tunebench.workloads.datasets.start_weights_of`) begin from the same networks.
``python -m tunebench.workloads.prepare.artefacts --ship`` rebuilds the shipped ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebench.workloads import artefact
from tunebench.workloads.datasets import FILE_PREFIX, check_name, dataset_module, load, start_weights_of
from tunebench.workloads.datasets.store import Store, default_cache, default_data_dir
from tunebench.workloads.datasets.texts import TextSet
from tunebench.workloads.models import MODELS, UnsupportedModel, graph_of
from tunebench.workloads.models.graph import ROWS
from tunebench.workloads.models.language import FOLDER, is_text_model
from tunebench.workloads.prepare import language
from tunebench.workloads.prepare.pretrain import (
    PRETRAINING,
    Progress,
    data_tensors,
    pretrain,
    recipe_of,
    shape_of,
)
from tunebench.workloads.tasks.spec import SpecError

if TYPE_CHECKING:
    from tunebench.workloads.datasets.base import Dataset
    from tunebench.workloads.datasets.images import ImageSet

SHIPPED = Path(__file__).parent / "shipped"
SHIPPED_TASKS = (("digits", "mlp"), ("digits", "cnn"))
#: Of base 0, which suites begin from unless they ask for several.
SEED = 0


class PrepareError(RuntimeError):
    """Artefacts that cannot be made here; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Prepared:
    """Artefacts of one data set and model.

    Attributes:
        data, weights: files.
        data_sha256, weights_sha256: of the whole files.
        meta: ``data`` and ``weights``: the metas of the two artefacts (classes, drift, source, recipe, ...).
    """

    data: Path
    data_sha256: str
    weights: Path
    weights_sha256: str
    meta: dict[str, Any]


def prepare(
    dataset: str,
    model: str,
    *,
    cache_dir: Path,
    data_dir: Path | None = None,
    download: bool = False,
    datasets_dir: Path | None = None,
    progress: Progress | None = None,
    also: Sequence[Path] = (),
    datasets_also: Sequence[Path] = (),
    base: int = 0,
) -> Prepared:
    """Return the artefacts of a data set and model: shipped, cached, or built now.

    Args:
        dataset: one of :func:`tunebench.workloads.datasets.names`.
        model: one of :data:`tunebench.workloads.models.MODELS`.
        cache_dir: where built artefacts are kept; made if missing.
        data_dir: local copies of data sets; None takes TUNEBENCH_DATA.
        download: whether a data set that is missing may be downloaded from its home.
        datasets_dir: downloads and converted files; None takes ``~/.cache/tunebench/datasets``.
        progress: told what is done and how far it is.
        also: other folders in which built artefacts may lie; read only.
        datasets_also: other folders like ``datasets_dir``; read only.
        base: which start weights.

    Raises:
        UnknownDataset, UnknownModel, ValueError: the pair does not exist.
        DataUnavailable: the data set's file, or that of published weights, is missing or damaged.
        PrepareError: torch is needed and not installed.
    """
    return prepare_bases(
        dataset,
        model,
        [base],
        cache_dir=cache_dir,
        data_dir=data_dir,
        download=download,
        datasets_dir=datasets_dir,
        progress=progress,
        also=also,
        datasets_also=datasets_also,
    )[0]


def prepare_bases(
    dataset: str,
    model: str,
    bases: Sequence[int],
    *,
    cache_dir: Path,
    data_dir: Path | None = None,
    download: bool = False,
    datasets_dir: Path | None = None,
    progress: Progress | None = None,
    also: Sequence[Path] = (),
    datasets_also: Sequence[Path] = (),
) -> list[Prepared]:
    """Return the artefacts of several bases, in their order; the data are read once. The rest is as :func:`prepare`."""
    check_name(dataset)
    store = Store(
        data_dir or default_data_dir(),
        datasets_dir or default_cache(),
        download,
        progress,
        also=tuple(datasets_also),
    )
    loaded: list[Dataset | ImageSet | TextSet] = []

    def source() -> Dataset | ImageSet | TextSet:
        if not loaded:
            if progress is not None:
                progress(f"loading {dataset}", 0.0)
            loaded.append(dataset_module(dataset).load(store))
        return loaded[0]

    made = []
    for place, base in enumerate(bases):
        share = progress if len(bases) == 1 else _of_all(f"{dataset}/{model}", place, len(bases), progress)
        made.append(
            _one_base(dataset, model, base, source, store, cache_dir=cache_dir, also=also, progress=share)
        )
    return made


def missing_bases(dataset: str, model: str, bases: Sequence[int], folders: Sequence[Path]) -> list[int]:
    """Return the bases whose start weights lie in none of the folders yet, in order; they would be trained."""
    check_name(dataset)
    return [
        base
        for base in bases
        if not _is_shipped(dataset, model, base)
        and not any(_intact(folder / _weights_name(dataset, model, base)) for folder in folders)
    ]


def _of_all(task: str, place: int, count: int, progress: Progress | None) -> Progress | None:
    """Return a progress that shows the training of one base as a part of the training of all."""
    if progress is None:
        return None

    def report(what: str, share: float) -> None:
        if what == PRETRAINING:
            progress(f"start weights of {count} bases of {task}", (place + share) / count)
        else:
            progress(what, share)

    return report


def _one_base(
    dataset: str,
    model: str,
    base: int,
    source: Callable[[], Dataset | ImageSet | TextSet],
    store: Store,
    *,
    cache_dir: Path,
    also: Sequence[Path],
    progress: Progress | None,
) -> Prepared:
    shipped = (dataset, model) in SHIPPED_TASKS
    if shipped and base == SEED:
        return _prepared(SHIPPED / f"{dataset}.tbx", SHIPPED / f"{dataset}-{model}.tbx")
    names = _data_name(dataset, model), _weights_name(dataset, model, base)
    for folder in also:
        data, weights = (folder / name for name in names)
        data = SHIPPED / f"{dataset}.tbx" if shipped else data
        if _intact(data) and _intact(weights) and not (cache_dir / names[1]).exists():
            return _prepared(data, weights)
    data, weights = (cache_dir / name for name in names)
    # All bases of a shipped task are fine-tuned on the data that are shipped.
    data = SHIPPED / f"{dataset}.tbx" if shipped else data
    if not (_intact(data) and _intact(weights)):
        cache_dir.mkdir(parents=True, exist_ok=True)
        lender = start_weights_of(dataset)
        _build(
            source(), model, data, weights, store,
            base=base, progress=progress, lender=None if lender == dataset else lender,
        )  # fmt: skip
    return _prepared(data, weights)


def _is_shipped(dataset: str, model: str, base: int) -> bool:
    return base == SEED and (dataset, model) in SHIPPED_TASKS


def _data_name(dataset: str, model: str) -> str:
    """Return the name of a data artefact; texts become the tokens of one model."""
    if is_text_model(model):
        return f"{_file_name(dataset)}-{_file_name(model)}-tokens-{_recipe_hash(dataset, model)}.tbx"
    return f"{dataset}-{_recipe_hash(dataset)}.tbx"


def _weights_name(dataset: str, model: str, base: int) -> str:
    of_base = "" if base == SEED else f"-base{base}"
    source = start_weights_of(dataset)
    return f"{_file_name(source)}-{_file_name(model)}{of_base}-{_recipe_hash(source, model, base)}.tbx"


def _file_name(model: str) -> str:
    """Return a model's name as part of a file's name; the hash behind it tells equal ones apart."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model.rpartition("/")[2])[-60:]


def _recipe_hash(dataset: str, model: str = "", base: int = SEED) -> str:
    """Return a short hash of everything that decides an artefact's content, the data set's revision included."""
    revision = dataset_module(dataset).REVISION
    # A file of the user's own is what its content is, wherever it lies.
    own = dataset.startswith(FILE_PREFIX)
    parts: list[Any] = [FILE_PREFIX if own else dataset, revision, artefact.SCHEMA]
    if model:
        folder = model.startswith(f"{FOLDER}:")  # likewise; the files' hashes stand in the recipe
        parts += [FOLDER if folder else model, base, recipe_of(model)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _intact(path: Path) -> bool:
    """Return whether a cached artefact is there and undamaged."""
    if not path.is_file():
        return False
    try:
        artefact.read(str(path))
    except artefact.ArtefactError:
        return False
    return True


def _prepared(data: Path, weights: Path) -> Prepared:
    metas = {"data": artefact.read(str(data)).meta, "weights": artefact.read(str(weights)).meta}
    return Prepared(data, _sha256(data), weights, _sha256(weights), metas)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build(
    loaded: Dataset | ImageSet | TextSet,
    model: str,
    data: Path,
    weights: Path,
    store: Store,
    *,
    base: int,
    progress: Progress | None,
    lender: str | None,
) -> None:
    _check_pair(loaded, model)
    if isinstance(loaded, TextSet):
        _build_texts(loaded, model, data, weights, store, base=base, progress=progress)
        return
    if not _intact(data):
        write_data(loaded, data)
    if not _intact(weights):
        write_weights(loaded, model, weights, progress, store=store, base=base, lender=lender)


def _build_texts(
    loaded: TextSet,
    model: str,
    data: Path,
    weights: Path,
    store: Store,
    *,
    base: int,
    progress: Progress | None,
) -> None:
    try:
        if not _intact(data):
            artefact.write(str(data), "data", *language.data_artefact(loaded, model, store))
        if not _intact(weights):
            made = language.weights_artefact(loaded, model, store, base=base, progress=progress)
            artefact.write(str(weights), "weights", *made)
    except (ImportError, SpecError) as error:
        raise PrepareError(
            f"the head of {loaded.name}/{model} must be trained here once, which needs torch and transformers "
            f"({error}): pip install 'tunebench[language]'"
        ) from error


def _check_pair(loaded: Dataset | ImageSet | TextSet, model: str) -> None:
    """Raise the model's error if it does not fit the data set."""
    if isinstance(loaded, TextSet) != is_text_model(model):
        raise UnsupportedModel(f"model {model!r} does not take data set {loaded.name!r}")
    if isinstance(loaded, TextSet):
        return
    if model in MODELS and MODELS[model].task != loaded.meta.get("task", ROWS):
        raise UnsupportedModel(f"model {model!r} does not take data set {loaded.name!r}")
    graph_of(model, shape_of(loaded.meta), loaded.meta["n_classes"])


def write_data(loaded: Dataset | ImageSet, path: Path) -> str:
    """Write a data artefact (target domain only: boards never pretrain); return its SHA-256."""
    parts = {**data_tensors(loaded, "finetune"), **data_tensors(loaded, "test")}
    return artefact.write(str(path), "data", {"dataset": loaded.name, **loaded.meta}, parts)


def write_weights(
    loaded: Dataset | ImageSet,
    model: str,
    path: Path,
    progress: Progress | None = None,
    *,
    store: Store | None = None,
    base: int = SEED,
    lender: str | None = None,
) -> str:
    """Pretrain and write a weights artefact with its recipe; return its SHA-256.

    Args:
        loaded: the data set.
        model, base: which network, and its seed.
        path: of the artefact.
        progress: as in :func:`prepare`.
        store: where published weights lie.
        lender: the set whose pretraining part ``loaded`` has and whose name the artefact gets; None: its own.

    Raises:
        DataUnavailable: the model's published weights are not there.
        PrepareError: no torch.
    """
    try:
        import torch
    except ImportError as error:
        raise PrepareError(
            f"start weights of {loaded.name}/{model} must be trained here once, and torch is not installed: "
            "pip install 'tunebench[torch]'"
        ) from error
    tensors = pretrain(model, loaded, seed=base, progress=progress, store=store)
    size = "shape" if "shape" in loaded.meta else "n_in"
    revision = loaded.meta["revision"] if lender is None else dataset_module(lender).REVISION
    meta = {
        "dataset": lender or loaded.name,
        "model": model,
        size: loaded.meta[size],
        "n_classes": loaded.meta["n_classes"],
        "seed": base,
        "recipe": recipe_of(model),
        "dataset_revision": revision,
        "made_with": f"torch {torch.__version__}",
    }
    return artefact.write(str(path), "weights", meta, tensors)


def ship(folder: Path = SHIPPED) -> list[Path]:
    """Rebuild the shipped artefacts into ``folder``; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for dataset, model in SHIPPED_TASKS:
        loaded = load(dataset)
        if isinstance(loaded, TextSet):
            raise PrepareError(f"{dataset}: tokens are a model's and do not ship")
        data, weights = folder / f"{dataset}.tbx", folder / f"{dataset}-{model}.tbx"
        write_data(loaded, data)
        write_weights(loaded, model, weights)
        written += [data, weights]
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Rebuild the artefacts that ship with tunebench.")
    parser.add_argument("--ship", action="store_true", required=True)
    parser.parse_args()
    for made in ship():
        print(f"{_sha256(made)}  {made}")
