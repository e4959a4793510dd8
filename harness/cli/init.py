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

#: Answers to one question; then it is a program that answers.
_TRIES = 6


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
        chosen = _asked(list(named), named, ssh_config)
    else:
        candidates = _found(ssh_config, network)
        _refuse_nobody(candidates, yes, network, ssh_config)
        _show(candidates)
        taken = candidates if yes else _picked(candidates)
        loopback = first_lab.HERE in taken
        hosts = {candidate.host: candidate.kind for candidate in taken if candidate != first_lab.HERE}
        chosen = _asked(list(hosts), hosts, ssh_config)
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
    """Return the hosts that may be boards."""
    from tunebench.harness.lab import first_lab

    candidates = [
        candidate for candidate in first_lab.from_ssh_config(ssh_config) if candidate.why_not is None
    ]
    return [*candidates, *_on_network(candidates)] if network else candidates


def _refuse_nobody(candidates: Sequence[Candidate], yes: bool, network: bool, ssh_config: str | None) -> None:
    """Raise where no board can be chosen: nothing is found to be taken, or there is nobody to ask.

    Raises:
        UsageError: the message has the commands that say what to take.
    """
    if yes and candidates:
        return
    if _has_terminal() and not yes:
        return
    if candidates:
        named = [word for candidate in candidates[:8] for word in ("--board", candidate.host)]
        raise UsageError(
            f"there is no terminal to ask at, and {len(candidates)} host(s) may be boards. Take some:"
            f" `{command('init', *named)}`; or all: `{command('init', '--yes')}`"
        )
    where = f"{ssh_config or '~/.ssh/config'} names no board"
    where += " and none answers on this network" if network else ""
    raise UsageError(
        f"{where}. Name one as ssh takes it, e.g. `{command('init', '--board', 'pi@192.168.1.5')}`; look on the local"
        f" network: `{command('init', '--network', '--yes')}`; or take this machine: `{command('init', '--loopback')}`"
    )


def _on_network(known: Sequence[Candidate]) -> list[Candidate]:
    """Return the SSH servers of the local network that are not known already."""
    from tunebench.harness.lab import first_lab
    from tunebench.targets.transport import neighbours

    networks = neighbours.own_networks()
    for name in neighbours.too_large(networks):
        typer.echo(f"{name} is too large to be looked through", err=True)
    typer.echo(f"looking for SSH servers on {', '.join(map(str, networks)) or 'no network'} ...", err=True)
    addresses = {candidate.where.rpartition("@")[2].partition(":")[0] for candidate in known}
    answers = [answer for answer in neighbours.neighbours(networks) if answer.address not in addresses]
    return first_lab.from_network(answers)


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _show(candidates: Sequence[Candidate], first: int = 1) -> None:
    for number, candidate in enumerate(candidates, start=first):
        kind = f", {candidate.kind}" if candidate.kind else ""
        typer.echo(f"  {number:2}  {candidate.host:20} {candidate.where}{kind}", err=True)


def _picked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those of the candidates that the user names by number, and further hosts by their name.

    Raises:
        UsageError: no answer named one.
    """
    known = list(candidates)
    if not known:
        typer.echo("~/.ssh/config names no board.", err=True)
    for _ in range(_TRIES):
        question = "Which are boards? Numbers, hosts as ssh takes them, all, here (this machine), network (look there)"
        words = typer.prompt(question, default="all" if known else "here", err=True).replace(",", " ").split()
        if words == ["network"]:
            more = _on_network(known)
            _show(more, first=len(known) + 1)
            known += more
            continue
        picked = [_meant(word, known) for word in dict.fromkeys(words)]
        if picked and None not in picked:
            return [candidate for some in picked if some is not None for candidate in some]
        typer.echo(f"{' '.join(words) or 'nothing'}: there are numbers from 1 to {len(known)}", err=True)
    raise UsageError("no board was named; nothing was written")


def _meant(word: str, known: Sequence[Candidate]) -> list[Candidate] | None:
    """Return what one word of an answer stands for; None if it stands for nothing."""
    from tunebench.harness.lab.first_lab import HERE, Candidate, parse_board

    if word == "all":
        return list(known) or None
    if word == "here":
        return [HERE]
    if word.isdigit():
        return [known[int(word) - 1]] if 1 <= int(word) <= len(known) else None
    try:
        host, kind = parse_board(word)
    except UsageError as error:
        typer.echo(str(error), err=True)
        return None
    return [Candidate(host, "named by you", kind)]


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
    named = [] if out.resolve() == Path(FILE).resolve() else ["-i", str(out)]
    typer.echo(f"Next: {command('boards', *named)}")
