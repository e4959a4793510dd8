"""Find machines of the local network that answer as SSH servers. Nothing is logged in to, and only who asks is shown.

The networks are those that the kernel reaches without a gateway (/proc/net/route, proc_net(5)); who made a network
card is told by the first three bytes of its address (the IEEE's list of MA-L assignments), which the kernel has in
/proc/net/arp once it has spoken with the machine.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SSH_PORT = 22
#: A larger network is a company's: no place to knock at every door.
MAX_HOSTS = 1022
#: A machine of the same network answers within some ms; twice as many tries would find nobody else.
_CONNECT_S, _BANNER_S = 0.7, 2.0
_AT_ONCE = 64
#: Interfaces of containers, virtual machines and tunnels: no boards are plugged into them.
_VIRTUAL = ("lo", "docker", "br-", "veth", "virbr", "tun", "tap", "wg", "tailscale", "zt", "cni", "flannel")
#: First three bytes of a network card's address -> kind of board (IEEE MA-L: Raspberry Pi, NVIDIA).
_MAKERS = {
    "raspberry-pi": ("b8:27:eb", "dc:a6:32", "e4:5f:01", "d8:3a:dd", "2c:cf:67", "28:cd:c1"),
    "jetson": ("00:04:4b", "48:b0:2d", "3c:6d:66"),
}


@dataclass(frozen=True)
class Neighbour:
    """A machine that answers as an SSH server.

    Attributes:
        server: what it calls itself (RFC 4253, section 4.2), as it stands there: a stranger's text.
        kind: the kind of board that its network card's maker makes; None: another maker, or not known.
    """

    address: str
    server: str
    kind: str | None = None


def neighbours(
    networks: Iterable[ipaddress.IPv4Network] | None = None, *, port: int = SSH_PORT
) -> list[Neighbour]:
    """Return the SSH servers of the networks, by address; a network of 1,022 addresses takes some 12 s.

    Args:
        networks: default: :func:`own_networks`.
        port: where servers listen.
    """
    addresses = [
        str(host)
        for network in (own_networks() if networks is None else networks)
        if network.num_addresses <= MAX_HOSTS + 2
        for host in network.hosts()
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        banners = list(pool.map(lambda address: _banner(address, port), addresses))
    kinds = kinds_of(_text("/proc/net/arp"))
    return [
        Neighbour(address, banner, kinds.get(address))
        for address, banner in zip(addresses, banners, strict=True)
        if banner is not None
    ]


def own_networks(route: str | None = None) -> list[ipaddress.IPv4Network]:
    """Return the networks that are reached without a gateway, virtual interfaces left out.

    Args:
        route: what /proc/net/route holds; default: this machine's.

    >>> table = "Iface Destination Gateway Flags RefCnt Use Metric Mask\\neth0 0001A8C0 00000000 0001 0 0 0 00FFFFFF"
    >>> own_networks(table)
    [IPv4Network('192.168.1.0/24')]
    """
    networks = []
    for line in (_text("/proc/net/route") if route is None else route).splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[0].startswith(_VIRTUAL):
            continue
        with contextlib.suppress(ValueError, struct.error):
            destination, gateway, mask = (int(fields[place], 16) for place in (1, 2, 7))
            if gateway == 0 and mask not in (0, 0xFFFFFFFF):
                networks.append(ipaddress.IPv4Network((_dotted(destination), _dotted(mask))))
    return list(dict.fromkeys(networks))


def kinds_of(arp: str) -> dict[str, str]:
    """Return address -> kind of board, of what /proc/net/arp holds.

    >>> kinds_of("IP address HW\\n10.0.0.7 0x1 0x2 DC:A6:32:01:02:03 * eth0")
    {'10.0.0.7': 'raspberry-pi'}
    """
    makers = {prefix: kind for kind, prefixes in _MAKERS.items() for prefix in prefixes}
    rows = [line.split() for line in arp.splitlines()[1:]]
    return {
        row[0]: makers[row[3].lower()[:8]] for row in rows if len(row) > 3 and row[3].lower()[:8] in makers
    }


def too_large(networks: Sequence[ipaddress.IPv4Network]) -> list[str]:
    """Return the networks that are not looked through."""
    return [str(network) for network in networks if network.num_addresses > MAX_HOSTS + 2]


def _banner(address: str, port: int) -> str | None:
    """Return how a server calls itself; None if nobody answers, or somebody who is no SSH server."""
    try:
        with socket.create_connection((address, port), _CONNECT_S) as connection:
            connection.settimeout(_BANNER_S)
            line = connection.recv(255).split(b"\n")[0].strip().decode("ascii", "replace")
    except OSError:
        return None
    return line if line.startswith("SSH-") else None


def _dotted(number: int) -> str:
    """Return an address of the kernel's tables, which hold it as it lies in memory (little-endian here)."""
    return socket.inet_ntoa(struct.pack("=I", number))


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
