"""Log frames to order: records of any schema with any bytes in them, as an archive's blocks hold them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def record(schema: str, body: bytes, *, instrument_id: int = 1, ts: int = 10**18) -> bytes:
    """A record of `schema`: header as DBN has it, then as much of `body` as there is room for, NUL padded."""
    size, rtype = BY_WORD[schema].record_bytes, BY_WORD[schema].rtypes[0]
    head = struct.pack("<BBHIQ", size // 4, rtype, 1, instrument_id, ts)
    return head + body[: size - 16].ljust(size - 16, b"\0")


def trade(n: int, *, instrument_id: int = 1, ts: int = 10**18) -> bytes:
    """A trade at n ticks of 0.25, ts_event and ts_recv `ts`, sequence `n`."""
    return struct.pack(
        "<BBHIQqIccBBQiI", 12, 0, 1, instrument_id, ts, n * 250_000_000, 1, b"T", b"B", 128, 0, ts, 0, n % 2**32
    )


def frame(record: bytes, *, topic_id: int = 0, seq: int = 1, topic_seq: int = 1, ts_in: int = 10**18) -> bytes:
    """The log frame of a record (feed/log/layout.h)."""
    return struct.pack("<IIQQQIHH", 40 + len(record), topic_id, seq, topic_seq, ts_in, 0, 0, 0) + record


def records(schema: str) -> SearchStrategy[bytes]:
    """Records with any bytes behind their header."""
    room = BY_WORD[schema].record_bytes - 16
    edges = st.sampled_from([b"\xff" * 7 + b"\x7f", b"\xff" * 8, b"\0" * 7 + b"\x80", b'a,"b\n'.ljust(8)])
    words = st.lists(st.binary(min_size=8, max_size=8) | edges, min_size=room // 8, max_size=room // 8)
    return st.builds(lambda body, ts: record(schema, b"".join(body), ts=ts), words, st.integers(0, 2**64 - 1))
