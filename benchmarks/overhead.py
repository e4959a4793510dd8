"""What the host adds to a repetition: ``python -m benchmarks.overhead [--json]``.

Runs a workload that sleeps on a warm board and prints, for each repetition, the wall time as the host sees it (start,
wait, harvest, record on disk, clean-up) less the life of the workload's own process, the SSH channels opened, and what
asking ``ssh -G`` for the configuration costs, once a hop and run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tunebench.harness.artifacts.gather import gather
from tunebench.harness.campaign.campaign import Campaign
from tunebench.harness.campaign.progress import Silent
from tunebench.harness.config.inventory import load_inventory, loopback_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.plan import make_plan
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunWriter
from tunebench.targets.boards import kind_of
from tunebench.targets.transport.config.route import route_to
from tunebench.targets.virtual.dropbear import DropbearServer
from tunebench.targets.virtual.openssh import OpenSshServer

_SLEEPER = """
import time
from tunebench import marks

marks.window_start()
time.sleep(SLEEP_S)
marks.window_end()
marks.result(accuracy=1.0, before=0.5)
"""

_SUITE = """
[suite]
name = "overhead"
blocks = BLOCKS
aa = false
instrumented = false

[[workload]]
label = "sleep"
command = ["python3", "sleep.py"]
files = ["sleep.py"]
"""


class _Watch(Silent):
    """Takes the host's time at the edges of every repetition."""

    def __init__(self) -> None:
        self.edges_s: list[float] = []
        self.records: list[Repetition] = []

    def started(self, planned: Planned, left_s: float | None) -> None:
        self.edges_s.append(time.monotonic())

    def finished(self, planned: Planned, record: Repetition) -> None:
        self.records.append(record)

    def ended(self, board_id: str, message: str) -> None:
        self.edges_s.append(time.monotonic())
        if message != "done":
            raise SystemExit(f"{board_id}: {message}")


def measure(inventory: Path | None, board_id: str | None, blocks: int, sleep_s: float) -> dict[str, object]:
    """Run the campaign; seconds and counts of every repetition but the first, which warms the board up."""
    lab = load_inventory(inventory) if inventory else loopback_inventory()
    board = lab.select(board_id)[0]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "sleep.py").write_text(_SLEEPER.replace("SLEEP_S", repr(sleep_s)))
        (root / "suite.toml").write_text(_SUITE.replace("BLOCKS", str(blocks + 1)))
        suite = load_suite(str(root / "suite.toml"))
        plan = make_plan(suite, [board], run_id=f"overhead-{time.time_ns()}", lab="bench")
        watch = _Watch()
        with RunWriter.create(root / "results", "bench", plan.run_id, plan.as_dict()) as writer:
            Campaign(plan, gather(suite), writer, watch).run()
    # The last edge comes after the probe that closes the campaign; that repetition is left out with the first.
    walls = [b - a for a, b in zip(watch.edges_s, watch.edges_s[1:], strict=False)][1:-1]
    kept = watch.records[1:-1]
    added = [wall - (record.process_s or 0.0) for wall, record in zip(walls, kept, strict=True)]
    way = None if kind_of(board.kind).host_itself else route_to(board.spec().endpoint)
    return {
        "board": board.id,
        "transport": board.transport,
        "asked_ssh_g": way.asked if way else 0,
        "asked_ssh_g_ms": round(way.asked_s * 1e3, 1) if way else 0.0,
        "n": len(added),
        "workload_s": sleep_s,
        "added_median_s": statistics.median(added),
        "added_min_s": min(added),
        "added_max_s": max(added),
        "channels_max": max(record.ssh_channels or 0 for record in kept),
        "process_median_s": statistics.median(record.process_s or 0.0 for record in kept),
    }


def _served_inventory(stack: contextlib.ExitStack, server: str, transport: str) -> Path:
    """An inventory of this machine behind OpenSSH's server or dropbear, which runs until the stack is left."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    kind = DropbearServer if server == "dropbear" else OpenSshServer
    end = stack.enter_context(kind(root)).endpoint
    inventory = root / "lab.toml"
    keys = {
        "id": server,
        "kind": "linux",
        "transport": transport,
        "host": "127.0.0.1",
        "user": end.user,
        "key": end.key_file,
        "known_hosts": end.known_hosts,
        "python": sys.executable,
        "interpreter": sys.executable,
        "gates": "warn",
        "workdir": f"{root}/work",
    }
    lines = [f"port = {end.port}", *(f'{key} = "{value}"' for key, value in keys.items())]
    inventory.write_text("\n".join(["[[board]]", *lines, ""]))
    return inventory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", type=Path, help="default: this machine over loopback")
    parser.add_argument("--board", help="its id in the inventory; default: the first")
    served = parser.add_mutually_exclusive_group()
    served.add_argument("--openssh", action="store_true", help="over OpenSSH's own server on a loopback port")
    served.add_argument("--dropbear", action="store_true", help="over dropbear, with BusyBox's programs")
    parser.add_argument(
        "--transport",
        choices=("paramiko", "openssh"),
        default="paramiko",
        help="with --openssh or --dropbear: who speaks SSH on this side",
    )
    parser.add_argument("--repetitions", type=int, default=12)
    parser.add_argument("--sleep-s", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        inventory = options.inventory
        if options.openssh or options.dropbear:
            server = "dropbear" if options.dropbear else "openssh"
            try:
                inventory = _served_inventory(stack, server, options.transport)
            except FileNotFoundError as error:
                print(f"left out: {error}")
                return 0
        overhead = measure(inventory, options.board, max(3, options.repetitions), options.sleep_s)
    if options.json:
        print(json.dumps(overhead, indent=2))
        return 0
    print(
        f"board {overhead['board']}: {overhead['n']} repetitions of a process of {overhead['process_median_s']:.2f} s"
    )
    print(f"{'':28}{'median':>10}{'min':>10}{'max':>10}")
    print(
        f"{'added by the host, s':28}{overhead['added_median_s']:>10.3f}{overhead['added_min_s']:>10.3f}"
        f"{overhead['added_max_s']:>10.3f}   (target < 1.5)"
    )
    print(f"{'SSH channels a repetition':28}{overhead['channels_max']:>10}{'':>20}   (target <= 6)")
    print(
        f"{'ssh -G, ms a run':28}{overhead['asked_ssh_g_ms']:>10}{'':>20}   ({overhead['asked_ssh_g']} hops asked)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
