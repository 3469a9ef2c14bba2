"""Table of contents of an answer's data parts, for cimport."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from feed.log.layout cimport tc_topic_entry
from feed.wire.frames cimport tc_wire_log_header

cdef enum:
    RUNS_PARTS = 64     # of an answer: 4 million log frames


cdef class Runs:
    cdef uint8_t* data
    cdef size_t used                    # bytes, with the wire headers
    cdef size_t frames_bytes            # bytes of log frames
    cdef size_t capacity
    cdef size_t starts[RUNS_PARTS]      # where each part begins in `data`
    cdef uint32_t counts[RUNS_PARTS]    # log frames of each part
    cdef uint32_t parts
    cdef uint64_t epoch
    cdef uint16_t flags                 # of the wire headers and of every log frame
    cdef readonly bint failed           # no memory, or too many parts: what is here is not whole

    # Begin anew: nothing is in it.
    cdef void begin(self, uint64_t epoch, uint16_t flags) noexcept nogil
    # Room for one log frame of `nbytes`; NULL: no memory. It counts only after keep(), which puts the flags in.
    cdef uint8_t* room(self, size_t nbytes) noexcept nogil
    cdef void keep(self, uint8_t* frame, size_t nbytes) noexcept nogil
    # Append the frame of a record, or of a topic's announcement. False: no memory.
    cdef bint record(self, tc_wire_log_header* head, const void* record, uint32_t nbytes) noexcept nogil
    cdef bint topic(self, uint32_t topic_id, const tc_topic_entry* entry, uint64_t seq, uint64_t topic_seq, uint64_t ts_in) noexcept nogil
    # The parts, each a wire frame, stamped with `now`.
    cdef list take(self, uint64_t now)
