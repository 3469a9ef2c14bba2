"""Table of contents of the reader of ITCH files, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from feed.log.sink cimport Sink
from feed.normalize.itch cimport Itch
from feed.normalize.schedule cimport schedule

cdef enum:
    WANT_NOTHING = 0
    WANT_BYTES = 1        # no whole message is left
    WANT_NAME = 2         # the next message is about a stock that is not bound yet: Itch.waiting
    WANT_ROOM = 3         # the sink is full


cdef class ItchFrames:
    cdef readonly int want
    cdef readonly uint32_t messages       # that were dealt with
    cdef readonly uint64_t offset         # of the next message, in bytes from the beginning of the stream
    cdef readonly uint64_t due_ns         # when it is due, ns since 1970; 0: at once, or not known
    cdef Itch itch
    cdef object _buffer
    cdef uint8_t* bytes
    cdef size_t at                        # [at, end) is still to be read
    cdef size_t end
    cdef size_t ahead                     # up to here memory has been called for,
    cdef size_t near                      # up to here that of the best levels too
    cdef int64_t step                     # bytes of the message that waits for its turn; 0: none
    cdef bint ended
    cdef bint searching                   # where messages begin is not known
    cdef uint64_t losses
    cdef schedule times

    cdef int64_t run(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil
    cdef int64_t _frame(self) noexcept nogil
    cdef int _follows(self, size_t at) noexcept nogil
    cdef uint64_t _time(self) noexcept nogil
    cdef void _call(self) noexcept nogil
