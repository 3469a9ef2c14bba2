"""Table of contents of the link over history, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bots.links.link cimport Link, run_t
from feed.wire.frames cimport tc_wire_log_header


cdef class HistoryLink(Link):
    cdef object blocks
    cdef object block               # what `at` lies in
    cdef const uint8_t* at
    cdef size_t left                # bytes from `at` to the block's end
    cdef uint64_t from_seq          # frames below it are passed over
    cdef uint16_t flags             # set on every run
    cdef readonly uint64_t first_epoch      # that it begins with; 0: not known yet
    cdef readonly uint64_t epoch    # of the block at hand
    cdef readonly uint64_t seq      # all records below it have been given out, or said to be lost
    # --- topics: index by id of the present epoch (0: not seen, else 1 + index), and what is known by index ---
    cdef uint32_t* index_of
    cdef uint32_t ids
    cdef uint8_t* choice            # TOPIC_*
    cdef uint16_t* schemas
    cdef uint32_t room
    cdef list keys                  # (schema id, symbol)
    cdef dict indices               # (schema id, symbol) -> index

    cdef int _next_block(self) noexcept nogil
    cdef int _take_block(self) noexcept
    cdef bint _frame(self, const tc_wire_log_header* header, uint32_t index, run_t* out) noexcept nogil
    cdef uint32_t _learn(self, const tc_wire_log_header* header) noexcept
