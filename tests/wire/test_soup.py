"""SoupBinTCP: packets in pieces of any size, the session's states, and bytes that are none."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import CallerError
from feed.wire.soup import CONTENT_MAX, ROOM_MIN, SoupPackets, packet
from feed.wire.soup_session import HEARTBEAT_NS, SILENCE_NS, SoupSession, State, login

ACCEPTED = packet(b"A", b"%10s%20d" % (b"S1", 7))
CONTENTS = st.binary(max_size=50)
PACKETS = st.lists(st.tuples(st.sampled_from([b"S", b"S", b"S", b"H", b"U", b"Z", b"+", b"?"]), CONTENTS), max_size=40)


def read(packets: SoupPackets, room: int = ROOM_MIN) -> list[tuple[bytes, bytes]]:
    """All that is whole, in order."""
    found: list[tuple[bytes, bytes]] = []
    into = bytearray(room)
    while True:
        if n := packets.messages(into):
            at = 0
            while at < n:
                length = int.from_bytes(into[at : at + 2], "big")
                found.append((b"S", bytes(into[at + 2 : at + 2 + length])))
                at += 2 + length
        elif (control := packets.control()) is not None:
            found.append(control)
        else:
            return found


def put(packets: SoupPackets, raw: bytes) -> None:
    packets.space()[: len(raw)] = raw
    packets.filled(len(raw))


@given(PACKETS, st.integers(1, 300), st.integers(60, 200))
def test_pieces_of_any_size_make_the_same_packets(told: list[tuple[bytes, bytes]], piece: int, room: int) -> None:
    raw = b"".join(packet(*each) for each in told)
    assert raw == b"".join(struct.pack(">H", 1 + len(content)) + kind + content for kind, content in told)
    packets = SoupPackets()
    found = []
    for at in range(0, len(raw), piece):
        put(packets, raw[at : at + piece])
        found += read(packets, room)
    assert found == told
    assert packets.sequenced == sum(kind == b"S" for kind, _ in told)
    assert not packets.broken


def test_a_packet_without_a_type_ends_it() -> None:
    packets = SoupPackets()
    put(packets, packet(b"S", b"x") + b"\0\0" + packet(b"S", b"y"))
    assert read(packets) == [(b"S", b"x")]
    assert packets.broken
    packets.begin()
    put(packets, packet(b"H"))
    assert read(packets) == [(b"H", b"")]


def test_the_longest_packet_fits() -> None:
    packets = SoupPackets(1)
    raw = packet(b"S", bytes(CONTENT_MAX)) * 3
    found = []
    while raw:
        space = packets.space()
        n = min(len(space), len(raw))
        space[:n] = raw[:n]
        packets.filled(n)
        raw = raw[n:]
        found += read(packets)
    assert [len(content) for _, content in found] == [CONTENT_MAX] * 3
    with pytest.raises(CallerError, match="not a SoupBinTCP packet"):
        packet(b"S", bytes(CONTENT_MAX + 1))


def test_a_login_has_its_fields_where_they_belong() -> None:
    raw = login("user", "secret", "S1", 42)
    assert raw == b"\0\x2fLuser  secret    " + b"        S1" + b"                  42"
    for wrong in (("too-long", ""), ("", "much-too-long"), ("ü", "")):
        with pytest.raises(CallerError, match="at most") as caught:
            login(*wrong, "", 1)
        assert "too-long" not in str(caught.value)


def test_a_session_says_that_it_lives_and_notices_that_the_server_does_not() -> None:
    session = SoupSession("u", "p", "", 1, 0)
    assert session.to_send(0) == login("u", "p", "", 1)
    assert session.to_send(HEARTBEAT_NS - 1) == b""
    assert session.take(b"A", ACCEPTED[3:])
    assert (session.state, session.session, session.sequence) == (State.LIVE, "S1", 7)
    assert session.due_ns() == HEARTBEAT_NS
    assert session.to_send(HEARTBEAT_NS) == packet(b"R")
    assert session.to_send(HEARTBEAT_NS) == b""
    session.heard(HEARTBEAT_NS)
    session.look(HEARTBEAT_NS + SILENCE_NS - 1)
    assert not session.over
    session.look(HEARTBEAT_NS + SILENCE_NS)
    assert session.over
    assert session.why == "not a sign of life for 15 s"
    assert session.to_send(10 * SILENCE_NS) == b""


@pytest.mark.parametrize(
    ("packets", "state", "why"),
    [
        ([(b"J", b"A")], State.REFUSED, "user or password not accepted"),
        ([(b"J", b"S")], State.REFUSED, "there is no such session"),
        ([(b"J", b"?")], State.REFUSED, "rejected for a reason that there is not"),
        ([(b"J", b"")], State.REFUSED, "rejected for a reason that there is not"),
        ([(b"H", b""), (b"A", ACCEPTED[3:]), (b"Z", b"")], State.ENDED, ""),
        ([(b"A", ACCEPTED[3:-1])], State.BROKEN, "the answer to the login is none"),
        ([(b"A", ACCEPTED[3:-1] + b"x")], State.BROKEN, "the answer to the login is none"),
        ([(b"A", b"\xff" + ACCEPTED[4:])], State.BROKEN, "the answer to the login is none"),
    ],
)
def test_how_a_session_ends(packets: list[tuple[bytes, bytes]], state: State, why: str) -> None:
    session = SoupSession("u", "p", "", 1, 0)
    for each in packets:
        assert session.take(*each)
    assert (session.state, session.over) == (state, True)
    assert session.why.startswith(why)


def test_what_there_is_not_in_a_state_is_not_taken() -> None:
    session = SoupSession("u", "p", "", 1, 0)
    assert not session.take(b"S", b"")
    assert not session.take(b"?", b"")
    assert session.take(b"A", ACCEPTED[3:])
    assert not session.take(b"A", ACCEPTED[3:])
    assert not session.take(b"J", b"A")
    assert session.state is State.LIVE


def test_any_bytes_come_to_an_end() -> None:
    rnd = random.Random(3)
    for _ in range(2000):
        packets = SoupPackets()
        put(packets, rnd.randbytes(rnd.randint(0, 3000)))
        read(packets)
