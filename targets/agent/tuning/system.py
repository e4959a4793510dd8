"""The board as an operation sees it: files below a root, and programs; with privileges only where they are needed.

A privileged write goes directly where the file is writable, else through ``sudo -n tee FILE``; a privileged
program through ``sudo -n PROGRAM``. No shell, no password, ever. What is not permitted is refused with the exact
line that sudoers would need.
"""

import errno
import os
import pwd
import shutil
import subprocess
from typing import List, NamedTuple, Optional, Sequence

from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import find, text_of

#: Long enough for a mode switch that stops and starts CPUs.
COMMAND_S = 60.0
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: In sudoers a command without arguments may be run with any; this says that there are none.
NO_ARGUMENTS = '""'
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Done(NamedTuple):
    """How a privileged act went.

    Attributes:
        how: ``direct``, ``sudo`` or ``recorded`` (a simulated board's program).
        reason: why it failed; ``None`` if it did not.
        out: what a program printed.
        denied: it failed for want of permission, not by what was asked.
    """

    how: str
    reason: Optional[str]
    out: str = ""
    denied: bool = False


class System:
    """A board's files and programs.

    Args:
        root: where its file system starts; below another one than ``/`` nothing outside is read or written.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = root
        self.real = programs.is_real(root)

    def find(self, pattern: str) -> List[str]:
        """Return paths that match, relative to the root, sorted."""
        return [os.path.relpath(path, self.root) for path in find(self.root, pattern)]

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        path = self._path(name)
        return path is not None and os.path.isfile(path)

    def read(self, name: str) -> Optional[str]:
        """Return a small file's text without surrounding blanks, or ``None``."""
        path = self._path(name)
        return None if path is None else text_of(path)

    def write(self, name: str, text: str) -> Done:
        """Write to a file that exists, as root if need be."""
        path = self._path(name)
        if path is None or not os.path.isfile(path):
            return Done("direct", "%s: there is no such file" % self.shown(name))
        reason = _write_directly(path, text)
        if reason is None:
            return Done("direct", None)
        if reason not in _DENIED:
            return Done(
                "direct", "%s: the kernel refuses %r: %s" % (self.shown(name), text, os.strerror(reason))
            )
        if not self.real:
            return Done("direct", "%s: %s" % (self.shown(name), os.strerror(reason)), denied=True)
        return self._sudo(self.writing(name), (text + "\n").encode())

    def do(self, argv: Sequence[str], stdin: bytes = b"") -> Done:
        """Run a program as root."""
        if not self.real:
            said = programs.run(self.root, argv, COMMAND_S)
            return _done("recorded", argv, said.rc, said.out, said.reason)
        if shutil.which(argv[0], path=_PLACES) is None:
            return Done("direct", "no program %s in %s" % (argv[0], _PLACES))
        if os.geteuid() == 0:
            return _run(self.running(argv), stdin, "direct")
        return self._sudo(self.running(argv), stdin)

    def shown(self, name: str) -> str:
        """Return a path as it is named to people: absolute on a real board."""
        return "/" + name.lstrip("/")

    def writing(self, name: str) -> List[str]:
        """Return the command that writes a file as root; it is what sudoers must allow, to the letter."""
        return [_absolute("tee"), self.shown(name)]

    def running(self, argv: Sequence[str]) -> List[str]:
        """Return the command that runs a program as root: by its full path, as sudoers names it.

        Only from the system's folders: a program that its user can change must never run as root.
        """
        return [shutil.which(argv[0], path=_PLACES) or "/usr/sbin/" + argv[0]] + list(argv[1:])

    def may_write(self, name: str) -> bool:
        """Tell whether a file can be written without help."""
        path = self._path(name)
        return path is not None and os.path.isfile(path) and os.access(path, os.W_OK)

    def may_sudo(self, command: Sequence[str]) -> bool:
        """Tell whether sudo lists a command as allowed without asking for a password; nothing is run."""
        if not self.real:
            return False
        sudo = programs.find_program("sudo")
        if sudo is None:
            return False
        try:
            done = subprocess.run(
                [sudo, "-n", "-l"] + [word for word in command if word != NO_ARGUMENTS],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def _sudo(self, command: List[str], stdin: bytes) -> Done:
        sudo = programs.find_program("sudo")
        if sudo is None:
            return Done("sudo", "needs root, and there is no sudo on this board", denied=True)
        done = _run([sudo, "-n"] + command, stdin, "sudo")
        words = ("password is required", "not allowed", "may not run", "not in the sudoers", "no tty present")
        if done.reason is not None and any(word in done.reason for word in words):
            wanted = "sudoers would have to say: " + sudoers_line(user_name(), command)
            return Done(
                "sudo", "needs root, and %s may not: %s" % (user_name(), wanted), done.out, denied=True
            )
        return done

    def _path(self, name: str) -> Optional[str]:
        """Return the full path; ``None`` if it leads out of a simulated root."""
        path = os.path.join(self.root, name.lstrip("/"))
        if self.real:
            return path
        top, end = os.path.realpath(self.root), os.path.realpath(path)
        return path if end.startswith(top + os.sep) else None


def user_name() -> str:
    """Return whom sudoers must name: the account that this runs as, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "#%d" % os.getuid()


def sudoers_line(user: str, command: Sequence[str]) -> str:
    """Return the line that allows one command without a password, in the form that ``visudo -c`` accepts.

    Only whole commands: with a wildcard, ``tee`` could be made to write to any file (sudoers(5), "Wildcards").
    """
    return "%s ALL=(root) NOPASSWD: %s" % (
        _escaped(user, ' ,:=\\!()"'),
        " ".join(_escaped(word, " ,:=\\!*?[]") for word in command),
    )


def _escaped(word: str, special: str) -> str:
    """Put a backslash before what sudoers(5) gives a meaning."""
    return "".join("\\" + letter if letter in special else letter for letter in word)


def _absolute(name: str) -> str:
    return shutil.which(name, path=_PLACES) or "/usr/bin/" + name


def _write_directly(path: str, text: str) -> Optional[int]:
    """Write without help; return ``None``, or the error's number."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    except OSError as error:
        return error.errno
    try:
        os.write(descriptor, (text + "\n").encode())
    except OSError as error:
        return error.errno
    finally:
        os.close(descriptor)
    return None


def _run(argv: Sequence[str], stdin: bytes, how: str) -> Done:
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, LC_ALL="C"),
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Done(how, "%s: no answer within %g s" % (" ".join(argv), COMMAND_S))
    except OSError as error:
        return Done(how, "cannot start %s: %s" % (argv[0], error.strerror))
    return _done(
        how, argv, done.returncode, done.stdout[: programs.MAX_OUT_B].decode("utf-8", "replace"), None
    )


def _done(how: str, argv: Sequence[str], rc: Optional[int], out: str, reason: Optional[str]) -> Done:
    if reason is None and rc != 0:
        last = " / ".join(out.strip().splitlines()[-2:])[:300]
        reason = "%s: exit status %s: %s" % (" ".join(argv), rc, last or "no output")
    return Done(how, reason, out)
