"""Gather what travels to a board: the payload, the artefacts of a task, the files of a user's own method."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from tunebench import workloads
from tunebench.harness.account import cache_place, cache_places
from tunebench.harness.artifacts import lab_packages
from tunebench.harness.artifacts.compressed import Runners, compress
from tunebench.harness.config.suite import Suite, Workload
from tunebench.targets.payload import Blob, deterministic_zip, make_payload, package_files
from tunebench.workloads import datasets, engines
from tunebench.workloads.datasets import DataUnavailable
from tunebench.workloads.datasets.store import FETCH_COMMAND, Store, default_data_dir
from tunebench.workloads.engines.native import build
from tunebench.workloads.models import language
from tunebench.workloads.prepare import artefacts

#: Key of :meth:`Artifacts.hashes` for the start weights of further bases.
BASES = "bases"

#: What is being made, and how much of it is done (0..1).
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Artifacts:
    """All blobs that the boards of one campaign are given; the tasks that cannot be had, with the reason."""

    payload: Blob
    data: Mapping[str, Blob] = field(default_factory=dict)
    weights: Mapping[str, Blob] = field(default_factory=dict)
    #: Start weights of further bases: (task, base) -> blob; base 0 stands in ``weights``.
    bases: Mapping[tuple[str, int], Blob] = field(default_factory=dict)
    #: task -> how many bases have no start weights yet; only where none are to be trained now.
    to_train: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[tuple[str, str], Blob] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    #: Workloads that run other builds than today's: role -> blob, instead of what is built now.
    built: Mapping[tuple[str, str], Mapping[str, Blob]] = field(default_factory=dict)
    #: What chains have made: (task, label, base) -> blob, in the place of the start weights.
    compressed: Mapping[tuple[str, str, int], Blob] = field(default_factory=dict)
    #: What the host runs of cut networks: (task, label, base) -> artefact; it travels to no board.
    remote: Mapping[tuple[str, str, int], Blob] = field(default_factory=dict)
    #: Rows whose chain cannot be: task and label -> why.
    impossible: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def of_workload(self, workload: Workload, base: int = 0) -> dict[str, Blob]:
        """Return what one workload needs on the board when it begins from a base: role -> blob."""
        blobs = {"payload": self.payload}
        if workload.task in self.data and workload.dataset:
            blobs["data"] = self.data[workload.task]
            first = base == 0
            blobs["weights"] = self.weights[workload.task] if first else self.bases[workload.task, base]
        if (*workload.key, base) in self.compressed:
            blobs["weights"] = self.compressed[(*workload.key, base)]
        if workload.key in self.own:
            blobs["own"] = self.own[workload.key]
        blobs.update(self.built.get(workload.key, {}))
        return blobs

    def hashes(self) -> dict[str, Any]:
        """Return the SHA-256 of everything that the boards are given: equal hashes, equal work."""
        return {
            "payload": self.payload.sha256,
            "data": {task: blob.sha256 for task, blob in self.data.items()},
            "weights": {task: blob.sha256 for task, blob in self.weights.items()},
            "own": {f"{task} {label}": blob.sha256 for (task, label), blob in self.own.items()},
            # Only in suites of several: runs without keep what they wrote down.
            **(
                {BASES: {f"{task} base {base}": blob.sha256 for (task, base), blob in self.bases.items()}}
                if self.bases
                else {}
            ),
            **(
                {
                    "compressed": {
                        f"{task} {label} base {base}": blob.sha256
                        for (task, label, base), blob in self.compressed.items()
                    }
                }
                if self.compressed
                else {}
            ),
        }


def default_cache() -> Path:
    """Return the folder in which the host keeps the artefacts that it has made."""
    return cache_place("artefacts")


def travelling_workloads() -> dict[str, bytes]:
    """Return what travels besides the agent: name -> content."""
    exclude = [pattern for name in workloads.HOST_ONLY for pattern in (name, f"{name}/*")]
    root = _package_root(workloads)
    files = package_files(root, "tunebench/workloads", exclude)
    # What users' own methods import, under the same name as on the host.
    files["tunebench/marks.py"] = (root.parent / "marks.py").read_bytes()
    # A board with a compiler of its own can build the kernels where the host cannot.
    folder = f"tunebench/workloads/engines/native/{build.FOLDER}"
    files.update({f"{folder}/{name}": text for name, text in build.sources().items()})
    return files


def build_payload(lab_engines: Mapping[str, str] | None = None) -> Blob:
    """Build the deterministic zip of the agent and the workloads, named by its SHA-256.

    Sensors of installed labs' packages travel, too: boards are asked for them whatever the suite.

    Args:
        lab_engines: engines of labs' packages that a suite uses -> the package that travels, too.

    Raises:
        UsageError: an installed package's engine or sensor cannot travel.
    """
    extra = {**lab_packages.engine_files(lab_engines or {}), **lab_packages.sensor_files()}
    return make_payload({**travelling_workloads(), **extra})


def _package_root(package: object) -> Path:
    return Path(str(resources.files(package.__name__)))  # type: ignore[attr-defined]


def own_blob(workload: Workload, root: Path) -> Blob:
    """Return the listed files of a user's own method as one zip.

    Raises:
        OSError: a file cannot be read.
    """
    files = {name: (root / name).read_bytes() for name in workload.files}
    return Blob.of_bytes(deterministic_zip(files), ".zip", role="own")


def prepare_bases(
    dataset: str,
    model: str,
    bases: Sequence[int],
    *,
    cache_dir: Path | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> list[artefacts.Prepared]:
    """Find or make the artefacts of several bases in this host's caches; ``cache_dir`` takes the place of them all.

    Raises:
        DataUnavailable, PrepareError: the data or the start weights cannot be had; with the reason.
    """
    return artefacts.prepare_bases(
        dataset,
        model,
        bases,
        cache_dir=cache_dir or default_cache(),
        also=[] if cache_dir else cache_places("artefacts")[1:],
        data_dir=data_dir,
        datasets_dir=cache_place("datasets"),
        datasets_also=cache_places("datasets")[1:],
        download=download,
        progress=progress,
    )


def gather(
    suite: Suite,
    *,
    cache_dir: Path | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
    train_bases: bool = True,
) -> Artifacts:
    """Build the payload, and find or make the artefacts of every task.

    A task whose data or start weights cannot be had is not an error: it is skipped with the reason.

    Args:
        suite: whose workloads are gathered for.
        cache_dir: where artefacts are kept; None: the host's cache.
        data_dir: where local copies of published data sets lie.
        download: whether published data sets may be fetched.
        progress: called while artefacts are prepared.
        train_bases: whether start weights of further bases are made; else it is only told how many would be.
    """
    bases: dict[tuple[str, int], Blob] = {}
    to_train: dict[str, int] = {}
    data: dict[str, Blob] = {}
    weights: dict[str, Blob] = {}
    unavailable: dict[str, str] = {}
    compressed: dict[tuple[str, str, int], Blob] = {}
    remote: dict[tuple[str, str, int], Blob] = {}
    impossible: dict[tuple[str, str], str] = {}
    runners: Runners = {}
    for task, (dataset, model) in artefacts_of(suite).items():
        try:
            needed = suite.bases_of(task)
            made = prepare_bases(
                dataset,
                model,
                needed if train_bases else needed[:1],
                cache_dir=cache_dir,
                data_dir=data_dir,
                download=download,
                progress=progress,
            )
        except (DataUnavailable, artefacts.PrepareError) as error:
            unavailable[task] = str(error).replace(FETCH_COMMAND, _fetch_command(suite))
            continue
        data[task] = blob_of(made[0].data, made[0].data_sha256)
        weights[task], *others = (blob_of(prepared.weights, prepared.weights_sha256) for prepared in made)
        bases.update({(task, base): blob for base, blob in enumerate(others, 1)})
        if train_bases:
            chains = compress(
                [workload for workload in suite.workloads if workload.task == task],
                made,
                cache_dir=cache_dir or default_cache(),
                store=store_of(data_dir),
                progress=progress,
                runners=runners,
            )
            compressed.update(chains.blobs)
            remote.update(chains.remote)
            impossible.update(chains.impossible)
        if not train_bases:
            folders = [cache_dir] if cache_dir else cache_places("artefacts")
            to_train[task] = len(artefacts.missing_bases(dataset, model, needed[1:], folders))
    own = {
        workload.key: own_blob(workload, suite.root)
        for workload in suite.workloads
        if workload.files and suite.root is not None
    }
    return Artifacts(
        build_payload(lab_engines_of(suite)), data, weights, bases, to_train, own=own, unavailable=unavailable,
        compressed=compressed, remote=remote, impossible=impossible,
    )  # fmt: skip


def store_of(data_dir: Path | None) -> Store:
    """Return where the source domain's samples lie; the data were fetched before, if they were to be."""
    return Store(
        data_dir or default_data_dir(), cache_place("datasets"), also=tuple(cache_places("datasets")[1:])
    )


def blob_of(path: Path, sha256: str) -> Blob:
    """Return an artefact's file as it travels."""
    return Blob(name=f"{sha256}.tbx", sha256=sha256, path=path)


def _fetch_command(suite: Suite) -> str:
    """Return the command that fetches what this suite lacks, whole; its words are stored, so no path of this machine."""
    return f"{FETCH_COMMAND} -s {shlex.quote(suite.given)}" if suite.given else FETCH_COMMAND


def lab_engines_of(suite: Suite) -> dict[str, str]:
    """Return the engines of labs' packages that a suite uses -> the package that travels, too."""
    names = {workload.engine for workload in suite.workloads} & set(engines.plugins())
    return {name: engines.find_engine(name).package for name in names}


def artefacts_of(suite: Suite) -> dict[str, tuple[str, str]]:
    """Return task -> data set and model; files and folders of the user's own are looked for from the suite's file on.

    What is stored keeps the name as the suite has it: no record tells a path of this machine.
    """
    return {
        workload.task: (_placed(workload.dataset, suite.root), _placed(workload.model, suite.root))
        for workload in suite.workloads
        if workload.dataset and workload.model
    }


def _placed(name: str, root: Path | None) -> str:
    kind, colon, path = name.partition(":")
    if root is None or not colon or f"{kind}:" not in (datasets.FILE_PREFIX, f"{language.FOLDER}:"):
        return name
    return f"{kind}:{root / Path(path).expanduser()}"


def data_dir_from_env() -> Path | None:
    """Return the folder of local copies of data sets, as ``TUNEBENCH_DATA`` names it; None where it is not set."""
    value = os.environ.get("TUNEBENCH_DATA")
    return Path(value) if value else None
