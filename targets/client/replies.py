"""What boards answer, checked once where it is read and handed on as frozen typed objects.

Every model bounds the size of what it takes, leaves out fields that nobody asked for, and keeps the order of the
agent's fields: :meth:`Reply.stored` gives back exactly what the board sent of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

Model = TypeVar("Model", bound="Reply")
Name = Annotated[str, Field(max_length=4096)]
Text = Annotated[str, Field(max_length=100_000)]
#: A whole number stays one: what is stored is what the board sent.
Number = int | float
Scalar = Name | int | float | bool | None


class Reply(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Check an answer.

        Raises:
            ValueError: names the first field that is not of the agreed form, and what was expected.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part)[:80] for part in first["loc"])
            raise ValueError(f"{where}: {first['msg']}") from None

    def stored(self) -> dict[str, Any]:
        """Return the fields that the board sent, as JSON values in the agent's order."""
        return self.model_dump(exclude_unset=True)


class _Lenient(Reply):
    """The base of what another release of tunebench may have written: a field of another form counts as not told."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _agreed_or_default(cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return check(value)
        except ValidationError:
            return cls.model_fields[str(info.field_name)].get_default()


class Owner(_Lenient):
    """Who took a lease or wrote an undo list.

    Attributes:
        token: whoever shows it owns the lease.
        boot_id: of the boot in which the process runs.
        pid_ns: the namespace in which ``pid`` is its number (pid_namespaces(7)).
        started_ticks: when it began, in clock ticks since boot (proc_pid_stat(5)).
    """

    user: Scalar = None
    host: Scalar = None
    pid: Scalar = None
    token: Scalar = None
    boot_id: Scalar = None
    pid_ns: Scalar = None
    started_ticks: Scalar = None


class FormerLease(_Lenient):
    """The expired lease that a new one was taken over from."""

    owner: Owner = Owner()
    rep_id: Scalar = None
    rebooted: bool | None = None
    dead: bool | None = None
    expired_s: Number | None = None
    released_by: Owner | None = None


class Lease(_Lenient):
    """Exclusive use of a board.

    Attributes:
        rep_id: the repetition that it is for; ``None`` between two repetitions.
        expires_in_s: seconds from now; only a probe tells it.
    """

    owner: Owner = Owner()
    rep_id: Scalar = None
    expires_in_s: Number | None = None
    taken_over_from: FormerLease | None = None


class Interpreter(Reply):
    """A Python on the board, started once: see :func:`tunebench.targets.agent.environment.interpreters.interpreter`.

    Attributes:
        ok: it starts.
        torch: version of a torch that works; ``None`` without one, and ``reason`` says why.
        cuda: torch sees a CUDA device.
        transformers: version of Hugging Face's package; ``None`` without one, or from an agent that does not say.
        packages: runtimes and what they need that are there, by import name; ``None``: the agent does not say.
    """

    argv: list[Name] | None = Field(default=None, max_length=100)
    ok: bool | None = None
    python: Name | None = None
    executable: Name | None = None
    torch: Name | None = None
    cuda: bool | None = None
    cuda_version: Name | None = None
    transformers: Name | None = None
    packages: list[Name] | None = Field(default=None, max_length=100)
    sigill: bool | None = None
    reason: Name | None = None

    @property
    def words(self) -> str:
        """Return the command in one line."""
        return " ".join(self.argv or [])


class TrialEnd(Reply):
    """How the first use of a package ended: see :func:`tunebench.targets.agent.doctor.trials.run`.

    Attributes:
        survived: steps that it came back from.
        died_in: the step that it did not come back from; ``None``: it survived all.
    """

    name: Name
    package: Name
    version: Name | None = None
    survived: list[Name] = Field(default_factory=list, max_length=20)
    died_in: Name | None = None
    reason: Name | None = None
    seconds: Number = 0.0


class TrialReport(Reply):
    """The trials of an interpreter; no row of a package that is not there."""

    trials: list[TrialEnd] = Field(default_factory=list, max_length=20)


class Channel(Reply):
    """One telemetry series: see :class:`tunebench.targets.agent.sensors.base.Channel`."""

    id: Name | None = None
    site: Name | None = None
    kind: Name | None = None
    unit: Name | None = None
    scope: Name | None = None
    source: Name | None = None
    quantum: Number | None = None
    rate_hz: Number | None = None


class JobOnBoard(Reply):
    """A job whose folder is still on the board."""

    rep_id: Name | None = None
    run_id: Scalar = None
    state: Name | None = None


class Swap(Reply):
    """A swap area; ``zram`` swaps into memory."""

    name: Name | None = None
    zram: bool | None = None
    size_b: int | None = None
    used_b: int | None = None


class Probe(Reply):
    """What a board is and has: the ``tunebench.probe/1`` record.

    Attributes:
        fingerprint: tier (``hardware``, ``firmware``, ``os``, ``python``) -> its values, as they are stored.
        interpreters: one for each that was asked about, in that order.
        missing: quantity -> why no channel measures it, or no counter of the CPU.
        pmu: what the CPU's counters count here: ``instructions``, ``cycles``, ``cache_misses``.
        jobs: those of the run that was named, or all.
        swaps: ``None``: not readable.
        noexec: the mount point of the file system of the working directory, if programs may not be run from it.
        cpu_features: lines of ``/proc/cpuinfo`` that decide which compiled code runs.
        undo_pending: a run left the board tuned.
        simulated: sensors are read below another folder than ``/``.
    """

    fingerprint: dict[Name, dict[Name, Any]] = Field(default_factory=dict, max_length=20)
    fingerprint_sha256: dict[Name, Name | None] = Field(default_factory=dict, max_length=20)
    interpreters: list[Interpreter] = Field(default_factory=list, max_length=100)
    channels: list[Channel] = Field(default_factory=list, max_length=1000)
    missing: dict[Name, Name] = Field(default_factory=dict, max_length=1000)
    pmu: list[Name] = Field(default_factory=list, max_length=100)
    jobs: list[JobOnBoard] = Field(default_factory=list, max_length=100_000)
    swaps: list[Swap] | None = Field(default=None, max_length=1000)
    lease: Lease | None = None
    cpu_features: Text | None = None
    disk_free_b: int | None = None
    noexec: Name | None = None
    mem_total_b: int | None = None
    mem_available_b: int | None = None
    boot_id: Name | None = None
    governor: Name | None = None
    power_mode: Name | None = None
    undo_pending: bool = False
    simulated: bool = False

    def with_python_of(self, before: Probe) -> Probe:
        """Return this probe with an earlier one's interpreters: importing torch anew takes up to a minute."""
        tiers = {**self.fingerprint, "python": before.fingerprint.get("python", {})}
        hashes = {**self.fingerprint_sha256, "python": before.fingerprint_sha256.get("python")}
        return self.model_copy(
            update={
                "interpreters": before.interpreters,
                "fingerprint": tiers,
                "fingerprint_sha256": hashes,
            }
        )

    @property
    def hardware(self) -> dict[str, Any]:
        """Return the hardware tier: what :func:`tunebench.targets.boards.match` finds a board's model by."""
        return self.fingerprint.get("hardware", {})

    @property
    def machine(self) -> str:
        """Return the architecture, e.g. ``aarch64``; ``"None"`` if the board did not tell."""
        return str(self.hardware.get("machine"))

    @property
    def agent_python(self) -> str:
        """Return the version of the Python that runs the agent."""
        return str(self.fingerprint.get("python", {}).get("agent"))


def read_probe(answer: Any, interpreters: int = 0) -> Probe:
    """Check a probe's answer.

    Args:
        interpreters: how many it was asked about.

    Raises:
        ValueError: the first field that is not of the agreed form, and what was expected.
    """
    probe = Probe.read(answer)
    if len(probe.interpreters) != interpreters:
        raise ValueError(f"{len(probe.interpreters)} interpreters, it was asked about {interpreters}")
    return probe


def read_some(model: type[Model], values: Any, limit: int = 1000) -> list[Model]:
    """Return those of a list that are of the agreed form, at most ``limit``; what is no list has none."""
    checked = []
    for value in values if isinstance(values, list) else []:
        try:
            checked.append(model.read(value))
        except ValueError:
            continue
        if len(checked) == limit:
            break
    return checked


class StartWarning(Reply):
    """A gate that was exceeded or could not be judged."""

    code: Name | None = None
    message: Name | None = None


class LeftOut(Reply):
    """A file that a harvest or a capture did not bring, and why."""

    name: Name | None = None
    size: int | None = None
    reason: Name | None = None


class CaptureSummary(Reply):
    """What only the board knows of a capture of its sensor tree: what it took out (kind -> count), what it left out."""

    redacted: dict[Name, int] = Field(default_factory=dict, max_length=1000)
    left_out: list[LeftOut] = Field(default_factory=list, max_length=1000)


class Change(Reply):
    """One row of what a board says it did: see :mod:`tunebench.targets.agent.tuning.apply`."""

    op: str
    state: Literal["set", "already", "unavailable", "refused", "failed", "restored", "rebooted", "left"]
    before: str | None = None
    after: str | None = None
    how: str | None = None
    reason: str | None = None
    owner: Owner | None = None

    @field_validator("op", "before", "after", "reason")
    @classmethod
    def _short(cls, text: str | None) -> str | None:
        return None if text is None else text[:500]

    @property
    def holds(self) -> bool:
        """Tell whether the board is as it was asked to be, as it read back itself."""
        return self.state in ("set", "already")


class TuningReply(NamedTuple):
    """What a board did when it was asked to tune itself, or to put back what was tuned.

    Attributes:
        kept: why nothing was put back; ``None``: it was.
    """

    changes: list[Change]
    kept: str | None = None
