"""Table of contents of the firehose, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.life cimport Life
from feed.log.reader cimport LogReader
from feed.metrics.counters cimport Counter
from feed.publish.outlet cimport Outlet


cdef class Firehose:
    cdef LogReader reader
    cdef Life life
    cdef Outlet outlet
    cdef uint64_t heartbeat_ns, heartbeat_due_ns, patience_ns
    cdef uint64_t reported              # position that the log knows of
    cdef bint wanted, heartbeat         # somebody is subscribed to it
    cdef bint loss                      # the next run says that something was lost before
    cdef bint deaf                      # there may be more subscriptions to hear
    cdef uint32_t table_at, table_end   # topics that are owed to new subscribers
    cdef object _prefixes
    cdef Counter _overrun

    cdef int _pump(self, uint64_t now) noexcept nogil
    cdef uint32_t _run(self) noexcept nogil
    cdef void _lost(self, uint64_t records) noexcept nogil
    cdef void _table(self) noexcept nogil
    # Room for `nbytes` behind topic and header; NULL: no memory, the outlet has the error.
    cdef uint8_t* _make(self, const char* topic, uint32_t topic_length, size_t nbytes, uint32_t frames, uint32_t records, uint64_t seq, uint64_t ts_in, uint16_t flags) noexcept nogil
    cdef int _listen(self) except -1
