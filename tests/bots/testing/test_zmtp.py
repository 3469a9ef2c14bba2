"""Pieces of a ZMTP stream, however its bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.testing.zmtp import GREETING_BYTES, Splitter, body, is_message, mapped
from feed.errors import WireError

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)


def frame(content: bytes, *, more: bool = False, command: bool = False, long: bool = False) -> bytes:
    long = long or len(content) > 255
    flags = more | long << 1 | command << 2
    return bytes([flags]) + len(content).to_bytes(8 if long else 1, "big") + content


contents = st.binary(max_size=600)
messages = st.builds(
    lambda parts, long: (
        b"".join(frame(part, more=True, long=long) for part in parts[:-1]) + frame(parts[-1], long=long)
    ),
    st.lists(contents, min_size=1, max_size=3),
    st.booleans(),
)
commands = st.builds(lambda content: frame(content, command=True), contents)


@given(st.lists(messages | commands, max_size=12), st.lists(st.integers(1, 900), min_size=1, max_size=40))
def test_pieces_are_whole_however_the_bytes_are_cut(pieces: list[bytes], steps: list[int]) -> None:
    stream = GREETING + b"".join(pieces)
    splitter = Splitter()
    got: list[bytes] = []
    greeting = b""
    at = i = 0
    while at < len(stream):
        step = steps[i % len(steps)]
        got += splitter.feed(stream[at : at + step])
        greeting += splitter.greeting
        at += step
        i += 1
    assert greeting == GREETING
    assert got == pieces
    assert splitter.waiting == 0


def test_the_greeting_travels_on_as_it_comes() -> None:
    """A peer waits for the first half before it says the second."""
    splitter = Splitter()
    assert splitter.feed(GREETING[:10]) == []
    assert splitter.greeting == GREETING[:10]
    assert splitter.feed(GREETING[10:] + frame(b"READY", command=True)) == [frame(b"READY", command=True)]
    assert splitter.greeting == GREETING[10:]
    assert len(GREETING) == GREETING_BYTES


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n", b"\xff" + bytes(8) + b"\x7f\x01"], ids=["http", "ZMTP 2"])
def test_what_is_no_zmtp_3_is_refused(start: bytes) -> None:
    with pytest.raises(WireError, match="no ZMTP 3"):
        Splitter().feed(start)


def test_a_length_from_nowhere_is_refused() -> None:
    with pytest.raises(WireError, match="too long"):
        Splitter().feed(GREETING + b"\x02" + b"\xff" * 8)


@given(contents, contents, contents, st.booleans())
def test_what_parts_carry_can_be_changed(first: bytes, second: bytes, after: bytes, long: bool) -> None:
    piece = frame(first, more=True, long=long) + frame(second)
    assert is_message(piece)
    assert bytes(body(piece)) == first
    changed = mapped(piece, lambda part: after if part == second else part)
    wanted = [after if part == second else part for part in (first, second)]
    assert bytes(body(changed)) == wanted[0]
    assert changed.endswith(frame(wanted[1]))
    assert Splitter().feed(GREETING + changed) == [changed]
    assert mapped(piece, lambda same: same) is piece


def test_commands_are_told_from_messages() -> None:
    assert not is_message(frame(b"\4PING", command=True))
