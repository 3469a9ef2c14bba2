# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The records of one ITCH market: what is known of its stocks and what rests, as DBN has it, into the outbox.

instrument_id is the stock locate code, ts_event the time of the message that is dealt with, ts_recv when it came. While a
snapshot is not whole, order records have the flag SNAPSHOT and changes make no quotes and no books.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING

from feed.normalize.order_book cimport SIDE_ASK, book_level, book_side, book_top
from feed.normalize.outbox cimport OUTBOX_NO_TOPIC
from feed.wire.records cimport (
    TC_BOOK_LEVELS,
    TC_SCHEMA_BOOK,
    TC_SCHEMA_ORDER,
    TC_SCHEMA_QUOTE,
    TC_SCHEMA_STATUS,
    TC_SCHEMA_TRADE,
    TC_UNDEF_ORDER_SIZE,
    TC_UNDEF_PRICE,
    TC_UNDEF_TIMESTAMP,
    tc_book,
    tc_definition,
    tc_level,
    tc_order,
    tc_quote,
    tc_status,
    tc_trade,
)

from feed.normalize.order_book import LIMIT

cdef enum:
    FLAG_LAST = 128                # DBN
    FLAG_SNAPSHOT = 32             # DBN
    FLAG_BAD = 4                   # DBN: MAYBE_BAD_BOOK

MARKETS = {"XNAS": 2, "XBOS": 3, "XPSX": 4}
"""Nasdaq's markets that speak ITCH 5.0, and DBN's publisher ids of their feeds."""


cdef class ItchRecords(Outbox):
    """
    :param market: its MIC, one of `MARKETS`.
    :param orders: so many may rest at once.
    """

    def __cinit__(self, market: str, *, orders: int = LIMIT):
        self.resting = OrderBooks(LOCATES, limit=orders)
        self.symbols = <itch_symbol*>calloc(LOCATES, sizeof(itch_symbol))
        if self.symbols is NULL:
            raise MemoryError
        self.publisher = MARKETS[market]
        self.trade.length = sizeof(tc_trade) // 4
        self.trade.rtype = 0
        self.status.length = sizeof(tc_status) // 4
        self.status.rtype = 18
        self.definition = _blank_definition(market.ljust(8).encode())

    def __dealloc__(self):
        free(self.symbols)

    # --- of all stocks ----------------------------------------------------------------------------------------------

    cdef void lost(self) noexcept nogil:
        cdef uint32_t i
        for i in range(1, LOCATES):
            if not self.symbols[i].bad:
                self.symbols[i].bad = self.symbols[i].untold = True
        self.telling = 1

    cdef void complete(self) noexcept nogil:
        cdef uint32_t i
        self.snapshot = False
        self.time = 0
        for i in range(1, LOCATES):
            self.symbols[i].untold = True
        self.telling = 1

    cdef bint tell(self) noexcept nogil:
        cdef itch_symbol* symbol
        self.empty()
        self.recv = self.received if self.received else self.ts
        while 0 < self.telling < LOCATES:
            symbol = &self.symbols[self.telling]
            if symbol.untold and symbol.stock and not symbol.left_out:
                self.tell_doubt(self.telling)
            symbol.untold = False
            self.telling += 1
            if self.count:
                return True
        self.telling = 0
        return False

    # --- of one -----------------------------------------------------------------------------------------------------

    cdef uint8_t flags(self, uint32_t locate, bint last) noexcept nogil:
        return (FLAG_LAST if last else 0) | (FLAG_BAD if self.symbols[locate].bad else 0) | (FLAG_SNAPSHOT if self.snapshot else 0)

    cdef void fill(self, tc_trade* head, uint32_t locate, char action, char side, int64_t price, uint32_t size) noexcept nogil:
        """What trades, quotes and books begin with."""
        head.publisher_id = self.publisher
        head.instrument_id = locate
        head.ts_event = self.ts
        head.ts_recv = self.recv
        head.price = price
        head.size = size
        head.action = action
        head.side = side
        head.flags = self.flags(locate, True)
        head.sequence = self.sequence

    cdef void tell_trade(self, uint32_t locate, char action, char side, int64_t price, uint32_t size, uint32_t sequence) noexcept nogil:
        self.fill(&self.trade, locate, action, side, price, size)
        self.trade.sequence = sequence
        self.put(self.symbols[locate].topics[WANT_TRADE], TC_SCHEMA_TRADE, &self.trade, sizeof(tc_trade))

    cdef void tell_status(self, uint32_t locate, int action, int reason, char trading, char quoting) noexcept nogil:
        cdef tc_status* status = &self.status
        status.publisher_id = self.publisher
        status.instrument_id = locate
        status.ts_event = self.ts
        status.ts_recv = self.recv
        status.action = action
        status.reason = reason
        status.is_trading = trading
        status.is_quoting = quoting
        status.is_short_sell_restricted = self.symbols[locate].restricted
        self.put(self.symbols[locate].topics[WANT_STATUS], TC_SCHEMA_STATUS, status, sizeof(tc_status))

    cdef void tell_order(self, uint32_t locate, char action, char side, uint64_t reference, int64_t price, uint32_t size, bint last) noexcept nogil:
        cdef tc_order* order
        if self.symbols[locate].topics[WANT_ORDER] == OUTBOX_NO_TOPIC:
            return
        order = self.next_order()
        if order is NULL:
            return
        order.publisher_id = self.publisher
        order.instrument_id = locate
        order.ts_event = self.ts
        order.ts_recv = self.recv
        order.order_id = reference
        order.price = price
        order.size = size
        order.flags = self.flags(locate, last)
        order.action = action
        order.side = side
        order.sequence = self.sequence
        self.put(self.symbols[locate].topics[WANT_ORDER], TC_SCHEMA_ORDER, order, sizeof(tc_order))

    cdef void tell_quote(self, uint32_t locate, char action, char side, int64_t price, uint32_t size) noexcept nogil:
        cdef tc_quote* quote
        if self.symbols[locate].topics[WANT_QUOTE] == OUTBOX_NO_TOPIC:
            return
        quote = self.next_quote()
        if quote is NULL:
            return
        self.fill(<tc_trade*>quote, locate, action, side, price, size)
        self.level(locate, 0, <tc_level*>&quote.bid_px)
        self.put(self.symbols[locate].topics[WANT_QUOTE], TC_SCHEMA_QUOTE, quote, sizeof(tc_quote))

    cdef void tell_book(self, uint32_t locate, char action, char side, int64_t price, uint32_t size, int64_t depth) noexcept nogil:
        cdef tc_book* book
        cdef uint32_t i
        if self.symbols[locate].topics[WANT_BOOK] == OUTBOX_NO_TOPIC:
            return
        book = self.next_book()
        if book is NULL:
            return
        self.fill(<tc_trade*>book, locate, action, side, price, size)
        book.depth = <uint8_t>depth
        for i in range(TC_BOOK_LEVELS):
            self.level(locate, i, &book.levels[i])
        self.put(self.symbols[locate].topics[WANT_BOOK], TC_SCHEMA_BOOK, book, sizeof(tc_book))

    cdef void tell_doubt(self, uint32_t locate) noexcept nogil:
        """The book as it is, for what is thought of it: its flags."""
        self.tell_quote(locate, c"N", c"N", TC_UNDEF_PRICE, 0)
        self.tell_book(locate, c"N", c"N", TC_UNDEF_PRICE, 0, 0)

    cdef void tell_change(self, uint32_t side, const itch_side* before, char action, int64_t price, uint32_t size, int64_t depth) noexcept nogil:
        """An order came or went `depth` levels from the best: what changes by it?"""
        cdef itch_side now
        if self.snapshot:
            return
        now = self.best(side)
        if now.there != before.there or now.key != before.key or now.size != before.size:
            self.tell_quote(side >> 1, action, side_of(side), price, size)
        if depth < TC_BOOK_LEVELS or before.count == TC_UNDEF_ORDER_SIZE:
            self.tell_book(side >> 1, action, side_of(side), price, size, min(depth, <int64_t>TC_BOOK_LEVELS))

    cdef itch_side best(self, uint32_t side) noexcept nogil:
        cdef const book_level* top = book_top(&self.resting.sides[side])
        cdef itch_side best
        best.there = top is not NULL
        best.key = top.key if best.there else 0
        best.size = top.size if best.there else 0
        best.count = top.count if best.there else 0
        return best

    cdef void level(self, uint32_t locate, uint32_t depth, tc_level* level) noexcept nogil:
        """Both sides at one depth; a size that is more than a record can say is cut to the greatest that it can."""
        cdef const book_side* bids = &self.resting.sides[2 * locate]
        cdef const book_side* asks = &self.resting.sides[2 * locate + SIDE_ASK]
        cdef const book_level* there
        level.bid_px = level.ask_px = TC_UNDEF_PRICE
        level.bid_sz = level.ask_sz = level.bid_ct = level.ask_ct = 0
        if depth < bids.n:
            there = &bids.levels[bids.n - 1 - depth]
            level.bid_px = there.key
            level.bid_sz = <uint32_t>min(there.size, <uint64_t>TC_UNDEF_ORDER_SIZE - 1)
            level.bid_ct = there.count
        if depth < asks.n:
            there = &asks.levels[asks.n - 1 - depth]
            level.ask_px = -there.key
            level.ask_sz = <uint32_t>min(there.size, <uint64_t>TC_UNDEF_ORDER_SIZE - 1)
            level.ask_ct = there.count


cdef tc_definition _blank_definition(bytes exchange) noexcept:
    """What is the same for every stock; DBN's words for what does not apply."""
    cdef tc_definition blank
    memset(&blank, 0, sizeof(blank))
    blank.length = sizeof(blank) // 4
    blank.rtype = 19
    blank.min_price_increment = PRICE_UNIT
    blank.display_factor = 1_000_000_000
    blank.expiration = blank.activation = TC_UNDEF_TIMESTAMP
    blank.high_limit_price = blank.low_limit_price = blank.max_price_variation = TC_UNDEF_PRICE
    blank.unit_of_measure_qty = blank.min_price_increment_amount = blank.price_ratio = TC_UNDEF_PRICE
    blank.strike_price = blank.leg_price = blank.leg_delta = TC_UNDEF_PRICE
    blank.inst_attrib_value = 0
    blank.market_depth_implied = blank.market_depth = 0x7FFFFFFF
    blank.max_trade_vol = blank.min_trade_vol = 0xFFFFFFFF
    blank.min_lot_size = blank.min_lot_size_block = 0x7FFFFFFF
    blank.contract_multiplier = blank.decay_quantity = blank.original_contract_size = 0x7FFFFFFF
    blank.appl_id = 0x7FFF
    blank.maturity_year = blank.decay_start_date = 0xFFFF
    blank.main_fraction = blank.sub_fraction = blank.price_display_format = blank.underlying_product = 0xFF
    blank.maturity_month = blank.maturity_day = blank.maturity_week = 0xFF
    blank.contract_multiplier_unit = blank.flow_schedule_type = 0x7F
    blank.tick_rule = 0xFF
    blank.user_defined_instrument = c"N"
    blank.instrument_class = c"K"
    blank.match_algorithm = c"F"
    blank.leg_instrument_class = c" "
    blank.leg_side = c"N"
    memcpy(blank.currency, "USD", 3)
    memcpy(blank.settl_currency, "USD", 3)
    memcpy(blank.exchange, PyBytes_AS_STRING(exchange), 4)
    return blank
