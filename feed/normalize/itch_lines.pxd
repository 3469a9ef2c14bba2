"""Table of contents of the MoldUDP64 lines of ITCH, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.normalize.itch_frames cimport ItchFrames
from feed.wire.arbiter cimport Arbiter

cdef enum:
    LINES_TAKEN = 0       # whatever was new in it is taken in
    LINES_OTHER = 1       # it is of another session: `other_session`, `other_sequence`
    REASONS_END = 8


cdef struct held_t:       # messages `first` to below `end` that came before others did
    uint64_t first
    uint64_t end
    uint8_t* blocks
    size_t nbytes


cdef class ItchLines:
    cdef readonly Arbiter arbiter
    cdef readonly uint64_t next           # the first message that is not in the frames yet
    cdef readonly uint64_t held_bytes     # of messages that wait for earlier ones
    cdef readonly uint64_t end            # one more than the last message of a session that has ended; 0: it has not
    cdef readonly uint64_t other_sequence
    cdef uint64_t highest                 # one more than the highest message that is known of
    cdef uint8_t _session[10]
    cdef uint8_t _other[10]
    cdef ItchFrames frames
    cdef bint begun
    cdef bint paused                      # nothing goes into the frames
    cdef uint64_t held_max
    cdef held_t* held                     # [at, at + n) rise
    cdef size_t held_at, held_n, held_capacity
    cdef uint64_t far                     # the message behind those that are implausibly far ahead,
    cdef uint32_t far_n                   # so many datagrams in a row
    cdef uint64_t rejected[REASONS_END]

    # Take in one datagram of a line; `now` is monotonic. Returns LINES_*.
    cdef int offer(self, uint32_t line, const uint8_t* data, size_t n, uint64_t now) noexcept nogil
    cdef void release_held(self) noexcept nogil
    cdef bint _hold(self, uint64_t first, uint64_t end, const uint8_t* blocks, size_t nbytes) noexcept nogil
    cdef uint64_t _there(self) noexcept nogil
