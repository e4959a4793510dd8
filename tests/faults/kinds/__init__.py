"""The faults, a module a family."""

from __future__ import annotations

from tests.faults.kinds import agent, boots, clock, disk, host, link, records, server, workload
from tests.faults.scene import Fault

#: Families in the order of the table. Those of ``boots`` need minutes each and run only when they are named.
FAMILIES = (link, server, host, agent, workload, disk, clock, records, boots)

ALL: tuple[Fault, ...] = tuple(fault for family in FAMILIES for fault in family.FAULTS)

#: Faults that no run here produces, and why.
NOT_PRODUCED = {
    "a wire that is pulled": "the relay ends or freezes TCP connections instead; tc netem is not in this kernel",
    "a link that corrupts what SSH accepts": "SSH's own checksum ends the connection first; a blob is damaged on the"
    " board's disk instead",
    "a card that fails to read": "needs dm-flakey or a failing device; damage is written into files instead",
    "a card that lies about fsync": "QEMU's card drops nothing that reached it; tests/crash_states drops what was not"
    " synced for the host's store",
    "a board that throttles or overheats": "no sensor here can be heated; simulated trees are"
    " (tests/harness/campaign/test_protection.py)",
    "a reboot of the host": "would end the test; SIGKILL of the host process and power cuts of its store stand for it",
}
