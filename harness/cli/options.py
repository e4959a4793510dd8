"""Options that several commands have, and how they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

InventoryOption = Annotated[
    Path, typer.Option("--inventory", "-i", help="The lab's boards (TOML).", metavar="FILE")
]
SuiteOption = Annotated[
    str, typer.Option("--suite", "-s", metavar="NAME|FILE", help="A built-in suite or a suite file (TOML).")
]
BoardsOption = Annotated[
    str | None,
    typer.Option("--boards", "-b", metavar="GLOB", help="Only boards whose id or tag matches, e.g. 'pi5-*'."),
]
MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", "-m", metavar="LIST", help="Only these methods, e.g. 'ft-all,skip2-lora'."),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Root of the results directories.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

_OUT = Path("results")


def _console() -> Console:
    return Console(stderr=True)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))
