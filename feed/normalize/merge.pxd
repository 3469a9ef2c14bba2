"""Table of contents of the time merge, for cimport."""

from libc.stdint cimport int64_t, uint64_t

from feed.log.sink cimport Sink
from feed.normalize.dbn cimport dbn_stream
from feed.normalize.schedule cimport schedule
from feed.wire.records cimport TC_SCHEMA_END

cdef enum:
    WANT_NOTHING = 0
    WANT_BYTES = 1        # the stream that comes next has no whole record left
    WANT_TOPIC = 2        # its record belongs to an instrument whose topic is not known for that time
    WANT_MAPPING = 3      # it said what an instrument is called from here on
    WANT_REPAIR = 4       # a record of impossible length: nothing after it can be found
    WANT_ROOM = 5         # the sink is full


cdef class Merge:
    cdef readonly int want
    cdef dbn_stream** heap           # smallest (key, order) first
    cdef int count
    cdef object _streams
    cdef bint wanted[TC_SCHEMA_END]
    cdef schedule times
    cdef uint64_t last_ts
    # --- since they were last taken ---
    cdef uint64_t ticks[TC_SCHEMA_END]
    cdef uint64_t unsupported[256]
    cdef uint64_t unknown, wrong_length, refused

    # Append up to `limit` due records to `sink`, and say in `want` what is missing to go on. Returns how many.
    cdef int64_t run(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil
    cdef bint _decode(self, dbn_stream* s) noexcept nogil
    cdef void _rise(self, int i) noexcept nogil
    cdef void _settle(self) noexcept nogil
