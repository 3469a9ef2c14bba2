"""Table of contents of what the normalisers of crypto venues have in common, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.sink cimport Sink
from feed.metrics.histogram cimport Histogram, tc_histogram
from feed.wire.records cimport TC_SCHEMA_END, tc_level, tc_quote

cdef enum:                        # what a symbol can have a topic of, in the order of SCHEMAS
    VENUE_QUOTE
    VENUE_TRADE
    VENUE_BOOK
    VENUE_DEFINITION
    VENUE_TOPICS

cdef enum:                        # what of a symbol may be wrong
    BAD_QUOTE = 1
    BAD_BOOK = 2

cdef enum:                        # why something was refused; words in venue.pyx
    NOT_UNDERSTOOD                # no JSON, or not of the venue's shape
    NO_SYMBOL                     # of a symbol that nobody asked for
    NO_PRICE                      # not a decimal number, or not one that a record can hold
    NO_SIZE
    TWICE                         # was here before
    MISSED                        # as many trades as the venue's numbers say are not here
    NO_SPACE                      # the sink took nothing for too long
    VENUE_REASONS


cdef struct venue_symbol:
    uint32_t topics[VENUE_TOPICS]
    uint32_t instrument
    uint8_t decimals              # sizes are whole numbers of 10^-decimals
    uint8_t bad                   # BAD_*
    uint8_t fresh                 # BAD_*: what has to be told again even if it is as before
    tc_level top                  # as last told
    tc_level levels[10]


cdef class VenueRecords:
    cdef Sink _sink               # None: records are counted and thrown away
    cdef Histogram _venue
    cdef tc_histogram* venue
    cdef venue_symbol* symbols
    cdef uint32_t symbols_n, symbols_room
    cdef uint16_t publisher
    cdef uint64_t rejected[VENUE_REASONS]
    cdef uint64_t refused         # records whose topic the sink has no room for
    cdef uint64_t ticks[TC_SCHEMA_END]
    cdef uint64_t count           # records since it was made
    # --- of the message at hand, to be set before anything is told ---
    cdef uint64_t received        # ns since 1970: ts_in and ts_recv
    cdef uint64_t ts_event        # the venue's time, TC_UNDEF_TIMESTAMP: it says none

    # A trade; `side` A or B is the aggressor's, `size` in the symbol's units (levels.size_of).
    cdef void tell_trade(self, uint32_t symbol, int64_t price, uint32_t size, char side, uint64_t sequence) noexcept nogil
    # The best of both sides: a quote, if it is another than before. `flags`: DBN's, beside LAST and MAYBE_BAD_BOOK.
    cdef void tell_top(self, uint32_t symbol, const tc_level* top, uint64_t sequence, uint8_t flags) noexcept nogil
    # The best ten of both sides: a book, if they are others than before.
    cdef void tell_levels(self, uint32_t symbol, const tc_level* levels, uint64_t sequence, uint8_t flags) noexcept nogil
    # `what` (BAD_*) of a symbol may be wrong from here on; who relies on the last record is told so at once.
    cdef void mark(self, uint32_t symbol, int what) noexcept nogil
    # `what` is right from here on, and the next one is told in any case.
    cdef void clear(self, uint32_t symbol, int what) noexcept nogil
    cdef void put(self, uint32_t topic, uint16_t schema, const void* record, uint32_t nbytes) noexcept nogil
    cdef void _quote(self, uint32_t symbol, char action, uint64_t sequence, uint8_t flags) noexcept nogil
    cdef void _book(self, uint32_t symbol, char action, uint64_t sequence, uint8_t flags) noexcept nogil
    cdef void _head(
        self, tc_quote* head, size_t nbytes, uint8_t rtype, const venue_symbol* told, char action, uint64_t sequence,
        uint8_t flags,
    ) noexcept nogil


# No level on either side.
cdef void empty_levels(tc_level* levels, uint32_t n) noexcept nogil
