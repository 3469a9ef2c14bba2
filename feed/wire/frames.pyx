# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Frames for Python: bytes to `Frame` and back. Hot loops call frame.h themselves; recorders, tools and tests call this.

Specification: README.md. Nothing here does I/O or reads a clock; all times are int ns since 1970.
"""

from libc.string cimport memcpy

from feed.wire.records cimport TC_SCHEMA_NONE, tc_record_bytes, tc_schema_of_word

from typing import NamedTuple

import numpy as np

from feed.errors import CallerError, SymbolError, WireError
from feed.wire.records import BY_ID
from feed.wire.topics import FIREHOSE, HEARTBEAT

FLAG_SNAPSHOT = TC_FLAG_SNAPSHOT
FLAG_REPLAYED = TC_FLAG_REPLAYED
FLAG_CONFLATED = TC_FLAG_CONFLATED
FLAG_LOSS = TC_FLAG_LOSS
FLAG_DOUBTFUL = TC_FLAG_DOUBTFUL
HEADER_BYTES = TC_WIRE_HEADER
COUNT_MAX = TC_WIRE_COUNT_MAX

_STEP = np.dtype([("seq", "<u4"), ("ts_in", "<u4")])


cdef class Frame:
    """One frame that was read; it owns its arrays. ``schema`` and ``symbol`` are "" in a heartbeat.

    ``known`` is false if the schema word is newer than this code: then `records` are raw ``V<record_bytes>``.
    ``seqs`` and ``ts_ins`` hold one entry for each record; the records' topic sequences are consecutive from `topic_seq`.
    """

    cdef readonly bytes topic
    cdef readonly str schema, symbol
    cdef readonly bint known
    cdef readonly unsigned int flags, count, record_bytes, folded
    cdef readonly uint64_t epoch, seq, topic_seq, ts_in, ts_sent
    cdef readonly object records, seqs, ts_ins

    def __repr__(self):
        return (
            f"<Frame {self.topic.decode('ascii')} count={self.count} flags={self.flags} epoch={self.epoch}"
            f" seq={self.seq} topic_seq={self.topic_seq}>"
        )


class LogFrame(NamedTuple):
    """One frame of the tick log out of a firehose run; ``record`` keeps the padding to 8 bytes, if any."""

    topic_id: int
    seq: int
    topic_seq: int
    ts_in: int
    committed_delta: int
    kind: int
    flags: int
    record: bytes


class Firehose(NamedTuple):
    """A run of log frames in exact stream order. No frames: the stream's next seq, like a heartbeat."""

    flags: int
    epoch: int
    seq: int
    ts_in: int
    ts_sent: int
    frames: tuple


def decode(data):
    """Read one message as a frame of ticks or a heartbeat. Raises WireError saying why it is none."""
    cdef const uint8_t[::1] view = data
    cdef tc_wire_frame parsed
    _parse(view, &parsed)
    if parsed.kind == TC_WIRE_FIREHOSE:
        raise WireError("a firehose frame among frames of ticks", remedy="Read it with decode_firehose")
    cdef Frame frame = Frame.__new__(Frame)
    frame.topic = parsed.topic[: parsed.topic_length]
    if parsed.kind == TC_WIRE_HEARTBEAT:
        frame.schema = frame.symbol = ""
    else:
        text = frame.topic.decode("ascii")
        frame.schema = text[: parsed.word_length]
        frame.symbol = text[parsed.word_length + 1 : parsed.topic_length - 1]
    frame.known = parsed.schema != TC_SCHEMA_NONE or parsed.kind == TC_WIRE_HEARTBEAT
    frame.flags = parsed.header.flags
    frame.count = parsed.header.count
    frame.record_bytes = parsed.header.record_bytes
    frame.folded = parsed.header.folded
    frame.epoch = parsed.header.epoch
    frame.seq = parsed.header.seq
    frame.topic_seq = parsed.header.topic_seq
    frame.ts_in = parsed.header.ts_in
    frame.ts_sent = parsed.header.ts_sent
    if parsed.schema != TC_SCHEMA_NONE:
        dtype = BY_ID[parsed.schema].dtype
    else:
        dtype = np.dtype(("V", max(1, frame.record_bytes)))
    frame.records = np.frombuffer(bytearray(parsed.records[: parsed.records_length]), dtype)
    frame.seqs = np.full(frame.count, frame.seq, np.uint64)
    frame.ts_ins = np.full(frame.count, frame.ts_in, np.uint64)
    if parsed.trailer != NULL:
        steps = np.frombuffer(parsed.trailer[: frame.count * TC_WIRE_STEP], _STEP)
        frame.seqs += steps["seq"]
        frame.ts_ins += steps["ts_in"]
    return frame


def encode(
    bytes topic not None,
    records=b"",
    *,
    epoch,
    seq,
    topic_seq=0,
    ts_in=0,
    ts_sent=0,
    flags=0,
    folded=0,
    seqs=None,
    ts_ins=None,
    record_bytes=None,
):
    """The frame of `records` (bytes, or an array of the schema's dtype) on `topic`; no records: news of the numbering.

    ``seqs`` and ``ts_ins`` give each record's own (default: consecutive from `seq`, all `ts_in`). ``record_bytes`` is needed
    only for schema words that this code does not know. Raises SymbolError for a topic, CallerError for records that make no
    one frame: see the batching rule in README.md.
    """
    cdef tc_wire_header header
    cdef const uint8_t[::1] view
    cdef uint8_t word_length
    cdef uint32_t count, i, size
    cdef uint16_t schema
    cdef uint64_t seq_i, ts_in_i
    cdef const uint8_t* name = topic
    if not topic or tc_wire_topic_length(name, len(topic), &word_length) != len(topic) or topic == FIREHOSE:
        raise SymbolError("this is no topic", expected="<schema>.<symbol>| or heartbeat|", found=repr(topic[:100]))
    schema = tc_schema_of_word(name, word_length)
    size = tc_record_bytes(schema) if schema != TC_SCHEMA_NONE else (record_bytes or 0)
    if isinstance(records, np.ndarray):
        if schema != TC_SCHEMA_NONE and records.dtype != BY_ID[schema].dtype:
            raise CallerError("records are of another schema", expected=BY_ID[schema].word, found=records.dtype)
        records = records.tobytes()
    view = records
    if view.shape[0] and (word_length == 0 or not 0 < size <= 65535 or view.shape[0] % size):
        raise CallerError("records do not fit the topic", expected=f"a multiple of {size} bytes", found=view.shape[0])
    if view.shape[0] and view.shape[0] // size > TC_WIRE_COUNT_MAX:
        raise CallerError("too many records", expected=f"at most {TC_WIRE_COUNT_MAX}", found=view.shape[0] // size)
    count = view.shape[0] // size if view.shape[0] else 0
    for what, given in (("seqs", seqs), ("ts_ins", ts_ins)):
        if given is not None and len(given) != count:
            raise CallerError(f"{what} must have one entry for each record", expected=count, found=len(given))

    _fill(&header, flags, size if count else 0, epoch, seq, topic_seq, ts_in, ts_sent)
    header.folded = folded
    header.count = 1
    message = bytearray(tc_wire_size(len(topic), size, count))
    cdef uint8_t* at = message
    cdef uint8_t* step = at + len(topic) + TC_WIRE_HEADER + view.shape[0]
    for i in range(count):
        seq_i = seqs[i] if seqs is not None else header.seq + i
        ts_in_i = ts_ins[i] if ts_ins is not None else header.ts_in
        if i == 0:
            if seq_i != header.seq or ts_in_i != header.ts_in:
                raise CallerError(
                    "the first record's numbers are the frame's", expected=(seq, ts_in), found=(seq_i, ts_in_i)
                )
        elif not tc_wire_joins(&header, seq_i, header.topic_seq + i, ts_in_i, header.flags):
            raise CallerError(
                f"record {i} cannot be in this frame", found=(seq_i, ts_in_i), remedy="Begin the next frame with it"
            )
        else:
            header.count += 1
        if count > 1:
            step = tc_wire_put_step(step, <uint32_t>(seq_i - header.seq), <uint32_t>(ts_in_i - header.ts_in))
    header.count = count
    at = tc_wire_put_head(at, name, len(topic), &header)
    if count:
        memcpy(at, &view[0], view.shape[0])
    return bytes(message)


def heartbeat(*, epoch, seq, ts_sent=0):
    """The heartbeat frame: alive, and every record below `seq` has been sent."""
    return encode(HEARTBEAT, epoch=epoch, seq=seq, ts_sent=ts_sent)


def log_frames(data):
    """The run of log frames in one message of topic `*|`, as a view of its bytes. Raises WireError saying why it is none."""
    cdef const uint8_t[::1] view = data
    cdef tc_wire_frame parsed
    _parse(view, &parsed)
    if parsed.kind != TC_WIRE_FIREHOSE:
        raise WireError("a frame without log frames", expected="*|", found=parsed.topic[: parsed.topic_length])
    return memoryview(data)[parsed.records - &view[0] :]


def decode_firehose(data):
    """Read one message of the firehose. Raises WireError saying why it is none."""
    cdef const uint8_t[::1] view = data
    cdef tc_wire_frame parsed
    cdef tc_wire_log_header log
    cdef const uint8_t* at
    cdef uint32_t i
    _parse(view, &parsed)
    if parsed.kind != TC_WIRE_FIREHOSE:
        raise WireError("a frame that is not the firehose's", expected="*|", found=parsed.topic[: parsed.topic_length])
    frames = []
    at = parsed.records
    for i in range(parsed.header.count):
        log = tc_wire_log_at(at)
        frames.append(
            LogFrame(
                log.topic_id,
                log.seq,
                log.topic_seq,
                log.ts_in,
                log.committed_delta,
                log.kind,
                log.flags,
                at[TC_WIRE_LOG_HEADER : log.length],
            )
        )
        at += log.length
    return Firehose(
        parsed.header.flags, parsed.header.epoch, parsed.header.seq, parsed.header.ts_in, parsed.header.ts_sent, tuple(frames)
    )


def encode_firehose(frames=(), *, epoch, seq, ts_in=0, ts_sent=0, flags=0):
    """The firehose message of a run of `LogFrame`, in order. Raises CallerError for frames that are no log frames."""
    cdef tc_wire_header header
    cdef tc_wire_log_header log
    cdef uint8_t* at
    cdef bytes name = FIREHOSE
    run = bytearray()
    for frame in frames:
        log.length = TC_WIRE_LOG_HEADER + len(frame.record)
        log.topic_id = frame.topic_id
        log.seq = frame.seq
        log.topic_seq = frame.topic_seq
        log.ts_in = frame.ts_in
        log.committed_delta = frame.committed_delta
        log.kind = frame.kind
        log.flags = frame.flags
        run += (<const uint8_t*>&log)[:TC_WIRE_LOG_HEADER]
        run += frame.record
    if len(frames) > TC_WIRE_COUNT_MAX:
        raise CallerError("too many log frames", expected=f"at most {TC_WIRE_COUNT_MAX}", found=len(frames))
    _fill(&header, flags, 0, epoch, seq, 0, ts_in, ts_sent)
    header.count = len(frames)
    message = bytearray(len(name) + TC_WIRE_HEADER)
    at = message
    tc_wire_put_head(at, name, len(name), &header)
    message += run
    cdef const uint8_t[::1] view = message
    cdef tc_wire_frame parsed
    if tc_wire_parse(&view[0], view.shape[0], &parsed) != TC_WIRE_OK:
        raise CallerError("these are no log frames", remedy="Records are padded to 8 bytes; a topic's is 80")
    return bytes(message)


cdef int _parse(const uint8_t[::1] view, tc_wire_frame* parsed) except -1:
    """Parse, raising WireError with the reason."""
    cdef int reason = tc_wire_parse(&view[0], view.shape[0], parsed) if view.shape[0] else TC_WIRE_NO_TOPIC
    if reason != TC_WIRE_OK:
        raise WireError(
            tc_wire_reason(reason).decode("ascii"), found=bytes(view[:100]), where=f"frame of {view.shape[0]} bytes"
        )
    return 0


cdef int _fill(tc_wire_header* header, flags, record_bytes, epoch, seq, topic_seq, ts_in, ts_sent) except -1:
    """Fill all but count. Raises OverflowError for a number that its field cannot hold."""
    header.flags = flags
    header.record_bytes = record_bytes
    header.epoch = epoch
    header.seq = seq
    header.topic_seq = topic_seq
    header.ts_in = ts_in
    header.ts_sent = ts_sent
    header.folded = 0
    return 0
