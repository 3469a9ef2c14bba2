# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Smart batching: what is already waiting is grouped by topic; nothing ever waits for more to come.

Two passes. gather() reads the headers of the waiting log frames and links the records of each topic into planned frames, in
the order in which those are opened by their first record: the seq of a connection's frames rises. build() copies the
records of one planned frame from the log into the message and asks only then whether the log still holds them.
"""

from libc.stdint cimport UINT32_MAX, uint16_t, uint8_t
from libc.string cimport memcpy

from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD
from feed.publish.interest cimport Topic
from feed.wire.frames cimport TC_FLAG_LOSS, tc_wire_joins, tc_wire_put_head, tc_wire_put_step, tc_wire_size

cdef extern from *:
    """
    static inline void tc_prefetch(const void *at) { __builtin_prefetch(at); __builtin_prefetch((const char *)at + 64); }
    """
    void tc_prefetch(const void* at) noexcept nogil

cdef enum:
    TAKE_SINGLE = 1024          # with limit 1 nothing is gained by planning further ahead
    AHEAD_BYTES = 1024          # of the log are called for before they are read: it is larger than the caches


cdef class Batch:
    """`limit`: records in a frame at most, 1 to 65535."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.take = TAKE_SINGLE if limit == 1 else BATCH_FRAMES

    cdef int gather(self, LogReader reader, Interest interest, uint64_t now) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef Topic* topic
        cdef Planned* planned
        cdef uint64_t at, seq, topic_seq, ts_in
        cdef uint32_t length, topic_id, committed_delta
        cdef uint16_t kind, flags
        cdef uint32_t records = 0
        cdef uint64_t end = reader.at + BATCH_BYTES
        cdef uint64_t due = now + interest.heartbeat_ns
        cdef int outcome = GATHER_FULL
        self.frames = self.at = self.passed = 0
        while self.passed < self.take and reader.at < end:
            frame = reader.peek()
            at = reader.at
            tc_prefetch(reader.data + ((at + AHEAD_BYTES) & (reader.capacity - 1)))
            if frame == NULL:
                outcome = GATHER_DRY if reader.intact(at) else GATHER_LOST
                break
            length = frame.length
            topic_id = frame.topic_id
            seq = frame.seq
            topic_seq = frame.topic_seq
            ts_in = frame.ts_in
            committed_delta = frame.committed_delta
            kind = frame.kind
            flags = frame.flags
            # Proved before use: a torn length would lead to a place where no frame begins.
            if not reader.intact(at):
                outcome = GATHER_LOST
                break
            if kind == TC_KIND_RECORD and topic_id >= interest.known:
                outcome = GATHER_TOPICS
                break
            self.passed += 1
            reader.at = at + length
            if kind != TC_KIND_RECORD:
                reader.seq = seq
                continue
            reader.seq = seq + 1
            topic = &interest.topics[topic_id]
            topic.next_seq = topic_seq + 1
            if topic.wanted == 0:
                continue
            if length != <uint32_t>TC_FRAME_HEADER + topic.record_bytes:
                self.misfits += 1
                continue
            self.records[records] = frame
            if topic.open:
                planned = &self.plan[topic.open - 1]
                if planned.header.count < self.limit and tc_wire_joins(&planned.header, seq, topic_seq, ts_in, flags):
                    planned.header.count += 1
                    self.follows[planned.last] = records
                    planned.last = records
                    records += 1
                    continue
            else:
                interest.due_ns[topic_id] = due
                topic.quiet = 0
            planned = &self.plan[self.frames]
            planned.header.flags = flags
            planned.header.count = 1
            planned.header.record_bytes = topic.record_bytes
            planned.header.epoch = reader.header.epoch
            planned.header.seq = seq
            planned.header.topic_seq = topic_seq
            planned.header.ts_in = ts_in
            planned.header.folded = 0
            planned.at = at
            planned.committed = 0 if committed_delta == UINT32_MAX else ts_in + committed_delta
            planned.topic = topic_id
            planned.first = planned.last = records
            records += 1
            self.frames += 1
            topic.open = self.frames
        for records in range(self.frames):
            interest.topics[self.plan[records].topic].open = 0
        return outcome

    cdef int build(self, LogReader reader, Interest interest, Outlet outlet) noexcept nogil:
        cdef Planned* planned = &self.plan[self.at]
        cdef Topic* topic = &interest.topics[planned.topic]
        cdef uint32_t count = planned.header.count
        cdef uint32_t size = topic.record_bytes
        cdef uint32_t i = planned.first
        cdef uint32_t k
        cdef const tc_log_frame* record
        cdef uint8_t* trailer
        cdef uint8_t* to
        outlet.topic = planned.topic
        outlet.at = planned.at
        to = outlet.make(
            tc_wire_size(topic.length, size, count), topic.length, count, planned.committed)
        if to == NULL:
            return BUILD_FAILED
        if topic.loss:
            planned.header.flags |= TC_FLAG_LOSS
        to = tc_wire_put_head(to, topic.text, topic.length, &planned.header)
        if count == 1:
            _copy(to, &self.records[i].record[0], size)
        else:
            trailer = to + <size_t>count * size
            for k in range(count):
                record = self.records[i]
                _copy(to, &record.record[0], size)
                to += size
                trailer = tc_wire_put_step(
                    trailer, <uint32_t>(record.seq - planned.header.seq), <uint32_t>(record.ts_in - planned.header.ts_in))
                i = self.follows[i]
        if not reader.intact(planned.at):
            outlet.discard()
            return BUILD_OVERWRITTEN
        topic.loss = 0
        self.at += 1
        return BUILD_DONE

    cdef uint64_t abandon(self) noexcept nogil:
        cdef uint64_t records = 0
        while self.at < self.frames:
            records += self.plan[self.at].header.count
            self.at += 1
        return records


cdef inline void _copy(uint8_t* to, const uint8_t* record, uint32_t size) noexcept nogil:
    """The usual sizes as constants: the compiler then copies in registers."""
    if size == 80:
        memcpy(to, record, 80)
    elif size == 48:
        memcpy(to, record, 48)
    else:
        memcpy(to, record, size)
