"""``tunebench watch``: a run while it is measured, from another terminal or in a browser."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.cli import completion
from tunebench.harness.cli.options import RESULTS, JsonFlag, OutOption
from tunebench.harness.errors import HarnessError, UsageError
from tunebench.harness.hints import command

if TYPE_CHECKING:
    from tunebench.harness.watch.view import Watch

app = typer.Typer(add_completion=False)


@app.command()
def watch(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run's directory; default: the newest that is running below --out, else the newest.",
            autocompletion=completion.runs,
        ),
    ] = None,
    out: OutOption = RESULTS,
    web: Annotated[
        bool, typer.Option("--web", help="Show it in browsers of this machine, at an address with a token.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="Of --web; default: one that is free.", show_default=False
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Watch a run while it is measured: board by board what runs, time left, temperatures, verdicts, speed-ups.

    Only its folder is read: no board is asked, and Ctrl-C ends the watching, not the run. Without a terminal it prints a
    line for each repetition, with --json a line of JSON whenever something changed.
    """
    from tunebench.harness.cli.status import folders_of
    from tunebench.harness.watch.view import Watch

    if port is not None and not web:
        raise UsageError("--port goes with --web: `tunebench watch --web --port 8080`")
    if web and as_json:
        raise UsageError("--web and --json: give one of them")
    folders = folders_of(run, out)
    if len(folders) > 1:
        others = ", ".join(map(str, folders[1:]))
        typer.echo(f"watching {folders[0]}; also running: {others}", err=True)
    watched = Watch(folders[0])
    with contextlib.suppress(KeyboardInterrupt):  # the usual way to leave
        if web:
            _serve(watched, port or 0)
        elif as_json:
            _print_json(watched)
        else:
            _follow(watched)


def _follow(watched: Watch) -> None:
    from rich.console import Console

    from tunebench.harness.watch.terminal import follow

    follow(watched, Console())


def _print_json(watched: Watch) -> None:
    from tunebench.harness.watch.terminal import LOOK_S

    view = watched.look()
    typer.echo(view.as_json())
    while view.state == "running":
        time.sleep(LOOK_S)
        before, view = view, watched.look()
        if view != before:
            typer.echo(view.as_json())


def _serve(watched: Watch, port: int) -> None:
    from tunebench.harness.watch.web import Feed, listening

    feed = Feed(watched)
    feed.view()  # a run that cannot be read is told here, not in a browser
    try:
        server = listening(feed, port)
    except OSError as error:
        raise HarnessError(
            f"--port {port}: cannot listen on 127.0.0.1: {error.strerror}; a free port is taken by "
            f"{command('watch', str(watched.path), '--web')}"
        ) from None
    with server:
        tunnel = f"ssh -L {server.port}:127.0.0.1:{server.port} HOST"
        typer.echo(f"{server.address}\nonly this machine reaches it; from another one, first: {tunnel}")
        try:
            server.serve_forever(poll_interval=0.5)
        finally:
            server.ending.set()
