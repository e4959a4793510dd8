"""``tunebench examples``: the examples that come with the package, copied into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.errors import HarnessError, UsageError
from tunebench.harness.hints import command as hint
from tunebench.reports.formatting.output import OutputError, write_output

app = typer.Typer(add_completion=False)

#: What a person begins with, in the order of a first day: file -> the command that uses it.
_FIRST = {
    "loopback.toml": ("boards", "-i", "loopback.toml"),
    "own/module.toml": ("run", "-i", "loopback.toml", "-s", "own/module.toml"),
    "own/command.toml": ("run", "-i", "loopback.toml", "-s", "own/command.toml"),
}
_LEFT_OUT = ("__pycache__",)


@app.command()
def examples(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where to; files that are there are never overwritten."),
    ] = None,
) -> None:
    """Copy the examples that come with tunebench into a folder; without one, list them.

    Inventories, methods of one's own, and what runs a night by systemd or in GitHub Actions.
    """
    source = examples_folder()
    names = [path.relative_to(source) for path in files(source)]
    if folder is None:
        width = max(len(str(name)) for name in names)
        for name in names:
            typer.echo(f"{name!s:{width}}  {_about(source / name)}".rstrip())
        typer.echo(f"To copy them: {hint('examples', 'tunebench-examples')}")
        return
    written = copied(source, folder)
    typer.echo(
        f"{folder}: {len(written)} of {len(names)} files written" + ("" if written else ": all are there")
    )
    for first, words in _FIRST.items():
        if (folder / first).is_file():
            typer.echo(f"  {hint(*(folder / word if word.endswith('.toml') else word for word in words))}")


def examples_folder() -> Path:
    """Return where the examples lie: below the package once installed, at the top of a checkout.

    Raises:
        HarnessError: they are not there.
    """
    here = Path(__file__)
    for package in (here.parents[2], here.resolve().parents[2]):
        if (package / "examples" / "loopback.toml").is_file():
            return package / "examples"
    raise HarnessError("the examples are not installed here; they lie in the folder examples of the source")


def files(folder: Path) -> list[Path]:
    """Return the files of the examples, in order."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in paths if not set(path.relative_to(folder).parts) & set(_LEFT_OUT)]


def copied(source: Path, folder: Path) -> list[Path]:
    """Copy the examples; return the files written. Those that are there and equal are left.

    Raises:
        UsageError: a file is there and is another; nothing is written then. Or the folder cannot be written.
    """
    pairs = [(path, folder / path.relative_to(source)) for path in files(source)]
    try:
        others = [str(target) for path, target in pairs if target.exists() and _differs(path, target)]
        if others:
            raise UsageError(
                f"{', '.join(others[:5])}: there already, and not as the example is; nothing was written. Give another"
                " folder, or move what is there"
            )
        missing = [(path, target) for path, target in pairs if not target.exists()]
        for path, target in missing:
            write_output(target, path.read_bytes(), "DIR")
    except OutputError as error:
        raise UsageError(f"{folder}: cannot be written: {error.__cause__ or error}") from None
    return [target for _, target in missing]


def _differs(path: Path, target: Path) -> bool:
    return not target.is_file() or target.read_bytes() != path.read_bytes()


def _about(path: Path) -> str:
    """Return what an example says of itself: its first comment, or the first sentence of its docstring."""
    if path.suffix == ".py":
        text = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
        return " ".join(text.split("\n\n", 1)[0].split())
    return completion.description(path)
