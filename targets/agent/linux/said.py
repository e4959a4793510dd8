"""Find in what a program said before it ended badly the lines that say why."""

import os
import re

_LIMIT = 300
#: Python prints the settings that it starts by; a wrong PYTHONHOME is the usual reason for not starting. Those before 3.8
#: and 3.13 do not: then they are what the environment says, which such a Python inherited.
_SETTINGS = ("PYTHONHOME", "PYTHONPATH")
_SETTING = re.compile(r"^\s+(%s) = (?!\(not set\))(.+)$" % "|".join(_SETTINGS))
_HEADING = "Python path configuration:"


def why(text: str, limit: int = _LIMIT) -> str:
    """Return the line, or the few lines, that say why; else the last one.

    >>> why("Traceback (most recent call last):\\n  File ...\\nValueError: no data")
    'ValueError: no data'
    """
    # Python's last line is "<no Python frame>" then.
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    fatal = [line.strip() for line in lines if line.startswith("Fatal Python error")]
    if not fatal:
        return lines[-1].strip()[:limit]
    settings = ["%s = %s" % match.groups() for match in map(_SETTING.match, lines) if match]
    if _HEADING not in lines:
        settings = ["%s = %r" % (name, os.environ[name]) for name in _SETTINGS if os.environ.get(name)]
    missing = [line.strip() for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return "; ".join(fatal[:1] + settings + missing[:1])[:limit]
