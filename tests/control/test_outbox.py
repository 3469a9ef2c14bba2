"""Answers to bots that read slowly, or not at all, or that have gone: over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import zmq

from feed.control.outbox import HELD_ANSWERS_MAX, HELD_BYTES_MAX, HELD_NS, Outbox

LARGE = bytes(1 << 20)


@pytest.fixture
def router() -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.sndhwm = 4
    socket.router_mandatory = True
    socket.bind("tcp://127.0.0.1:0")
    yield socket
    socket.close()
    context.term()


class Peer:
    """A DEALER with a small window, so that little fits between the two."""

    def __init__(self, router: zmq.Socket[bytes], name: bytes) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvhwm = 1
        self.socket.rcvbuf = 1 << 16
        self.socket.rcvtimeo = 20_000
        self.socket.routing_id = name
        self.socket.connect(router.getsockopt_string(zmq.LAST_ENDPOINT))
        self.socket.send(b"here")
        assert router.recv_multipart() == [name, b"here"]

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@pytest.fixture
def slow(router: zmq.Socket[bytes]) -> Iterator[Peer]:
    peer = Peer(router, b"slow")
    yield peer
    peer.close()


def fill(box: Outbox, now_ns: int = 0) -> int:
    """Large answers to the slow peer until one is held; how many went before."""
    for sent in range(100):
        assert box.send([b"slow"], [b"%d" % sent, LARGE], now_ns)
        if box:
            return sent
    raise AssertionError("nothing was ever held")


def test_what_has_no_room_is_held_and_goes_out_in_order(router: zmq.Socket[bytes], slow: Peer) -> None:
    box = Outbox(router)
    sent = fill(box)
    for more in range(1, 6):
        assert box.send([b"slow"], [b"%d" % (sent + more), b"small"], 0)
    assert [slow.socket.recv_multipart()[0] for _ in range(sent)] == [b"%d" % i for i in range(sent)]
    while box:
        box.flush(1)
    assert [slow.socket.recv_multipart()[0] for _ in range(6)] == [b"%d" % (sent + i) for i in range(6)]
    assert box.dropped == 0


def test_others_are_not_held_up(router: zmq.Socket[bytes], slow: Peer) -> None:
    box = Outbox(router)
    fill(box)
    quick = Peer(router, b"quick")
    assert box.send([b"quick"], [b"answer"], 0)
    assert quick.socket.recv_multipart() == [b"answer"]
    quick.close()


def test_what_is_held_is_bounded(router: zmq.Socket[bytes], slow: Peer) -> None:
    box = Outbox(router)
    fill(box)
    taken = 0
    while box.send([b"slow"], [LARGE], 0):
        taken += 1
    assert taken < HELD_BYTES_MAX >> 20
    for _ in range(2 * HELD_ANSWERS_MAX):
        box.send([b"slow"], [b"x"], 0)
    assert len(box._held[b"slow"].answers) <= HELD_ANSWERS_MAX
    assert box.dropped > HELD_ANSWERS_MAX


class Full:
    """A socket that has no room: a real one may get some at any time, as its other thread fills what the kernel has."""

    def send_multipart(self, message: list[bytes], flags: int) -> None:
        raise zmq.Again


def test_a_peer_that_takes_nothing_loses_what_is_held(router: zmq.Socket[bytes], slow: Peer) -> None:
    box = Outbox(router)
    fill(box)
    box._socket = Full()  # type: ignore[assignment]
    assert box.flush(HELD_NS - 1) == 0
    assert box
    box.flush(HELD_NS + 1)
    assert not box
    assert (box.dropped, box._bytes) == (1, 0)


def test_a_peer_that_has_gone_is_noticed(router: zmq.Socket[bytes]) -> None:
    box = Outbox(router)
    assert not box.send([b"nobody"], [b"x"], 0)
    assert box.dropped == 1
    peer = Peer(router, b"slow")
    fill(box)
    for _ in range(8):  # more than may still go out meanwhile
        assert box.send([b"slow"], [LARGE], 0)
    peer.close()
    while box:  # as control does, which listens between two looks
        with contextlib.suppress(zmq.Again):
            router.recv(zmq.NOBLOCK)
        box.flush(1)
    assert box.dropped > 2
