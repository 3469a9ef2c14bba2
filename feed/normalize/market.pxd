"""Table of contents of the synthetic market, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from feed.log.sink cimport Sink
from feed.wire.records cimport TC_SCHEMA_END, tc_quote, tc_status, tc_trade


cdef struct market_symbol:
    int64_t bid                   # prices in steps of the grid
    int64_t low                   # the bid stays in [low, high]
    int64_t high
    uint32_t spread               # ask - bid, in steps, at least 1
    uint32_t sizes[2]             # bid, ask
    uint32_t orders[2]
    uint32_t quote_topic
    uint32_t trade_topic
    uint32_t status_topic
    uint64_t halted_until         # ns since 1970; 0: it trades


cdef class Market:
    cdef uint64_t random[4]
    cdef market_symbol* symbols
    cdef uint64_t* thresholds     # alias table
    cdef uint32_t* aliases
    cdef uint32_t n
    # --- arrivals ---
    cdef bint paced
    cdef int arrivals
    cdef uint64_t interval        # mean, in 2**-16 ns
    cdef uint64_t next_ns         # of the next arrival
    cdef uint64_t fraction        # of that, in 2**-16 ns
    cdef bint busy                # bursty: in a burst?
    cdef uint64_t switch_ns       # until when
    # --- the session ---
    cdef int phase
    cdef uint32_t at              # symbol that opens or closes next
    cdef uint32_t opens, closes
    cdef uint64_t quota           # ticks still to come between them
    cdef bint crossed
    cdef uint64_t halt_every      # mean arrivals between two halts; 0: never
    cdef uint64_t halt_in         # arrivals until the next
    # --- the tick that was made last ---
    cdef tc_quote quote
    cdef tc_trade trade
    cdef tc_status status
    cdef uint32_t sequence
    cdef int made                 # its schema
    cdef uint32_t made_topic
    cdef bint held                # the sink has not taken it yet
    cdef uint64_t ticks[TC_SCHEMA_END]

    # Append what is due at `now_ns`, at most `limit` ticks. Returns how many; fewer than are due if the sink is full.
    cdef int64_t generate(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil
    cdef bint _deliver(self, Sink sink) noexcept nogil
    cdef bint _make(self) noexcept nogil
    cdef void _make_quote(self, market_symbol* symbol, uint64_t bits) noexcept nogil
    cdef void _make_trade(self, market_symbol* symbol, uint64_t bits) noexcept nogil
    cdef void _make_status(self, uint32_t i, int action, int reason, char trades) noexcept nogil
    cdef void _arrive(self) noexcept nogil
