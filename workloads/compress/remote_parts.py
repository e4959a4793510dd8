"""Run what lies behind a cut of a network, on the host, in ONNX Runtime: the tensor that came in, outputs out.

What comes from a board is not trusted: its size must be the cut's, its numbers must be finite.
"""

from typing import Any, Dict, List

from tunebench.workloads.artefact import Artefact, ArtefactError
from tunebench.workloads.deploy import onnx_runtime
from tunebench.workloads.deploy.device_parts import Crossing, crossings_of
from tunebench.workloads.models.cuts import REMOTE


class BadTensor(ValueError):
    """Bytes that are not what crosses at a cut."""


class RemoteParts:
    """The parts of a network behind its cuts, loaded.

    Attributes:
        crossings: what crosses at each cut, in order of execution; behind the last one nothing is left.
        version: of ONNX Runtime.

    Raises:
        ArtefactError: a part is missing.
        ImportError: this host has no ONNX Runtime.
    """

    def __init__(self, compressed: Artefact, threads: int) -> None:
        import numpy

        self._numpy = numpy
        self.version = onnx_runtime.imported()[0]
        self.crossings: List[Crossing] = crossings_of(compressed)
        self._by_cut = {crossing.cut: crossing for crossing in self.crossings}
        self._models: Dict[str, Any] = {}
        self._scaled = (numpy.arange(256) / 255.0).astype(numpy.float32)
        for crossing in self.crossings[:-1]:
            model = onnx_runtime.load(compressed, REMOTE + crossing.cut, threads)
            if model is None:
                raise ArtefactError("this artefact has no part %r" % (REMOTE + crossing.cut))
            self._models[crossing.cut] = model

    @property
    def answer_b(self) -> int:
        """Return the bytes of the outputs."""
        return self.crossings[-1].size_b

    def crossing(self, cut: str) -> Crossing:
        """Return what crosses at a cut."""
        return self._by_cut[cut]

    def values(self, cut: str, raw: bytes) -> Any:
        """Return the array that crossed at a cut, (1, ...) float32.

        Raises:
            BadTensor: it has another size, or numbers that are not finite.
        """
        crossing = self._by_cut[cut]
        if len(raw) != crossing.size_b:
            raise BadTensor("%d bytes crossed at %r, expected %d" % (len(raw), cut, crossing.size_b))
        if crossing.dtype == "uint8":
            values = self._scaled[self._numpy.frombuffer(raw, self._numpy.uint8)]
        else:
            values = self._numpy.frombuffer(raw, "<f4")
        if not self._numpy.isfinite(values).all():
            raise BadTensor("what crossed at %r holds numbers that are not finite" % cut)
        return values.reshape((1,) + crossing.shape)

    def outputs(self, cut: str, raw: bytes) -> bytes:
        """Return the network's outputs as little-endian float32: from bytes to bytes, as the host's time is counted.

        Raises:
            BadTensor: what crossed is not what the cut has.
        """
        model = self._models[cut]
        answer: bytes = model.tensor(model.prepare(self.values(cut, raw), self._by_cut[cut].shape))
        return answer
