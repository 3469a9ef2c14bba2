"""Real sockets with a proxy between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from bots.testing import Chances, Dropped, Proxy, Relay
from feed.errors import CallerError
from feed.wire import frames

PATIENCE_S = 20.0
EPOCH = 7


class Wire:
    """An XPUB, a proxy, a relay, and a SUB that has subscribed to everything."""

    def __init__(self, proxy: Proxy, transport: str, folder: Path) -> None:
        self.proxy = proxy
        self.context = zmq.Context()
        self.pub = self.socket(zmq.XPUB)
        self.pub.xpub_verbose = True
        self.pub.bind("tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{folder}/pub")
        listen = "tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{folder}/relay"
        self.relay: Relay = proxy.relay(self.pub.get_string(zmq.LAST_ENDPOINT), listen)
        self.sub = self.socket(zmq.SUB)
        self.sub.subscribe("")
        self.sub.connect(self.relay.endpoint)
        assert self.pub.recv() == b"\x01"

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        made = self.context.socket(kind)
        made.rcvtimeo = int(PATIENCE_S * 1000)
        made.reconnect_ivl = 20
        made.sndhwm = made.rcvhwm = 0
        return made

    def send(self, *numbers: int, topic: bytes = b"trade.A|") -> None:
        for n in numbers:
            self.pub.send(frames.encode(topic, bytes(48), epoch=EPOCH, seq=n, topic_seq=n))

    def told(self) -> bytes:
        """What the publisher is told next. A SUB subscribes again only when somebody looks into it."""
        until(lambda: self.pub.poll(5) or self.sub.poll(0))
        return self.pub.recv(zmq.NOBLOCK)

    def take(self, n: int) -> list[int]:
        return [frames.decode(self.sub.recv()).seq for _ in range(n)]

    def nothing(self, ms: int = 100) -> bool:
        return not self.sub.poll(ms)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as made:
        yield made


@pytest.fixture(params=["tcp", "ipc"])
def wire(proxy: Proxy, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Wire]:
    made = Wire(proxy, request.param, tmp_path)
    yield made
    made.context.destroy(linger=0)


def test_everything_passes_both_ways_unchanged(wire: Wire) -> None:
    wire.pub.send(b"short")
    wire.pub.send(b"x" * 100_000)
    wire.pub.send_multipart([b"a", b"", b"b" * 300])
    assert wire.sub.recv() == b"short"
    assert wire.sub.recv() == b"x" * 100_000
    assert wire.sub.recv_multipart() == [b"a", b"", b"b" * 300]
    wire.sub.subscribe("more")
    assert wire.pub.recv() == b"\x01more"


def test_lost_doubled_and_out_of_turn(wire: Wire) -> None:
    wire.relay.lose(2)
    wire.send(1, 2, 3)
    assert wire.take(1) == [3]
    assert [(drop.topic, drop.seq) for drop in wire.relay.dropped] == [("trade.A", 1), ("trade.A", 2)]
    wire.relay.duplicate(1)
    wire.relay.reorder(2, "trade.B|")
    wire.send(4)
    wire.send(5, topic=b"trade.B|")
    wire.send(6, 7, 8)
    assert wire.take(6) == [4, 4, 6, 7, 5, 8]


def test_late(wire: Wire) -> None:
    wire.relay.delay(0.15, 1)
    began = time.monotonic()
    wire.send(1, 2)
    assert wire.take(2) == [1, 2]
    assert time.monotonic() - began >= 0.15


def test_a_cut_connection_comes_back_and_what_was_sent_meanwhile_is_gone(wire: Wire) -> None:
    wire.send(1)
    assert wire.take(1) == [1]
    before = time.monotonic()
    wire.relay.cut(0.2)
    assert wire.told() == b"\x00"
    wire.send(2)
    assert wire.told() == b"\x01"  # subscribed again
    assert time.monotonic() - before >= 0.2
    wire.send(3)
    assert wire.take(1) == [3]


def test_a_silent_network_loses_nothing(wire: Wire) -> None:
    wire.relay.hold()
    assert wire.relay.held
    wire.send(1, 2, 3)
    assert wire.nothing()
    wire.relay.release()
    assert wire.take(3) == [1, 2, 3]
    wire.relay.hold(0.1)
    wire.send(4)
    assert wire.take(1) == [4]


def test_who_connects_to_a_silent_network_is_neither_served_nor_refused(wire: Wire) -> None:
    wire.relay.hold()
    late = wire.socket(zmq.SUB)
    late.subscribe("")
    late.connect(wire.relay.endpoint)
    assert not wire.pub.poll(100)
    assert wire.relay.connections == 1
    wire.relay.release()
    assert wire.pub.recv() == b"\x01"
    late.close(0)


def test_another_publisher_is_found_behind_the_same_address(wire: Wire, tmp_path: Path) -> None:
    other = wire.socket(zmq.XPUB)
    other.bind("tcp://127.0.0.1:0" if wire.relay.endpoint.startswith("tcp") else f"ipc://{tmp_path}/other")
    wire.pub.close(0)
    wire.relay.upstream = other.get_string(zmq.LAST_ENDPOINT)
    wire.pub = other
    assert wire.told() == b"\x01"
    wire.send(1)
    assert wire.take(1) == [1]


def test_nobody_upstream_is_a_connection_that_ends(wire: Wire) -> None:
    wire.pub.close(0)
    until(lambda: wire.relay.refused > 1 and wire.relay.connections == 0)


def test_what_the_publisher_sent_before_it_died_still_comes(wire: Wire) -> None:
    wire.relay.delay(30.0)
    wire.send(1, 2)
    until(lambda: wire.relay.faults.counts["delayed"] == 2)
    wire.pub.close(0)
    assert wire.take(2) == [1, 2]


def test_chances_hit_about_as_often_as_they_say(wire: Wire) -> None:
    n = 20_000
    wire.relay.chances(Chances(lose=0.02, duplicate=0.03, reorder=0.04))
    wire.send(*range(1, n + 1))
    wire.relay.chances(Chances())
    wire.pub.send(b"end")
    got = []
    while (message := wire.sub.recv()) != b"end":
        got.append(frames.decode(message).seq)
    while not wire.nothing():  # those that let the last ones pass
        got.append(frames.decode(wire.sub.recv()).seq)
    counts = wire.relay.faults.counts
    lost = {drop.seq for drop in wire.relay.dropped}
    for fate, expected in (("lost", 0.02), ("duplicated", 0.03), ("reordered", 0.04)):
        assert counts[fate] <= 1.5 * expected * n  # type: ignore[index]
    assert counts["lost"] == len(lost)
    assert set(got) | lost == set(range(1, n + 1)) or wire.relay.idle() is False
    assert len(got) == len(set(got)) + counts["duplicated"]


def test_messages_can_be_changed(proxy: Proxy) -> None:
    context = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    router.bind("tcp://127.0.0.1:0")
    relay = proxy.relay(router.get_string(zmq.LAST_ENDPOINT), change=lambda told: told.replace(b"there", b"here" * 100))
    dealer.rcvtimeo = router.rcvtimeo = int(PATIENCE_S * 1000)
    dealer.connect(relay.endpoint)
    dealer.send(b"where? there?")
    route, asked = router.recv_multipart()
    assert asked == b"where? there?"  # what a bot says is never changed
    router.send_multipart([route, b"", b"it is there", b"there"])
    assert dealer.recv_multipart() == [b"", b"it is " + b"here" * 100, b"here" * 100]
    context.destroy(linger=0)


def test_who_speaks_something_else_is_shown_out(proxy: Proxy) -> None:
    import socket  # noqa: PLC0415 - the only test on bare sockets

    with socket.socket() as http:
        http.bind(("127.0.0.1", 0))
        http.listen()
        relay = proxy.relay(f"tcp://127.0.0.1:{http.getsockname()[1]}")
        host, port = relay.endpoint.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as client:
            served, _ = http.accept()
            served.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert client.recv(100) == b""
            served.close()
    assert relay.malformed == 1


def test_it_ends_and_leaves_nothing(tmp_path: Path) -> None:
    proxy = Proxy()
    kept = proxy.relay("tcp://127.0.0.1:1", f"ipc://{tmp_path}/relay")
    ended = proxy.relay("tcp://127.0.0.1:1", f"ipc://{tmp_path}/ended")
    ended.end()
    ended.end()
    assert [path.name for path in tmp_path.iterdir()] == ["relay"]
    proxy.close()
    proxy.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CallerError, match="closed"):
        kept.lose(1)


def test_addresses_that_are_none_are_refused(proxy: Proxy) -> None:
    with pytest.raises(CallerError, match="tcp://HOST:PORT"):
        proxy.relay("tcp://127.0.0.1:1", "pigeon://here")
    taken = proxy.relay("tcp://127.0.0.1:1")
    with pytest.raises(CallerError, match="listen there"):
        proxy.relay("tcp://127.0.0.1:1", taken.endpoint)


def test_what_is_dropped_says_which_ticks(wire: Wire) -> None:
    wire.relay.lose(1, "trade.A|")
    wire.send(3)
    wire.send(9, topic=b"trade.AB|")
    assert wire.take(1) == [9]
    assert wire.relay.dropped == [Dropped("trade.A", EPOCH, 3, 3, 1)]
