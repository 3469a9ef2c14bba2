"""C names of counters.h, and the handles of counters and gauges, for cimport."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from feed.metrics.histogram cimport Histogram

cdef extern from "feed/metrics/counters.h" nogil:
    enum:
        TC_COUNTERS_PAGE
        TC_COUNTERS_ROWS
        TC_COUNTERS_SLOT
        TC_COUNTERS_NAME
        TC_COUNTERS_LABELS
        TC_COUNTERS_LABEL_VALUE
        TC_ROW_RETIRED
        TC_ROW_COUNTER
        TC_ROW_GAUGE
        TC_ROW_HISTOGRAM
    const uint64_t TC_COUNTERS_MAGIC
    const uint32_t TC_COUNTERS_VERSION
    const uint64_t TC_COUNTERS_BYTES

    ctypedef struct tc_counters_header:
        uint64_t magic
        uint32_t version
        uint32_t max_rows
        uint64_t values_at
        uint64_t file_bytes
        uint32_t used_rows
        uint64_t next_value
        uint64_t refused

    ctypedef struct tc_counter_row:
        uint32_t stamp
        uint32_t kind
        uint64_t value
        uint32_t value_bytes
        uint32_t pid
        char* name
        char* labels

    void tc_counters_begin_row(tc_counter_row* row)
    void tc_counters_publish_row(tc_counter_row* row)
    int tc_counters_copy_row(const tc_counter_row* row, tc_counter_row* out)
    uint32_t tc_counters_used(const tc_counters_header* header)
    void tc_counters_set_used(tc_counters_header* header, uint32_t rows)
    void tc_counter_add(uint64_t* slot, uint64_t n)
    void tc_counter_put(uint64_t* slot, uint64_t value)
    uint64_t tc_counter_load(const uint64_t* slot)


cdef class Counter:
    cdef uint64_t* slot        # hot loops: tc_counter_add(counter.slot, n); valid as long as the object lives
    cdef object _owner

    cpdef void add(self, uint64_t n) noexcept nogil


cdef class Gauge:
    cdef uint64_t* slot        # an int64_t by bits
    cdef object _owner

    cpdef void put(self, int64_t value) noexcept nogil
    cpdef void add(self, int64_t n) noexcept nogil


cdef class Counters:
    cdef tc_counters_header* header
    cdef tc_counter_row* table
    cdef char* base
    cdef readonly object directory
    cdef object _map           # the mmap; handles keep it alive
    cdef object _fd
    cdef dict _found           # {(name, label values): index} of the rows met so far
    cdef list _keys            # the same by index; None: nothing there
    cdef uint32_t[::1] _stamps # of the rows when they were read, by index
    cdef bint _writable

    cdef tuple _value(self, str kind, str name, dict labels)
    cdef object _find(self, tuple key)
    cdef object _make(self, object metric, tuple key)
