"""Texts of a user's own: ``file:PATH``, CSV with a header line or JSON lines, with ``text`` and ``label``.

Rows without ``label`` are for language models, and so is a ``.txt`` file, whose paragraphs (parted by empty lines) are
its rows: each next token is learnt. Of these the first 80% of the rows fine-tune and the rest test, unless rows name
``part``.

A row may name its ``part``: ``pretrain``, ``finetune`` or ``test``; then all do. Without, the order of the rows decides:
the first 40% of each label pretrain the head, the next 30% fine-tune, the last 30% test. So rows in order of time show
what changes with time. Labels are words or whole numbers; their sorted list numbers the classes.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebench.workloads.datasets.errors import DataUnavailable
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.datasets.texts import LANGUAGE, PARTS, TEXT, TextSet, build, build_unlabelled

#: ends of the parts, as shares of a label's rows, where rows name none
SHARES = (0.4, 0.7)
#: share of the rows that fine-tunes a language model
LANGUAGE_SHARE = 0.8
PLAIN_TEXT = ".txt"


@dataclass(frozen=True)
class TextFile:
    """A file of texts as a data set.

    Attributes:
        path: of the file.
    """

    path: Path

    @property
    def TASK(self) -> str:
        """Return what its first row is for; without the file, which is told when it is read, the class of a text."""
        if self.path.suffix == PLAIN_TEXT:
            return LANGUAGE
        try:
            first = next(self._raw(), (1, {"label": ""}))[1]
        except DataUnavailable:
            return TEXT
        return LANGUAGE if isinstance(first, dict) and "label" not in first else TEXT

    @property
    def REVISION(self) -> str:
        """Return what changes with the file's content; "missing" without the file, which is told when it is read."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return "missing"

    def load(self, store: Store) -> TextSet:
        """Read the file; ``store`` is not used.

        Raises:
            DataUnavailable: names the line and what is wrong with it.
        """
        if self.TASK == LANGUAGE:
            return self._language()
        rows = list(self._rows())
        named = [row for row in rows if row[2] is not None]
        if named and len(named) < len(rows):
            raise DataUnavailable(f"{self.path}: some rows name a part and others none: all or none do")
        classes = sorted({label for _, label, _ in rows})
        if len(classes) < 2:
            raise DataUnavailable(
                f"{self.path}: {len(classes)} label(s) in {len(rows)} rows; at least two are needed"
            )
        parts: dict[str, list[tuple[str, int]]] = {part: [] for part in PARTS}
        for number, name in enumerate(classes):
            of_class = [row for row in rows if row[1] == name]
            for place, (text, _, part) in enumerate(of_class):
                share = place / len(of_class)
                chosen = part or PARTS[sum(share >= end for end in SHARES)]
                parts[chosen].append((text, number))
        for part, texts in parts.items():
            if not texts:
                raise DataUnavailable(f"{self.path}: no rows for part {part!r}; it has {len(rows)} rows")
        meta = {
            "classes": classes,
            "source": "a file of the user's own",
            "licence": "the user's",
            "drift": "whatever differs between the parts",
            "splits": "as the rows say"
            if named
            else "by order within each label: 40% pretrain, 30% fine-tune, 30% test",
            "revision": self.REVISION,
        }
        return build(self.path.name, parts, meta)

    def _language(self) -> TextSet:
        """Return the texts for a language model."""
        parts: dict[str, list[str]] = {"finetune": [], "test": []}
        rows: list[tuple[str, str | None]] = []
        named = 0
        for number, row in self._raw():
            where = f"{self.path}, line {number}"
            text, part = (row.get("text"), row.get("part")) if isinstance(row, dict) else (None, None)
            if isinstance(row, dict) and "label" in row:
                raise DataUnavailable(f"{where}: 'label' beside rows without one: all or none have it")
            if not isinstance(text, str) or not text.strip():
                raise DataUnavailable(f"{where}: 'text' is {text!r}, expected words")
            if part not in (None, *parts):
                raise DataUnavailable(f"{where}: 'part' is {part!r}, expected one of: {', '.join(parts)}")
            named += part is not None
            rows.append((text, part))
        if named and named < len(rows):
            raise DataUnavailable(f"{self.path}: some rows name a part and others none: all or none do")
        for place, (text, part) in enumerate(rows):
            early = place < LANGUAGE_SHARE * len(rows) and place < max(1, len(rows) - 1)
            parts[part or ("finetune" if early else "test")].append(text)
        for part, texts in parts.items():
            if not texts:
                raise DataUnavailable(f"{self.path}: no rows for part {part!r}; it has {len(rows)} rows")
        meta = {
            "source": "a file of the user's own",
            "licence": "the user's",
            "drift": "whatever differs between the parts",
            "splits": "as the rows say" if named else "by order: 80% fine-tune, the rest tests",
            "revision": self.REVISION,
        }
        return build_unlabelled(self.path.name, parts, meta)

    def _raw(self) -> Iterator[tuple[int, Any]]:
        """Give line numbers and rows as they stand in the file, empty ones left out."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                if self.path.suffix == PLAIN_TEXT:
                    yield from _paragraphs(file)
                    return
                lines = csv.DictReader(file) if self.path.suffix == ".csv" else map(_json, file)
                for number, row in enumerate(lines, 2 if self.path.suffix == ".csv" else 1):
                    if row is not None:
                        yield number, row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DataUnavailable(f"{self.path}: {reason}") from error

    def _rows(self) -> Iterator[tuple[str, str, str | None]]:
        for number, row in self._raw():
            yield self._row(row, number)

    def _row(self, row: Any, number: int) -> tuple[str, str, str | None]:
        where = f"{self.path}, line {number}"
        if not isinstance(row, dict):
            raise DataUnavailable(f"{where}: no JSON object with text and label")
        text, label, part = row.get("text"), row.get("label"), row.get("part")
        if not isinstance(text, str) or not text.strip():
            raise DataUnavailable(f"{where}: 'text' is {text!r}, expected words")
        if isinstance(label, bool) or not isinstance(label, str | int) or label == "":
            raise DataUnavailable(f"{where}: 'label' is {label!r}, expected a word or a whole number")
        if part not in (None, *PARTS):
            raise DataUnavailable(f"{where}: 'part' is {part!r}, expected one of: {', '.join(PARTS)}")
        return text, str(label), part


def _paragraphs(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Give the first line's number and the text of each paragraph."""
    begun = 1
    held: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            begun = begun if held else number
            held.append(line)
        elif held:
            yield begun, {"text": "".join(held)}
            held = []
    if held:
        yield begun, {"text": "".join(held)}


def _json(line: str) -> Any:
    """Return a line's value; None of an empty line."""
    try:
        return json.loads(line) if line.strip() else None
    except ValueError:
        return ()  # whoever knows the line's number refuses it
