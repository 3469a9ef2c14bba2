"""Table of contents of the Binance normaliser, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from feed.normalize.binance_message cimport binance_message, tc_json
from feed.normalize.levels cimport LevelBook, exact
from feed.normalize.venue cimport VenueRecords

cdef struct binance_level:
    int64_t price
    exact size
    uint8_t price_decimals


cdef struct binance_symbol:
    int state                     # of its book
    uint64_t last                 # u of the last update in it; of the snapshot, before any
    uint64_t trade                # number of the last trade, 0: none yet
    uint64_t ticker               # u of the last bookTicker
    int64_t known[2]              # of each side the key of the last level that is known for certain; INT64_MIN: all are
    bint due                      # another snapshot is wanted, while the book goes on
    uint64_t held_bytes           # of the updates that wait for a snapshot


cdef class Binance(VenueRecords):
    cdef readonly bint futures
    cdef readonly int index       # which symbol the last message is about, -1: none
    cdef readonly str cause       # why its book has to be got anew
    cdef dict _names
    cdef list _books
    cdef list _held               # of each symbol: updates that wait for a snapshot
    cdef binance_symbol* market
    cdef uint32_t market_room
    cdef binance_level* read[2]   # levels of the message at hand
    cdef uint32_t read_n[2]
    cdef uint32_t read_room[2]

    cdef int _depth(self, const binance_message* message, object payload) except -1
    cdef int _ticker(self, const binance_message* message) noexcept nogil
    cdef int _trade(self, const binance_message* message) noexcept nogil
    cdef int _follows(self, const binance_symbol* market, const binance_message* message) noexcept nogil
    cdef bint _read_both(self, const binance_message* message) noexcept nogil
    cdef bint _read(self, int side, tc_json at) noexcept nogil
    cdef bint _put(self, LevelBook book) noexcept nogil
    cdef void _tell(self, uint32_t symbol, uint64_t sequence, uint8_t flags) noexcept
    cdef int _hold(self, uint32_t symbol, object payload) except -1
    cdef int _lost(self, uint32_t symbol, str cause) except -1
