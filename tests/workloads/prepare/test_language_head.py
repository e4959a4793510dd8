"""The head of a published transformer: another for every base, from features that the trunk gives once."""

from __future__ import annotations

import pytest

from tests.workloads.tiny_transformer import write_mails, write_model
from tunebench.workloads import artefact
from tunebench.workloads.models.language import HEAD
from tunebench.workloads.prepare import language_head
from tunebench.workloads.prepare.artefacts import prepare_bases

for package in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'tunebench[language]'")
pytestmark = pytest.mark.torch
FEATURES = "features of the pretrained trunk"


@pytest.fixture
def weights_of(tmp_path, monkeypatch):
    """Function (bases, seed of the trunk, cache) -> tensors by base, and how often the trunk was run."""
    mails = write_mails(tmp_path / "mails.jsonl")
    language_head._features.cache_clear()

    def make(bases, seed=0, cache="cache"):
        runs = []
        pooled = language_head._pooled
        monkeypatch.setattr(language_head, "_pooled", lambda *given: runs.append(1) or pooled(*given))
        folder = write_model(tmp_path / f"model{seed}", seed)
        made = prepare_bases(f"file:{mails}", f"folder:{folder}", bases, cache_dir=tmp_path / cache)
        monkeypatch.setattr(language_head, "_pooled", pooled)
        return [artefact.read(str(each.weights)).tensors for each in made], len(runs)

    return make


def head(tensors):
    return tensors[f"{HEAD}.weight"].array().tolist()


def test_bases_share_one_run_of_the_trunk_and_differ_in_their_heads_alone(weights_of):
    (first, second), runs = weights_of([0, 1])
    assert runs == 1
    assert head(first) != head(second)
    assert all(bytes(first[name].data) == bytes(second[name].data) for name in first if HEAD not in name)


def test_a_base_is_the_same_whether_another_was_made_before_it_or_not(weights_of):
    (_, second), _ = weights_of([0, 1])
    language_head._features.cache_clear()
    (alone,), runs = weights_of([1], cache="other")
    assert runs == 1 and head(alone) == head(second)


def test_another_trunk_gives_features_of_its_own(weights_of):
    weights_of([0])
    assert weights_of([0], seed=1)[1] == 1
