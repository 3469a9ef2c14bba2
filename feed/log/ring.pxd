"""Table of contents of the rings in front of the sequencer, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.sink cimport Sink
from feed.log.writer cimport LogWriter


cdef struct ring_bell:      # what the sequencer sleeps on; rung by every ring
    uint32_t doorbell
    uint32_t waiters


cdef struct ring_state:
    uint8_t* data
    uint64_t capacity
    uint64_t published      # producer: everything below may be taken
    uint64_t pad0[7]
    uint64_t taken          # consumer: everything below is free again
    uint64_t pad1[7]
    uint64_t head           # producer's own
    ring_bell* bell
    uint32_t* topics        # consumer's own: the ring's topic ids → the log's
    uint32_t topics_room


cdef class Ring(Sink):
    cdef ring_state state
    cdef uint64_t now
    cdef uint32_t stamped
    cdef dict _topic_ids
    cdef Intake _intake

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil
    cdef void flush(self) noexcept nogil
    cdef int _put(self, uint16_t kind, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil


cdef class Intake:
    cdef LogWriter writer
    cdef ring_bell bell
    cdef ring_state* rings[64]
    cdef uint32_t count
    cdef list _rings
    cdef Sink into                # the writer, or what stands in front of it
    cdef set _topics          # (schema, symbol) of all that the log has or a ring has announced

    cdef int reserve(self, tuple topic) except -1
    cdef int _take(self, uint32_t limit, uint32_t* taken) noexcept nogil
    cdef bint _waiting(self) noexcept nogil
