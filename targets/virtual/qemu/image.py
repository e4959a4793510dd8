"""Builds the image from Debian's packages, once a recipe: written aside and renamed, so that it is whole or not there.

Packages are unpacked, not installed: their scripts would have to run on the board's architecture, for which a kernel
needs binfmt_misc, which a container often lacks. So no chroot, no mount and no loop device; root only for the owners
of files. To start a board root is not needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from tunebench.targets.virtual.qemu import recipe, runtimes
from tunebench.targets.virtual.qemu.errors import EmulationError, MissingError
from tunebench.targets.virtual.qemu.initrd import make_initrd, read_package
from tunebench.targets.virtual.qemu.runtimes import Runtimes

#: Called with one line a step.
Tell = Callable[[str], None]

#: Program -> Debian package that holds it.
BUILD_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "qemu-aarch64": "qemu-user",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Modules of the standard library and of wheels that no workload imports; the others get their bytecode here.
_NO_BYTECODE = (
    "/(tests?|lib2to3|distutils|pydoc_data|ensurepip|idlelib|tkinter|unittest"
    "|f2py|transformers|tools|quantization|model_zoo)/"
)
_LOG_TAIL = 12


@dataclass(frozen=True)
class Image:
    """A complete image and what it needs to be booted and reached."""

    path: Path

    @property
    def disk(self) -> Path:
        """The card, raw, sparse."""
        return self.path / "disk.img"

    @property
    def kernel(self) -> Path:
        return self.path / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.path / "initrd.img"

    @property
    def device_tree(self) -> Path:
        return self.path / "board.dtb"

    @property
    def key(self) -> Path:
        """The private key that ``bench`` accepts, mode 0600."""
        return self.path / "id_ed25519"

    @property
    def host_key(self) -> str:
        """The board's public host key, as in a line of ``known_hosts``."""
        return (self.path / "host_key.pub").read_text(encoding="ascii").strip()


def cache_folder() -> Path:
    """Where images are kept: ``$XDG_CACHE_HOME/tunebench/emulated`` or below ``~/.cache``."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # a relative one is to be ignored (XDG specification)
    return (base if base.is_absolute() else Path.home() / ".cache") / "tunebench" / "emulated"


def find(cache: Path, mirror: str = recipe.MIRROR, wheels: Sequence[str] = ()) -> Image | None:
    """Return the complete image of this recipe with these wheels, if there is one."""
    path = cache / recipe.recipe_hash(mirror, wheels)
    return Image(path) if (path / "image.json").is_file() else None


def find_any(cache: Path, names: Sequence[str] = ()) -> Image:
    """Return the image to boot: this recipe's, from whichever mirror, with these runtimes; the fewer others the better.

    Raises:
        MissingError: it has not been built.
    """
    fitting = []
    for manifest in sorted(cache.glob("*/image.json")):
        made = json.loads(manifest.read_text(encoding="utf-8"))
        has = made.get("runtimes", [])
        of_this_recipe = recipe.recipe_hash(str(made.get("mirror")), made.get("wheels", ()))
        if manifest.parent.name == of_this_recipe and set(names) <= set(has):
            fitting.append((len(has), made["mirror"] != recipe.MIRROR, manifest.parent))
    if fitting:
        return Image(min(fitting)[-1])
    beside = f" with {', '.join(names)}" if names else ""
    raise MissingError(
        f"{cache}: no image of this version's recipe ({recipe.recipe_hash()}){beside}; make it once, as root:"
        f" `sudo --preserve-env=HOME {build_command(cache, names)}`"
    )


def build(cache: Path, tell: Tell, *, mirror: str = recipe.MIRROR, extra: Runtimes = runtimes.NONE) -> Image:
    """Find the image of this recipe, or build it (half a minute; 0.1 GB is downloaded).

    Raises:
        MissingError: host packages or root are missing; the message says how to get them.
        EmulationError: a step failed; the message ends with the last lines of its log.
    """
    image = find(cache, mirror, extra.files)
    if image is not None:
        tell(f"image is there: {image.path}")
        return image
    check_requirements(cache, extra.names)
    name = recipe.recipe_hash(mirror, extra.files)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{name}.lock", tell):
        image = find(cache, mirror, extra.files)
        if image is not None:
            tell(f"image is there: {image.path}")
            return image
        for stale in cache.glob(f"{name}.part.*"):
            _remove(stale)
        work = Path(tempfile.mkdtemp(prefix=f"{name}.part.", dir=cache))
        try:
            work.chmod(0o755)  # mmdebstrap's apt drops to a user of its own
            made = _Builder(work, cache / f"{name}.log", mirror, extra, tell).run()
            _give_to_caller(made)
            made.rename(cache / name)
        finally:
            _remove(work)
    tell(f"image is built: {cache / name}")
    return Image(cache / name)


def build_command(cache: Path | None = None, names: Sequence[str] = ()) -> str:
    """Return the command that builds the image; sudo looks for programs elsewhere, so it names the interpreter."""
    where = ["--cache", str(cache)] if cache is not None and cache != cache_folder() else []
    where += [word for name in names for word in ("--runtime", name)]
    return shlex.join([sys.executable, "-m", "tunebench", "emulate", "raspi3b", "build", *where])


def check_requirements(cache: Path | None = None, names: Sequence[str] = ()) -> None:
    """Raise a :class:`MissingError` that names everything that is missing at once."""
    missing = sorted({package for tool, package in BUILD_TOOLS.items() if not _tool(tool)})
    if not _KEYRING.is_file():
        missing.append("debian-archive-keyring")
    faults = []
    if missing:
        faults.append(f"install {', '.join(missing)}: {apt_line(missing)}")
    if os.geteuid() != 0:
        faults.append(
            f"run it as root, up and down need no root: `sudo --preserve-env=HOME {build_command(cache, names)}`"
        )
    if faults:
        raise MissingError("the image cannot be built: " + "; ".join(faults))


def _tool(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def apt_line(packages: list[str]) -> str:
    """The command that installs packages."""
    return f"apt-get install --no-install-recommends {' '.join(packages)}"


class _Builder:
    """One build in its own folder."""

    def __init__(self, work: Path, log: Path, mirror: str, extra: Runtimes, tell: Tell) -> None:
        self._work = work
        self._log = log
        self._mirror = mirror
        self._extra = extra
        self._tell = tell
        self._seconds: dict[str, float] = {}

    def run(self) -> Path:
        out = self._work / "image"
        out.mkdir()
        files = self._work / "files"
        shutil.copytree(recipe.files_folder(), files)
        for name in ("setup.sh", "kernel-hook.sh"):
            (files / name).chmod(0o755)
        with self._step("keys"):
            _make_keys(files, out)
        root = self._work / "root"
        with self._step("root file system"):
            self._debian(root, files)
        with self._step("Python's modules"):
            self._python(root)
        with self._step("kernel and initrd"):
            self._kernel(root, out)
        with self._step("disk"):
            self._disk(root, out / "disk.img")
        manifest = {
            "schema": "tunebench.emulated-image/1",
            "recipe": recipe.recipe_hash(self._mirror, self._extra.files),
            "mirror": self._mirror,
            "runtimes": list(self._extra.names),
            "wheels": self._extra.files,
            "release": recipe.RELEASE,
            "packages": _versions(self._work / "packages.txt"),
            "kernel_package": next(self._work.glob("*.deb")).name,
            "seconds": {name: round(seconds, 1) for name, seconds in self._seconds.items()},
        }
        (out / "image.json").write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        return out

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._tell(f"{name} ...")
        began_s = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - began_s
        self._tell(f"{name}: {self._seconds[name]:.1f} s")

    def _debian(self, root: Path, files: Path) -> None:
        release, mirror = recipe.RELEASE, self._mirror
        sources = [f"deb {mirror} {release} main", f"deb {mirror} {release}-updates main"]
        if mirror == recipe.MIRROR:
            sources.append(f"deb {recipe.SECURITY_MIRROR} {release}-security main")
        self._call(
            [
                "mmdebstrap",
                "--mode=root",
                f"--architectures={recipe.ARCHITECTURE}",
                "--variant=extract",
                "--skip=chroot/mount",
                "--format=directory",
                "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
                "--include=?essential",
                f"--include={','.join(recipe.PACKAGES)}",
                *(
                    f"--dpkgopt=path-exclude=/usr/share/{name}/*"
                    for name in ("doc", "man", "locale", "info", "lintian")
                ),
                f'--extract-hook={files}/kernel-hook.sh "$1" {self._work} {recipe.KERNEL}',
                f'--extract-hook={files}/setup.sh "$1"',
                release,
                str(root),
                *sources,
            ]
        )

    def _python(self, root: Path) -> None:
        """Unpack wheels, and compile modules as a package would: the board's user may not, and would at each start."""
        python = root / "usr/bin" / (root / "usr/bin/python3").readlink()
        folders = [root / "usr/lib" / python.name]
        if self._extra.wheels:
            folders.append(root / "usr/local/lib" / python.name / "dist-packages")
            runtimes.unpack(self._extra.wheels, folders[-1])
        self._call(
            [
                *("qemu-aarch64", "-L", str(root), "-E", f"PYTHONHOME={root}/usr"),
                *(str(python), "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
                *("-s", str(root), "-p", "/", "-x", _NO_BYTECODE, *map(str, folders)),
            ]
        )

    def _kernel(self, root: Path, out: Path) -> None:
        package = next(self._work.glob("*.deb"), None)
        if package is None:
            raise EmulationError(f"the kernel's package {recipe.KERNEL} was not downloaded; log: {self._log}")
        kernel = read_package(package, recipe.DEVICE_TREE)
        (out / "vmlinuz").write_bytes(kernel.kernel)
        (out / "board.dtb").write_bytes(kernel.device_tree)
        init = (recipe.files_folder() / "initrd-init").read_bytes()
        busybox = (root / "usr/bin/busybox").read_bytes()
        (out / "initrd.img").write_bytes(make_initrd(busybox, init, recipe.MODULES, kernel))

    def _disk(self, root: Path, disk: Path) -> None:
        with disk.open("wb") as file:
            file.truncate(recipe.DISK_MB << 20)
        self._call(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "board", "-m", "1", "-d", str(root), str(disk)])

    def _call(self, argv: list[str]) -> None:
        """Run a program; its output goes to the log, and what it says of its steps to the user."""
        env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        tail: deque[str] = deque(maxlen=_LOG_TAIL)
        with (
            self._log.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=env,
                text=True,
                errors="replace",
            ) as process,
        ):
            assert process.stdout is not None  # noqa: S101 - by stdout=PIPE
            for line in process.stdout:
                log.write(line)
                tail.append(line)
                if line.startswith("I: ") and "skipping" not in line:
                    self._tell("  " + line[3:].strip())
        if process.returncode != 0:
            said = "".join(tail).rstrip()
            raise EmulationError(
                f"{argv[0]} failed with status {process.returncode}; log: {self._log}\n{said}"
            )


def _make_keys(files: Path, out: Path) -> None:
    """A key for whoever logs in and one for the board; both belong to this image alone."""
    client = asyncssh.generate_private_key("ssh-ed25519", comment="tunebench emulated board")
    server = asyncssh.generate_private_key("ssh-ed25519", comment="board")
    key = out / "id_ed25519"
    key.touch(mode=0o600)
    key.write_bytes(client.export_private_key())
    (files / "authorized_keys").write_bytes(client.export_public_key())
    secret = files / "ssh_host_ed25519_key"
    secret.touch(mode=0o600)
    secret.write_bytes(server.export_private_key())
    for path in (files / "ssh_host_ed25519_key.pub", out / "host_key.pub"):
        path.write_bytes(server.export_public_key())


def _versions(listing: Path) -> dict[str, str]:
    """Package -> version, from lines of ``dpkg-deb --show``."""
    lines = listing.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines)


def _give_to_caller(path: Path) -> None:
    """Under sudo, what was made belongs to whoever called it."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if uid is None or gid is None:
        return
    for each in (path, *path.rglob("*"), *path.parents[1:3]):
        os.chown(each, int(uid), int(gid))


def _remove(path: Path) -> None:
    """Remove a build's folder, unless something is still mounted in it."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    busy = [line.split()[4] for line in mounts if line.split()[4].startswith(f"{path}/")]
    if busy:
        raise EmulationError(f"{path} is left behind: {', '.join(busy)} still mounted; unmount and remove it")
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path, tell: Tell) -> Iterator[None]:
    """Two builds of one recipe: the second waits and then finds the image."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            tell("another build of this image runs; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
