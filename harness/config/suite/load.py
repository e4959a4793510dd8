"""Read a suite: its file becomes tables, the tables become rows, and what does not go together is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunebench.harness.config.peft_file import peft_keys
from tunebench.harness.config.suite.built_in import built_in_file, built_in_suites
from tunebench.harness.config.suite.comparisons import aa_controls, baselines_of, check_comparable
from tunebench.harness.config.suite.rows import rows_of
from tunebench.harness.config.suite.suite import Suite
from tunebench.harness.config.suite.workload import Workload
from tunebench.harness.config.tables.schema import SuiteFile
from tunebench.harness.config.tables.workload_keys import SUITE_FOLDER
from tunebench.harness.config.toml import read_toml, validate
from tunebench.harness.errors import UsageError

#: The row of the table that a file of peft's is: adapters beside layers, on those that it names.
PEFT_METHOD = "lora-all"


def load_suite(name_or_file: str) -> Suite:
    """Load a built-in suite by its name, or a suite file.

    Raises:
        UsageError: neither exists, or the file is wrong (file, workload, key and what is allowed).
    """
    if name_or_file in built_in_suites():
        with built_in_file(name_or_file) as path:
            return replace(_load(path), given=name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".toml" and not path.exists():
        raise UsageError(
            f"--suite {name_or_file!r}: no such file and no built-in suite; built in: {', '.join(built_in_suites())}"
        )
    return replace(_load(path), given=name_or_file)


def _load(path: Path) -> Suite:
    return suite_of(read_toml(path, "suite"), path)


def suite_of(raw: Mapping[str, Any], path: Path) -> Suite:
    """Return the suite that the tables of a file say.

    Args:
        raw: the tables, as they were read or edited.
        path: of the file, for messages; what it names lies from its folder on.

    Raises:
        UsageError: something is wrong (file, workload, key and what is allowed).
    """
    root = path.resolve().parent
    tables = _with_peft(dict(raw), root, path)
    inside = SUITE_FOLDER.set(root)
    try:
        parsed = validate(SuiteFile, tables, path, _place)
    finally:
        SUITE_FOLDER.reset(inside)
    workloads = [row for entry in parsed.workload for row in rows_of(entry, parsed)]
    baselines = baselines_of(parsed, workloads, path)
    if parsed.suite.aa:
        workloads.extend(aa_controls(workloads, baselines))
    check_comparable(parsed.suite, workloads, path)
    _check_files(workloads, root, path)
    return Suite(parsed.suite, tuple(workloads), baselines, root, tables=raw, search=parsed.search)


def _with_peft(tables: dict[str, Any], root: Path, path: Path) -> dict[str, Any]:
    """Return the tables with what each ``peft`` file says in the place of a method.

    Raises:
        UsageError: the file asks for what is not run, or a key beside it says what the file says.
    """
    entries = tables.get("workload")
    if not isinstance(entries, list):
        return tables
    merged = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("peft"), str):
            merged.append(entry)
            continue
        doubled = [key for key in ("methods", "rank", "alpha", "scale", "targets", "head") if key in entry]
        if doubled:
            raise UsageError(
                f"{path}: {doubled[0]!r} beside 'peft': {entry['peft']} says it, leave {doubled[0]!r} out"
            )
        file = root / Path(entry["peft"]).expanduser()
        usual = {"methods": [PEFT_METHOD], "label": file.stem[:64] or "peft"}
        merged.append({**usual, **entry, **peft_keys(file)})
    return {**tables, "workload": merged}


def _check_files(workloads: Sequence[Workload], root: Path, path: Path) -> None:
    for workload in workloads:
        for name in workload.files:
            file = root / name
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise UsageError(f"{path}: workload {workload.label!r}: file {name!r} must lie below {root}")
            if not _is_file(file):
                raise UsageError(f"{path}: workload {workload.label!r}: no such file: {file}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for one
        return False


def _place(location: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    if len(location) >= 2 and location[0] == "workload" and isinstance(location[1], int):
        entry = data["workload"][location[1]]
        name = entry.get("label") or entry.get("task") if isinstance(entry, dict) else None
        return f"workload {name!r}" if name else f"workload number {location[1] + 1}"
    return f"[{location[0]}]" if location else "suite"
