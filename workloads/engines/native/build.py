"""Building the kernels: for a board's triple with ziglang, or for this machine with its own ``cc``.

A build is named by the hash of its sources, compiler, flags and triple, and kept; a second request compiles
nothing. The record beside the library (``<library>.json``) says how it was built. The standard library is
enough, so that a board with a compiler can build for itself.

``python -m tunebench.workloads.engines.native.build [VARIANT ...]`` builds and prints paths.
"""

import hashlib
import importlib.util
import json
import os
import pkgutil
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from tunebench.workloads.engines.native.errors import RECORD_SUFFIX, NativeError

#: the C files, and the folder that they lie in
FOLDER = "c"
SOURCES = (
    "kernels.c", "conv.h", "model.h", "net.h", "net_make.h", "pool.h", "probe.h", "rules.h", "simd.h", "tiles.h",
    "trunk.h",
)  # fmt: skip
FLAGS = (
    "-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno",
    "-fno-trapping-math", "-Wall", "-Wextra",
)  # fmt: skip
#: zig adds checks of its own to C unless told otherwise
ZIG_FLAGS = ("-fno-sanitize=undefined", "-g0")
TIMEOUT_S = 300


class Variant(NamedTuple):
    """What a library is built for.

    Attributes:
        name: as asked for.
        machine: ``uname -m`` of the boards it runs on.
        triple: ziglang's name, with the oldest glibc it runs on.
        zig_cpu: for ``-mcpu=`` with ziglang.
        cc_flags: the same for a local gcc or clang.
    """

    name: str
    machine: str
    triple: str
    zig_cpu: str
    cc_flags: Tuple[str, ...]


_X86, _ARM, _ARMHF = "x86_64-linux-gnu.2.17", "aarch64-linux-gnu.2.28", "arm-linux-gnueabihf.2.28"
_NEON = ("-march=armv7-a", "-mfpu=neon-vfpv4", "-mfloat-abi=hard")

VARIANTS = {
    row.name: row
    for row in (
        Variant("x86-64", "x86_64", _X86, "x86_64", ("-march=x86-64",)),
        Variant("v3", "x86_64", _X86, "x86_64_v3", ("-march=x86-64-v3",)),
        Variant("v4", "x86_64", _X86, "x86_64_v4", ("-march=x86-64-v4", "-mprefer-vector-width=512")),
        Variant("cortex-a53", "aarch64", _ARM, "cortex_a53", ("-mcpu=cortex-a53",)),
        Variant("cortex-a72", "aarch64", _ARM, "cortex_a72", ("-mcpu=cortex-a72",)),
        Variant("cortex-a76", "aarch64", _ARM, "cortex_a76", ("-mcpu=cortex-a76",)),
        Variant("armhf", "armv7l", _ARMHF, "cortex_a53", _NEON),
    )
}

#: flags in /proc/cpuinfo that x86-64-v3 and v4 need beyond the level below
_LEVELS = (
    ("v4", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    ("v3", ("avx2", "fma", "bmi1", "bmi2", "f16c", "movbe")),
)
#: MIDR part numbers of 64-bit Arm cores -> variant; the oldest core's build runs on all
_PARTS = {"0xd03": "cortex-a53", "0xd08": "cortex-a72", "0xd0b": "cortex-a76", "0xd42": "cortex-a76"}


class Built(NamedTuple):
    """A compiled library.

    Attributes:
        path: of the file.
        sha256: of the file.
        record: variant, triple, compiler, flags, source hash: what a measurement's record keeps.
    """

    path: str
    sha256: str
    record: Dict[str, Any]


def variant_of(machine: str, cpuinfo: str) -> str:
    """Return the name of the best variant for a board.

    Args:
        machine: its ``uname -m``.
        cpuinfo: text of its ``/proc/cpuinfo``.

    Raises:
        NativeError: no variant runs there.

    >>> variant_of("aarch64", "CPU part : 0xd08")
    'cortex-a72'
    """
    values = set(cpuinfo.split())
    if machine == "x86_64":
        for name, needs in _LEVELS:
            if values.issuperset(needs):
                return name
        return "x86-64"
    if machine == "aarch64":
        parts = [_PARTS[value] for value in sorted(values & set(_PARTS))]
        return parts[0] if parts else "cortex-a53"
    if machine in ("armv7l", "armv8l") and "neon" in values | {v.lower() for v in values}:
        return "armhf"
    raise NativeError(
        "no native build for machine %r, there are: %s" % (machine, ", ".join(sorted(VARIANTS)))
    )


def this_machine() -> Tuple[str, str]:
    """Return this machine's ``uname -m`` and the text of its /proc/cpuinfo, as :func:`variant_of` takes them."""
    try:
        with open("/proc/cpuinfo") as file:
            text = file.read()
    except OSError:
        text = ""
    return platform.machine(), text


def sources() -> Dict[str, bytes]:
    """Return the C files by name, also when this package lies in a zip."""
    texts = {}
    for name in SOURCES:
        raw = pkgutil.get_data("tunebench.workloads.engines.native", "%s/%s" % (FOLDER, name))
        if raw is None:
            raise NativeError("the source %s is missing from this package" % name)
        texts[name] = raw
    return texts


def has_zig() -> bool:
    """Return whether ziglang is installed beside this Python."""
    return importlib.util.find_spec("ziglang") is not None


def command(variant: str, compiler: str) -> List[str]:
    """Return the compiler's command line without files.

    Args:
        variant: a name of :data:`VARIANTS`.
        compiler: ``zig``, or a C compiler's name or path.

    Raises:
        NativeError: no such variant, or the local compiler does not build for it.
    """
    if variant not in VARIANTS:
        raise NativeError("unknown native build %r, use one of: %s" % (variant, ", ".join(VARIANTS)))
    row = VARIANTS[variant]
    if compiler == "zig":
        start = [sys.executable, "-m", "ziglang", "cc", "-target", row.triple, "-mcpu=" + row.zig_cpu]
        return start + list(FLAGS) + list(ZIG_FLAGS)
    here = platform.machine()
    if row.machine != here and not (row.machine == "armv7l" and here in ("armv8l", "aarch64")):
        raise NativeError(
            "build %r is for %s and this machine is %s: pip install ziglang to build for other machines"
            % (variant, row.machine, here)
        )
    return [compiler] + list(row.cc_flags) + list(FLAGS)


def build(variant: str, cache_dir: Optional[str] = None, compiler: Optional[str] = None) -> Built:
    """Return a library for a variant, from the cache or compiled now.

    Args:
        variant: a name of :data:`VARIANTS`.
        cache_dir: where builds are kept; None: ``~/.cache/tunebench/native``.
        compiler: ``zig`` or a C compiler; None: ziglang where installed, else ``$CC`` or ``cc``.

    Raises:
        NativeError: no compiler, or it failed; with its words.
    """
    chosen = compiler or ("zig" if has_zig() else os.environ.get("CC") or "cc")
    line = command(variant, chosen)
    texts = sources()
    record = {
        "variant": variant,
        "triple": VARIANTS[variant].triple if chosen == "zig" else platform.machine(),
        "compiler": _compiler_version(chosen),
        "flags": [flag for flag in line if flag.startswith("-") and flag not in ("-m", "-target")],
        "source_sha256": _hash(texts),
    }  # type: Dict[str, Any]
    folder = cache_dir or os.path.join(os.path.expanduser("~"), ".cache", "tunebench", "native")
    key = hashlib.sha256(json.dumps(record, sort_keys=True).encode("utf-8")).hexdigest()[:16]
    path = os.path.join(folder, "tunebench-%s-%s.so" % (variant, key))
    if not (os.path.exists(path) and os.path.exists(path + RECORD_SUFFIX)):
        os.makedirs(folder, exist_ok=True)
        _compile(line, texts, path)
        _write(path + RECORD_SUFFIX, json.dumps(record, sort_keys=True).encode("ascii"))
    with open(path, "rb") as file:
        return Built(path, hashlib.sha256(file.read()).hexdigest(), record)


def build_here(cache_dir: Optional[str] = None) -> Built:
    """Return the best library for this machine's CPU, from the cache or compiled now."""
    return build(variant_of(*this_machine()), cache_dir)


def _hash(texts: Dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(("%s %d\n" % (name, len(texts[name]))).encode("ascii") + texts[name])
    return digest.hexdigest()


def _compiler_version(compiler: str) -> str:
    if compiler == "zig":
        return "zig %s" % _output([sys.executable, "-m", "ziglang", "version"])
    if shutil.which(compiler) is None:
        raise NativeError("no C compiler %r here: pip install ziglang, or install gcc" % compiler)
    return _output([compiler, "--version"])


def _output(line: Sequence[str]) -> str:
    """Return the first line that a command prints."""
    process = subprocess.run(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False
    )
    text = process.stdout.decode("utf-8", "replace").strip()
    if process.returncode != 0 or not text:
        raise NativeError("%s failed: %s" % (" ".join(line), text or process.returncode))
    return text.splitlines()[0]


def _compile(line: List[str], texts: Dict[str, bytes], path: str) -> None:
    """Compile in a folder of its own, so that the library is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        for name, raw in texts.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(raw)
        try:
            process = subprocess.run(
                line + ["kernels.c", "-o", "out.so"],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NativeError("the native kernels could not be compiled: %s" % error) from None
        if process.returncode != 0:
            output = process.stdout.decode("utf-8", "replace").strip()
            raise NativeError(
                "the native kernels do not compile with %s:\n%s" % (" ".join(line), output[-2000:])
            )
        os.replace(os.path.join(folder, "out.so"), path)


def _write(path: str, raw: bytes) -> None:
    part = "%s.%d.part" % (path, os.getpid())
    with open(part, "wb") as file:
        file.write(raw)
    os.replace(part, path)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or [variant_of(*this_machine())]:
        print(build(wanted).path)
