"""Write the JSON Schema files of the records, for readers in other languages.

``python -m tunebench.reports.results.schema_files``
"""

from __future__ import annotations

import json
from pathlib import Path

from tunebench.reports.records import (
    ENV_SCHEMA,
    REP_SCHEMA,
    RUN_SCHEMA,
    BoardEnv,
    Record,
    Repetition,
    RunManifest,
)

FOLDER = Path(__file__).parent / "schema"

_MODELS: dict[str, tuple[str, type[Record]]] = {
    "rep.schema.json": (REP_SCHEMA, Repetition),
    "run.schema.json": (RUN_SCHEMA, RunManifest),
    "env.schema.json": (ENV_SCHEMA, BoardEnv),
}


def schema_texts() -> dict[str, str]:
    """Return content by file name, generated from :mod:`tunebench.reports.records`; unknown fields are allowed."""
    texts = {}
    for name, (schema, model) in _MODELS.items():
        value = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:{schema.replace('/', ':')}",
            **model.model_json_schema(by_alias=True),
        }
        texts[name] = json.dumps(value, indent=2, sort_keys=True) + "\n"
    return texts


def main() -> None:
    """Write all schema files anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in schema_texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
