"""What a shell or a tool says in place of an answer, and what is really so.

A program that is not there, one that cannot be started, and one that may not open its device are three things: only the
last is a matter of groups. vcgencmd speaks on standard output (raspberrypi/utils, vcgencmd.c); the shells are
dash, bash, zsh, fish and BusyBox.
"""

import re
from typing import Optional

from tunebench.targets.agent.formats.reading import body

_ABSENT = re.compile(
    r"command not found|not found\s*$|: not found\b|no such file or directory.*\Z|unknown command"
    r"|executable file not found|has no such program|not found, but can be installed|no program \w+ on this board",
    re.IGNORECASE,
)
_BROKEN = re.compile(
    r"error while loading shared libraries|cannot execute|exec format error|segmentation fault|illegal instruction"
    r"|syntax error|cannot open shared object",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"can't open device file|vchi initialization failed|failed to open vchiq|/dev/\S+.*permission denied"
    r"|permission denied.*/dev/\S+",
    re.IGNORECASE,
)
_SUDO = re.compile(r"^sudo: .*(?:password|terminal|not allowed|sudoers)", re.IGNORECASE)
_DENIED = re.compile(r"permission denied|operation not permitted", re.IGNORECASE)
_ERROR = re.compile(r"^error=\d+")
_TIMEOUT = re.compile(r"timed out|timeout", re.IGNORECASE)
_LIMIT = 160
#: Words, whether the line must name the program, and what they mean; the first that fits counts.
_MEANINGS = (
    (_BROKEN, False, "%(program)s is there, but cannot be started: %(said)s"),
    (_DEVICE, False, "%(program)s: %(said)s (is the user in group video?)"),
    (_SUDO, False, "%(program)s was not run: %(said)s"),
    (_ABSENT, True, "%(program)s: there is no such program on this board: %(said)s"),
    (_DENIED, False, "%(program)s: %(said)s"),
    (_ERROR, False, "%(program)s: %(said)s"),
    (_TIMEOUT, True, "%(program)s: %(said)s"),
)


def refusal(program: str, text: str) -> Optional[str]:
    """Return what was said in place of an answer, with what it means; ``None`` if it is none of the known words.

    >>> refusal("vcgencmd", "sh: 1: vcgencmd: not found")
    'vcgencmd: there is no such program on this board: sh: 1: vcgencmd: not found'
    """
    for line in body(text).splitlines():
        said = re.sub(r"[^\x20-\x7e]", "?", line.strip())[:_LIMIT]
        meaning = _meaning(program, said) if said else None
        if meaning is not None:
            return meaning % {"program": program, "said": said}
    return None


def _meaning(program: str, said: str) -> Optional[str]:
    """Return the sentence for a line, with places for the program and for what was said."""
    for pattern, names_it, sentence in _MEANINGS:
        if pattern.search(said) and (program in said or not names_it):
            return sentence
    return None
