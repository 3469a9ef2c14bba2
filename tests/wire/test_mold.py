"""MoldUDP64 datagrams: what is written is read again, and nothing outside the bytes is believed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import CallerError, WireError
from feed.wire import mold

if TYPE_CHECKING:
    from collections.abc import Callable

SESSIONS = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=10, max_size=10).map(
    str.encode
)
SEQUENCES = st.integers(1, 2**64 - 1 - 0xFFFF)
BLOCKS = st.lists(st.binary(max_size=60), max_size=40)


@given(SESSIONS, SEQUENCES, BLOCKS)
def test_a_packet_is_read_as_it_was_written(session: bytes, sequence: int, blocks: list[bytes]) -> None:
    datagram = mold.encode(session, sequence, blocks)
    assert mold.decode(datagram) == (session, sequence, tuple(blocks), False, b"")
    # The specification's layout, spelled by another hand.
    assert struct.unpack_from(">10sQH", datagram) == (session, sequence, len(blocks))
    assert len(datagram) == 20 + sum(2 + len(block) for block in blocks)


@given(SESSIONS, SEQUENCES, st.binary(max_size=50))
def test_heartbeat_end_and_request(session: bytes, sequence: int, rest: bytes) -> None:
    assert mold.decode(mold.heartbeat(session, sequence, rest)) == (session, sequence, (), False, rest)
    assert mold.heartbeat(session, sequence) == struct.pack(">10sQH", session, sequence, 0)
    assert mold.decode(mold.end_of_session(session, sequence)) == (session, sequence, (), True, b"")
    assert mold.end_of_session(session, sequence) == struct.pack(">10sQH", session, sequence, 0xFFFF)
    assert mold.decode_request(mold.request(session, sequence, 0xFFFF)) == (session, sequence, 0xFFFF)


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "ends within the header"),
        (bytes(19), "ends within the header"),
        (struct.pack(">10sQH", b"SESSION\x00\x01\x02", 1, 0), "printable"),
        (struct.pack(">10sQH", b"SESSION001", 0, 0), "sequence is 0"),
        (struct.pack(">10sQH", b"SESSION001", 2**64 - 2, 0), "wraps"),
        (struct.pack(">10sQH", b"SESSION001", 1, 1), "a block ends behind"),
        (struct.pack(">10sQHB", b"SESSION001", 1, 1, 0), "a block ends behind"),
        (struct.pack(">10sQHH3s", b"SESSION001", 1, 1, 4, b"abc"), "a block ends behind"),
        (struct.pack(">10sQHH4s", b"SESSION001", 1, 2, 4, b"abcd"), "a block ends behind"),
        (struct.pack(">10sQHH4s", b"SESSION001", 1, 0xFFFE, 4, b"abcd"), "a block ends behind"),
        (struct.pack(">10sQHH4s", b"SESSION001", 1, 1, 3, b"abcd"), "bytes behind the last block"),
    ],
)
def test_what_is_no_packet_says_why(datagram: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        mold.decode(datagram)


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "ends within the header"),
        (mold.request(b"SESSION001", 1, 1)[:19], "ends within the header"),
        (mold.request(b"SESSION001", 1, 1) + b"x", "bytes behind"),
        (struct.pack(">10sQH", b"SESSION001", 0, 1), "sequence is 0"),
        (struct.pack(">10sQH", b"SESSION001", 2**64 - 1, 1), "wraps"),
        (struct.pack(">10sQH", b"\xff" * 10, 1, 1), "printable"),
        (struct.pack(">10sQH", b"SESSION001", 1, 0), "not a request"),
    ],
)
def test_what_is_no_request_says_why(datagram: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        mold.decode_request(datagram)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_refused(datagram: bytes) -> None:
    try:
        packet = mold.decode(datagram)
    except WireError:
        return
    assert len(datagram) == 20 + sum(2 + len(block) for block in packet.blocks) + len(packet.rest)


@given(SESSIONS, SEQUENCES, BLOCKS, st.data())
def test_a_damaged_packet_is_a_packet_or_refused(
    session: bytes, sequence: int, blocks: list[bytes], data: st.DataObject
) -> None:
    datagram = bytearray(mold.encode(session, sequence, blocks))
    for _ in range(data.draw(st.integers(1, 4))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(datagram[: data.draw(st.integers(0, len(datagram)))])
    try:
        packet = mold.decode(cut)
    except WireError:
        return
    assert sum(2 + len(block) for block in packet.blocks) <= len(cut) - 20


def test_what_no_datagram_can_hold_is_refused() -> None:
    wrongs: list[Callable[[], object]] = [
        lambda: mold.encode(b"SHORT", 1, []),
        lambda: mold.encode(b"SESSION001", 0, []),
        lambda: mold.encode(b"SESSION001", 1, [bytes(65_536)]),
        lambda: mold.encode(b"SESSION001", 1, [bytes(1500)] * 44),
        lambda: mold.encode(b"SESSION001", 1, [b""] * 0xFFFF),
        lambda: mold.request(b"SESSION001", 1, 0),
        lambda: mold.request(b"SESSION001", 1, 0x10000),
    ]
    for wrong in wrongs:
        with pytest.raises(CallerError):
            wrong()
