"""SSH servers of a network are found by what they say, and nothing else is taken for one."""

from __future__ import annotations

import ipaddress
import socket
import threading

import pytest

from tunebench.targets.transport.neighbours import MAX_HOSTS, kinds_of, neighbours, own_networks, too_large

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
LOOPBACK = ipaddress.IPv4Network("127.0.0.0/30")


def test_a_real_server_is_found_by_its_banner(loopback):
    (neighbour,) = [
        neighbour
        for neighbour in neighbours([LOOPBACK], port=loopback.endpoint.port)
        if neighbour.address == "127.0.0.1"
    ]
    assert neighbour.server.startswith("SSH-2.0-")
    assert neighbour.kind is None


def test_a_server_of_something_else_and_a_silent_one_are_none():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert neighbours([ipaddress.IPv4Network("127.0.0.1/32")], port=port) == []
        thread.join()


@pytest.mark.parametrize(
    ("rows", "networks"),
    [
        ("eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", []),  # the default route
        ("eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n", ["192.168.1.0/24"]),
        ("docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n", []),
        ("wlan0\t0000000A\t00000000\t0001\t0\t0\t600\t000000FF\t0\t0\t0\n", ["10.0.0.0/8"]),
        ("torn line\n", []),
        ("eth0\tnothex\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n", []),
    ],
)
def test_the_kernels_table_says_which_networks_are_at_hand(rows, networks):
    assert [str(network) for network in own_networks(HEAD + rows)] == networks


def test_a_companys_network_is_not_knocked_at():
    large = ipaddress.IPv4Network("10.0.0.0/8")
    assert too_large([large, LOOPBACK]) == ["10.0.0.0/8"]
    assert neighbours([large]) == []
    assert ipaddress.IPv4Network("10.0.0.0/22").num_addresses == MAX_HOSTS + 2


def test_a_network_cards_maker_tells_the_kind_of_board():
    table = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "192.168.1.7      0x1         0x2         dc:a6:32:01:02:03     *        eth0\n"
        "192.168.1.8      0x1         0x2         48:B0:2D:01:02:03     *        eth0\n"
        "192.168.1.9      0x1         0x2         aa:bb:cc:01:02:03     *        eth0\n"
        "torn\n"
    )
    assert kinds_of(table) == {"192.168.1.7": "raspberry-pi", "192.168.1.8": "jetson"}
