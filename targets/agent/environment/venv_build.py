"""Builds one virtual environment, detached from whoever asked: a broken link does not stop it.

Steps: the environment itself, each download, the installation, a look whether the result works. Each is recorded
when it is done and not repeated; a power cut costs the step it hit. No root, no compiler, nothing outside the
working directory but what pip's own configuration says.
"""

import ctypes
import fcntl
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional

from tunebench.targets.agent import workdir
from tunebench.targets.agent.environment import interpreters, venvs
from tunebench.targets.agent.environment.venvs import Place
from tunebench.targets.agent.linux import detached, processes
from tunebench.targets.agent.workdir import AgentError

SCHEMA = "tunebench.environment/1"
#: One step may last so long: torch over a slow link onto an SD card.
_STEP_S = 4 * 3600.0
_PROGRESS_S = 5.0
_NICE = 5
_PR_SET_PDEATHSIG = 1


#: A package is there, and can be imported; why not, in one line.
_IMPORT = """
import sys
try:
    import %s
except Exception as error:
    sys.exit("%%s: %%s" %% (type(error).__name__, error))
"""


class StepFailed(Exception):
    """A step ended otherwise than it should; the message is for the user."""


def start(here: Place, recipe: Dict[str, Any]) -> None:
    """Start a build, unless the same one is running already.

    Args:
        here: the environment.
        recipe: ``python`` (argv), ``pip`` (bool), ``label`` (all that it holds), ``torch`` (its version), ``downloads``
            (list of ``{"what", "args"}``), ``installs`` (requirements of torch), ``beside`` (list of ``{"label",
            "installs"}``: what is put beside it), ``expect`` (``"torch"`` or ``"python"``), ``imports`` (modules).

    Raises:
        AgentError: (kind ``lease``) another recipe is being built under this name.
    """
    here.make()
    lock = os.open(here.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        if (workdir.read_json(here.recipe) or {}) != recipe:
            raise AgentError("lease", "another build of %s is at work on the board" % here.name) from None
        return
    workdir.write_json(here.recipe, recipe)
    with open(here.events, "w", encoding="utf-8"):
        pass
    detached.start(lambda: _build(here, recipe), lock, here.log)


def _build(here: Place, recipe: Dict[str, Any]) -> None:
    os.nice(_NICE)
    Build(here, recipe).run()


class Build:
    """One build."""

    def __init__(self, here: Place, recipe: Dict[str, Any]) -> None:
        self._here = here
        self._recipe = recipe
        self._state = here.read_state() or {"schema": SCHEMA, "name": here.name}
        self._state.setdefault("steps", {})
        self._state.setdefault("failed", {})
        self._n = 0
        self._acted = False
        self._of = len(recipe["downloads"]) + 2 + bool(recipe["installs"]) + len(recipe.get("beside", ()))

    def run(self) -> None:
        """Run all steps; the last event says how the build ended."""
        with open(self._here.log, "w", encoding="utf-8"):
            pass
        self._say(event="begun", pid=os.getpid())
        try:
            self._environment()
            for download in self._recipe["downloads"]:
                self._step("download %s" % download["what"], functools.partial(self._download, download))
            if self._recipe["installs"]:
                self._put("torch %s" % self._torch(), self._recipe["installs"])
            for row in self._recipe.get("beside", ()):
                self._put(row["label"], row["installs"])
            self._check()
        except StepFailed as failure:
            self._say(event="end", ok=False, kind=failure.args[0], reason=failure.args[1])

    # -- steps ------------------------------------------------------------------------------------

    def _step(self, title: str, act: Callable[[], None], key: Optional[str] = None) -> None:
        """Do a step unless it is recorded as done."""
        self._n += 1
        key = key or title
        if key in self._state["steps"]:
            self._say(event="step", title=title, n=self._n, of=self._of, done_before=True)
            return
        self._say(event="step", title=title, n=self._n, of=self._of, done_before=False)
        began_s = time.monotonic()
        self._acted = True
        act()
        self._state["steps"][key] = {"seconds": round(time.monotonic() - began_s, 2)}
        self._save()

    def _environment(self) -> None:
        works = self._run_quietly(
            [self._here.python, "-I", "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"]
        )
        same = self._state.get("python") == self._recipe["python"]
        has_pip = not self._recipe["pip"] or os.path.exists(os.path.join(self._here.venv, "bin", "pip"))
        if not (works and same and has_pip):
            self._state.update(steps={}, python=self._recipe["python"], interpreter=None, complete=None)
            self._save()
        self._step("virtual environment", self._make_environment)

    def _make_environment(self) -> None:
        shutil.rmtree(self._here.venv, ignore_errors=True)
        options = [] if self._recipe["pip"] else ["--without-pip"]
        argv = processes.expanded(self._recipe["python"]) + ["-I", "-m", "venv"] + options + [self._here.venv]
        self._run("environment", argv)

    def _download(self, download: Dict[str, Any]) -> None:
        os.makedirs(self._here.wheels, mode=0o700, exist_ok=True)
        argv = [self._here.python, "-I", "-m", "pip", "download", "--dest", self._here.wheels, "--no-deps"]
        self._run("download", argv + ["--only-binary=:all:"] + download["args"] + [download["what"]])

    def _put(self, title: str, requirements: List[str]) -> None:
        what = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
        self._step("install %s" % title, functools.partial(self._install, requirements), "install %s" % what)

    def _install(self, requirements: List[str]) -> None:
        argv = [self._here.python, "-I", "-m", "pip", "install", "--no-index", "--no-deps"]
        argv += ["--find-links", self._here.wheels] + requirements
        # Only from the wheelhouse: the board's own pip configuration may name other places with other builds.
        self._run("install", argv, PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="")

    def _check(self) -> None:
        """Import torch, and what is beside it, in children: a build for another CPU dies there, by SIGILL."""
        self._n += 1
        self._say(event="step", title="look whether it works", n=self._n, of=self._of, done_before=False)
        report = interpreters.interpreter([self._here.python])
        ok = bool(
            report["ok"] and not report["sigill"] and (report["torch"] or self._recipe["expect"] == "python")
        )
        if ok and self._recipe.get("imports"):
            self._import(self._recipe["imports"])
        self._state.update(interpreter=report, complete=self._recipe["label"] if ok else None)
        if report["sigill"]:
            self._state["failed"][self._torch()] = report["reason"]
        self._save()
        if ok:
            for folder in (self._here.wheels, self._here.tmp):
                shutil.rmtree(folder, ignore_errors=True)
            self._say(event="end", ok=True, interpreter=report)
        else:
            kind = "sigill" if report["sigill"] else "check"
            self._say(event="end", ok=False, kind=kind, reason=report["reason"], interpreter=report)

    def _import(self, modules: List[str]) -> None:
        """Import what stands beside torch; where it was there and is not any more, the next build begins anew."""
        try:
            for module in modules:
                self._run("import", [self._here.python, "-I", "-c", _IMPORT % module])
        except StepFailed:
            self._state["complete"] = None
            if not self._acted:
                self._state["steps"] = {}
            self._save()
            raise

    # -- inside -----------------------------------------------------------------------------------

    def _torch(self) -> str:
        return str(self._recipe.get("torch", self._recipe["label"]))

    def _run(self, kind: str, argv: List[str], **more: str) -> None:
        """Run a command (with ``more`` in its environment) to its end, telling how much it has written so far.

        Raises:
            StepFailed: with what it said last.
        """
        # The system's /tmp may be a small file system in memory.
        os.makedirs(self._here.tmp, mode=0o700, exist_ok=True)
        env = dict(os.environ, TMPDIR=self._here.tmp, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
        env.update(more)
        env.pop("PYTHONPATH", None)
        began_s = told_s = time.monotonic()
        free_b = shutil.disk_usage(self._here.folder).free
        with open(self._here.log, "ab") as log:
            start_b = log.tell()
            try:
                child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=interpreters.NEUTRAL,
                    env=env,
                    preexec_fn=_die_with_parent(),  # noqa: PLW1509 - this process has one thread
                )
            except OSError as error:
                raise StepFailed(kind, "cannot start %s: %s" % (argv[0], error.strerror)) from None
            while child.poll() is None:
                now_s = time.monotonic()
                if now_s - began_s > _STEP_S:
                    child.kill()
                    child.wait()
                    raise StepFailed(kind, "no end within %g s" % _STEP_S)
                if now_s - told_s > _PROGRESS_S:
                    told_s = now_s
                    # Counting files would cost an SD card more than it tells; others write to the disk, too.
                    written_b = max(0, free_b - shutil.disk_usage(self._here.folder).free)
                    self._say(event="progress", written_b=written_b, seconds=round(now_s - began_s, 1))
                time.sleep(0.05)
        shutil.rmtree(self._here.tmp, ignore_errors=True)
        if child.returncode:
            size_b = os.path.getsize(self._here.log) - start_b
            ended = "it died of signal %d" % -child.returncode if child.returncode < 0 else "nothing"
            said = venvs.tail(self._here.log, min(size_b, 1500)) or ended
            raise StepFailed(kind, said)

    @staticmethod
    def _run_quietly(argv: List[str]) -> bool:
        try:
            null = subprocess.DEVNULL
            return (
                subprocess.run(
                    argv,
                    stdin=null,
                    stdout=null,
                    stderr=null,
                    cwd=interpreters.NEUTRAL,
                    timeout=60,
                    check=False,
                ).returncode
                == 0
            )
        except (OSError, subprocess.TimeoutExpired):
            return False

    def _save(self) -> None:
        workdir.write_json(self._here.state, self._state, durable=True)

    def _say(self, **event: Any) -> None:
        with open(self._here.events, "a", encoding="utf-8") as file:
            file.write(json.dumps(event, sort_keys=True) + "\n")


def _die_with_parent() -> Callable[[], None]:
    """Let a pip die with its build: it must not go on beside the next one."""
    try:
        prctl = ctypes.CDLL(None).prctl  # type: Any
    except (OSError, AttributeError):
        return lambda: None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
