"""Copy runs as they are given away, anonymised or not; merge stores; write repetitions as one flat table."""

from __future__ import annotations

import filecmp
import json
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from tunebench.reports.formatting.output import STDOUT, refuse_folder, write_output
from tunebench.reports.formatting.privacy import Anonymiser
from tunebench.reports.records import BoardEnv, Energy, Repetition
from tunebench.reports.results.drift import other_machine
from tunebench.reports.results.files import unpack, write_durable
from tunebench.reports.results.layout import EARLIER, MANIFEST, PLAN, ResultsError, RunNotFound, run_folders
from tunebench.reports.results.reader import RunReader
from tunebench.reports.results.writer import RunWriter

if TYPE_CHECKING:
    import pandas as pd

SALT = ".anonymise-salt"
_SALT_B = 32


def salt_of(store: Path) -> bytes:
    """Return the lab's salt; it is made at the first export, stored beside the results and never exported."""
    path = store / SALT
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        salt = secrets.token_bytes(_SALT_B)
        write_durable(path, salt.hex().encode() + b"\n")
        path.chmod(0o600)
        return salt
    except ValueError:
        raise ResultsError(f"{path}: not a salt (hexadecimal digits); delete it to make a new one") from None


def export_run(run: Path, out: Path, anonymiser: Anonymiser | None = None) -> Path:
    """Copy a complete run below another results root; anonymised, its records are written anew.

    Anonymised exports hold no logs: free output of a workload may say anything.

    Returns:
        The copy's directory.

    Raises:
        ResultsError: the run is not complete, its files are damaged, or the copy is there already.
    """
    reader = RunReader(run)
    problems = reader.verify()
    if problems:
        raise ResultsError(f"{run}: not exported: {problems[0]}")
    if anonymiser is None:
        target = out.joinpath(*run.parts[-5:])
        if target.exists():
            raise ResultsError(f"{target}: exists already")
        shutil.copytree(run, target)
        return target
    return _Rewriting(reader, out, anonymiser).write()


#: Fields of an exit record that name people, or show that two runs were of one boot of one machine.
_NOT_GIVEN_AWAY = frozenset({"lease_taken_over_from", "boot_id"})


class _Rewriting:
    """One anonymised copy, made through the real writer."""

    def __init__(self, reader: RunReader, out: Path, anonymiser: Anonymiser) -> None:
        self._reader, self._out, self._hide = reader, out, anonymiser
        if reader.manifest is None:
            raise ResultsError(f"{reader.path}: the run is not complete")
        self._manifest = reader.manifest
        self._lab = anonymiser.pseudonym("lab", self._manifest.lab)
        boards = {rep.board_id for rep in reader.repetitions} | set(self._manifest.boards)
        self._boards = {name: anonymiser.pseudonym("board", name) for name in sorted(boards)}
        self._ids = {rep.rep_id: f"r{number:05}" for number, rep in enumerate(reader.repetitions)}

    def write(self) -> Path:
        """Write the copy and return its directory; if it cannot be finished, nothing is left on disk."""
        created = datetime.fromisoformat(self._manifest.started_utc).astimezone(UTC)
        plan = self._plan()
        writer = RunWriter.create(self._out, self._lab, self._manifest.run_id, plan, created=created)
        try:
            with writer:
                for rep in self._reader.repetitions:
                    self._copy(writer, rep)
                for board in self._boards:
                    for when in ("before", "after"):
                        env = self._reader.env(board, when)
                        if env is not None:
                            writer.write_env(self._env(env), when)
                for look in self._reader.looks:
                    named = {"board_id": self._boards[look.board_id]}
                    writer.append_look(look.model_copy(update=named))
                self._finish(writer)
        except BaseException:
            shutil.rmtree(writer.path)
            raise
        return writer.path

    def _plan(self) -> dict[str, object]:
        """Return the plan's suite and tasks without the queue: its ids contain board names; the records say what ran."""
        plan = self._reader.plan
        names = ("suite", "tasks", "started_utc", "extended")
        public = {name: plan[name] for name in names if name in plan}
        return {**self._hide.value(public), "boards": sorted(self._boards.values()), "anonymised": True}

    def _copy(self, writer: RunWriter, rep: Repetition) -> None:
        hide = self._hide
        free = rep.model_dump(
            mode="json",
            include={"reasons", "missing", "outcome_reason", "check", "params", "metrics", "seen"},
        )
        hidden = Repetition.model_validate({**rep.model_dump(mode="json", by_alias=True), **hide.value(free)})
        hidden = hidden.model_copy(
            update={
                "rep_id": self._ids[rep.rep_id],
                "lab": self._lab,
                "board_id": self._boards[rep.board_id],
                "series_key": hide.hashed(rep.series_key),
                "trace": None,
                "log": None,
                "preds": None,
                "exit": None,
                "energy": hidden.energy and _idle_ids(hidden.energy, self._ids),
                "energy_other": [_idle_ids(energy, self._ids) for energy in hidden.energy_other],
                "prov": rep.prov.model_copy(update={"kernel": hide.text(rep.prov.kernel or "") or None}),
            }
        )
        writer.append(
            hidden, trace=self._trace(rep), preds=_preds(self._reader, rep), exit_record=self._exit(rep)
        )

    def _trace(self, rep: Repetition) -> bytes | None:
        """Return the lines of the trace with a scrubbed header; channels and numbers are unchanged."""
        if rep.trace is None:
            return None
        head, _, rows = unpack((self._reader.path / rep.trace).read_bytes()).partition(b"\n")
        return json.dumps(self._hide.value(json.loads(head)), separators=(",", ":")).encode() + b"\n" + rows

    def _exit(self, rep: Repetition) -> bytes | None:
        """Return the exit record under the repetition's new name, without fields that identify people or a boot."""
        text = self._reader.exit_record(rep)
        if text is None:
            return None
        public = {name: value for name, value in json.loads(text).items() if name not in _NOT_GIVEN_AWAY}
        hidden = {**self._hide.value(public), "rep_id": self._ids[rep.rep_id]}
        return json.dumps(hidden, sort_keys=True, separators=(",", ":")).encode()

    def _env(self, env: BoardEnv) -> BoardEnv:
        hidden = self._hide.value(env.model_dump(mode="json", by_alias=True))
        hidden |= {
            "board_id": self._boards[env.board_id],
            "env_sha256": env.env_sha256,
            "schema": env.schema_,
        }
        return BoardEnv.model_validate(hidden)

    def _finish(self, writer: RunWriter) -> None:
        manifest = self._manifest
        writer.finish(
            suite=manifest.suite,
            level=manifest.level,
            command=[],
            tunebench=manifest.tunebench,
            started_utc=manifest.started_utc,
            ended_utc=manifest.ended_utc,
            boards=[self._boards[name] for name in manifest.boards],
            blocks=manifest.blocks,
            baselines=dict(manifest.baselines),
            delta=dict(manifest.delta),
            counts=dict(manifest.counts),
            skipped=[
                skip.model_copy(
                    update={
                        "board_id": self._boards.get(skip.board_id)
                        or self._hide.pseudonym("board", skip.board_id),
                        "reason": self._hide.text(skip.reason),
                    }
                )
                for skip in manifest.skipped
            ],
        )


def _idle_ids(energy: Energy, ids: Mapping[str, str]) -> Energy:
    """Replace the repetition ids of the idle baselines that an energy refers to: these ids contain board names."""
    if not energy.idle_source:
        return energy
    source = energy.idle_source
    for old, new in ids.items():
        source = source.replace(old, new)
    return energy.model_copy(update={"idle_source": source})


def _preds(reader: RunReader, rep: Repetition) -> bytes | None:
    rows = reader.preds(rep)
    if rows is None:
        return None
    return "".join(json.dumps(list(row), separators=(",", ":")) + "\n" for row in rows).encode()


def merge(
    sources: Iterable[Path],
    out: Path,
    *,
    different_machines: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Copy the complete runs of several results roots into one; a run that is there already and equal is skipped.

    Args:
        different_machines: whether two machines may have one lab and board id; their nights share one history then.

    Returns:
        The runs that were added.

    Raises:
        ResultsError: a run of the same name with other content is there, a run is damaged, or two machines have one
            lab and board id; of the last, nothing was copied.
    """
    sources = list(sources)
    runs = [run for source in sources for run in run_folders(source)]
    if not different_machines:
        _check_machines(sources, runs, out)
    added: list[Path] = []
    for run in runs:
        target = out.joinpath(*run.parts[-5:])
        if not (run / MANIFEST).is_file():
            progress(f"{run}: not complete, left out")
            continue
        if target.exists():
            if _is_earlier(run, target):
                progress(f"{run}: blocks were added to it in {out}, left as it is there")
            elif _is_earlier(target, run):
                raise ResultsError(
                    f"{target}: is {run} as it was before blocks were added; remove it, then merge again"
                )
            elif not filecmp.cmp(run / MANIFEST, target / MANIFEST, shallow=False):
                raise ResultsError(f"{run}: another run of this name is in {out}; neither was changed")
            continue
        added.append(export_run(run, out))
        progress(f"{added[-1]}: added")
    return added


def _is_earlier(run: Path, other: Path) -> bool:
    """Tell whether a run is another one as it was before blocks were added to it."""
    states = (other / EARLIER).glob(f"*.{MANIFEST}")
    return any(filecmp.cmp(run / MANIFEST, state, shallow=False) for state in states)


class _Machine(NamedTuple):
    """A board's hardware as a run of a lab probed it."""

    lab: str
    board_id: str
    hardware: Mapping[str, object]
    run: Path


def _check_machines(sources: Sequence[Path], runs: Sequence[Path], out: Path) -> None:
    """Refuse a machine that would share its lab and board id with another one, which it does not yet in ``out``.

    Raises:
        ResultsError: there is one; the message says how to merge all the same.
    """
    known: dict[tuple[str, str], list[_Machine]] = {}
    try:
        there = run_folders(out)
    except RunNotFound:
        there = []
    for machine in (machine for run in there for machine in _machines(run)):
        same_name = known.setdefault((machine.lab, machine.board_id), [])
        if all(machine.hardware != other.hardware for other in same_name):
            same_name.append(machine)
    for machine in (machine for run in runs if (run / MANIFEST).is_file() for machine in _machines(run)):
        same_name = known.setdefault((machine.lab, machine.board_id), [])
        differing = [other_machine(other.hardware, machine.hardware) for other in same_name]
        if all(differing) and same_name:
            changes = ", ".join(
                f"{change.key} {_short(change.before)} and {_short(change.after)}"
                for change in differing[0][:3]
            )
            words = ["tunebench", "merge", *map(str, sources), "--out", str(out), "--different-machines"]
            raise ResultsError(
                f"{machine.run}: board {machine.board_id!r} of lab {machine.lab!r} is another machine than in"
                f" {same_name[0].run} ({changes}); nothing was merged. Under one name their nights are one history: run one"
                f" of them under another lab or board id, or merge both knowingly: {shlex.join(words)}"
            )
        if all(machine.hardware != other.hardware for other in same_name):
            same_name.append(machine)


def _machines(run: Path) -> list[_Machine]:
    """Return the boards of a run that were probed; a probe that is not readable tells nothing."""
    head = _object(run / MANIFEST) or _object(run / PLAN)
    lab = head.get("lab")
    machines = []
    for file in sorted((run / "env").glob("*.before.json")):
        probe = _object(file)
        fingerprint = probe.get("fingerprint")
        hardware = fingerprint.get("hardware") if isinstance(fingerprint, dict) else None
        if isinstance(hardware, dict) and isinstance(probe.get("board_id"), str):
            named = lab if isinstance(lab, str) else run.parts[-5:][0]
            machines.append(_Machine(named, str(probe["board_id"]), hardware, run))
    return machines


def _object(path: Path) -> Mapping[str, object]:
    """Return the JSON object in a file; an empty one if it holds none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:12]}...{text[-6:]}"


def write_table(runs: Iterable[Path], path: Path) -> int:
    """Write every repetition of the given runs as one flat table: CSV or Parquet, by the file's ending; ``-`` prints CSV.

    Returns:
        The number of rows.

    Raises:
        ResultsError: the ending is neither ``.csv`` nor ``.parquet``.
        OutputError: the file cannot be written.
    """
    refuse_folder(path, "--table")
    kind = "csv" if path == STDOUT else {".csv": "csv", ".parquet": "parquet"}.get(path.suffix.lower())
    if kind is None:
        raise ResultsError(f"{path}: ends in neither .csv nor .parquet; those are what can be written")
    data, rows = table_bytes(runs, kind)
    write_output(path, data, "--table")
    return rows


def table_bytes(runs: Iterable[Path], kind: str) -> tuple[bytes, int]:
    """Return every repetition of the given runs as one flat table, ``csv`` or ``parquet``, and the number of its rows."""
    import pandas as pd

    from tunebench.reports.results.frames import frame

    table = pd.concat([frame(RunReader(run).repetitions).assign(run_id=run.name) for run in runs])
    return table.to_csv(index=False).encode() if kind == "csv" else _parquet(table), len(table)


def _parquet(table: pd.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tunebench-export-") as folder, duckdb.connect() as database:
        part = Path(folder) / "table.parquet"
        database.register("shared", table)
        database.table("shared").write_parquet(str(part), compression="zstd")
        return part.read_bytes()
