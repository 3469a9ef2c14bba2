"""Table of contents of stream order, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bots.links.link cimport Link, run_t

# A run that waits, its bytes copied; `at` is the first of its records that has not gone out.
ctypedef struct held_t:
    run_t run
    uint64_t seq            # of record `at`
    uint64_t serial         # order of arrival, where seqs are equal
    uint8_t* data
    size_t room
    uint32_t at
    uint32_t next_free


cdef class StreamHold(Link):
    cdef Link source
    cdef held_t* held
    cdef uint32_t held_room, free_head
    cdef uint32_t* heap             # indices of `held`, the lowest (seq, serial) first
    cdef readonly uint32_t waiting  # how many runs wait
    cdef uint32_t gone              # 1 + index of the run whose last record went out with the last call
    cdef uint64_t epoch, proved, serial
    cdef run_t parked               # the first run of a new epoch, while the old one's are let out
    cdef bint has_parked
    cdef readonly uint64_t refused  # runs that there was no memory for

    cdef int _put(self, const run_t* run) noexcept nogil
    cdef void _let_out(self, run_t* out) noexcept nogil
    cdef void _sink(self) noexcept nogil
    cdef bint _before(self, uint32_t a, uint32_t b) noexcept nogil
