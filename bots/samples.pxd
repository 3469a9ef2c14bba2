"""Table of contents of sampled ticks, for cimport."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    SAMPLES = 64

ctypedef struct sample_t:
    uint64_t seq
    uint64_t ns         # when the bot had it, on the feed's clock


@cython.final
cdef class Samples:
    cdef uint64_t mask          # seqs that have none of these bits are sampled
    cdef uint32_t count
    cdef sample_t samples[SAMPLES]

    # Ticks that `mask` passes over may be left out.
    cpdef void put(self, uint64_t seq, uint64_t ns) noexcept nogil
