"""Hold what is run on a board: a runtime, the network of an artefact, and the samples that go through it."""

import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from tunebench.workloads import artefact
from tunebench.workloads.artefact import Artefact, ArtefactError
from tunebench.workloads.deploy import BoardRuntime, RuntimeUnavailable
from tunebench.workloads.deploy.model import Model
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models.graph import product


class Subject(NamedTuple):
    """What is measured: a runtime with the network of an artefact, and on how many threads."""

    name: str
    module: Any
    compressed: Artefact
    threads: int
    folder: str

    @property
    def shape(self) -> Tuple[int, ...]:
        """Return the shape of one sample."""
        shape = (self.compressed.meta.get("graph") or {}).get("shape")
        if not isinstance(shape, list):
            raise ArtefactError("weights: meta.graph has no shape")
        return tuple(shape)


def import_runtime(name: str, runtime: BoardRuntime, module: Any) -> Tuple[str, List[str]]:
    """Import the runtime.

    Raises:
        RuntimeUnavailable: it is not there, or cannot be imported.
    """
    try:
        version, folders = module.imported()
    except ImportError as error:
        raise RuntimeUnavailable(
            "runtime %r cannot be imported (%s); on the board: %s -m pip install %s"
            % (name, error, sys.executable, runtime.install)
        ) from None
    except Exception as error:  # noqa: BLE001  somebody else's package may raise anything
        raise RuntimeUnavailable(
            "runtime %r fails at its import: %s: %s" % (name, type(error).__name__, error)
        ) from None
    return version, folders


def read_role(paths: Dict[str, str], role: str) -> Artefact:
    """Read an artefact of the job.

    Raises:
        ArtefactError: the job has none in this role, or it is damaged.
    """
    if role not in paths:
        raise ArtefactError("job.paths has no %r: a runtime needs that artefact" % role)
    return artefact.read(paths[role])


def network_of(paths: Dict[str, str], name: str) -> Artefact:
    """Read the job's network.

    Raises:
        ArtefactError: it is none for this runtime.
    """
    compressed = read_role(paths, "weights")
    if compressed.kind != "deployed" or compressed.meta.get("runtime") != name:
        raise ArtefactError(
            "weights: an artefact of kind %r for runtime %r, runtime %r needs one of its own"
            % (compressed.kind, compressed.meta.get("runtime"), name)
        )
    return compressed


def loaded(subject: Subject, which: str) -> Optional[Model]:
    """Return a network that can be called; None where the artefact has none of that name.

    Raises:
        RuntimeUnavailable: the runtime does not take it.
    """
    try:
        model: Optional[Model] = subject.module.load(subject.compressed, which, subject.threads)
    except WorkloadError:
        raise
    except Exception as error:  # noqa: BLE001  a runtime's own errors have no common base
        first = (str(error).splitlines() or [""])[0][:300]
        raise RuntimeUnavailable(
            "runtime %r cannot load the network: %s: %s" % (subject.name, type(error).__name__, first)
        ) from None
    return model


def read_items(data: Artefact, shape: Tuple[int, ...]) -> Tuple[Callable[[int], Any], List[int]]:
    """Return a function that gives the values of one test item as floats, and the classes."""
    x, y = data.need("test_x"), data.need("test_y")
    labels = [int(label) for label in y.array()]
    values, size = x.array(), x.size // max(1, len(labels))
    if size != product(shape):
        raise ArtefactError("data: test items of %d values, the network takes %s" % (size, list(shape)))
    if x.dtype != "uint8":
        return lambda at: values[at * size : (at + 1) * size], labels
    scaled = [level / 255.0 for level in range(256)]
    return lambda at: [scaled[level] for level in values[at * size : (at + 1) * size]], labels
