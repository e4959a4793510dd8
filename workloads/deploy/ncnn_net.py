"""ncnn on the CPU, in float32 or int8: its 16 bit arithmetic, which it takes by itself where a CPU has it, is off.

Samples are handed over as memory of the standard library: numpy, which has no wheel for 32-bit ARM, is not needed.
"""

import os
import tempfile
from array import array
from typing import Any, List, Optional, Tuple

from tunebench.workloads.artefact import Artefact
from tunebench.workloads.deploy.model import Model, Share, shares_of_nodes

#: layers that move numbers and compute nothing
_MOVES = ("Input", "Split", "Flatten", "Reshape")
#: layers with weights, and the key that one has whose weights are in int8: it has scales, too
_WEIGHTED = ("Convolution", "ConvolutionDepthWise", "InnerProduct")
_SCALED = "8=1"
#: options that would compute or keep numbers in fewer bits than the network has
_NARROW = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
)


def imported() -> Tuple[str, List[str]]:
    """Import it; return its version and the folders of what is installed."""
    import ncnn

    return str(ncnn.__version__), [os.path.dirname(ncnn.__file__)]


class NcnnModel(Model):
    """A net with one input and one output."""

    def __init__(self, net: Any) -> None:
        import ncnn

        self._mat, self._net = ncnn.Mat, net
        self._input, self._output = net.input_names()[0], net.output_names()[0]

    def prepare(self, values: Any, shape: Any) -> Any:
        return memoryview(array("f", values)).cast("B").cast("f", tuple(shape))

    def call(self, sample: Any) -> List[float]:
        extractor = self._net.create_extractor()
        # The matrix only points at the sample, and layers that work in place would change it: so it is copied.
        extractor.input(self._input, self._mat(sample).clone())
        status, output = extractor.extract(self._output)
        if status:
            raise ValueError("ncnn could not compute %s (%d)" % (self._output, status))
        scores: Any = memoryview(output).tolist()
        return [float(score) for score in scores]


def load(artefact: Artefact, which: str, threads: int) -> Optional[NcnnModel]:
    """Return the network, or its float parent; None where the artefact has none.

    Raises:
        ValueError: ncnn does not take the files.
    """
    if which not in artefact.tensors:
        return None
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    for option in _NARROW:
        if hasattr(net.opt, option):
            setattr(net.opt, option, False)
    folder = tempfile.mkdtemp()
    # Files, not memory: its Python interface reads memory as text, which a zero byte would end.
    paths = [os.path.join(folder, name) for name in ("net.param", "net.bin")]
    try:
        for path, name in zip(paths, (which + ".param", which)):  # noqa: B905  strict= came with Python 3.10
            with open(path, "wb") as file:
                file.write(bytes(artefact.need(name).data))
        if net.load_param(paths[0]) or net.load_model(paths[1]):
            raise ValueError("ncnn does not take its files")
    finally:
        for path in paths:
            if os.path.exists(path):
                os.unlink(path)
        os.rmdir(folder)
    return NcnnModel(net)


def profiled(artefact: Artefact, threads: int, folder: str, samples: List[Any]) -> Optional[Share]:
    """Return in which types its layers compute; it gives no times by layer.

    A layer computes in the type of its weights: one whose file has them in int8 has no others.
    """
    kinds = []
    for line in bytes(artefact.need("model.param").data).decode("ascii").splitlines()[2:]:
        kind, _, n_inputs, n_outputs, *rest = line.split()
        if kind in _MOVES:
            continue
        keys = rest[int(n_inputs) + int(n_outputs) :]
        kinds.append("int8" if kind in _WEIGHTED and _SCALED in keys else "float32")
    return shares_of_nodes(kinds)
