"""Table of contents of the snapshot cache, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.control.books cimport Books
from feed.control.lasts cimport Lasts
from feed.control.layout cimport tc_state_header, tc_state_topic
from feed.log.reader cimport LogReader


cdef class State:
    # --- what outlives this process; valid until close() ---
    cdef Lasts lasts
    cdef Books books
    cdef tc_state_header* header        # of `lasts`
    cdef tc_state_topic* topics         # by topic id, header.topics of them
    # --- what only this process has ---
    cdef LogReader reader
    cdef uint32_t* leaders              # by topic id: the first topic of the same symbol
    cdef uint32_t* symbols              # hash table of leaders, by symbol; topic id + 1
    cdef uint64_t* expected             # by topic id: its last topic_seq when this reader came in, or came in again
    cdef uint8_t* living                # scratch of a roll: by leader
    cdef uint32_t symbols_mask
    cdef uint32_t expecting             # entries of `expected`
    cdef uint64_t expected_tail, expected_end
    cdef uint64_t roll_at               # books begin anew before the record of this seq; 0: no roll is due
    cdef bint retiring                  # and topics are retired then
    cdef bint settling                  # records may have gone by that nothing in the log tells of any more
    cdef uint32_t revived               # topics that came back since they were last looked for
    cdef readonly uint64_t overruns     # times this reader was overtaken
    cdef readonly uint64_t misfits      # records whose size is not their schema's
    cdef readonly uint32_t retired_symbols
    cdef object _memory

    cdef int take(self, uint32_t frames) noexcept nogil         # TAKE_*
    # Is what is kept of a topic not all there is to know of its state?
    cdef bint incomplete(self, uint32_t topic_id) noexcept nogil

    cdef void _expect(self) noexcept nogil
    cdef void _settle(self) noexcept nogil
    cdef bint _settled(self) noexcept nogil
    cdef uint32_t _leader(self, uint32_t topic_id) noexcept nogil
    cdef void _retire(self, bint rolling) noexcept nogil
    cdef void _roll_over(self) noexcept nogil
    cdef void _go_back(self) noexcept nogil
