"""Addresses of stores: ``parquet:///DIR`` and ``postgres://[USER@]HOST[:PORT]/DB``, with ``#RUN_ID`` for one run.

A password has no place in an address: it would stand in the shell's history and in the list of processes. It is refused,
and nothing of it is repeated. PostgreSQL's own places for it are read by its library: ``PGPASSWORD``, ``~/.pgpass``, a
service file.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlencode

from tunebench.reports.results.layout import ResultsError

Scheme = Literal["parquet", "postgres"]
_SCHEMES: dict[str, Scheme] = {"parquet": "parquet", "postgres": "postgres", "postgresql": "postgres"}
_SECRET = frozenset({"password", "sslpassword", "passwd", "pwd"})
#: ``password = x`` of a connection string in words, which is no address and must not be repeated either.
_KEY_VALUE = re.compile(r"(?:^|\s)(?:ssl)?pass(?:word|wd)\s*=", re.IGNORECASE)
#: What begins like a scheme, also with a slash missing. A path of one letter would be a drive; no scheme has one.
_BEGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<slashes>/*)(?P<rest>.*)\Z", re.DOTALL)
_RIGHT = "parquet:///DIR or postgres://[USER@]HOST[:PORT]/DB"


@dataclass(frozen=True)
class Address:
    """A store that is no folder of runs.

    Attributes:
        text: the address without ``#RUN_ID``; it holds no password.
        run_id: the run that is meant; None: the newest, or all of them.
    """

    scheme: Scheme
    text: str
    run_id: str | None = None

    @property
    def folder(self) -> Path:
        """Return the folder of a Parquet store."""
        return Path(unquote(self.text.removeprefix("parquet://")))

    def __str__(self) -> str:
        return self.text if self.run_id is None else f"{self.text}#{self.run_id}"


def place_of(text: str) -> Path | Address:
    """Return what a user named: the address of a store, or a folder.

    Raises:
        ResultsError: it is an address with a mistake, or holds a password; the message says what would be right.
    """
    begin = _BEGIN.match(text)
    if begin is not None and (begin["slashes"] or begin["scheme"].lower() in _SCHEMES):
        return _address(begin["scheme"].lower(), begin["slashes"], begin["rest"])
    if _KEY_VALUE.search(text):
        raise ResultsError(f"a store's address is {_RIGHT}, and no connection string in words. {_WHERE}")
    return Path(text)


_WHERE = (
    "A password is never part of it (it would stand in the shell's history and in the list of processes): set PGPASSWORD,"
    " or write a line into ~/.pgpass (chmod 600) or a service file (postgres:///?service=NAME)"
)


def address_of(text: str) -> Address:
    """Return the address that a user named.

    Raises:
        ResultsError: it is none.
    """
    place = place_of(text)
    if isinstance(place, Address):
        return place
    quoted = shlex.quote(f"parquet://{place.absolute()}")
    raise ResultsError(
        f"{text}: is no address of a store, which is {_RIGHT}. For Parquet files in that folder: {quoted}"
    )


def _address(scheme: str, slashes: str, rest: str) -> Address:
    # Looked for before anything of the text is repeated, and where a half-escaped password may have left it.
    user, at, behind = rest.rpartition("@")
    plain, question, query = behind.partition("?")
    query, _, fragment = query.partition("#") if question else (query, "", "")
    pairs = parse_qsl(query, keep_blank_values=True)
    public = [(name, value) for name, value in pairs if name.lower() not in _SECRET]
    torn = _SECRET & _names(user)
    hidden = (at and ":" in unquote(user)) or len(public) < len(pairs) or torn
    name = re.split(r"[:?/]", unquote(user))[0]
    root = "/" if slashes == "///" else ""
    shown = f"{scheme}://{root}{f'{name}@' if at and name else ''}{plain}{f'?{urlencode(public)}' if public else ''}"
    if torn:
        shown = f"{scheme}://USER@HOST/DB"  # where its password ends is not known
    if hidden:
        raise ResultsError(
            f"{shown}: this address was given with a password. {_WHERE}. Right is: {shlex.quote(shown)}"
        )
    if scheme not in _SCHEMES:
        raise ResultsError(f"{shown}: stores are {_RIGHT}, and {scheme}: is neither")
    plain, _, of_plain = plain.partition("#")
    fragment = fragment or of_plain
    if _SCHEMES[scheme] == "parquet":
        if slashes != "///" and not (slashes == "//" and plain.startswith("/")):
            path = Path("/" + plain if len(slashes) == 1 else plain).absolute()
            raise ResultsError(
                f"{shown}: a Parquet store is named by the whole path of its folder behind three slashes:"
                f" {shlex.quote(f'parquet://{path}')}"
            )
        return Address("parquet", f"parquet:///{plain.strip('/')}", fragment or None)
    if len(slashes) < 2:
        right = shlex.quote(f"postgres://{plain}")
        raise ResultsError(f"{scheme}:{slashes}...: two slashes follow the colon: {right}")
    host = plain.partition("/")[0] if slashes == "//" else ""
    ports = [part.rpartition(":")[2] for part in re.sub(r"\[[^]]*\]", "", host).split(",") if ":" in part]
    if any(port and not port.isdecimal() for port in ports):
        raise ResultsError(
            f"postgres://{host.partition(':')[0]}:...: behind the host's colon stands no port number. The address is"
            f" postgres://USER@HOST:PORT/DB. {_WHERE}"
        )
    before = f"{user}@" if at else ""
    text = f"postgres:{slashes}{before}{plain}{f'?{query}' if query else ''}"
    return Address("postgres", text, fragment or None)


def _names(user: str) -> set[str]:
    """Return the names of a query that stands before an ``@``: the password may have held one."""
    return {name.lower() for name, _ in parse_qsl(user.partition("?")[2], keep_blank_values=True)}
