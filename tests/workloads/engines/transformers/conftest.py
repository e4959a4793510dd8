"""Jobs of a tiny transformer, made from its folder by the host's own prepare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.workloads.tiny_transformer import write_corpus, write_decoder, write_mails, write_model
from tunebench.workloads import artefact


class Made(NamedTuple):
    model: str
    folder: Path
    data: Path
    weights: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Prepare the tiny transformer and its mails once."""
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'tunebench[language]'")
    from tunebench.workloads.prepare.artefacts import prepare

    place = tmp_path_factory.mktemp("tiny")
    folder, mails = write_model(place / "model"), write_mails(place / "mails.jsonl")
    prepared = prepare(f"file:{mails}", f"folder:{folder}", cache_dir=place / "cache")
    return Made("folder:model", folder, prepared.data, prepared.weights)


@pytest.fixture
def task_of(made: Made) -> Callable[..., Any]:
    """Return a function that makes a task of a method."""
    return _tasks_of(made, {"epochs": 4, "batch": 5, "lr": 0.01, "optimizer": "adamw", "seq_len": 8})


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Prepare the shape for tests with texts that are all longer than what is read of them."""
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'tunebench[language]'")
    from tunebench.workloads.prepare.artefacts import prepare

    place = tmp_path_factory.mktemp("wide")
    mails = place / "mails.csv"
    rows = [f"{' '.join(['word', 'of', str(at)] * 20)},{at % 2}" for at in range(40)]
    mails.write_text("\n".join(["text,label", *rows]) + "\n")
    prepared = prepare(f"file:{mails}", "shape:minilm-tiny", cache_dir=place / "cache")
    return Made("shape:minilm-tiny", place, prepared.data, prepared.weights)


@pytest.fixture
def wide_task_of(wide: Made) -> Callable[..., Any]:
    """Return a function that makes a task whose every batch is as long as it may be."""
    return _tasks_of(wide, {"epochs": 1, "batch": 6, "lr": 0.01, "seq_len": 32})


@pytest.fixture(scope="session")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Prepare tiny language models, with a tied output and with one of its own, and a shape, each with its tokens."""
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'tunebench[language]'")
    from tunebench.workloads.prepare.artefacts import prepare

    place = tmp_path_factory.mktemp("decoders")
    corpus = write_corpus(place / "corpus.jsonl")
    sources = {"shape": ("shape:llama-tiny", place)}
    for name in ("tied", "untied"):
        folder = write_decoder(place / name, tied=name == "tied")
        sources[name] = (f"folder:{folder}", folder)
    made = {}
    for name, (model, folder) in sources.items():
        ready = prepare(f"file:{corpus}", model, cache_dir=place / "cache")
        made[name] = Made(model, folder, ready.data, ready.weights)
    return made


@pytest.fixture
def language_task_of(decoders: dict[str, Made]) -> Callable[..., Any]:
    """Return a function that makes a task of a method on a tiny language model."""
    usual = {"epochs": 3, "batch": 4, "lr": 0.01, "optimizer": "adamw", "seq_len": 16}

    def make(method: str, model: str = "tied", **keys: Any) -> Any:
        return _tasks_of(decoders[model], usual)(method, **keys)

    return make


def _tasks_of(made: Made, usual: dict[str, Any]) -> Callable[..., Any]:
    from tunebench.workloads.tasks.spec import parse
    from tunebench.workloads.tasks.task import make_task

    def make(method: str, **keys: Any) -> Any:
        named = {"model": made.model, "dataset": "mails", "engine": "transformers", "method": method}
        spec = parse({**named, **usual, **keys})
        return make_task(spec, artefact.read(str(made.data)), artefact.read(str(made.weights)))

    return make
