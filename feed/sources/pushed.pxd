"""Table of contents of messages of records that are on their way into a sink, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.ring cimport Ring
from feed.log.sink cimport Sink
from feed.log.writer cimport LogWriter
from feed.metrics.histogram cimport Histogram, tc_histogram
from feed.wire.records cimport TC_SCHEMA_END


cdef struct pushed_symbol:
    uint8_t length                   # 0: a free slot
    char text[71]
    uint32_t topics[TC_SCHEMA_END]   # the sink's ids


cdef class Pushed:
    # --- the message at hand; `_content` keeps its bytes alive ---
    cdef object _content
    cdef const uint8_t* _body        # of the last message looked at, and its first record
    cdef const uint8_t* _first
    cdef uint32_t _total             # records of that
    cdef const uint8_t* records      # the next record
    cdef const uint8_t* which        # its symbol, u16; NULL: there is only one
    cdef uint32_t count, at          # records of the message; how many of them are dealt with
    cdef uint64_t ts_in
    cdef pushed_symbol** chosen      # the message's symbols, NULL for one that is not known yet
    cdef uint32_t chosen_room
    # --- every symbol that has a topic: open addressing, a power of two of slots ---
    cdef pushed_symbol* symbols
    cdef uint32_t slots, used
    # --- the sink ---
    cdef Sink _sink
    cdef Ring _ring                  # None: the sink is the log itself
    cdef LogWriter _writer
    cdef Histogram _venue
    cdef tc_histogram* venue
    cdef uint64_t ticks[TC_SCHEMA_END]
    cdef readonly uint32_t fault     # which record the last refusal is about
    cdef readonly bint full          # the sink had no room

    cdef int _walk(self, const uint8_t* body, size_t n, uint32_t count, uint32_t skip) except -1
    cdef int64_t _run(self, int64_t limit) noexcept nogil
