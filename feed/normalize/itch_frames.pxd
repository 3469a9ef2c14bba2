"""Table of contents of the reader of ITCH messages in a row, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from feed.log.sink cimport Sink
from feed.metrics.histogram cimport Histogram
from feed.normalize.itch cimport Itch
from feed.normalize.schedule cimport schedule

cdef enum:
    WANT_NOTHING = 0
    WANT_BYTES = 1        # no whole message is left
    WANT_NAME = 2         # the next message is about a stock that is not bound yet: Itch.waiting
    WANT_ROOM = 3         # the sink is full
    WANT_LIVE = 4         # the snapshot is whole: ItchFrames.live_from is the next message


cdef class ItchFrames:
    cdef readonly int want
    cdef readonly uint64_t messages       # number of the last one that was dealt with
    cdef readonly uint64_t offset         # of the next message, in bytes from the beginning of the stream
    cdef readonly uint64_t due_ns         # when it is due, ns since 1970; 0: at once, or not known
    cdef Itch itch
    cdef Histogram _venue
    cdef uint8_t number_text[20]
    cdef object _buffer
    cdef uint8_t* bytes
    cdef size_t capacity
    cdef size_t at                        # [at, end) is still to be read
    cdef size_t end
    cdef size_t ahead                     # up to here memory has been called for,
    cdef size_t near                      # up to here that of the best levels too
    cdef int64_t step                     # bytes of the message that waits for its turn; 0: none
    cdef bint packets                     # the bytes came in packets whose lengths are sound
    cdef bint ended
    cdef bint searching                   # where messages begin is not known
    cdef uint64_t losses
    cdef schedule times

    # Put the blocks of a packet behind the bytes that are there; False: there is no room for them.
    cdef bint push(self, const uint8_t* blocks, size_t nbytes) noexcept nogil
    cdef int64_t run(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil
    cdef void _gather(self) noexcept nogil
    cdef bint _ends_snapshot(self) noexcept nogil
    cdef int64_t _frame(self) noexcept nogil
    cdef int _follows(self, size_t at) noexcept nogil
    cdef uint64_t _time(self) noexcept nogil
    cdef void _call(self) noexcept nogil
