"""The commands of ``tunebench``, in the order of its help: one module and one line here for each.

The command ``power-cycle`` would live in the module ``power_cycle`` of this package, and ``try``, which is a word of
Python, lives in ``try_``. Nothing is imported for the list itself, so that ``tunebench --help`` stays quick; a module is
imported when its command runs or is asked for help.
"""

from __future__ import annotations

from collections.abc import Mapping
from keyword import iskeyword
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import typer

#: Entry points of this group are commands, too: ``NAME = "package.module"``, a module as :class:`CommandModule` says.
GROUP = "tunebench.commands"

#: Name of a command -> what it does, the first sentence of its own help.
COMMANDS: Mapping[str, str] = {
    "demo": "Run the main job on this machine as a board, over a real SSH server on 127.0.0.1, and write the report.",
    "init": "Write a first inventory: find boards in ~/.ssh/config, ask each what it is, write lab.toml.",
    "boards": "Show the boards of an inventory: what each is and has, who holds it, what stays empty and why.",
    "plan": "Dry run: what would run where, what would be skipped and why, and how long it will take.",
    "run": "Run a suite on the boards of an inventory.",
    "submit": "Start a run detached and return at once: all options are those of `tunebench run`.",
    "collect": "Say what became of a run that was submitted, and end with its exit code; 75: it still runs.",
    "runs": "List the runs below a results root, the newest first: what ran, what is running, how far it is.",
    "status": "Say how far a run is, board by board: what runs now, how long it will take, what is missing and why.",
    "watch": "Watch a run while it is measured: board by board what runs, time left, temperatures, verdicts, speed-ups.",
    "new-method": "Write the scaffold of a method of your own: code that works as it stands, and a suite to compare it.",
    "try": "Run a suite's own methods once on this machine, shortened, and say what came out; nothing is kept.",
    "prepare": "Make the data and start-weight artefacts that a suite needs, on this host (needs torch for new ones).",
    "tune-rates": "Search every method's learning rate without the suite's test set, and print the lines for the suite.",
    "search": "Search the best point of a suite's [search] space within a budget, measured on one board.",
    "suites": "List the built-in suites: what each is for, how much it measures, how long it took.",
    "examples": "Copy the examples that come with tunebench into a folder; without one, list them.",
    "setup": "Prepare a board: check it, make a virtual environment, install the torch that fits, or the runtime asked for.",  # noqa: E501
    "farm": "Boards of a farm (labgrid): who has which, and places that a dead process has left.",
    "release": "End a board's lease: an expired one or that of a dead process of this host, or with --force anybody's.",
    "doctor": "Say whether boards can be measured, what stays empty and why, and print the lines that would fill it.",
    "verify": "Check a finished run: checksums, schema, plan against records, protocol, clocks; judge it once more.",
    "params": "Count what a method trains on a network: parameters, the update's bytes, multiply-adds.",
    "calibrate": "Estimate this lab's noise: false alarms a month, the smallest change its gate and comparisons can see.",
    "report": "Render a run as one self-contained HTML file and/or JSON; by default RUN.html beside the run.",
    "compare": "Hold two runs side by side: every series that both have, and what else differs between them.",
    "index": "Build the index of all runs below DIR: a cache (DIR/index.duckdb) that can be deleted at any time.",
    "gate": "Judge a night: screen every series against its last nights, list what is missing, decide.",
    "accept": "Accept a change: the series starts a new segment, older nights are no yardstick any more.",
    "site": "Write the lab's pages: boards, nights and series, each with a page; static files for any web server or CI.",
    "quarantine": "Leave a board's nights out of the gate from now on, until it is released.",
    "nightly": "Run the suite, index the store, write the report, judge the night; an unfinished run of it is resumed.",
    "export": "Copy a run to give away, and/or write its repetitions as one flat table, and/or for another tool.",
    "push": "Push complete runs into a store that many hosts share: Parquet files in a folder, or a PostgreSQL server.",
    "merge": "Bring several labs' complete runs into one results root; equal ones are left, unequal ones refused.",
    "emulate": "Emulated boards: real ARM Linux in QEMU; their times are not a board's.",
    "sensors": "Sensors of boards and plugs: what their outputs mean.",
    "meter": "A board's external meter: try it, or cut the board's power with it.",
}


class CommandModule(Protocol):
    """What the module of a command offers, in this package or in a lab's own.

    A lab's own package names its module in its ``pyproject.toml``::

        [project.entry-points."tunebench.commands"]
        noise = "our_lab.noise"

    and ``our_lab/noise.py`` holds::

        import typer

        app = typer.Typer(add_completion=False)

        @app.command()
        def noise(store: Path) -> None:
            \"\"\"Print how noisy the room was.\"\"\"

    The rules for all of them:

    * ``tunebench --help`` shows a lab's command with the name of its package; the module is not imported for it.
    * A name of this package's own commands cannot be taken.
    * Heavy imports (numpy, pandas, torch, paramiko) belong into the function: ``--help`` imports the module.
    * Mistakes of the user raise :class:`tunebench.harness.errors.UsageError`: one sentence, exit code 2. Other exit
      codes are raised as ``typer.Exit(code)``, with the meanings of docs/exit-codes.md.
    """

    #: One command, or (with a callback or several commands) a group of them.
    app: typer.Typer


def module_of(name: str) -> str:
    """Return the import name of the module of one of :data:`COMMANDS`."""
    module = name.replace("-", "_")
    return f"{__package__}.{module}_" if iskeyword(module) else f"{__package__}.{module}"
