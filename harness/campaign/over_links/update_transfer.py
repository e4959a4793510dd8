"""Ship the update: after the fine-tuning, outside its window, over the board's own link and over shaped ones.

Every file goes board -> host and, checked, host -> board, where it is applied. The own link is measured in every
timed repetition. Shaped links are measured in the first block only, since the same bytes take the same time. What
would take longer than the suite waits for is computed from the bytes and marked so. Nothing here can fail a
repetition: a transfer that fails is a transfer with a reason.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunebench.harness.board.link import Link
from tunebench.harness.planning.job import LEASE_MARGIN_S, BoardContext, Job
from tunebench.harness.planning.repetition import Planned
from tunebench.harness.record.record import Shipped
from tunebench.reports.records import Transfer, Update
from tunebench.targets.agent.transfer import update_check
from tunebench.targets.agent.transfer.safetensors import Refused
from tunebench.targets.agent.transfer.update_check import Base
from tunebench.targets.client.update_channel import UpdateChannel
from tunebench.targets.errors import ReplyError, TargetError
from tunebench.targets.sanitize import cleaned
from tunebench.targets.transport.traffic_shaping import PROFILES, Profile, ShapedLink

Direction = Literal["board-host", "host-board"]
_DIRECTIONS: tuple[Direction, Direction] = ("board-host", "host-board")
OWN = "own"
#: Beyond the transfers themselves: connections, the board's checks.
_SETUP_S = 60.0
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Size = Annotated[int, Field(ge=0, le=update_check.MAX_UPDATE_B)]
_Error = Annotated[float, Field(ge=0)]


class _Untrusted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, str_max_length=1000)


class File(_Untrusted):
    """One update in the board's index."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")
    form: Literal["weights", "delta", "adapter"]
    dtype: Literal["float32", "float16", "int8"]
    packed: bool
    size_b: _Size
    sha256: _Hash
    safetensors_b: _Size
    header_b: _Size
    tensor_b: _Size
    n_tensors: int = Field(ge=0)
    n_values: int = Field(ge=0)
    max_error: _Error
    rms_error: _Error
    made_s: float = Field(ge=0)


class Index(_Untrusted):
    """What the board says of a job's updates: the files, and why others are left out."""

    base_sha256: _Hash
    files: list[File] = Field(default_factory=list, max_length=32)
    left_out: dict[str, str] = Field(default_factory=dict, max_length=32)


@dataclass(frozen=True)
class _Files:
    """What the board sent over its own link: the index, and the content by file name."""

    index: Index
    contents: Mapping[str, bytes]


def ship(link: Link, job: Job, context: BoardContext) -> Shipped:
    """Ship a finished repetition's updates; a fault of the board becomes the reason why they are missing.

    Raises:
        Interrupted: the user asked to stop.
    """
    planned, weights = job.planned, job.blobs.get("weights")
    if weights is None:
        return Shipped(missing="a workload without start weights has no update")
    try:
        base = update_check.base_of(io.BytesIO(weights.read()))
        # The repetition's lease may run out while a slow link is measured.
        link.persist(lambda: link.board.occupy(context.owner, _longest_s(planned, context)))
        files, own = link.persist(lambda: _over_own(link, planned.rep_id, base))
    except (TargetError, Refused) as error:
        return Shipped(missing=f"the updates could not be shipped: {error}")
    index = files.index
    transfers = {file.name: list(own[file.name]) for file in index.files}
    profiles = [PROFILES[name] for name in context.ship_links] if planned.block == 0 else []
    for profile in profiles:
        link.check_stop()
        shaped = _over_profile(link, planned.rep_id, profile, files, context.ship_wait_s)
        for name, shaped_transfers in shaped.items():
            transfers[name] += shaped_transfers
    missing = "; ".join(f"{form}: {reason}" for form, reason in index.left_out.items())
    updates = [_update(file, index.base_sha256, transfers[file.name]) for file in index.files]
    return Shipped(updates, missing[:2000] or None)


def _longest_s(planned: Planned, context: BoardContext) -> float:
    """Return a bound of how many seconds the transfers of one repetition may take."""
    return (
        LEASE_MARGIN_S
        + _SETUP_S
        + len(context.ship_links) * (_SETUP_S + 2 * len(planned.workload.ship) * context.ship_wait_s)
    )


def _update(file: File, base_sha256: str, transfers: list[Transfer]) -> Update:
    return Update(**file.model_dump(exclude={"name"}), base_sha256=base_sha256, transfers=transfers)


def _over_own(link: Link, rep_id: str, base: Base) -> tuple[_Files, dict[str, list[Transfer]]]:
    """Return the files, and their transfers over the board's own link.

    Raises:
        TargetError: the link broke, or what came is not what was announced.
    """
    contents: dict[str, bytes] = {}
    transfers: dict[str, list[Transfer]] = {}
    with link.board.updates(rep_id) as channel:
        index = _index(channel.listed(), base.sha256)
        for file in index.files:
            fetched = channel.fetch(file.name)
            _check(fetched.content, file, base)
            contents[file.name] = fetched.content
            up = _measured("board-host", len(fetched.content), fetched.seconds)
            transfers[file.name] = [up, _apply(channel, fetched.content, file)]
    return _Files(index, contents), transfers


def _index(listed: Mapping[str, Any], base_sha256: str) -> Index:
    """Return the board's index, held against its schema and against the start weights of the repetition.

    Raises:
        ReplyError: it does not fit.
    """
    try:
        index = Index.model_validate(cleaned(dict(listed)))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise ReplyError(f"index of updates: {where}: {problem['msg']}") from None
    if index.base_sha256 != base_sha256:
        raise ReplyError(
            f"the updates are of the base {index.base_sha256}, it was started from {base_sha256}"
        )
    return index


def _check(content: bytes, file: File, base: Base) -> None:
    """Check that what came is what was announced and an update of this base: neither board nor link is trusted.

    Raises:
        ReplyError: it is not.
    """
    try:
        plain = update_check.check(content, file.sha256, file.packed, base)
        announced_b, received_b = (file.size_b, file.safetensors_b), (len(content), len(plain))
        if announced_b != received_b or file.header_b + file.tensor_b != file.safetensors_b:
            raise Refused(f"{received_b} bytes came, {announced_b} were announced")
    except Refused as error:
        raise ReplyError(f"update {file.name}: {error}") from None


def _apply(channel: UpdateChannel, content: bytes, file: File, profile: Profile | None = None) -> Transfer:
    """Send an update to the board, which applies it; return the transfer."""
    bound_s = profile.least_s(len(content), up=False) if profile else 0.0
    applied = channel.apply(content, file.sha256, packed=file.packed, bound_s=bound_s)
    transfer = _measured("host-board", len(content), applied.seconds, profile)
    reason = f"refused: {applied.refused}" if applied.refused else None
    return transfer.model_copy(update={"apply_s": applied.apply_s, "reason": reason})


def _measured(
    direction: Direction,
    size_b: int,
    seconds: float | None,
    profile: Profile | None = None,
    reason: str | None = None,
) -> Transfer:
    up = direction == "board-host"
    return Transfer(
        direction=direction,
        link=profile.name if profile else OWN,
        how="shaped" if profile else "measured",
        size_b=size_b,
        seconds=seconds,
        bit_s=8.0 * size_b / seconds if seconds else None,
        link_bit_s=(profile.up_bit_s if up else profile.down_bit_s) if profile else None,
        link_rtt_s=profile.rtt_s if profile else None,
        reason=reason,
    )


def _over_profile(
    link: Link, rep_id: str, profile: Profile, files: _Files, wait_s: float
) -> dict[str, list[Transfer]]:
    """Return the transfers over a shaped link by file: measured where they are short enough, else computed."""
    transfers: dict[str, list[Transfer]] = {file.name: [] for file in files.index.files}
    pending: list[tuple[File, Direction]] = []
    for file in files.index.files:
        for direction in _DIRECTIONS:
            if profile.least_s(file.size_b, up=direction == "board-host") > wait_s:
                transfers[file.name].append(computed(profile, direction, file.size_b))
            else:
                pending.append((file, direction))
    if not pending:
        return transfers
    try:
        with ShapedLink(profile) as shaped, link.board.beside(shaped.dial) as board:
            if not shaped.dialled:
                raise TargetError(
                    'a board behind a ProxyCommand or by transport = "openssh" has no TCP connection of ours to shape'
                )
            with board.updates(rep_id) as channel:
                channel.listed()  # the agent is up before the first clock starts
                while pending:
                    file, direction = pending[0]
                    transfer = _transfer(channel, profile, file, direction, files.contents[file.name])
                    transfers[file.name].append(transfer)
                    pending.pop(0)
    except (TargetError, OSError) as error:
        link.tell(f"link {profile.name}: {error}")
        for file, direction in pending:
            transfers[file.name].append(_measured(direction, file.size_b, None, profile, str(error)[:500]))
    return transfers


def _transfer(
    channel: UpdateChannel,
    profile: Profile,
    file: File,
    direction: Direction,
    content: bytes,
) -> Transfer:
    """Carry an update over a shaped link in one direction, and measure how long that takes."""
    if direction == "host-board":
        return _apply(channel, content, file, profile)
    fetched = channel.fetch(file.name)
    if fetched.content != content:
        raise ReplyError(f"update {file.name} came differently over another link")
    return _measured(direction, len(content), fetched.seconds, profile)


def computed(profile: Profile, direction: Direction, size_b: int) -> Transfer:
    """Return a transfer that nobody waited for: one round trip, then the bytes at the link's rate, without SSH's own."""
    up = direction == "board-host"
    seconds = profile.least_s(size_b, up=up)
    return Transfer(
        direction=direction,
        link=profile.name,
        how="computed",
        size_b=size_b,
        seconds=seconds,
        bit_s=8.0 * size_b / seconds,
        link_bit_s=profile.up_bit_s if up else profile.down_bit_s,
        link_rtt_s=profile.rtt_s,
    )
