"""What is shipped to a board: content-addressed blobs, and the payload that holds the agent.

Equal content gives equal bytes and so an equal name; a second run has nothing to upload.
"""

from __future__ import annotations

import ast
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePosixPath

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_CHUNK_B = 1 << 20
_MAIN = b"""\
import sys

from tunebench.targets.agent.environment import bytecode

if sys.argv[1:2] != ["probe"]:  # which mends a damaged one
    bytecode.use(bytecode.path_of(sys.argv[0]))

from tunebench.targets.agent.cli import main

sys.exit(main())
"""


@dataclass(frozen=True)
class Blob:
    """Some bytes and the name under which a board keeps them.

    Attributes:
        name: file name on the board: the SHA-256 and a suffix.
        sha256: of the content, in hexadecimal.
        data: the content, or ``None`` if it lies in ``path``.
        path: a local file that holds the content.
        role: what a job uses it as (``payload``, ``data``, ``weights``, ``own``); free text otherwise.
    """

    name: str
    sha256: str
    data: bytes | None = None
    path: Path | None = None
    role: str = ""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None):
            raise ValueError(f"blob {self.name}: give either data or path")

    @classmethod
    def of_bytes(cls, data: bytes, suffix: str, role: str = "") -> Blob:
        """Return a blob of ``data``, named ``<sha256><suffix>``.

        >>> Blob.of_bytes(b"", ".zip").name
        'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.zip'
        """
        sha256 = hashlib.sha256(data).hexdigest()
        return cls(sha256 + suffix, sha256, data=data, role=role)

    @classmethod
    def of_file(cls, path: Path, suffix: str | None = None, role: str = "") -> Blob:
        """Return a blob of a file's content (read once now, to hash it); the suffix defaults to the file's."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_B):
                digest.update(chunk)
        sha256 = digest.hexdigest()
        return cls(sha256 + (path.suffix if suffix is None else suffix), sha256, path=path, role=role)

    @property
    def size_b(self) -> int:
        """Return the size of the content in bytes."""
        if self.data is not None:
            return len(self.data)
        assert self.path is not None  # noqa: S101 - by __post_init__
        return self.path.stat().st_size

    def chunks(self, begin_b: int, chunk_b: int) -> Iterator[bytes]:
        """Yield the content from a byte on, in pieces of ``chunk_b`` at most."""
        with self.path.open("rb") if self.path is not None else io.BytesIO(self.data or b"") as file:
            file.seek(begin_b)
            while chunk := file.read(chunk_b):
                yield chunk

    def read(self) -> bytes:
        """Return the content."""
        if self.data is not None:
            return self.data
        assert self.path is not None  # noqa: S101 - by __post_init__
        return self.path.read_bytes()


def deterministic_zip(files: Mapping[str, bytes]) -> bytes:
    """Zip ``files`` (POSIX path -> content) so that equal files give equal bytes.

    Names are sorted, timestamps and modes fixed, the compression level fixed. (Bytes may still differ
    between zlib builds; then the board holds two payloads, nothing worse.)

    Raises:
        ValueError: a name is absolute or leaves the archive.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise ValueError(f"{name!r} cannot be put into an archive: use a relative path without '..'")
            info = zipfile.ZipInfo(str(path), _EPOCH)
            info.external_attr = _MODE
            info.create_system = 3  # Unix, wherever the host runs
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name], compresslevel=6)
    return buffer.getvalue()


def package_files(root: Path, prefix: str, exclude: Iterable[str] = ()) -> dict[str, bytes]:
    """Return the ``.py`` files below ``root``, keyed by ``prefix/relative/path``.

    Args:
        root: the package's folder.
        prefix: where it stands in the archive, e.g. ``targets/agent``.
        exclude: patterns against the relative path (``datasets/*``, ``prepare.py``).
    """
    patterns = tuple(exclude)
    files = {}
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if not any(fnmatch(relative, pattern) for pattern in patterns):
            files[f"{prefix}/{relative}"] = path.read_bytes()
    return files


@lru_cache(maxsize=1024)
def without_docstrings(source: bytes) -> bytes:
    """Return Python source with its docstrings emptied and every line where it was.

    A board runs what it is sent and nobody reads it there; docstrings are a fifth of the packed bytes, and a link may
    be slow. Lines keep their numbers, so tracebacks in a board's log name the lines of the file on the host.
    """
    lines = source.split(b"\n")
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:  # type: ignore[arg-type]
            text = node.body[0]  # type: ignore[attr-defined]
            first, last = text.lineno - 1, text.end_lineno
            line = lines[first][: text.col_offset] + b'""' + lines[last - 1][text.end_col_offset :]
            lines[first:last] = [line] + [b""] * (last - first - 1)
    return b"\n".join(lines)


def make_payload(extra: Mapping[str, bytes] | None = None) -> Blob:
    """Return the payload: the agent, an entry point, and ``extra`` files (the workloads), without docstrings.

    Returns:
        A blob with ``role="payload"``, to be synced before any agent command.
    """
    here = Path(__file__).parent
    files = dict(extra or {})
    files.update(package_files(here / "agent", "tunebench/targets/agent"))
    files["tunebench/__init__.py"] = b""
    files["tunebench/targets/__init__.py"] = b""
    files["__main__.py"] = _MAIN
    files = {name: without_docstrings(text) if name.endswith(".py") else text for name, text in files.items()}
    return Blob.of_bytes(deterministic_zip(files), ".zip", role="payload")
