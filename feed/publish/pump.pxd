"""Table of contents of the pump, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from feed.log.life cimport Life
from feed.log.reader cimport LogReader
from feed.metrics.counters cimport Counter
from feed.publish.batch cimport Batch
from feed.publish.interest cimport Interest
from feed.publish.outlet cimport Outlet


cdef class Pump:
    cdef LogReader reader
    cdef Life life
    cdef Outlet outlet
    cdef readonly Interest interest
    cdef Batch batch
    cdef uint64_t heartbeat_ns, heartbeat_due_ns, patience_ns, spin_ns
    cdef uint64_t reported              # position that the log knows of
    cdef bint overtaken                 # the log has used the reader's place again
    cdef bint learn                     # the log has topics that are not known yet
    cdef bint deaf                      # there may be more subscriptions to hear
    cdef bint stale                     # records were lost: topics and their next_seq are to be taken from the log again
    cdef bint settled                   # every topic's next_seq is that of this reader's place in the log
    cdef uint64_t ahead_tail, ahead     # until then: the log's tail when they were taken; where they hold for sure
    cdef readonly uint64_t frames       # of ticks, handed over
    cdef readonly uint64_t empties      # without, heartbeats among them
    cdef Counter _overrun, _misfit

    cdef int _pump(self, uint64_t now) noexcept nogil
    cdef bint _emit(self) noexcept nogil
    cdef void _lost(self, uint64_t records) noexcept nogil
    cdef void _renumber(self) noexcept nogil
    cdef void _settle(self, bint dry) noexcept nogil
    cdef bint _feed_lives(self, uint64_t now) noexcept nogil
    cdef void _tell(self, uint64_t now) noexcept nogil
    cdef void _empty(self, uint32_t topic_id, const uint8_t* topic, uint32_t topic_length, uint64_t topic_seq, bint loss) noexcept nogil
    cdef void _empty_topic(self, uint32_t topic_id) noexcept nogil
    cdef int _listen(self) except -1
    cdef int _greet(self, uint64_t now) except -1
