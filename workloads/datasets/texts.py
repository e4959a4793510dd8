"""Texts with their classes: what a loader of texts returns. Tokens are made later, by a model's own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: what its models learn, as :mod:`tunebench.workloads.models.graph` has them: the class of a text, or its next tokens
TEXT, LANGUAGE = "text", "language"
PARTS = ("pretrain", "finetune", "test")


@dataclass(frozen=True)
class TextSet:
    """Texts of one data set.

    Attributes:
        name: as in suites.
        texts: part (``pretrain``, ``finetune``, ``test``) -> its texts.
        labels: part -> class of each text, from 0.
        meta: task, n_classes, classes, source, licence, drift, splits, rows, revision.
    """

    name: str
    texts: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, tuple[int, ...]]
    meta: dict[str, Any]


def build(name: str, parts: Mapping[str, list[tuple[str, int]]], meta: Mapping[str, Any]) -> TextSet:
    """Build a :class:`TextSet` of pairs (text, class); add task and row counts to its meta."""
    texts = {part: tuple(text for text, _ in parts[part]) for part in PARTS}
    labels = {part: tuple(label for _, label in parts[part]) for part in PARTS}
    rows = {part: len(texts[part]) for part in PARTS}
    added = {"task": TEXT, "n_classes": len(meta["classes"]), "rows": rows}
    return TextSet(name, texts, labels, {**meta, **added})


def build_unlabelled(name: str, parts: Mapping[str, list[str]], meta: Mapping[str, Any]) -> TextSet:
    """Build a :class:`TextSet` of texts without classes, for language models; nothing is pretrained on it."""
    texts = {part: tuple(parts.get(part, ())) for part in PARTS}
    rows = {part: len(texts[part]) for part in PARTS}
    labels = {part: (0,) * rows[part] for part in PARTS}
    return TextSet(
        name, texts, labels, {**meta, "task": LANGUAGE, "n_classes": 0, "classes": [], "rows": rows}
    )


def spread(items: list[Any], count: int) -> list[Any]:
    """Return ``count`` items evenly spaced over a list, in order; all of them if there are no more."""
    count = min(count, len(items))
    return [items[at * len(items) // count] for at in range(count)] if count else []
