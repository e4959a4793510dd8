"""Builds of the native library: chosen by the CPU, made once, named in the record; errors say what went wrong."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tunebench.workloads.engines.native import Library, NativeError, build, find_library, version
from tunebench.workloads.engines.native.loader import ABI


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "variant"),
    [
        ("x86_64", "flags : fpu sse2", "x86-64"),
        ("x86_64", "flags : sse2 avx2 fma bmi1 bmi2 f16c movbe", "v3"),
        ("x86_64", "flags : avx2 fma bmi1 bmi2 f16c movbe avx512f avx512bw avx512cd avx512dq avx512vl", "v4"),
        ("aarch64", "CPU part\t: 0xd03", "cortex-a53"),  # Pi 3, Zero 2 W
        ("aarch64", "CPU part\t: 0xd08", "cortex-a72"),  # Pi 4
        ("aarch64", "CPU part\t: 0xd0b", "cortex-a76"),  # Pi 5
        ("aarch64", "CPU part\t: 0xfff", "cortex-a53"),  # one that came later runs the oldest's
        ("armv7l", "Features : half thumb neon vfpv4", "armhf"),
    ],
)
def test_the_cpu_chooses_the_variant(machine, cpuinfo, variant):
    assert build.variant_of(machine, cpuinfo) == variant


@pytest.mark.parametrize(("machine", "cpuinfo"), [("riscv64", ""), ("armv6l", "Features : vfp")])
def test_a_board_without_a_variant_is_told_so(machine, cpuinfo):
    with pytest.raises(NativeError, match=f"no native build for machine '{machine}', there are: armhf"):
        build.variant_of(machine, cpuinfo)


@pytest.fixture
def cc():
    if shutil.which("cc") is None:
        pytest.skip("no cc on this machine")
    return "cc"


@pytest.fixture(scope="module")
def here():
    return build.variant_of(*build.this_machine())


def test_a_library_is_compiled_once_and_tells_how(cc, here, tmp_path):
    first = build.build(here, str(tmp_path), cc)
    made = Path(first.path).stat().st_mtime_ns
    again = build.build(here, str(tmp_path), cc)
    assert again == first
    assert Path(again.path).stat().st_mtime_ns == made
    record = Library(first.path).record()
    assert record["variant"] == here
    assert "-O3" in record["flags"]
    assert record["vector_bits"] in {128, 256, 512}
    assert record["source_sha256"] == json.loads(Path(first.path + ".json").read_text())["source_sha256"]
    assert not list(tmp_path.glob("tmp*"))


@pytest.mark.slow
def test_other_flags_or_sources_are_another_build(cc, here, tmp_path, monkeypatch):
    # Not optimized: each of the three builds would take ten seconds.
    monkeypatch.setattr(build, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in build.FLAGS))
    first = build.build(here, str(tmp_path), cc)
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-DOTHER"))
    second = build.build(here, str(tmp_path), cc)
    texts = dict(build.sources(), **{"model.h": build.sources()["model.h"] + b"\n"})
    monkeypatch.setattr(build, "sources", lambda: texts)
    assert len({first.path, second.path, build.build(here, str(tmp_path), cc).path}) == 3


@pytest.mark.slow
def test_the_sources_compile_without_a_warning(cc, here, tmp_path):
    line = build.command(here, cc)
    for name, raw in build.sources().items():
        (tmp_path / name).write_bytes(raw)
    made = subprocess.run(
        [*line, "-Wpedantic", "-Werror", "kernels.c", "-o", "out.so"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.slow
def test_a_payload_in_a_zip_builds_for_itself_where_a_compiler_is(cc, payload, tmp_path):
    names = [f"tunebench/workloads/engines/native/{build.FOLDER}/{name}" for name in build.SOURCES]
    with zipfile.ZipFile(payload) as file:
        missing = [name for name in names if name not in file.namelist()]
    travelling = tmp_path / "payload.zip"
    shutil.copy(payload, travelling)
    with zipfile.ZipFile(travelling, "a") as file:
        for name in missing:
            file.write(Path(build.__file__).parent / build.FOLDER / Path(name).name, name)
    program = "from tunebench.workloads.engines.native import version; print(version())"
    env = {"PYTHONPATH": str(travelling), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    line = [sys.executable, "-c", program]
    made = subprocess.run(line, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.stdout.startswith("native "), made.stderr


def test_no_compiler_says_what_to_install(here, tmp_path):
    with pytest.raises(NativeError, match="no C compiler 'no-such-cc' here: pip install ziglang"):
        build.build(here, str(tmp_path), "no-such-cc")


def test_what_the_compiler_says_is_passed_on(cc, here, tmp_path, monkeypatch):
    texts = dict(build.sources(), **{"kernels.c": b"int broken(\n"})
    monkeypatch.setattr(build, "sources", lambda: texts)
    with pytest.raises(NativeError, match=r"do not compile with cc(.|\n)*kernels\.c:1"):
        build.build(here, str(tmp_path), cc)
    assert not list(tmp_path.glob("*.so"))


def test_a_local_compiler_does_not_build_for_other_machines(cc, tmp_path):
    other = "cortex-a53" if build.this_machine()[0] == "x86_64" else "v3"
    with pytest.raises(NativeError, match="pip install ziglang to build for other machines"):
        build.build(other, str(tmp_path), cc)
    with pytest.raises(NativeError, match="unknown native build 'z80', use one of: x86-64"):
        build.build("z80", str(tmp_path), cc)


def test_a_file_that_is_no_library_or_an_older_one_is_refused(tmp_path, library, monkeypatch):
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF nothing")
    with pytest.raises(NativeError, match=r"broken\.so cannot be loaded on this"):
        Library(str(broken))
    with pytest.raises(NativeError, match=r"absent\.so does not exist"):
        find_library(str(tmp_path / "absent.so"))
    with pytest.raises(NativeError, match="is not a library of this engine"):
        Library(ctypes.CDLL(None)._name or "libc.so.6")
    monkeypatch.setattr("tunebench.workloads.engines.native.loader.ABI", 99)
    with pytest.raises(NativeError, match=f"has interface {ABI}, this engine needs 99"):
        Library(library.path)


def test_the_environment_names_a_library(library, monkeypatch):
    monkeypatch.setenv("TUNEBENCH_NATIVE", library.path)
    assert find_library().path == library.path
    assert version().startswith(f"native {32 * library.vector_floats}-bit")


def test_the_measured_peak_of_every_build_is_plausible(builds):
    peaks = {name: made.peak(0.02) for name, made in builds.items()}
    for name, peak in peaks.items():
        assert 1e9 < peak.macs_per_s < 1e12, name
        assert 1e9 < peak.read_b_per_s < 1e13, name
