"""Run what lies before a cut of a network: the tensor that then crosses, and what it takes on the board alone.

An artefact that is to be cut holds the network up to each cut beside the whole one (``device:NAME``), and says in
``meta.partition`` what crosses there. At the cut ``input`` nothing is computed: the sample crosses as
the data set has it.
"""

from typing import Any, Dict, List, NamedTuple, Tuple

from tunebench.workloads import marks
from tunebench.workloads.artefact import ITEM_B, Artefact, ArtefactError
from tunebench.workloads.deploy.model import Model
from tunebench.workloads.deploy.subject import Subject, loaded, read_items
from tunebench.workloads.models.cuts import DEVICE
from tunebench.workloads.models.graph import INPUT, product

#: samples that calls go round
SAMPLES = 32
#: rounds in which the cuts take turns, and seconds that one cut may take in all
_ROUNDS, _LONGEST_S = 5, 5.0
#: seconds of a cut's window in an energy repetition, at most: the whole network's may be longer
_WINDOW_S = 12.0


class Crossing(NamedTuple):
    """What crosses at a cut.

    Attributes:
        cut: name of the last node on the board; ``input``: nothing is computed there.
        shape: of one sample.
        dtype: ``float32``; of an input what the data set holds (``uint8``: pixels).
    """

    cut: str
    shape: Tuple[int, ...]
    dtype: str

    @property
    def size_b(self) -> int:
        """Return the bytes of one sample."""
        return ITEM_B[self.dtype] * product(self.shape)


def crossings_of(compressed: Artefact) -> List[Crossing]:
    """Return what an artefact's cuts are, in order of execution; none of one that is not to be cut.

    Raises:
        ArtefactError: its description is damaged.
    """
    rows = (compressed.meta.get("partition") or {}).get("cuts", [])
    try:
        made = [Crossing(str(row["cut"]), tuple(row["shape"]), str(row["dtype"])) for row in rows]
        if any(crossing.size_b < 1 for crossing in made):
            raise ValueError("a tensor of no size")
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError("weights: meta.partition is damaged: %r" % (error,)) from None
    return made


class DeviceParts:
    """The parts of a network before its cuts, loaded, with samples to run them on.

    Attributes:
        crossings: what crosses at each cut.
        whole: name of the cut behind which nothing is left: the whole network.
    """

    def __init__(self, subject: Subject, data: Artefact) -> None:
        self.crossings = crossings_of(subject.compressed)
        self.whole = self.crossings[-1].cut if self.crossings else ""
        self._models: Dict[str, Model] = {}
        if not self.crossings:
            return
        items, labels = read_items(data, subject.shape)
        self.n_samples = min(SAMPLES, len(labels))
        x, size = data.need("test_x"), product(subject.shape)
        width_b = size * ITEM_B[x.dtype]
        self._raw = [bytes(x.data[at * width_b : (at + 1) * width_b]) for at in range(self.n_samples)]
        for crossing in self.crossings:
            if crossing.cut != INPUT:
                which = "model" if crossing.cut == self.whole else DEVICE + crossing.cut
                self._models[crossing.cut] = _needed(subject, which)
        any_model = self._models[self.whole]
        self._samples = [any_model.prepare(items(at), subject.shape) for at in range(self.n_samples)]

    def run(self, cut: str, at: int) -> bytes:
        """Return the tensor that crosses at a cut for one sample: inside of the timer."""
        if cut == INPUT:
            return self._raw[at]
        return self._models[cut].tensor(self._samples[at])


def _needed(subject: Subject, which: str) -> Model:
    model = loaded(subject, which)
    if model is None:
        raise ArtefactError("weights: this artefact has no part %r" % which)
    return model


def timed_parts(parts: DeviceParts, calls: int, repeat: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Return for each cut the median of calls of its part on this board, alone: nothing crosses anything.

    Args:
        parts: with their samples.
        calls: of each part, unless they take too long.
        repeat: of an energy repetition: each part is repeated for ``min_s``, in a window of its own.
    """
    taken: Dict[str, List[int]] = {crossing.cut: [] for crossing in parts.crossings}
    windows: Dict[str, Tuple[int, int]] = {}
    for _ in range(_ROUNDS if parts.crossings and not repeat else 0):
        for cut, times in taken.items():
            _call(parts, cut, times, -(-calls // _ROUNDS), _LONGEST_S / _ROUNDS)
    if repeat:
        for cut, times in taken.items():
            begun_ns = marks.monotonic_ns()
            _call(parts, cut, times, None, min(_WINDOW_S, float(repeat.get("min_s", 0.0))))
            windows[cut] = (begun_ns, marks.monotonic_ns())
    return [
        {
            "cut": cut,
            "device_s": sorted(times)[len(times) // 2] / 1e9,
            "calls": len(times),
            "window_ns": windows.get(cut),
        }
        for cut, times in taken.items()
    ]


def _call(parts: DeviceParts, cut: str, times: List[int], calls: Any, longest_s: float) -> None:
    """Call a part so often (None: as often as fits) or for so long, once at least; append nanoseconds."""
    parts.run(cut, 0)
    until_ns = marks.monotonic_ns() + longest_s * 1e9
    done = 0
    while calls is None or done < calls:
        begun_ns = marks.monotonic_ns()
        parts.run(cut, done % parts.n_samples)
        now_ns = marks.monotonic_ns()
        times.append(now_ns - begun_ns)
        done += 1
        if now_ns >= until_ns:
            return
