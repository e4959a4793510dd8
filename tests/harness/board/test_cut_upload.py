"""A model's weights over a link that is cut twice while they are sent: the upload goes on from where it was."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from tests.faults.relay import Relay
from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.link import Link
from tunebench.harness.config.inventory import load_inventory
from tunebench.targets.client.board import Board
from tunebench.targets.payload import Blob
from tunebench.targets.virtual.loopback import LoopbackServer

#: What buffers of SSH and of kernels may hold at a cut; it is lost with the link.
IN_FLIGHT_B = 4_000_000
#: Of a piece of 16 KiB: else the board's server falls behind, and what waits in front of it is in flight, too.
SLOWER_THAN_THE_BOARD_S = (0.001, 0.002)


def cut_twice(relay: Relay, size_b: int, cuts: list[int]) -> None:
    """End all connections when a third of the file has passed, and again when another third of it has."""
    begin_b = relay.sent_b
    for third in (1, 2):
        while relay.sent_b < begin_b + third * size_b // 3:
            time.sleep(0.001)
        cuts.append(relay.sent_b)
        relay.cut()


def upload(folder: Path, data: bytes) -> tuple[Path, list[int], list[str], int]:
    """Send a file over such a link; return where it lies, the bytes that had passed at each cut, the notes, all bytes."""
    with LoopbackServer() as server:
        end, relay, cuts, notes = server.endpoint, Relay(server.endpoint.port), [], []
        known, lab = folder / "known_hosts", folder / "lab.toml"
        known.write_text(Path(end.known_hosts).read_text().replace(f"]:{end.port} ", f"]:{relay.port} "))
        lab.write_text(
            f'[lab]\nname = "lab"\n[[board]]\nid = "far"\nkind = "linux"\nhost = "127.0.0.1"\nport = {relay.port}\n'
            f'user = "{end.user}"\nkey = "{end.key_file}"\nknown_hosts = "{known}"\nworkdir = "{folder}/work"\n'
        )
        blob, payload = Blob.of_bytes(data, ".tbx", "weights"), build_payload()
        (entry,) = load_inventory(lab).boards
        board = Board(entry.spec())
        try:
            board.connect()
            board.sync([payload])
            relay.slow_down(*SLOWER_THAN_THE_BOARD_S)
            thread = threading.Thread(target=cut_twice, args=(relay, len(data), cuts), daemon=True)
            thread.start()
            Link(board, threading.Event(), [payload], notes.append, patience_s=60.0).sync(blob)
            thread.join(10.0)
        finally:
            board.close()
            relay.close()
    return folder / "work" / "blobs" / blob.name, cuts, notes, relay.sent_b


@pytest.mark.slow
def test_weights_over_a_link_that_is_cut_twice_go_on_from_where_they_were(tmp_path):
    data = os.urandom(30_000_000)
    stored, cuts, notes, sent_b = upload(tmp_path, data)
    assert len(cuts) == 2 and len(notes) >= 2, notes
    assert all("asking again" in note for note in notes)
    assert hashlib.sha256(stored.read_bytes()).digest() == hashlib.sha256(data).digest()
    assert not list(stored.parent.glob("*.part.*")), "what arrived in part is gone"
    assert sent_b < len(data) + 2 * IN_FLIGHT_B, "what had arrived is not sent again"
