"""Table of contents of what subscribers want, for cimport."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.reader cimport LogReader

cdef enum:
    TOPIC_ROOM = 107            # fills 128 bytes; TC_WIRE_TOPIC_MAX is 85

# One topic as the publisher sees it: two cache lines, the first of which holds all that skipping a record needs.
ctypedef struct Topic:
    uint32_t wanted             # prefixes subscribed to that match it; 0: not even built
    uint32_t open               # 1 + index of its frame in the batch being gathered; 0: none
    uint64_t next_seq           # topic_seq of its next record
    uint16_t record_bytes
    uint8_t length              # of `text`
    uint8_t loss                # its next frame says that something was lost before
    uint8_t quiet               # empty frames since its last record
    uint8_t text[TOPIC_ROOM]    # with the bar


cdef class Interest:
    cdef Topic* topics                  # by topic id
    cdef uint64_t* due_ns               # by topic id: when an empty frame is due (monotonic); UINT64_MAX: never
    cdef readonly uint32_t known        # topics learned
    cdef readonly uint32_t heartbeat    # prefixes subscribed to that match the heartbeat
    cdef bint greet                     # somebody new waits for a heartbeat
    cdef uint64_t heartbeat_ns
    cdef object _memory, _ids, _prefixes, _lengths, _walks, _walking
    cdef bytes _walk
    cdef uint32_t _walk_at, _walk_end
    cdef uint32_t _hand, _steps
    cdef uint64_t _swept_ns

    # Begin with the topics of another log; subscriptions stay. -1: an exception.
    cdef int attach(self, LogReader reader, uint64_t now) except -1
    # Take in the topics that the log's table has more by now; `loss`: something of them may be lost already.
    cdef int learn(self, LogReader reader, bint loss) except -1
    # What a subscriber sent: subscribe, or the last one left.
    cdef int hear(self, bytes event) except -1
    # The next topic that owes a new subscriber an empty frame: its id, OWED_NONE, or OWED_LATER after a long search.
    cdef int64_t owed(self) except -3
    # The next topic that has been quiet for so long that an empty frame is due: its id or OWED_NONE. turn() first, once a poll.
    cdef void turn(self, uint64_t now) noexcept nogil
    cdef int64_t overdue(self, uint64_t now) noexcept nogil
    # An empty frame of this topic was made: the next is due after twice as long.
    cdef void rest(self, uint32_t topic_id, uint64_t now) noexcept nogil
    # Records were lost, nobody knows of which topics: the next frame of each says so, whoever wants it by then.
    cdef void lose(self) noexcept nogil
    # Take next_seq of all topics from the log, which is at or beyond the publisher.
    cdef void renumber(self, LogReader reader) noexcept nogil

    cdef void _mark(self, bytes prefix, int32_t by)
    cdef int64_t _match(self, const uint8_t* prefix, size_t length, uint32_t start, uint32_t end) noexcept nogil

cdef enum:
    OWED_NONE = -1
    OWED_LATER = -2
