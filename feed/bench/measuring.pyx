# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""What measuring costs a tick, clock reads apart: the very functions of the hot paths, beside the same loop without them.

    sequencer   ingest: one histogram
    publisher   publish: one histogram for each frame, a frame of one tick here
    bot         wire, total, handler: three histograms, and whether the tick is a sample (bots/samples.pyx keeps one in 64,
                and fewer the more there are)
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from feed.clock cimport mono_ns
from feed.metrics.histogram cimport Histogram, tc_histogram_record, tc_histogram_record_n

cdef enum:
    SAMPLED = 63


def cost(int64_t[::1] late_ns, ticks: int, histograms: int, frames: bool, sampled: bool, on: bool) -> float:
    """ns per tick of `ticks` ticks that are late by `late_ns`, over and over (a power of two of them), with measuring `on`
    or off. A stage's histogram takes the same differences; `frames`: as the publisher puts them in.
    """
    cdef list made = [Histogram() for _ in range(3)]
    cdef Histogram one = made[0], two = made[1], three = made[2]
    cdef uint64_t n = ticks, i, mask = late_ns.shape[0] - 1, taken = 0
    cdef int64_t late, sum = 0
    cdef int many = histograms
    cdef bint measured = on, samples = sampled, by_frame = frames
    cdef uint64_t began = mono_ns()
    with nogil:
        for i in range(n):
            late = late_ns[i & mask]
            sum += late         # so that the loop without is a loop
            if measured:
                if by_frame:
                    tc_histogram_record_n(one.h, late, 1)
                else:
                    tc_histogram_record(one.h, late)
                if many > 1:
                    tc_histogram_record(two.h, late)
                if many > 2:
                    tc_histogram_record(three.h, late)
                if samples and i & SAMPLED == 0:
                    taken += 1
    cdef uint64_t ended = mono_ns()
    assert sum and (not measured or one.count == n)
    return <double>(ended - began) / <double>n
