"""Table of contents of the playback of archived frames, for cimport."""

from libc.stdint cimport int64_t, uint64_t

from feed.log.sink cimport Sink
from feed.normalize.schedule cimport schedule
from feed.store.walk cimport FrameWalk
from feed.wire.records cimport TC_SCHEMA_END

cdef enum:
    WANT_NOTHING = 0
    WANT_BLOCK = 1        # all frames of the block are dealt with
    WANT_TOPIC = 2        # the next frame is of a topic that bind() has not named: `unknown`
    WANT_ROOM = 3         # the sink is full

cdef enum:
    LABEL_REFUSED = 0xFFFFFFFD    # a topic that the sink had no room for: count its records and go on


cdef class Playback(FrameWalk):
    cdef readonly int want
    cdef readonly uint64_t at_ns             # ts_in that has been reached, 0: none
    cdef readonly uint64_t refused           # records of topics that the sink had no room for
    cdef schedule _times
    cdef uint64_t _ticks[TC_SCHEMA_END]

    cdef int64_t run(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil
