"""Go over a shaped link for one repetition: the stressor `shaped-link`, which the host applies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tunebench.harness.board.link import Link
from tunebench.harness.config.tables.stress import SHAPED_LINK, Stressor
from tunebench.harness.record.harvest import StressorEntry
from tunebench.targets.client.board import Board
from tunebench.targets.transport.traffic_shaping import PROFILES, ShapedLink

#: Tells, once the repetition has ended, what became of what the host put around it; ``None``: nothing.
TellStress = Callable[[], StressorEntry | None]


@contextlib.contextmanager
def stressed_by_host(
    link: Link, stressor: Stressor | None, connected: Callable[[Board], AbstractContextManager[None]]
) -> Iterator[TellStress]:
    """Have all that passes between host and board go over a shaped link, if a stressor asks for it.

    Args:
        link: to the board; its own connection stays open and is used again afterwards.
        stressor: of the repetition.
        connected: lets Ctrl-C cut a connection.

    Raises:
        TargetError: the board cannot be reached over the shaped link.
    """
    if stressor is None or stressor.kind != SHAPED_LINK:
        yield lambda: None
        return
    profile = PROFILES[stressor.params["link"]]
    with (
        ShapedLink(profile) as shaped,
        link.board.beside(shaped.dial) as board,
        connected(board),
        link.using(board),
    ):
        yield lambda: _entry(shaped)


def _entry(shaped: ShapedLink) -> StressorEntry:
    """Return what became of a shaped link, as the board's agent would tell of its own stressors."""
    if not shaped.dialled:
        return StressorEntry(
            reason='a board behind a ProxyCommand or by transport = "openssh" has no TCP connection of ours to shape'
        )
    profile = shaped.profile
    applied = {
        "link_up_bit_s": profile.up_bit_s,
        "link_down_bit_s": profile.down_bit_s,
        "link_rtt_s": profile.rtt_s,
    }
    return StressorEntry(applied=applied, verified={"connections": float(shaped.dialled)}, held=True)
