"""Frames: what goes in comes out; what is no frame is refused with the reason; one frame is one run of a topic."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import CallerError, SymbolError, WireError
from feed.wire.frames import (
    COUNT_MAX,
    FLAG_CONFLATED,
    FLAG_DOUBTFUL,
    FLAG_LOSS,
    FLAG_REPLAYED,
    FLAG_SNAPSHOT,
    HEADER_BYTES,
    LogFrame,
    decode,
    decode_firehose,
    encode,
    encode_firehose,
    heartbeat,
)
from feed.wire.records import BY_WORD, SCHEMAS, Schema
from feed.wire.topics import FIREHOSE, HEARTBEAT, parse_topic, topic

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
u16 = st.integers(0, 2**16 - 1)
HEADER = struct.Struct("<BBHHHQQQQQII")
QUOTE = topic("quote", "AAPL")


def test_flags_are_the_designs() -> None:
    assert (FLAG_SNAPSHOT, FLAG_REPLAYED, FLAG_CONFLATED, FLAG_LOSS, FLAG_DOUBTFUL) == (1, 2, 4, 8, 16)
    assert HEADER_BYTES == HEADER.size == 56


@st.composite
def batches(draw: st.DrawFn, schema: Schema) -> dict[str, Any]:
    """Arguments of encode() that make one frame."""
    steps = draw(st.lists(st.tuples(st.integers(1, 2**28), st.integers(0, 2**28)), max_size=12))
    count = draw(st.sampled_from([0, 1])) if not steps else len(steps) + 1
    total_seq, total_ts = sum(s for s, _ in steps), sum(t for _, t in steps)
    seq = draw(st.integers(0, 2**64 - 1 - total_seq))
    ts_in = draw(st.integers(0, 2**64 - 1 - total_ts))
    made: dict[str, Any] = {
        "records": draw(st.binary(min_size=count * schema.record_bytes, max_size=count * schema.record_bytes)),
        "epoch": draw(u64),
        "seq": seq,
        "topic_seq": draw(st.integers(0, 2**64 - 1 - count)),
        "ts_in": ts_in,
        "ts_sent": draw(u64),
        "flags": draw(u16),
        "folded": draw(u32) if count == 1 else 0,
    }
    if count:
        made["seqs"] = [seq + sum(s for s, _ in steps[:i]) for i in range(count)]
        made["ts_ins"] = [ts_in + sum(t for _, t in steps[:i]) for i in range(count)]
    return made


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.word)
@given(data=st.data())
def test_round_trip(schema: Schema, data: st.DataObject) -> None:
    given_ = data.draw(batches(schema))
    symbol = data.draw(st.text("ABC.5 -~", min_size=1, max_size=71))
    message = encode(topic(schema.word, symbol), **given_)
    frame = decode(message)
    assert (frame.topic, frame.schema, frame.symbol) == (topic(schema.word, symbol), schema.word, symbol)
    for name in ("epoch", "seq", "topic_seq", "ts_in", "ts_sent", "flags", "folded"):
        assert getattr(frame, name) == given_[name]
    assert frame.known
    assert frame.records.dtype == schema.dtype
    assert frame.records.tobytes() == given_["records"]
    assert frame.count == len(frame.records) == len(given_.get("seqs", []))
    assert frame.record_bytes == (schema.record_bytes if frame.count else 0)
    assert frame.seqs.tolist() == given_.get("seqs", [])
    assert frame.ts_ins.tolist() == given_.get("ts_ins", [])
    assert len(message) == len(frame.topic) + 56 + len(given_["records"]) + (8 * frame.count if frame.count > 1 else 0)
    again = encode(frame.topic, frame.records, **{k: v for k, v in given_.items() if k != "records"})
    assert again == message


def test_frame_owns_its_arrays_and_they_are_aligned() -> None:
    data = bytearray(encode(QUOTE, bytes(160), epoch=1, seq=1, topic_seq=1))
    frame = decode(data)
    data[:] = b"\xff" * len(data)
    assert frame.records.tobytes() == bytes(160)
    assert frame.records.flags.aligned
    assert frame.records.flags.writeable
    assert repr(frame) == "<Frame quote.AAPL| count=2 flags=0 epoch=1 seq=1 topic_seq=1>"


def test_without_numbers_of_their_own_records_are_consecutive() -> None:
    frame = decode(encode(QUOTE, bytes(240), epoch=1, seq=5, topic_seq=2, ts_in=9))
    assert frame.seqs.tolist() == [5, 6, 7]
    assert frame.ts_ins.tolist() == [9, 9, 9]


def test_largest_batch() -> None:
    t = topic("status", "A")
    frame = decode(encode(t, bytes(40 * COUNT_MAX), epoch=1, seq=1, topic_seq=1))
    assert frame.count == COUNT_MAX == 65535
    assert frame.seqs[-1] == 65535
    with pytest.raises(CallerError, match="too many"):
        encode(t, bytes(40 * (COUNT_MAX + 1)), epoch=1, seq=1, topic_seq=1)


def test_heartbeat() -> None:
    message = heartbeat(epoch=3, seq=8, ts_sent=5)
    assert message == HEARTBEAT + HEADER.pack(0x54, 1, 0, 0, 0, 3, 8, 0, 0, 5, 0, 0)
    frame = decode(message)
    assert (frame.topic, frame.schema, frame.symbol, frame.count, frame.seq) == (HEARTBEAT, "", "", 0, 8)
    assert len(frame.records) == 0


def test_schema_newer_than_this_code_is_read_as_raw_records() -> None:
    message = encode(b"depth5.A|", bytes(range(24)), record_bytes=12, epoch=1, seq=1, topic_seq=1)
    frame = decode(message)
    assert not frame.known
    assert (frame.schema, frame.symbol, frame.record_bytes, frame.count) == ("depth5", "A", 12, 2)
    assert [bytes(r) for r in frame.records] == [bytes(range(12)), bytes(range(12, 24))]
    assert len(decode(encode(b"depth5.A|", epoch=1, seq=1)).records) == 0


def test_flag_bits_newer_than_this_code_are_kept() -> None:
    assert decode(encode(QUOTE, bytes(80), epoch=1, seq=1, topic_seq=1, flags=0x8001)).flags == 0x8001


def _header(count: int = 1, size: int = 80, magic: int = 0x54, version: int = 1, zero: int = 0) -> bytes:
    return HEADER.pack(magic, version, 0, count, size, 1, 1, 1, 0, 0, 0, zero)


STEPS = struct.pack("<IIII", 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "does not begin with a topic"),
        (b"quote.AAPL" + _header() + bytes(80), "does not begin with a topic"),
        (b"quote|" + _header() + bytes(80), "does not begin with a topic"),
        (b"quote." + b"A" * 72 + b"|" + _header() + bytes(80), "does not begin with a topic"),
        (QUOTE, "ends within the header"),
        (QUOTE + _header()[:55], "ends within the header"),
        (QUOTE + _header(magic=0x55) + bytes(80), "magic"),
        (QUOTE + _header(version=2) + bytes(80), "version"),
        (QUOTE + _header(zero=1) + bytes(80), "not zero"),
        (QUOTE + _header(size=79) + bytes(79), "record size"),
        (QUOTE + _header(size=0), "record size"),
        (QUOTE + _header(count=0, size=80), "record size"),
        (b"depth5.A|" + _header(size=0), "record size"),
        (QUOTE + _header() + bytes(79), "length differs"),
        (QUOTE + _header() + bytes(81), "length differs"),
        (QUOTE + _header(count=0, size=0) + b"x", "length differs"),
        (QUOTE + _header(count=2) + bytes(160), "length differs"),
        (QUOTE + _header(count=2) + bytes(160) + STEPS + b"x", "length differs"),
        (QUOTE + _header(count=65535) + bytes(160) + STEPS, "length differs"),
        (b"depth5.A|" + _header(count=65535, size=65535) + bytes(160), "length differs"),
        (QUOTE + _header(count=2) + bytes(160) + STEPS[8:] + STEPS[8:], "does not rise"),
        (QUOTE + _header(count=2) + bytes(160) + STEPS[:8] + STEPS[:8], "does not rise"),
        (HEARTBEAT + _header(count=1, size=0), "a heartbeat has records"),
        (HEARTBEAT + _header(count=0, size=80), "record size"),
        (HEARTBEAT + _header(count=0, size=0) + b"x", "length differs"),
        (FIREHOSE + _header(count=0, size=0), "firehose"),
    ],
)
def test_refused_with_the_reason(message: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode(message)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"records": bytes(81)}, "multiple of 80"),
        ({"records": np.zeros(2, BY_WORD["trade"].dtype)}, "another schema"),
        ({"seqs": [5]}, "seqs must have one entry"),
        ({"ts_ins": [9, 9, 9]}, "ts_ins must have one entry"),
        ({"seqs": [6, 7]}, "first record's numbers"),
        ({"ts_ins": [8, 9]}, "first record's numbers"),
        ({"seqs": [5, 5]}, "record 1 cannot be in this frame"),
        ({"seqs": [5, 4]}, "record 1 cannot be in this frame"),
        ({"seqs": [5, 5 + 2**32]}, "record 1 cannot be in this frame"),
        ({"ts_ins": [9, 8]}, "record 1 cannot be in this frame"),
        ({"ts_ins": [9, 9 + 2**32]}, "record 1 cannot be in this frame"),
        ({"folded": 1}, "record 1 cannot be in this frame"),
    ],
)
def test_records_that_make_no_one_frame(change: dict[str, Any], reason: str) -> None:
    good: dict[str, Any] = {"records": bytes(160), "epoch": 1, "seq": 5, "topic_seq": 2, "ts_in": 9}
    encode(QUOTE, **good)
    encode(QUOTE, **good | {"seqs": [5, 4 + 2**32], "ts_ins": [9, 8 + 2**32]})
    with pytest.raises(CallerError, match=reason):
        encode(QUOTE, **good | change)


@pytest.mark.parametrize("name", [b"", b"quote.AAPL", b"quote.AAPL|x", FIREHOSE, b"quote.A*|"])
def test_topic_that_is_none_is_not_encoded(name: bytes) -> None:
    with pytest.raises(SymbolError):
        encode(name, epoch=1, seq=1)


@given(st.text("aq5.|*? A~\x7f\n", max_size=12).map(str.encode) | st.binary(max_size=5), st.sampled_from([b"", b"|"]))
def test_topics_in_c_and_in_python_are_the_same(text: bytes, end: bytes) -> None:
    name = text + end
    try:
        parse_topic(name)
    except SymbolError:
        with pytest.raises(SymbolError):
            encode(name, epoch=1, seq=1)
    else:
        assert decode(encode(name, epoch=1, seq=1)).topic == name


def test_records_need_a_topic_of_a_schema() -> None:
    with pytest.raises(CallerError):
        encode(HEARTBEAT, bytes(80), epoch=1, seq=1)
    with pytest.raises(CallerError):
        encode(b"depth5.A|", bytes(80), epoch=1, seq=1)


TOPIC_RECORD = struct.pack("<HHI72s", 2, 4, 0, b"AAPL")
log_frames = st.builds(
    LogFrame,
    topic_id=u32,
    seq=u64,
    topic_seq=u64,
    ts_in=u64,
    committed_delta=u32,
    kind=st.sampled_from([0, 2]),
    flags=u16,
    record=st.integers(0, 9).flatmap(lambda n: st.binary(min_size=8 * n, max_size=8 * n)),
) | st.builds(LogFrame, u32, u64, u64, u64, u32, st.just(1), u16, st.just(TOPIC_RECORD))


@given(st.lists(log_frames, max_size=8), st.tuples(u16, u64, u64, u64, u64))
def test_firehose_round_trip(frames: list[LogFrame], numbers: tuple[int, int, int, int, int]) -> None:
    flags, epoch, seq, ts_in, ts_sent = numbers
    message = encode_firehose(frames, epoch=epoch, seq=seq, ts_in=ts_in, ts_sent=ts_sent, flags=flags)
    run = decode_firehose(message)
    assert run.frames == tuple(frames)
    assert run[:5] == numbers
    assert len(message) == 2 + 56 + sum(40 + len(frame.record) for frame in frames)


LOG_FRAME = struct.pack("<IIQQQIHH", 48, 1, 1, 1, 0, 0, 0, 0) + bytes(8)


@pytest.mark.parametrize(
    "message",
    [
        _header(count=1, size=0),
        _header(count=1, size=0) + LOG_FRAME[:39],
        _header(count=1, size=0) + LOG_FRAME[:47],
        _header(count=1, size=0) + LOG_FRAME + b"x",
        _header(count=2, size=0) + LOG_FRAME,
        _header(count=0, size=0) + LOG_FRAME,
        _header(count=1, size=48) + LOG_FRAME,
        _header(count=1, size=0) + struct.pack("<IIQQQIHH", 32, 1, 1, 1, 0, 0, 0, 0),
        _header(count=1, size=0) + struct.pack("<IIQQQIHH", 0, 1, 1, 1, 0, 0, 0, 0),
        _header(count=1, size=0) + struct.pack("<IIQQQIHH", 44, 1, 1, 1, 0, 0, 0, 0) + bytes(4),
        _header(count=1, size=0) + struct.pack("<IIQQQIHH", 40, 1, 1, 1, 0, 0, 3, 0),
        _header(count=1, size=0) + struct.pack("<IIQQQIHH", 48, 1, 1, 1, 0, 0, 1, 0) + bytes(8),
        _header(count=1, size=0) + struct.pack("<IIQQQIHH", 120, 1, 1, 1, 0, 0, 1, 0) + bytes(80),
        _header(count=1, size=0)
        + struct.pack("<IIQQQIHH", 120, 1, 1, 1, 0, 0, 1, 0)
        + struct.pack("<HH", 1, 72)
        + bytes(76),
    ],
)
def test_firehose_run_that_is_none(message: bytes) -> None:
    with pytest.raises(WireError, match=r"firehose|record size"):
        decode_firehose(FIREHOSE + message)


def test_firehose_and_ticks_are_not_taken_for_each_other() -> None:
    with pytest.raises(WireError, match="not the firehose's"):
        decode_firehose(encode(QUOTE, bytes(80), epoch=1, seq=1, topic_seq=1))
    with pytest.raises(CallerError):
        encode_firehose([LogFrame(1, 1, 1, 1, 1, 0, 0, bytes(7))], epoch=1, seq=1)


def test_log_frame_is_the_logs_own() -> None:
    """The firehose sends the log's bytes as they are, so the two headers that describe them must agree."""
    root = Path(__file__).parents[2] / "feed"
    log = re.findall(r"TC_AT\(tc_log_frame, (\w+), (\w+)\)", (root / "log" / "layout.h").read_text())
    struct_ = re.search(r"typedef struct \{([^}]*)\} tc_wire_log_header;", (root / "wire" / "frame.h").read_text())
    assert struct_
    widths = {"uint16_t": 2, "uint32_t": 4, "uint64_t": 8}
    ours, at = {}, 0
    for kind, name in re.findall(r"(\w+_t) (\w+);", struct_[1]):
        ours[name] = at
        at += widths[kind]
    assert at == 40
    theirs = {name: int(offset) for name, offset in log if offset.isdigit()}
    assert theirs
    assert theirs == {name: ours[name] for name in theirs}
