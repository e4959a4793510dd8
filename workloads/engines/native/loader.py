"""Loading the compiled kernels with ctypes: the standard library is enough."""

import ctypes
import json
import os
import sys
import time
from array import array
from ctypes import c_char_p, c_int, c_int64, c_void_p
from typing import Any, Dict, NamedTuple, Optional

from tunebench.workloads import marks
from tunebench.workloads.engines.native.errors import RECORD_SUFFIX, NativeError

ABI = 5

#: names the library's file; without it the job's ``paths.native`` does, else one is built here
VARIABLE = "TUNEBENCH_NATIVE"

#: function -> (result, arguments); pointers to arrays are given as :func:`address`
_FUNCTIONS = {
    "tb_abi": (c_int, []),
    "tb_vector_floats": (c_int, []),
    "tb_has_fma": (c_int, []),
    "tb_compiler": (c_char_p, []),
    "tb_new": (c_void_p, [c_void_p, c_int, c_void_p, c_int, c_void_p, c_void_p, c_void_p]),
    "tb_free": (None, [c_void_p]),
    "tb_set_layer": (None, [c_void_p, c_int] + [c_void_p] * 4),
    "tb_get_layer": (None, [c_void_p, c_int, c_void_p, c_void_p]),
    "tb_set_adapter": (None, [c_void_p, c_int, c_void_p, c_void_p]),
    "tb_get_adapter": (None, [c_void_p, c_int, c_void_p, c_void_p]),
    "tb_set_data": (None, [c_void_p, c_void_p, c_void_p]),
    "tb_forget": (None, [c_void_p]),
    "tb_train": (c_int, [c_void_p, c_void_p, c_int] + [c_void_p] * 5),
    "tb_logits": (None, [c_void_p, c_void_p, c_int, c_void_p]),
    "tb_logits_of_images": (None, [c_void_p, c_void_p, c_int, c_void_p]),
    "tb_trunk_new": (c_void_p, [c_void_p, c_int, c_void_p, c_int, c_void_p, c_int, c_int, c_int64]),
    "tb_trunk_free": (None, [c_void_p]),
    "tb_trunk_set": (None, [c_void_p, c_int] + [c_void_p] * 3),
    "tb_trunk_values": (None, [c_void_p, c_void_p, c_int, c_int, c_void_p]),
    "tb_net_new": (c_int, [c_void_p, c_void_p, c_int, c_void_p, c_int, c_void_p, c_void_p, c_int]),
    "tb_net_set": (None, [c_void_p, c_int] + [c_void_p] * 3),
    "tb_feed": (None, [c_void_p, c_void_p, c_void_p, c_int]),
    "tb_cached": (c_int, [c_void_p, c_int, c_void_p, c_void_p]),
    "tb_counts": (None, [c_void_p, c_void_p]),
    "tb_peak": (c_int64, [c_int64, c_void_p]),
    "tb_read": (None, [c_void_p, c_int64, c_int64, c_void_p]),
}  # type: Dict[str, Any]


def address(values: Any) -> int:
    """Return the address of the values of an ``array`` or a writable buffer; the caller keeps it alive."""
    if isinstance(values, array):
        return values.buffer_info()[0]
    return ctypes.addressof((ctypes.c_char * len(values)).from_buffer(values))


class Peak(NamedTuple):
    """The highest rates that one build reaches on this machine.

    Attributes:
        macs_per_s: multiply-adds from registers alone.
        read_b_per_s: reading a block of memory again and again.
    """

    macs_per_s: float
    read_b_per_s: float


class Library:
    """The compiled kernels.

    Args:
        path: of the shared library.

    Raises:
        NativeError: it cannot be loaded on this machine, or is of another version.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.c = ctypes.CDLL(path)  # type: Any
        except OSError as error:
            raise NativeError(
                "native library %s cannot be loaded on this %s: %s" % (path, os.uname().machine, error)
            ) from None
        try:
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(self.c, name)
                function.restype, function.argtypes = result, arguments
        except AttributeError as error:
            raise NativeError("%s is not a library of this engine: %s" % (path, error)) from None
        abi = self.c.tb_abi()
        if abi != ABI:
            raise NativeError("native library %s has interface %d, this engine needs %d" % (path, abi, ABI))
        self.vector_floats = self.c.tb_vector_floats()  # type: int
        self.has_fma = bool(self.c.tb_has_fma())
        self.compiler = self.c.tb_compiler().decode("ascii")  # type: str

    def record(self) -> Dict[str, Any]:
        """Return how the library was built: compiler, triple, CPU and flags; without a record, what the library says."""
        facts = {"compiler": self.compiler, "vector_bits": 32 * self.vector_floats, "fma": self.has_fma}
        try:
            with open(self.path + RECORD_SUFFIX) as file:
                facts.update(json.load(file))
        except (OSError, ValueError):
            pass
        return facts

    def peak(self, seconds: float = 0.05, read_b: int = 1 << 16) -> Peak:
        """Measure this build's limits on this machine.

        Args:
            seconds: for each of the two.
            read_b: size of the block that is read.
        """
        sink = array("f", bytes(4 * 64))
        at = (address(sink) + 63) // 64 * 64  # vectors are stored aligned
        block = bytearray(read_b + 64)
        start = (address(block) + 63) // 64 * 64
        count = read_b // 4 // (8 * self.vector_floats) * 8 * self.vector_floats
        macs = _rate(lambda rounds: int(self.c.tb_peak(rounds, at)), seconds)

        def read(rounds: int) -> int:
            self.c.tb_read(start, count, rounds, at)
            return 4 * count * rounds

        return Peak(macs, _rate(read, seconds))


def _rate(work: Any, seconds: float) -> float:
    """Return the best amount of work per second over several runs that together take about ``seconds``."""
    rounds, best, left = 1, 0.0, seconds
    while left > 0.0:
        started = time.perf_counter()
        amount = work(rounds)
        took = time.perf_counter() - started
        left -= took
        if took < seconds / 20:
            rounds *= 2  # too short to tell
        else:
            best = max(best, amount / took)
    return best


def find_library(path: Optional[str] = None) -> Library:
    """Find the library to use: ``path``, else $TUNEBENCH_NATIVE, else the job's, else one built by this machine's cc.

    Raises:
        NativeError: there is none and none can be built.
    """
    chosen = path or os.environ.get(VARIABLE) or dict(marks.load_job().get("paths", {})).get("native")
    if chosen is None:
        from tunebench.workloads.engines.native import build  # a board with a library needs no builder

        chosen = build.build_here().path
    if not os.path.exists(chosen):
        raise NativeError(
            "native library %s does not exist; build one with tunebench.workloads.engines.native.build"
            % chosen
        )
    if sys.byteorder != "little":
        raise NativeError("the native engine needs a little-endian machine")
    return Library(chosen)
