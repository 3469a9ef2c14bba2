"""Messages between a pusher and a feed, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import WireError
from feed.wire.pushing import Answer, Kind, answer, message, parse_answer, parse_message

U8, U32, U64 = st.integers(0, 2**8 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


def test_the_bytes_are_those_of_the_table() -> None:
    assert (
        message(Kind.RECORDS, 2, 3, 4, b"xy")
        == bytes.fromhex("500102000200000003000000000000000400000000000000") + b"xy"
    )
    assert message(Kind.HELLO, 1, 3, 4, b"me", again=True)[:4] == bytes.fromhex("50010101")
    told = Answer(Kind.REFUSED, 0, 1, 2, 3, 4, 5, 6, 7, 8, "why")
    assert answer(told) == bytes((0x50, 1, 19, 0)) + b"".join(
        n.to_bytes(size, "little") for n, size in ((1, 4), (2, 8), (3, 8), (4, 8), (5, 8), (6, 8), (7, 4), (8, 4))
    ) + b"why"  # fmt: skip


@given(
    st.builds(
        Answer, st.sampled_from([k for k in Kind if k > 16]), U8, U32, U64, U64, U64, U64, U64, U32, U32, st.text("ab")
    )
)
def test_answers_come_back(told: Answer) -> None:
    wanted = told if told.kind == Kind.REFUSED else told._replace(first=0, records=0, at=0, text="")
    assert parse_answer(answer(told)) == wanted


@given(st.sampled_from([Kind.HELLO, Kind.RECORDS, Kind.JSON]), U32, U64, U64, st.binary(), st.booleans())
def test_messages_come_back(kind: Kind, count: int, session: int, seq: int, content: bytes, again: bool) -> None:
    assert parse_message(message(kind, count, session, seq, content, again=again)) == (kind, again, count, session, seq)


@given(st.binary(max_size=80))
def test_other_bytes_are_refused(data: bytes) -> None:
    for parse in (parse_answer, parse_message):
        try:
            parse(data)
        except WireError:
            continue
        assert data[:2] == b"\x50\x01"


@pytest.mark.parametrize("data", [b"", b"\x50\x01\x11", b"\x50\x01\x13" + bytes(40), b"\x50\x01\x01" + bytes(60)])
def test_no_answer(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_answer(data)
