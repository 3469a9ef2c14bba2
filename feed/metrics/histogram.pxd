"""C names of histogram.h, and the class around one, for cimport."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "feed/metrics/histogram.h" nogil:
    enum:
        TC_HISTOGRAM_BUCKETS
    const uint64_t TC_HISTOGRAM_TOP_NS

    ctypedef struct tc_histogram:
        uint64_t sum_ns
        uint64_t max_ns
        uint64_t negative
        uint64_t* counts

    ctypedef struct tc_histogram_batch:
        pass

    void tc_histogram_bump(uint64_t* word, uint64_t n)
    uint64_t tc_histogram_load(const uint64_t* word)
    uint32_t tc_histogram_index(uint64_t ns)
    uint64_t tc_histogram_floor(uint32_t index)
    uint64_t tc_histogram_width(uint32_t index)
    void tc_histogram_record_n(tc_histogram* h, int64_t ns, uint64_t n)
    void tc_histogram_record(tc_histogram* h, int64_t ns)
    tc_histogram_batch tc_histogram_begin(tc_histogram* h)
    void tc_histogram_add(tc_histogram_batch* batch, int64_t ns)
    void tc_histogram_end(tc_histogram_batch* batch)


cdef class Histogram:
    cdef tc_histogram* h       # hot loops record into this; valid as long as the object lives
    cdef object _owner         # keeps shared memory mapped; None: `h` is this object's own

    # A histogram inside memory that `owner` keeps alive.
    @staticmethod
    cdef Histogram at(tc_histogram* h, object owner)
