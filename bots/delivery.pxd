"""Table of contents of the delivery, for cimport."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from bots.arrivals cimport Arrivals
from bots.batch cimport columns_t
from bots.samples cimport Samples
from bots.ticks cimport Tick
from feed.metrics.histogram cimport Histogram

cdef enum:
    COLLECT_BLOCK = 32      # beside LINK_* and STEP_*: a block is needed for the run's schema
    COLLECT_FULL = 33       # as many as were asked for
    SCHEMAS_ROOM = 14       # schema ids are below
    POOL = 2                # objects per schema that take turns: who asks for the next tick still holds the last one


cdef class Delivery(Arrivals):
    cdef readonly uint64_t ticks    # delivered
    cdef readonly uint64_t last_lag_ns      # ts_bot - ts_sent of the last one, 0 if negative
    cdef readonly Histogram wire, total, handler
    cdef readonly Samples samples           # of when ticks were here
    cdef public int64_t offset_ns           # this host's clock minus the feed's; all that is measured is by the feed's
    cdef readonly Tick current      # given to a callback last
    cdef uint32_t stops             # bit per schema id: its ticks are refused when they are older than behind_ns
    cdef bint late
    cdef object ready               # batches that are done
    cdef list blocks                # by schema id: blocks to fill again
    cdef list open_blocks           # those being filled, in the order of their first ticks
    cdef columns_t* filling[SCHEMAS_ROOM]   # by schema id: inside one of them, or NULL
    cdef uint16_t first_schema      # of the batch in stream order
    cdef PyObject* pool[SCHEMAS_ROOM][POOL] # OWNED

    cdef int _came_back(self) except -1
    cdef Tick _next_tick(self, timeout)
    cdef Tick _tick(self)
    cdef void _measure(self, Tick tick, uint64_t now) noexcept
    cdef void _measure_columns(self, columns_t* columns, uint64_t now) noexcept
    cdef int _refuse(self, Tick tick) except -1
    cdef int _collect(self, uint32_t n, uint32_t* total) noexcept nogil
    cdef int _open_block(self, uint16_t schema_id, uint32_t room) except -1
    cdef int _finish(self) except -1
