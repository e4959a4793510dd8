"""The fault matrix: ``python -m tests.faults``; minutes of random faults: the words ``soak`` and ``farm`` behind it."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
from collections.abc import Sequence

from tests.faults import matrix, soak
from tests.faults.kinds import ALL, NOT_PRODUCED
from tests.faults.scene import Fault


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 if anything is not as it should be, else 0."""
    words = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    forms = {"soak": _soak, "farm": _farm}
    return forms[words[0]](words[1:]) if words[:1] and words[0] in forms else _matrix(words)


def _matrix(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Strikes campaigns with real faults at random moments and counts what is lost, doubled or left"
        " behind. `soak --help` has the other form.",
    )
    parser.add_argument(
        "--repeat", type=int, default=20, metavar="N", help="runs a fault; costly ones: 5 at most"
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="faults whose name contains this, or families of that name",
    )
    parser.add_argument("--short", action="store_true", help="without the link cut for 120 s (what CI runs)")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="scenes side by side")
    parser.add_argument("--seed", type=int, default=None, help="of all moments [a random one, printed]")
    parser.add_argument("--keep", action="store_true", help="leave every scene's folder behind")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(words)
    faults = chosen(asked.only, short=asked.short)
    if asked.list:
        for fault in faults if asked.only or asked.short else ALL:
            print(f"{fault.family:10} {fault.name:30} {fault.impossible() or ''}".rstrip())
        return 0
    if not faults:
        parser.error(
            f"--only {asked.only}: no such fault; there are: {', '.join(fault.name for fault in ALL)}"
        )
    seed = _told_seed(asked.seed)
    made = matrix.run(faults, repeat=asked.repeat, jobs=asked.jobs, seed=seed, keep=asked.keep)
    for what, why in NOT_PRODUCED.items() if not asked.only else ():
        made.not_producible.setdefault(what, why)
    made.not_asked = [] if asked.only else [fault.name for fault in ALL if fault not in faults]
    print(json.dumps(made.as_json(), indent=1) if asked.json else matrix.text(made))
    return 0 if made.clean else 1


def chosen(only: Sequence[str] | None, *, short: bool = False) -> list[Fault]:
    """Return the faults that are asked for; those that boot a machine only if they are named."""
    if only:
        return [fault for fault in ALL if any(word in fault.name or word == fault.family for word in only)]
    return [fault for fault in ALL if fault.family != "boots" and (fault.short or not short)]


def _soak(words: Sequence[str]) -> int:
    parser = _soak_parser("soak", str(soak.__doc__), minutes=3.0, boards=4)
    parser.add_argument(
        "--at-least", type=int, default=0, metavar="N", help="faults, if it takes thrice the time"
    )
    asked = parser.parse_args(words)
    tally = soak.soak(asked.minutes, asked.boards, _told_seed(asked.seed), asked.at_least)
    print(json.dumps(tally.as_json(), indent=1) if asked.json else soak.text(tally))
    return 0 if tally.clean else 1


def _farm(words: Sequence[str]) -> int:
    from tests.faults.farm import network
    from tests.faults.farm import soak as farm_soak

    parser = _soak_parser("farm", str(farm_soak.__doc__), minutes=10.0, boards=3)
    parser.add_argument("--blocks", type=int, default=farm_soak.BLOCKS, help="of a campaign")
    parser.add_argument(
        "--within", action="store_true", help="in this network namespace, which must be empty"
    )
    asked = parser.parse_args(words)
    reason = farm_soak.why_not() or (None if asked.within else network.why_not())
    if reason is not None:
        parser.error(reason)
    if not asked.within:
        command = network.within([sys.executable, "-m", "tests.faults", "farm", "--within", *words])
        os.execvp(command[0], command)
    tally = farm_soak.share(asked.minutes, asked.boards, _told_seed(asked.seed), asked.blocks)
    print(json.dumps(tally.as_json(), indent=1) if asked.json else farm_soak.text(tally))
    return 0 if tally.clean else 1


def _soak_parser(name: str, description: str, *, minutes: float, boards: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m tests.faults {name}", description=description)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--boards", type=int, default=boards)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    return parser


def _told_seed(asked: int | None) -> int:
    """Return the seed that is asked for, or a random one, and tell it."""
    seed = random.SystemRandom().getrandbits(32) if asked is None else asked
    print(f"seed {seed}", file=sys.stderr, flush=True)
    return seed


if __name__ == "__main__":
    sys.exit(main())
