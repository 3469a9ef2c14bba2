# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""What the normalisers of crypto venues have in common: their symbols' topics and marks, and records into the sink.

A normaliser is made from it and deals with one message at a time: what a message makes is in the sink before the next
one is looked at. ts_in and ts_recv are when the message was received, ts_event is the venue's time. A record's size is
a whole number of the symbol's units, 10^-decimals of its base asset (or contracts); its definition says so too, as
unit_of_measure_qty.

A quote or a book that may be wrong has the flag MAYBE_BAD_BOOK: one with action N and what was last known comes at
once, the next ones have it until the state is known again.
"""

from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from feed.clock cimport mono_ns, wall_ns, wall_sleep_until
from feed.log.through cimport TOOK
from feed.metrics.histogram cimport tc_histogram_record
from feed.wire.records cimport (
    TC_BOOK_LEVELS,
    TC_SCHEMA_BOOK,
    TC_SCHEMA_QUOTE,
    TC_SCHEMA_TRADE,
    TC_UNDEF_PRICE,
    TC_UNDEF_TIMESTAMP,
    tc_book,
    tc_quote,
    tc_trade,
)

from feed.wire.records import BY_WORD

cdef enum:
    FLAG_LAST = 128               # DBN
    FLAG_BAD = 4                  # DBN: MAYBE_BAD_BOOK
    TOPIC_NONE = 0xFFFFFFFF
    TOPIC_REFUSED = 0xFFFFFFFE

cdef uint64_t FULL_SLEEP_NS = 50_000
cdef uint64_t FULL_LIMIT_NS = 5_000_000_000

SCHEMAS = ("quote", "trade", "book", "definition")
"""What a symbol can have a topic of, in the order of :meth:`VenueRecords.add`'s ids."""
NO_TOPIC = <uint32_t>TOPIC_NONE
REFUSED = <uint32_t>TOPIC_REFUSED
QUOTE = <int>BAD_QUOTE
BOOK = <int>BAD_BOOK
REASONS = (
    "malformed",
    "unknown_symbol",
    "impossible_price",
    "impossible_size",
    "duplicate",
    "missed_trade",
    "sink_full",
)


cdef class VenueRecords:
    """Records of a venue's symbols into `sink`.

    :param publisher: publisher_id of all records.
    :param venue: takes the time from ts_event to ts_in.
    """

    def __cinit__(self, Sink sink, int publisher, Histogram venue=None):
        self._sink = sink
        self.publisher = publisher
        self._venue = venue
        self.venue = venue.h if venue is not None else NULL
        self.ts_event = TC_UNDEF_TIMESTAMP

    def __dealloc__(self):
        free(self.symbols)

    def add(self, topics, instrument: int, decimals: int) -> int:
        """One more symbol, nothing known of it yet: the index by which all else names it.

        `topics` are ids of the sink, `NO_TOPIC` or `REFUSED`, as `SCHEMAS`; its sizes count 10^-decimals.
        """
        cdef uint32_t i, room
        cdef venue_symbol* larger
        cdef venue_symbol* symbol
        if not 0 <= decimals <= 18 or len(topics) != VENUE_TOPICS:
            raise ValueError("0 to 18 decimals, and a topic for each schema")
        if self.symbols_n == self.symbols_room:
            room = max(16, 2 * self.symbols_room)
            larger = <venue_symbol*>realloc(self.symbols, room * sizeof(venue_symbol))
            if larger is NULL:
                raise MemoryError
            self.symbols = larger
            self.symbols_room = room
        symbol = &self.symbols[self.symbols_n]
        memset(symbol, 0, sizeof(venue_symbol))
        for i in range(VENUE_TOPICS):
            symbol.topics[i] = topics[i]
        symbol.instrument = instrument
        symbol.decimals = decimals
        symbol.fresh = BAD_QUOTE | BAD_BOOK
        empty_levels(&symbol.top, 1)
        empty_levels(symbol.levels, TC_BOOK_LEVELS)
        self.symbols_n += 1
        return self.symbols_n - 1

    def doubt(self, index: int, what: int, received_ns: int) -> None:
        """`what` of a symbol (`QUOTE`, `BOOK`, both added) may be wrong from now on, and is told so."""
        self._check(index)
        self.received = received_ns
        self.ts_event = TC_UNDEF_TIMESTAMP
        self.mark(index, what)

    def is_doubtful(self, index: int) -> int:
        """What of a symbol may be wrong: `QUOTE`, `BOOK`, both added, or 0."""
        self._check(index)
        return self.symbols[<uint32_t>index].bad

    def record(self, index: int, schema: str, content: bytes, received_ns: int) -> None:
        """A record as it is: of the schemas that come seldom."""
        cdef uint32_t topic
        self._check(index)
        topic = self.symbols[<uint32_t>index].topics[<size_t>SCHEMAS.index(schema)]
        if len(content) != BY_WORD[schema].record_bytes:
            raise ValueError("not a record of that schema")
        self.received = received_ns
        self.ts_event = TC_UNDEF_TIMESTAMP
        self.put(topic, BY_WORD[schema].id, <const char*>PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))

    def flush(self) -> None:
        """Make all records visible, and wake whoever waits. Once per batch."""
        if self._sink is not None:
            self._sink.flush()

    @property
    def done(self) -> int:
        """Records so far."""
        return self.count

    def take_ticks(self) -> list[tuple[int, int]]:
        """(schema id, records since the last call), schemas without any left away."""
        cdef int i
        taken = []
        for i in range(TC_SCHEMA_END):
            if self.ticks[i]:
                taken.append((i, self.ticks[i]))
                self.ticks[i] = 0
        return taken

    def take_rejected(self) -> list[tuple[str, int]]:
        """(reason, how often since the last call), reasons without any left away."""
        cdef int i
        taken = []
        for i in range(VENUE_REASONS):
            if self.rejected[i]:
                taken.append((REASONS[i], self.rejected[i]))
                self.rejected[i] = 0
        if self.refused:
            taken.append(("topic_refused", self.refused))
            self.refused = 0
        return taken

    def _check(self, index: int) -> None:
        if not 0 <= index < self.symbols_n:
            raise IndexError(index)

    # --- for normalisers --------------------------------------------------------------------------------------------

    cdef void tell_trade(self, uint32_t symbol, int64_t price, uint32_t size, char side, uint64_t sequence) noexcept nogil:
        cdef tc_trade trade
        memset(&trade, 0, sizeof(trade))
        trade.length = sizeof(trade) // 4
        trade.publisher_id = self.publisher
        trade.instrument_id = self.symbols[symbol].instrument
        trade.ts_event = self.ts_event
        trade.ts_recv = self.received
        trade.price = price
        trade.size = size
        trade.action = c"T"
        trade.side = side
        trade.flags = FLAG_LAST
        trade.sequence = <uint32_t>sequence
        self.put(self.symbols[symbol].topics[VENUE_TRADE], TC_SCHEMA_TRADE, &trade, sizeof(trade))

    cdef void tell_top(self, uint32_t symbol, const tc_level* top, uint64_t sequence, uint8_t flags) noexcept nogil:
        cdef venue_symbol* told = &self.symbols[symbol]
        if not told.fresh & BAD_QUOTE and memcmp(&told.top, top, sizeof(tc_level)) == 0:
            return
        told.top = top[0]
        told.fresh &= ~BAD_QUOTE
        self._quote(symbol, c"M", sequence, flags)

    cdef void tell_levels(self, uint32_t symbol, const tc_level* levels, uint64_t sequence, uint8_t flags) noexcept nogil:
        cdef venue_symbol* told = &self.symbols[symbol]
        if not told.fresh & BAD_BOOK and memcmp(told.levels, levels, TC_BOOK_LEVELS * sizeof(tc_level)) == 0:
            return
        memcpy(told.levels, levels, TC_BOOK_LEVELS * sizeof(tc_level))
        told.fresh &= ~BAD_BOOK
        self._book(symbol, c"M", sequence, flags)

    cdef void mark(self, uint32_t symbol, int what) noexcept nogil:
        cdef venue_symbol* told = &self.symbols[symbol]
        cdef int new = what & ~told.bad
        told.bad |= what
        if new & BAD_QUOTE and not told.fresh & BAD_QUOTE:  # else nobody was told anything that could be wrong
            self._quote(symbol, c"N", 0, 0)
        if new & BAD_BOOK and not told.fresh & BAD_BOOK:
            self._book(symbol, c"N", 0, 0)

    cdef void clear(self, uint32_t symbol, int what) noexcept nogil:
        cdef venue_symbol* told = &self.symbols[symbol]
        told.fresh |= what & told.bad
        told.bad &= ~what

    cdef void put(self, uint32_t topic, uint16_t schema, const void* record, uint32_t nbytes) noexcept nogil:
        """Into the sink. A ring that is full is waited for: meanwhile the venue's bytes wait in the socket."""
        cdef uint64_t until = 0
        cdef int took = TOOK
        if topic >= TOPIC_REFUSED:
            self.refused += topic == TOPIC_REFUSED
            return
        if self._sink is not None:
            while True:
                took = self._sink.append(topic, record, nbytes, self.received, 0)
                if took:
                    break
                if until == 0:
                    until = mono_ns() + FULL_LIMIT_NS
                elif mono_ns() > until:
                    self.rejected[NO_SPACE] += 1
                    return
                wall_sleep_until(wall_ns() + FULL_SLEEP_NS)
        if self.venue is not NULL and self.ts_event != TC_UNDEF_TIMESTAMP:
            tc_histogram_record(self.venue, <int64_t>(self.received - self.ts_event))
        self.ticks[schema] += took == TOOK
        self.count += 1

    cdef void _quote(self, uint32_t symbol, char action, uint64_t sequence, uint8_t flags) noexcept nogil:
        cdef const venue_symbol* told = &self.symbols[symbol]
        cdef tc_quote quote
        memset(&quote, 0, sizeof(quote))
        self._head(&quote, sizeof(quote), 1, told, action, sequence, flags | (FLAG_BAD if told.bad & BAD_QUOTE else 0))
        memcpy(&quote.bid_px, &told.top, sizeof(tc_level))
        self.put(told.topics[VENUE_QUOTE], TC_SCHEMA_QUOTE, &quote, sizeof(quote))

    cdef void _book(self, uint32_t symbol, char action, uint64_t sequence, uint8_t flags) noexcept nogil:
        cdef const venue_symbol* told = &self.symbols[symbol]
        cdef tc_book book
        memset(&book, 0, sizeof(book))
        self._head(
            <tc_quote*>&book, sizeof(book), 10, told, action, sequence, flags | (FLAG_BAD if told.bad & BAD_BOOK else 0))
        memcpy(book.levels, told.levels, sizeof(told.levels))
        self.put(told.topics[VENUE_BOOK], TC_SCHEMA_BOOK, &book, sizeof(book))

    cdef void _head(
        self, tc_quote* head, size_t nbytes, uint8_t rtype, const venue_symbol* told, char action, uint64_t sequence,
        uint8_t flags,
    ) noexcept nogil:
        """Of a quote or a book, which differ in their levels only (DBN: MBP-1, MBP-10)."""
        head.length = nbytes // 4
        head.rtype = rtype
        head.publisher_id = self.publisher
        head.instrument_id = told.instrument
        head.ts_event = self.ts_event
        head.ts_recv = self.received
        head.price = TC_UNDEF_PRICE
        head.action = action
        head.side = c"N"
        head.flags = FLAG_LAST | flags
        head.sequence = <uint32_t>sequence


cdef void empty_levels(tc_level* levels, uint32_t n) noexcept nogil:
    cdef uint32_t i
    memset(levels, 0, n * sizeof(tc_level))
    for i in range(n):
        levels[i].bid_px = levels[i].ask_px = TC_UNDEF_PRICE
