# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The benchmarks' native ends: senders that do nothing but send, readers that do nothing but read.

They show what the log and the wire can carry where no Python stands in the way (``--api native``), and they fill the log
for the measurements of what does.
"""

from libc.errno cimport EAGAIN
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from feed.clock cimport mono_ns, wall_ns, wall_sleep_until
from feed.log.layout cimport TC_KIND_RECORD, tc_log_frame
from feed.log.reader cimport LogReader
from feed.log.writer cimport LogWriter
from feed.wire.frames cimport tc_wire_frame, tc_wire_parse
from feed.wire.libzmq cimport ZMQ_DONTWAIT, ZMQ_POLLIN, LibZmq, handle, table, zmq_msg_t, zmq_pollitem_t
from feed.wire.records cimport tc_quote

from typing import NamedTuple

from feed.errors import HostError

cdef enum:
    RUN = 256                       # ticks read between two proofs that they were not overwritten

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_PDEATHSIG
    int prctl(int option, unsigned long value)


class Heard(NamedTuple):
    """What a reader got: `ticks` in all, `counted` of them from `first_ns`, after the warm-up, to `last_ns` (ns since 1970)."""

    ticks: int
    counted: int
    first_ns: int
    last_ns: int
    checksum: int


def die_with_parent(signal: int) -> None:
    """Have the kernel send this process `signal` when the thread that started it ends, however that ends."""
    prctl(PR_SET_PDEATHSIG, <unsigned long>signal)


# --- sending --------------------------------------------------------------------------------------------------------


cdef inline uint64_t _value(uint64_t i) noexcept nogil:
    """Tick i's bid: 40 bits that look like noise and hardly ever repeat. The peers under tests/bench send the same."""
    return (i * 0x9E3779B97F4A7C15ULL) >> 24


cdef inline void _fill(tc_quote* quote, uint64_t i, uint64_t stamp) noexcept nogil:
    cdef uint64_t bid = _value(i)
    quote.ts_event = stamp
    quote.sequence = <uint32_t>i
    quote.bid_px = <int64_t>bid
    quote.ask_px = <int64_t>(bid + 1 + (i & 255))


def checksum(uint64_t first, uint64_t ticks) -> int:
    """Sum of both prices of ticks `first` to `first + ticks - 1`, modulo 2^64."""
    cdef uint64_t i, total = 0
    with nogil:
        for i in range(first, first + ticks):
            total += 2 * _value(i) + 1 + (i & 255)
    return total


def send_flat_out(LogWriter writer not None, const uint8_t[::1] template, const uint32_t[::1] topics, uint64_t first, uint64_t ticks, uint32_t batch) -> int:
    """Append ticks number `first` and on as fast as the log takes them, told to readers every `batch`; gives how many batches.

    Tick i goes to ``topics[i % len(topics)]``. `template`: the bytes of a quote; time, sequence and prices are put in.
    """
    cdef tc_quote quote
    cdef uint64_t i, told = 0
    cdef uint64_t cycle = topics.shape[0]
    cdef uint64_t at = first % cycle
    cdef uint32_t untold = 0
    memcpy(&quote, &template[0], sizeof(tc_quote))
    with nogil:
        for i in range(first, first + ticks):
            _fill(&quote, i, i + 1)
            writer.append(topics[at], &quote, sizeof(tc_quote), 0, 0)
            at += 1
            if at == cycle:
                at = 0
            untold += 1
            if untold == batch:
                untold = 0
                writer.flush()
                told += 1
        writer.flush()
    return told + (untold > 0)


def send_paced(LogWriter writer not None, const uint8_t[::1] template, const uint32_t[::1] topics, uint64_t ticks, uint64_t start_ns, double gap_ns) -> int:
    """Append tick i at `start_ns` + i x `gap_ns` (wall time); gives how many batches were told.

    Open loop: each is stamped (ts_event) just before it is appended, or, when that is more than one gap late, with the time
    it was due at. What is due at once is told at once.
    """
    cdef tc_quote quote
    cdef uint64_t i = 0, told = 0, due, now
    cdef uint64_t cycle = topics.shape[0]
    memcpy(&quote, &template[0], sizeof(tc_quote))
    with nogil:
        while i < ticks:
            due = start_ns + <uint64_t>(<double>i * gap_ns)
            wall_sleep_until(due)
            now = wall_ns()
            while i < ticks and due <= now:
                _fill(&quote, i, due if now > due + <uint64_t>gap_ns else now)
                writer.append(topics[i % cycle], &quote, sizeof(tc_quote), 0, 0)
                i += 1
                due = start_ns + <uint64_t>(<double>i * gap_ns)
                now = wall_ns()
            writer.flush()
            told += 1
    return told


# --- reading --------------------------------------------------------------------------------------------------------


def read_log(LogReader reader not None, const uint8_t[::1] wanted, uint64_t ticks, uint64_t warm, bint spin, uint64_t quiet_ns, uint64_t[::1] late, uint64_t[::1] stamps) -> Heard:
    """Read quotes from the log until `ticks` have come, nothing came for `quiet_ns`, or the log was closed.

    `wanted`: one byte per topic id, 0 to pass over. `late` and `stamps` take now - ts_event and ts_event of each tick; both
    empty: nothing is timed but the first (number `warm`) and the last.
    """
    cdef const tc_log_frame* frame
    cdef const tc_quote* quote
    cdef uint64_t got = 0, first = 0, run, total = 0, run_total, now, position, seq, first_ns = 0, last_ns = 0
    cdef bint closed, timed = late.shape[0] > 0
    cdef uint64_t topics = wanted.shape[0]
    if timed and (<uint64_t>late.shape[0] < ticks or <uint64_t>stamps.shape[0] < ticks):
        raise ValueError("late and stamps are shorter than ticks")
    with nogil:
        while got < ticks:
            position = reader.at
            seq = reader.seq
            run = run_total = 0
            closed = reader.closed()
            while run < RUN and got + run < ticks:
                frame = reader.peek()
                if frame == NULL:
                    break
                if frame.kind == TC_KIND_RECORD and frame.topic_id < topics and wanted[frame.topic_id]:
                    quote = <const tc_quote*>&frame.record[0]
                    if timed:
                        now = wall_ns()
                        stamps[got + run] = quote.ts_event
                        late[got + run] = now - quote.ts_event if now > quote.ts_event else 0
                    run_total += <uint64_t>quote.bid_px + <uint64_t>quote.ask_px
                    run += 1
                reader.advance(frame)
            if reader.at == position:
                if not reader.intact(position):
                    reader.overtaken(seq)
                elif closed or not (reader.spin(quiet_ns) if spin else reader.park(quiet_ns)):
                    break
                continue
            if not reader.intact(position):
                reader.overtaken(seq)
                continue
            reader.report()
            got += run
            if first_ns == 0 and got > warm:
                first, first_ns = got, wall_ns()
            total += run_total
        last_ns = wall_ns()
    return Heard(got, got - first, first_ns, last_ns, total)


def read_zmq(socket, uint64_t ticks, uint64_t warm, bint spin, uint64_t quiet_ns, uint64_t[::1] late, uint64_t[::1] stamps) -> Heard:
    """Read quotes from a connected SUB socket; otherwise as :func:`read_log`. :raises HostError: the socket failed."""
    cdef const LibZmq* zmq = table()
    cdef void* sub = handle(socket)
    cdef zmq_msg_t message
    cdef zmq_pollitem_t item
    cdef tc_wire_frame frame
    cdef tc_quote quote
    cdef uint64_t got = 0, first = 0, total = 0, now, deadline = 0, first_ns = 0, last_ns = 0
    cdef uint32_t i
    cdef int error = 0
    cdef bint timed = late.shape[0] > 0
    if timed and (<uint64_t>late.shape[0] < ticks or <uint64_t>stamps.shape[0] < ticks):
        raise ValueError("late and stamps are shorter than ticks")
    item.socket = sub
    item.fd = 0
    item.events = ZMQ_POLLIN
    zmq.msg_init(&message)
    with nogil:
        while got < ticks:
            if zmq.msg_recv(&message, sub, ZMQ_DONTWAIT) < 0:
                error = zmq.errno_()
                if error != EAGAIN:
                    break
                error = 0
                if not spin:
                    item.revents = 0
                    zmq.poll(&item, 1, <long>(quiet_ns // 1000000))
                    if item.revents == 0:
                        break
                elif deadline == 0:
                    deadline = mono_ns() + quiet_ns
                elif mono_ns() > deadline:
                    break
                continue
            deadline = 0
            if tc_wire_parse(<const uint8_t*>zmq.msg_data(&message), zmq.msg_size(&message), &frame) != 0:
                continue
            if frame.header.record_bytes != sizeof(tc_quote):
                continue
            for i in range(frame.header.count):
                memcpy(&quote, frame.records + i * sizeof(tc_quote), sizeof(tc_quote))
                if got == ticks:
                    break
                if timed:
                    now = wall_ns()
                    stamps[got] = quote.ts_event
                    late[got] = now - quote.ts_event if now > quote.ts_event else 0
                total += <uint64_t>quote.bid_px + <uint64_t>quote.ask_px
                got += 1
                if first_ns == 0 and got > warm:
                    first, first_ns = got, wall_ns()
        last_ns = wall_ns()
        zmq.msg_close(&message)
    if error:
        raise HostError("the SUB socket failed", found=zmq.strerror(error).decode())
    return Heard(got, got - first, first_ns, last_ns, total)
