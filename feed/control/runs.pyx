# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""What an answer carries: log frames laid end to end in wire frames of topic `*|`, as the firehose has them.

The memory is used again from answer to answer; only the finished parts become Python bytes.
"""

from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, TC_KIND_TOPIC
from feed.wire.frames cimport TC_WIRE_COUNT_MAX, TC_WIRE_HEADER, tc_wire_header, tc_wire_log_at, tc_wire_put_head

cdef enum:
    HEAD = 2 + TC_WIRE_HEADER       # "*|" and the wire header
    KEEP_BYTES = 4 * 1024 * 1024    # more than that is given back after an answer


cdef class Runs:
    """One answer at a time."""

    def __dealloc__(self) -> None:
        free(self.data)

    cdef void begin(self, uint64_t epoch, uint16_t flags) noexcept nogil:
        if self.capacity > KEEP_BYTES:
            free(self.data)
            self.data = NULL
            self.capacity = 0
        self.used = self.frames_bytes = self.parts = 0
        self.epoch = epoch
        self.flags = flags
        self.failed = False

    cdef uint8_t* room(self, size_t nbytes) noexcept nogil:
        cdef size_t more = nbytes
        cdef size_t wanted
        cdef uint8_t* grown
        cdef bint fresh = self.parts == 0 or self.counts[self.parts - 1] == TC_WIRE_COUNT_MAX
        if fresh and self.parts == RUNS_PARTS:
            self.failed = True
            return NULL
        if fresh:
            more += HEAD
        if self.used + more > self.capacity:
            wanted = max(2 * self.capacity, self.used + more)
            grown = <uint8_t*>realloc(self.data, wanted)
            if grown == NULL:
                self.failed = True
                return NULL
            self.data = grown
            self.capacity = wanted
        if fresh:
            self.starts[self.parts] = self.used
            self.counts[self.parts] = 0
            self.parts += 1
            self.used += HEAD
        return self.data + self.used

    cdef void keep(self, uint8_t* frame, size_t nbytes) noexcept nogil:
        cdef uint16_t flags
        memcpy(&flags, frame + 38, sizeof(flags))
        flags |= self.flags
        memcpy(frame + 38, &flags, sizeof(flags))
        self.counts[self.parts - 1] += 1
        self.used += nbytes
        self.frames_bytes += nbytes

    cdef bint record(self, tc_wire_log_header* head, const void* record, uint32_t nbytes) noexcept nogil:
        cdef uint8_t* to = self.room(TC_FRAME_HEADER + nbytes)
        if to == NULL:
            return False
        head.length = TC_FRAME_HEADER + nbytes
        head.kind = TC_KIND_RECORD
        memcpy(to, head, TC_FRAME_HEADER)
        memcpy(to + TC_FRAME_HEADER, record, nbytes)
        self.keep(to, TC_FRAME_HEADER + nbytes)
        return True

    cdef bint topic(self, uint32_t topic_id, const tc_topic_entry* entry, uint64_t seq, uint64_t topic_seq, uint64_t ts_in) noexcept nogil:
        cdef tc_wire_log_header head
        cdef uint8_t* to = self.room(TC_FRAME_HEADER + sizeof(tc_topic_entry))
        if to == NULL:
            return False
        head.length = TC_FRAME_HEADER + sizeof(tc_topic_entry)
        head.topic_id = topic_id
        head.seq = seq
        head.topic_seq = topic_seq
        head.ts_in = ts_in
        head.committed_delta = 0
        head.kind = TC_KIND_TOPIC
        head.flags = 0
        memcpy(to, &head, TC_FRAME_HEADER)
        memcpy(to + TC_FRAME_HEADER, entry, sizeof(tc_topic_entry))
        self.keep(to, head.length)
        return True

    cdef list take(self, uint64_t now):
        cdef tc_wire_header header
        cdef tc_wire_log_header first
        cdef size_t end
        cdef uint32_t i
        taken = []
        for i in range(self.parts):
            end = self.starts[i + 1] if i + 1 < self.parts else self.used
            if self.counts[i] == 0:
                continue        # room that was asked for and not kept
            first = tc_wire_log_at(self.data + self.starts[i] + HEAD)
            header.flags = self.flags
            header.count = <uint16_t>self.counts[i]
            header.record_bytes = 0
            header.epoch = self.epoch
            header.seq = first.seq
            header.topic_seq = 0
            header.ts_in = first.ts_in
            header.ts_sent = now
            header.folded = 0
            tc_wire_put_head(self.data + self.starts[i], b"*|", 2, &header)
            taken.append((<const char*>self.data + self.starts[i])[: end - self.starts[i]])
        return taken
