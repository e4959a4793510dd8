# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""A network's frozen part in ONNX Runtime: images of bytes in, the values behind which something trains out.

The host has written the file (:mod:`tunebench.workloads.compress.trunk`). It runs image by image: so a value does not
depend on what else is in a batch, and a cache is exact.
"""

from typing import Any, List, Tuple

import numpy

from tunebench.workloads.artefact import TRUNK, Artefact, ArtefactError
from tunebench.workloads.engines.head import Head
from tunebench.workloads.engines.onnxruntime_head import NAME
from tunebench.workloads.engines.onnxruntime_head.opened import open_session

#: tensors of the artefact: the file, and the same in float32 where the file has fewer bits
FILE, PARENT = "trunk", "parent"


class Trunk(object):
    """A frozen part, ready to run.

    Args:
        weights: an artefact of kind ``trunk``.
        head: what is trained on its values.
        threads: of the runtime.
        which: :data:`FILE` or :data:`PARENT`.

    Raises:
        ArtefactError: start weights without a trunk, or one that gives other values than the method needs.
    """

    def __init__(self, weights: Artefact, head: Head, threads: int, which: str = FILE) -> None:
        if weights.kind != TRUNK:
            raise ArtefactError(
                "weights: an artefact of kind %r, engine %r needs a trunk: the host writes it when a suite is run"
                % (weights.kind, NAME)
            )
        if weights.meta.get("given") != list(head.given):
            raise ArtefactError(
                "weights: this trunk gives %s, the method needs %s"
                % (weights.meta.get("given"), list(head.given))
            )
        raw = bytes(weights.need(which).data)
        try:
            self._session = open_session(raw, threads)
        except Exception as error:  # noqa: BLE001  the runtime's errors have no common base
            first = (str(error).splitlines() or [""])[0][:300]
            raise ArtefactError("weights: the runtime cannot load the trunk: %s" % first) from None
        self._input = self._session.get_inputs()[0].name
        self.floats = head.floats
        self._columns = columns_of(head.widths)

    def values(self, images: Any) -> Any:
        """Compute the values of images (n, c, h, w) of bytes: float32 (n, floats)."""
        values = numpy.empty((len(images), self.floats), numpy.float32)
        for row, image in zip(values, images):
            scaled = image.astype(numpy.float32)[None] / numpy.float32(255)
            for columns, value in zip(self._columns, self._session.run(None, {self._input: scaled})):
                row[columns] = value.reshape(-1)
        return values


def columns_of(widths: Tuple[int, ...]) -> List[slice]:
    """Return where the values of each node stand in a sample's row.

    >>> columns_of((2, 3))
    [slice(0, 2, None), slice(2, 5, None)]
    """
    columns, at = [], 0
    for width in widths:
        columns.append(slice(at, at + width))
        at += width
    return columns
