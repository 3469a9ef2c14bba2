"""The test hosts themselves: what is put in comes out as told, and nothing stays behind."""

from __future__ import annotations

import socket
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import PATIENCE_S
from .hosts import Cable, Host, Hosts, hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP, PORT = "239.1.2.3", 5000
COUNT = 4000


@pytest.fixture
def net() -> Iterator[Hosts]:
    with hosts(2) as made:
        yield made


def receiver(host: Host) -> socket.socket:
    with host.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind((GROUP, PORT))
    member = socket.inet_aton(GROUP) + socket.inet_aton(host.address)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    made.settimeout(0.2)
    return made


def received(sub: socket.socket, first: int = 0, link: Cable | None = None) -> list[int]:
    """All that came when it is quiet, and each packet from `first` on has come or was dropped by `link`."""
    got: list[int] = []
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            got.append(int.from_bytes(sub.recv(2000)[:4], "big"))
        except TimeoutError:
            touched = [] if link is None else link.touched()
            dropped = [int.from_bytes(payload[:4], "big") for action, _, payload in touched if action == "drop"]
            if {*got, *dropped}.issuperset(range(first, first + COUNT)):
                return got
            assert time.monotonic() < deadline, "not all of it comes"


def send(net: Hosts, first: int = 0) -> None:
    with net.feed.entered():
        pub = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with pub:
        for i in range(first, first + COUNT):
            pub.sendto(i.to_bytes(4, "big") + bytes(60), (GROUP, PORT))
            if i % 50 == 0:
                time.sleep(0.001)


def test_each_packet_is_treated_as_recorded_and_the_other_host_gets_all(net: Hosts) -> None:
    link = net.worsen(1, seed=3)
    with receiver(net.bots[0]) as good, receiver(net.bots[1]) as bad:
        send(net)
        assert received(bad) == list(range(COUNT))  # told nothing yet
        link.treat(drop=0.01, double=0.01, swap=0.01, delay=0.01, delay_us=2000)
        send(net, COUNT)
        everything = list(range(2 * COUNT))
        assert received(good, COUNT) == everything
        got = received(bad, COUNT, link)
    touched: dict[str, list[int]] = {}
    for action, length, payload in link.touched():
        assert length == 64
        assert len(payload) == 40
        touched.setdefault(action, []).append(int.from_bytes(payload[:4], "big"))
    assert set(touched) == {"drop", "double", "swap", "delay"}
    expected = Counter(everything[COUNT:])
    expected.subtract(touched["drop"])
    expected.update(touched["double"])
    assert Counter(got) == +expected
    assert got != sorted(got)
    figures = link.close()
    assert figures["seen"] == 2 * COUNT
    assert figures["dropped"] == len(touched["drop"])


def test_the_same_seed_treats_the_same_packets(net: Hosts) -> None:
    one, other = net.worsen(0, seed=7), net.worsen(1, seed=7)
    one.treat(drop=0.05)
    other.treat(drop=0.05)
    with receiver(net.bots[0]) as first, receiver(net.bots[1]) as second:
        send(net)
        for sub, link in ((first, one), (second, other)):
            received(sub, 0, link)  # a cable that is pulled takes no more in
    assert one.close() == other.close()
    assert one.touched() == other.touched()


def test_nothing_stays_behind() -> None:
    def ours() -> set[str]:
        return {path.name for path in Path("/run/netns").glob(f"{prefix}-*")}

    with hosts(1) as made:
        prefix = made.feed.namespace.removesuffix("-feed")
        process = made.worsen(0).process
        assert len(ours()) == 3
    assert not ours()
    assert process.poll() is not None
