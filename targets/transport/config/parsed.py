"""Read the ssh config ourselves, for machines that have no ``ssh`` (and accounts for which it does not run).

The rules of ssh_config(5): the first value counts, but key files add up; Host and Match blocks; Include, which counts
within its block only; quotes and comments; ``Match final`` by a second pass.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

from tunebench.targets.errors import SshConfigError
from tunebench.targets.transport.config.host_config import Tokens, home, local_user

#: Keywords whose values add up; of all others the first one counts.
_ADDED = ("identityfile", "certificatefile")
#: Keywords that take the rest of the line as it stands, for a shell.
_WHOLE = ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")
MAX_DEPTH = 16
_EXEC_S = 30.0
#: A keyword and the rest of its line.
LINE = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+|\s*(?=\"))(.*?)\s*\Z")


@dataclass
class _Reader:
    """One host's values, while its files are read."""

    alias: str
    user: str | None
    port: int | None
    values: dict[str, list[str]] = field(default_factory=dict)
    final: bool = False
    wants_final: bool = False

    def read(self, file: Path, depth: int, active: bool, named: bool) -> None:
        """Take in one file; ``active``: whether its lines count until its first Host or Match.

        Raises:
            SshConfigError: a file that was named cannot be read, or a line is none.
        """
        try:
            text = file.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            if named:
                raise SshConfigError(f"ssh config {file}: {error.strerror}") from None
            return
        outer = active
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = LINE.match(line)
            if match is None:
                raise SshConfigError(f"ssh config {file}, line {number}: {line.strip()[:80]!r} is no setting")
            keyword, rest = match.group(1).lower(), match.group(2)
            words = [rest] if keyword in _WHOLE else list(words_of(rest))
            if keyword == "host":
                active = outer and _matches_list(self.alias, words)
            elif keyword == "match":
                active = outer and self._meets(words)
            elif keyword == "include":
                self._include(file, words, depth, active)
            elif active and words:
                self._take(keyword, words)

    def _include(self, file: Path, patterns: list[str], depth: int, active: bool) -> None:
        if depth >= MAX_DEPTH:
            raise SshConfigError(f"ssh config {file}: more than {MAX_DEPTH} files included in one another")
        for name in included(file, patterns):
            self.read(name, depth + 1, active, named=False)

    def _take(self, keyword: str, words: list[str]) -> None:
        quoted = keyword in ("userknownhostsfile", "globalknownhostsfile")
        value = " ".join(words) if quoted or keyword in _WHOLE else words[0]
        if keyword in _ADDED:
            self.values.setdefault(keyword, []).append(value)
        # ProxyJump and ProxyCommand are one setting: whichever is read first counts (ssh_config(5)).
        elif keyword in ("proxyjump", "proxycommand"):
            if not {"proxyjump", "proxycommand"} & self.values.keys():
                self.values[keyword] = [value]
        else:
            self.values.setdefault(keyword, [value])

    @property
    def hostname(self) -> str:
        """Return the name that is connected to, as far as it is known yet."""
        name = self.values.get("hostname", [self.alias])[0]
        return name.replace("%h", self.alias).replace("%%", "%").lower()

    def _meets(self, words: list[str]) -> bool:
        """Tell whether all criteria of a Match hold; one that is not known does not."""
        met, rest = True, list(words)
        while rest:
            word = rest.pop(0)
            negated, name = word.startswith("!"), word.lstrip("!").lower()
            name, equals, value = name.partition("=")
            if name == "all":
                holds = True
            elif name in ("final", "canonical"):
                self.wants_final = self.wants_final or name == "final"
                holds = self.final and name == "final"
            else:
                argument = value if equals else (rest.pop(0) if rest else "")
                known = self._criterion(name, argument) if met else False
                if known is None:
                    return False
                holds = known
            met = met and holds != negated
        return met

    def _criterion(self, name: str, argument: str) -> bool | None:
        user = self.user or self.values.get("user", [local_user() or ""])[0]
        texts = {"host": self.hostname, "originalhost": self.alias, "user": user, "localuser": local_user()}
        if name in texts:
            return _matches_list(texts[name] or "", argument.split(","))
        if name == "exec":
            port = int(self.port or self.values.get("port", ["22"])[0])
            command = Tokens(self.alias, self.hostname, port, user).tokens(argument)
            null = subprocess.DEVNULL
            try:
                done = subprocess.run(
                    ["/bin/sh", "-c", command], stdin=null, stdout=null, timeout=_EXEC_S, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                return False
            return done.returncode == 0
        return None


def read(host: str, user: str | None, port: int | None, file: str | None) -> dict[str, list[str]]:
    """Return what the ssh config says of a host: keyword in lower case -> its values.

    Args:
        host: the name as it is looked for, without user and port.
        user: the one that is set elsewhere, for ``Match user``.
        port: the one that is set elsewhere.
        file: the configuration; ``None``: the user's, then the system's.

    Raises:
        SshConfigError: the file that was named cannot be read, or cannot be understood.
    """
    reader = _Reader(host, user, port)
    for final in (False, True):
        reader.final = final
        if file is not None:
            reader.read(Path(file).expanduser(), 0, active=True, named=True)
        else:
            for each in (home() / ".ssh" / "config", Path("/etc/ssh/ssh_config")):
                reader.read(each, 0, active=True, named=False)
        if not reader.wants_final:
            break
    reader.values["hostname"] = [reader.hostname]
    return reader.values


def included(file: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """Return the files that an Include of a file names, in the order in which ssh reads them."""
    folder = Path("/etc/ssh") if file.is_relative_to("/etc/ssh") else home() / ".ssh"
    for pattern in patterns:
        path = re.sub(r"\A~(?=/)", str(home()), pattern)
        for name in sorted(glob(str(folder / path))):  # noqa: PTH207 - absolute patterns
            yield Path(name)


def words_of(text: str) -> Iterator[str]:
    """Split a line's arguments as ssh does: quotes hold words together, ``#`` before a word begins a comment."""
    word, quote, begun = "", "", False
    letters = iter(text)
    for letter in letters:
        if quote:
            if letter == "\\":
                following = next(letters, "")
                word += following if following in ("\\", quote) else letter + following
            elif letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in "\"'":
            quote, begun = letter, True
        elif letter.isspace():
            if begun:
                yield word
            word, begun = "", False
        elif letter == "#" and not begun:
            return
        else:
            word, begun = word + letter, True
    if begun:
        yield word


def _matches_list(name: str, patterns: list[str]) -> bool:
    """Tell whether a name matches one of the patterns, and none with ``!``."""
    met = False
    for pattern in patterns:
        if matches(name, pattern.lstrip("!")):
            if pattern.startswith("!"):
                return False
            met = True
    return met


def matches(name: str, pattern: str) -> bool:
    """Tell whether a name matches a pattern of ssh: ``*`` and ``?``, nothing else.

    >>> matches("[board.lab]:2222", "[*.lab]:2222")
    True
    """
    expression = "".join(
        ".*" if letter == "*" else "." if letter == "?" else re.escape(letter) for letter in pattern
    )
    return re.fullmatch(expression, name, re.DOTALL) is not None
