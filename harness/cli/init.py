"""``tunebench init``: a first inventory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebench.harness.config.inventory_place import FILE
from tunebench.harness.errors import UsageError
from tunebench.harness.hints import command

if TYPE_CHECKING:
    from tunebench.harness.lab.first_lab import Candidate, Chosen

app = typer.Typer(add_completion=False)

#: Wrong answers to one question; then it is a program that answers.
_TRIES = 5


@app.command()
def init(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where it is written.")] = Path(
        FILE
    ),
    lab: Annotated[str | None, typer.Option("--lab", metavar="NAME", help="Whose results these are.")] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(
            "--board",
            metavar="HOST[=KIND]",
            help="Take this board, as ssh takes its name; may be repeated. Asks nothing then.",
        ),
    ] = None,
    loopback: Annotated[
        bool, typer.Option("--loopback", help="Take this machine itself as a board. Asks nothing then.")
    ] = False,
    network: Annotated[
        bool,
        typer.Option(
            "--network", help="Look for SSH servers on the local network, too; nothing is logged in to."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Take every board that is found; ask nothing.")] = False,
    ssh_config: Annotated[
        str | None,
        typer.Option("--ssh-config", metavar="FILE", help="Instead of ~/.ssh/config, to find boards in."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a first inventory: find boards in ~/.ssh/config, ask each what it is, write lab.toml.

    Boards that you choose are logged in to once and say what they are; nothing is written there. Without a terminal
    nothing is asked: --board, --loopback or --yes says what to take.
    """
    from tunebench.harness.lab import first_lab

    if out.exists() and not force:
        given = sys.argv[sys.argv.index("init") + 1 :] if "init" in sys.argv else ["--out", str(out)]
        again = command("init", "--force", *given)
        raise UsageError(f"{out}: is there already; `{again}` replaces it")
    if board or loopback:
        named = dict(map(first_lab.parse_board, board or []))
        chosen = _asked(list(named), named, None)
    else:
        candidates = _found(ssh_config, network)
        chosen = _chosen(candidates, yes, ssh_config)
        if lab is None and not yes:
            lab = typer.prompt("Name of the lab", default="my-lab", err=True)
    if loopback:
        chosen = [
            *chosen,
            first_lab.Chosen("this-machine", None, "loopback", "records from it say: shared machine"),
        ]
    first_lab.write(out, lab or "my-lab", chosen, replace=force)
    _tell(out, chosen)


def _found(ssh_config: str | None, network: bool) -> list[Candidate]:
    """Return the hosts that may be boards, shown as they are found.

    Raises:
        UsageError: there is none; the message says what would name one.
    """
    from tunebench.harness.lab import first_lab

    candidates = [found for found in first_lab.from_ssh_config(ssh_config) if found.why_not is None]
    if network:
        candidates += _on_network({found.where.rpartition("@")[2] for found in candidates})
    if candidates:
        return candidates
    where = f"{ssh_config or '~/.ssh/config'} names no board" + (
        " and none answers on this network" if network else ""
    )
    raise UsageError(
        f"{where}. Name one as ssh takes it, e.g. `{command('init', '--board', 'pi@192.168.1.5')}`; look on the local"
        f" network: `{command('init', '--network')}`; or take this machine: `{command('init', '--loopback')}`"
    )


def _on_network(known: set[str]) -> list[Candidate]:
    from tunebench.harness.lab import first_lab
    from tunebench.targets.transport import neighbours

    networks = neighbours.own_networks()
    for name in neighbours.too_large(networks):
        typer.echo(f"{name} is too large to be looked through", err=True)
    typer.echo(f"looking for SSH servers on {', '.join(map(str, networks)) or 'no network'} ...", err=True)
    found = [answer for answer in neighbours.neighbours(networks) if answer.address not in known]
    return first_lab.from_network(found)


def _chosen(candidates: Sequence[Candidate], yes: bool, ssh_config: str | None) -> list[Chosen]:
    """Return the boards that the user takes.

    Raises:
        UsageError: nobody can be asked; the message has the command that says what to take.
    """
    if not yes and not _has_terminal():
        named = [word for found in candidates[:8] for word in ("--board", found.host)]
        raise UsageError(
            f"there is no terminal to ask at, and {len(candidates)} host(s) may be boards. Take some:"
            f" `{command('init', *named)}`; or all: `{command('init', '--yes')}`"
        )
    for number, found in enumerate(candidates, start=1):
        kind = f", {found.kind}" if found.kind else ""
        typer.echo(f"  {number:2}  {found.host:20} {found.where}{kind}", err=True)
    taken = list(candidates) if yes else _picked(candidates)
    kinds = {found.host: found.kind for found in taken}
    return _asked([found.host for found in taken], kinds, ssh_config)


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _picked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those of the candidates that the user names by number, and further hosts by their name.

    Raises:
        UsageError: no answer named one.
    """
    from tunebench.harness.lab.first_lab import Candidate

    for _ in range(_TRIES):
        answer = typer.prompt("Which are boards? (numbers, further hosts, or all)", default="all", err=True)
        words = answer.replace(",", " ").split()
        if words == ["all"]:
            return list(candidates)
        wrong = [word for word in words if word.isdigit() and not 1 <= int(word) <= len(candidates)]
        if words and not wrong:
            return [
                candidates[int(word) - 1] if word.isdigit() else Candidate(word, "named by you")
                for word in dict.fromkeys(words)
            ]
        typer.echo(
            f"{', '.join(wrong) or 'nothing'}: there are numbers from 1 to {len(candidates)}", err=True
        )
    raise UsageError("no board was named; nothing was written")


def _asked(hosts: list[str], kinds: dict[str, str | None], ssh_config: str | None) -> list[Chosen]:
    from tunebench.harness.lab import first_lab

    if hosts:
        typer.echo(f"asking {len(hosts)} board(s) what they are ...", err=True)
    return first_lab.ask(hosts, kinds, ssh_config)


def _tell(out: Path, chosen: Sequence[Chosen]) -> None:
    """Print what was written, and the next step."""
    typer.echo(f"{out}: {len(chosen)} board(s)")
    for board in chosen:
        typer.echo(f"  {board.id:20} {board.kind:14} {board.note}")
    unreached = next((board for board in chosen if board.host is not None and not board.reached), None)
    if unreached is not None:
        typer.echo(
            f"Not every board answered: `ssh {unreached.host}` must work without a password, its host key be known."
        )
    named = [] if out.resolve() == Path(FILE).resolve() else ["-i", out]
    typer.echo(f"Next: {command('boards', *named)}")
