"""Make a first inventory: find hosts that may be boards, ask what they are, write ``lab.toml``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tunebench.harness.config.inventory import is_name, load_inventory
from tunebench.harness.errors import UsageError
from tunebench.reports.formatting.output import write_output
from tunebench.targets.boards import FAMILIES, KINDS, match
from tunebench.targets.errors import TargetError
from tunebench.targets.sanitize import one_line
from tunebench.targets.transport.config.aliases import aliases
from tunebench.targets.transport.config.route import parse_destination, route_to
from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.transport.neighbours import Neighbour
from tunebench.targets.transport.ssh import Ssh

#: A board at hand answers at once; who waits at a terminal is told soon that one does not.
_TIMEOUTS = Timeouts(connect_s=5.0, banner_s=8.0, auth_s=8.0, channel_s=5.0, command_s=8.0)
#: Several boards are asked at a time, and ssh is for several aliases.
_AT_ONCE = 16
#: Where people keep code, not boards.
_FORGES = (
    "github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht", "ssh.dev.azure.com",
    "vs-ssh.visualstudio.com", "hf.co", "huggingface.co", "aur.archlinux.org", "salsa.debian.org",
)  # fmt: skip
#: What a name says of a machine that could not be asked, the first that fits.
_BY_NAME = (
    ("jetson", r"jetson|orin|xavier|tx[12]\b|nvidia"),
    ("raspberry-pi", r"raspberry|\bpi|rpi|zero2?w"),
)
#: Device tree: what the board calls itself (Devicetree Specification, section 2.3); PCs have none.
_ASK = [
    "sh",
    "-c",
    "for name in compatible model; do cat /proc/device-tree/$name 2>/dev/null; echo; done",
]
_MOST_B = 4096


@dataclass(frozen=True)
class Candidate:
    """A host that may be a board.

    Attributes:
        host: as ssh takes it: an alias, a name, an address.
        where: what it stands for, in words.
        kind: what is known of its kind before it is asked; None: nothing.
        why_not: why it is hardly a board; None: it may be one.
    """

    host: str
    where: str
    kind: str | None = None
    why_not: str | None = None


#: This machine itself, which is no host.
HERE = Candidate("", "this machine")


@dataclass(frozen=True)
class Chosen:
    """A board as it will stand in the inventory.

    Attributes:
        note: a comment behind its kind: where that was learnt.
        reached: whether it was logged in to.
    """

    id: str
    host: str | None
    kind: str
    note: str = ""
    reached: bool = False


def from_ssh_config(file: str | None = None) -> list[Candidate]:
    """Return the hosts that the user's ssh config names, each as ``ssh -G`` explains it; forges are marked.

    Args:
        file: another configuration, as ``ssh -F`` takes it.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda alias: _explained(alias, file), aliases(file)))


def from_network(neighbours: Iterable[Neighbour]) -> list[Candidate]:
    """Return the SSH servers of the local network as candidates."""
    return [
        Candidate(neighbour.address, f"on this network, {one_line(neighbour.server)[:60]}", neighbour.kind)
        for neighbour in neighbours
    ]


def _explained(alias: str, file: str | None) -> Candidate:
    try:
        config = route_to(Endpoint(host=alias, ssh_config=file)).board
    except TargetError as error:
        return Candidate(alias, "", why_not=str(error))
    where = f"{config.user}@{config.hostname}" + (f":{config.port}" if config.port != 22 else "")
    forge = any(config.hostname == name or config.hostname.endswith(f".{name}") for name in _FORGES)
    return Candidate(alias, where, why_not="a forge" if forge or config.user == "git" else None)


def ask(hosts: Sequence[str], kinds: dict[str, str | None], ssh_config: str | None = None) -> list[Chosen]:
    """Log in to hosts and ask what they are; one that does not answer is guessed from its name.

    Nothing is written there. The keys of hosts are verified as ssh does; nobody is asked to accept one.

    Args:
        hosts: as ssh takes them.
        kinds: host -> kind that is known already; a kind that is named beats the board's own word.
        ssh_config: another configuration, as ``ssh -F`` takes it.
    """
    ids = board_ids(hosts)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda host: _asked(host, ssh_config), hosts))
    chosen = []
    for host, board_id, (answer, reason) in zip(hosts, ids, answers, strict=True):
        known = kinds.get(host)
        if answer is not None:
            kind, model = answer
            note = f"it says: {model}" if model else "it answers, and has no device tree"
            chosen.append(Chosen(board_id, host, known or kind, note, reached=True))
        else:
            guess = known or guessed(host)
            note = f"not asked ({reason})" if known else f"guessed from its name: not reached ({reason})"
            chosen.append(Chosen(board_id, host, guess, note))
    return chosen


def _asked(host: str, ssh_config: str | None) -> tuple[tuple[str, str] | None, str]:
    """Return kind and model, or None and why not."""
    try:
        with Ssh(Endpoint(host=host, ssh_config=ssh_config, timeouts=_TIMEOUTS)) as ssh:
            done = ssh.run(_ASK, max_output_b=_MOST_B)
    except TargetError as error:
        return None, one_line(str(error))[:200]
    lines = done.stdout.replace(b"\0", b" ").decode("utf-8", "replace").split("\n")
    compatible, model = [*lines, "", ""][:2]
    return (kind_of_tree(compatible, model), one_line(model.strip())[:80]), ""


def kind_of_tree(compatible: str, model: str) -> str:
    """Return the kind of a board, by what its device tree says.

    >>> kind_of_tree("raspberrypi,5-model-b brcm,bcm2712", "Raspberry Pi 5 Model B Rev 1.0")
    'raspberry-pi'
    >>> kind_of_tree("", "")
    'linux'
    """
    row = match({"compatible": compatible.strip(), "model": model.strip()})
    families = [family.KIND.name for family in FAMILIES if row in family.BOARDS]
    return families[0] if families else _GENERIC


_GENERIC = "linux"


def guessed(host: str) -> str:
    """Return the kind that a host's name suggests.

    >>> guessed("pi5-01"), guessed("orin-02"), guessed("ann@bench")
    ('raspberry-pi', 'jetson', 'linux')
    """
    name = parse_destination(host)[1].lower()
    return next((kind for kind, pattern in _BY_NAME if re.search(pattern, name)), _GENERIC)


def board_ids(hosts: Sequence[str]) -> list[str]:
    """Return an id for each host: its name, made fit for file names, and never twice.

    >>> board_ids(["ann@pi5.lab", "[::1]", "ann@pi5.lab"])
    ['pi5.lab', 'board-1', 'pi5.lab-2']
    """
    ids: list[str] = []
    for host in hosts:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", parse_destination(host)[1]).strip("-._")[:56]
        if not is_name(plain) or not re.search("[A-Za-z0-9]{2}|[A-Za-z]", plain):
            plain = f"board-{plain}".rstrip("-")
        made, number = plain, 2
        while made in ids:
            made, number = f"{plain}-{number}", number + 1
        ids.append(made)
    return ids


def text_of(lab: str, boards: Sequence[Chosen]) -> str:
    """Return the inventory as it is written."""
    lines = ["# The boards of this lab. All keys: docs/inventory.md", "[lab]", f"name = {_quoted(lab)}"]
    for board in boards:
        note = f"  # {one_line(board.note)}" if board.note else ""
        lines += ["", "[[board]]", f"id = {_quoted(board.id)}"]
        lines += [f"host = {_quoted(board.host)}"] if board.host is not None else []
        lines += [f"kind = {_quoted(board.kind)}{note}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a basic string of TOML; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def write(path: Path, lab: str, boards: Sequence[Chosen], *, replace: bool = False) -> None:
    """Write an inventory, which reads back as what was meant.

    Raises:
        UsageError: it is there already, a name is none, or the file cannot be written.
    """
    if path.exists() and not replace:
        raise UsageError(f"{path}: is there already; it is not replaced")
    if not is_name(lab):
        raise UsageError(f"--lab {lab!r}: use 1-64 letters, digits, '.', '_' or '-', a letter or digit first")
    text = text_of(lab, boards)
    before = path.read_bytes() if path.exists() else None
    write_output(path, text.encode(), "--out")
    try:
        load_inventory(path)
    except UsageError:
        # Nothing that cannot be read stays behind.
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)
        raise


def parse_board(text: str) -> tuple[str, str | None]:
    """Return host and kind of ``HOST`` or ``HOST=KIND``.

    Raises:
        UsageError: there is no such kind, or no host.

    >>> parse_board("pi5-01=raspberry-pi"), parse_board("orin")
    (('pi5-01', 'raspberry-pi'), ('orin', None))
    """
    host, equals, kind = text.partition("=")
    known = [name for name, meaning in KINDS.items() if not meaning.host_itself]
    if equals and kind not in known:
        raise UsageError(f"--board {text!r}: kind {kind!r} is none of: {', '.join(known)}")
    if not host.strip() or not host.isprintable() or host.startswith("-"):
        raise UsageError(
            f"--board {text!r}: names no host; e.g. --board pi5-01 or --board ann@192.168.1.5=jetson"
        )
    return host.strip(), kind or None
