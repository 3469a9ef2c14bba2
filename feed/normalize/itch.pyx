# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Nasdaq TotalView-ITCH 5.0 messages in, normalised records out: sans-IO, one message at a time.

    R            definition                     A F          order A
    S V W        status of the market           E C          trade (C if printable), order T F C
    H Y J h      status of the stock            X D          order C
    P Q          trade, order T                 U            order C A
    B            trade with the action C: the   K L I N O    nothing
                 one that is void

Whatever changes the best price or size of a stock makes a `quote`, within its best ten levels a `book`. Prices are exact.
instrument_id is the stock locate code, ts_event the message's time, ts_recv when it came (from files: its time too),
sequence its number in the stream, in the record of a broken trade the trade's.

A snapshot (GLIMPSE) is the orders that rest, as messages that add them: order records have the flag SNAPSHOT, and no quote
and no book comes before it is whole; then one of each stock.

What cannot be is counted by reason, dealt with as far as it makes sense, and marks the book of its stock: until the next
day or a snapshot all its records have the flag MAYBE_BAD_BOOK, and a quote (action N) says so at once. A missed order may
rest unseen all day, so nothing else proves a book right.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING

from feed.normalize.itch_records cimport LOCATES, PRICE_UNIT, WANT_DEFINITION, WANT_END, itch_side, itch_symbol, side_of
from feed.normalize.order_book cimport NO_ROOM, book_side, tc_prefetch
from feed.normalize.outbox cimport OUTBOX_NO_TOPIC, OUTBOX_REFUSED
from feed.wire.records cimport TC_BOOK_LEVELS, TC_SCHEMA_DEFINITION, TC_UNDEF_ORDER_SIZE, TC_UNDEF_PRICE, tc_definition

cdef extern from "feed/normalize/itch.h" nogil:
    const uint8_t* tc_itch_length
    const uint8_t* tc_itch_stock_at

    ctypedef struct tc_itch_head:
        uint8_t locate[2]
        uint8_t time[6]
    ctypedef struct tc_itch_S:
        uint8_t code[1]
    ctypedef struct tc_itch_R:
        uint8_t stock[8]
        uint8_t category[1]
        uint8_t round_lot[4]
        uint8_t issue_class[1]
        uint8_t subtype[2]
    ctypedef struct tc_itch_H:
        uint8_t state[1]
        uint8_t reason[4]
    ctypedef struct tc_itch_Y:
        uint8_t action[1]
    ctypedef struct tc_itch_W:
        uint8_t level[1]
    ctypedef struct tc_itch_h:
        uint8_t market[1]
        uint8_t action[1]
    ctypedef struct tc_itch_A:
        uint8_t reference[8]
        uint8_t side[1]
        uint8_t shares[4]
        uint8_t price[4]
    ctypedef struct tc_itch_E:
        uint8_t reference[8]
        uint8_t shares[4]
        uint8_t match[8]
    ctypedef struct tc_itch_C:
        uint8_t printable[1]
        uint8_t price[4]
    ctypedef struct tc_itch_X:
        uint8_t reference[8]
        uint8_t shares[4]
    ctypedef struct tc_itch_D:
        uint8_t reference[8]
    ctypedef struct tc_itch_U:
        uint8_t reference[8]
        uint8_t new_reference[8]
        uint8_t shares[4]
        uint8_t price[4]
    ctypedef struct tc_itch_P:
        uint8_t shares[4]
        uint8_t price[4]
        uint8_t match[8]
    ctypedef struct tc_itch_Q:
        uint8_t shares[8]
        uint8_t price[4]
        uint8_t match[8]
    ctypedef struct tc_itch_B:
        uint8_t match[8]

    ctypedef struct tc_itch_field:
        char type
        char text
        uint16_t offset
        uint16_t bytes
        const char* name

    const tc_itch_field* tc_itch_fields(size_t* n) noexcept
    uint16_t tc_be16(const uint8_t* p) noexcept
    uint32_t tc_be32(const uint8_t* p) noexcept
    uint64_t tc_be48(const uint8_t* p) noexcept
    uint64_t tc_be64(const uint8_t* p) noexcept
    uint64_t tc_raw64(const uint8_t* p) noexcept

cdef extern from "feed/normalize/itch_codes.h" nogil:
    ctypedef struct tc_itch_state:
        uint16_t action
        char is_trading
        char is_quoting

    const tc_itch_state* tc_itch_state_of(char code) noexcept
    const tc_itch_state* tc_itch_event_of(char code) noexcept
    uint16_t tc_itch_reason_of(const uint8_t* reason) noexcept

cdef enum:
    TRADES = 1 << 20               # remembered for being broken: 40 MB, filled as trades come
    PRICE_MAX = 2_000_000_000      # 200,000.0000: the specification's
    ACTION_NEW_PRICE = 6           # DBN status actions
    ACTION_TRADING = 7
    ACTION_HALT = 8
    ACTION_SSR = 14
    REASON_SCHEDULED = 1           # DBN status reasons
    REASON_MARKET_EVENT = 3
    REASON_LULD = 50
    REASON_OPERATIONAL = 60
    REASON_LEVEL1 = 120

cdef uint64_t DAY_NS = 86_400_000_000_000

REASONS = (
    "unknown_type",
    "wrong_length",
    "impossible_time",
    "time_backwards",
    "unknown_order",
    "repeated_order",
    "negative_size",
    "impossible_size",
    "impossible_price",
    "impossible_side",
    "wrong_locate",
    "wrong_symbol",
    "unknown_match",
    "unknown_code",
    "no_room",
)
LETTERS = {"XNAS": b"Q", "XBOS": b"B", "XPSX": b"X"}
SCHEMAS = ("quote", "trade", "status", "definition", "book", "order")
"""What a stock can have a topic of, in the order of :meth:`Itch.bind`'s ids."""
NO_TOPIC = <uint32_t>OUTBOX_NO_TOPIC
REFUSED = <uint32_t>OUTBOX_REFUSED


cdef class Itch(ItchRecords):
    """The books of one market, for one day after the other.

    :param market: its MIC, one of `itch_records.MARKETS`; the market's own statuses are those of the symbol of that name.
    :param orders: so many may rest at once.
    """

    def __cinit__(self, market: str, **_):
        self.trades = <itch_trade*>calloc(TRADES, sizeof(itch_trade))
        if self.trades is NULL:
            raise MemoryError
        self.letter = LETTERS[market][0]
        self.market = tc_raw64(<const uint8_t*>PyBytes_AS_STRING(market.ljust(8).encode()))

    def __dealloc__(self):
        free(self.trades)

    def begin(self, midnight_ns: int) -> None:
        """A day begins whose midnight, New York, is `midnight_ns` since 1970: nothing rests, no locate code is known."""
        cdef uint32_t i
        self.midnight = midnight_ns
        self.snapshot = False
        self.telling = 0
        self.time = 0
        for i in range(LOCATES):
            if self.symbols[i].stock:
                self.again = True
            memset(&self.symbols[i], 0, sizeof(itch_symbol))
        if self.remembers:             # else these pages have never been touched
            memset(self.trades, 0, TRADES * sizeof(itch_trade))
            self.remembers = False
        self.resting.clear()

    @property
    def waiting(self) -> tuple[int, bytes]:
        """Locate code and stock (8 characters as they came; the market's own has the code 0) that wait for a name."""
        return self.waiting_locate, (<const char*>&self.waiting_stock)[:8]

    def begin_snapshot(self, midnight_ns: int) -> None:
        """As :meth:`begin`, and what comes first is a snapshot."""
        self.begin(midnight_ns)
        self.snapshot = True

    def bind(self, locate: int, stock: bytes, topics) -> None:
        """From here on this code is that stock; its topics are ids of the sink, `NO_TOPIC` or `REFUSED`, as `SCHEMAS`."""
        cdef int i
        self.leave_out(locate, stock)
        cdef itch_symbol* symbol = &self.symbols[<uint16_t>locate]
        for i in range(WANT_END):
            symbol.topics[i] = topics[i]
        symbol.left_out = False

    def leave_out(self, locate: int, stock: bytes) -> None:
        """Nobody wants to know of this stock."""
        if not 0 <= locate < LOCATES or len(stock) != 8:
            raise ValueError("a locate code and 8 characters")
        cdef itch_symbol* symbol = &self.symbols[<uint16_t>locate]
        symbol.stock = tc_raw64(<const uint8_t*>PyBytes_AS_STRING(stock))
        symbol.left_out = symbol.fresh = True
        symbol.trading = symbol.quoting = symbol.restricted = c"~"

    def is_bad(self, locate: int) -> bool:
        """May the book of this stock be wrong?"""
        return bool(self.symbols[<uint16_t>locate].bad)

    def take_rejected(self) -> list[tuple[str, int]]:
        """(reason, how often since the last call), reasons without any left away."""
        taken = []
        cdef int i
        for i in range(BAD_END):
            if self.rejected[i]:
                taken.append((REASONS[i], self.rejected[i]))
                self.rejected[i] = 0
        if self.refused:
            taken.append(("topic_refused", self.refused))
            self.refused = 0
        return taken

    @property
    def memory_bytes(self) -> int:
        """Reserved for all that is remembered."""
        return self.resting.memory_bytes + LOCATES * sizeof(itch_symbol) + TRADES * sizeof(itch_trade)

    # --- one message ------------------------------------------------------------------------------------------------

    cdef int apply(self, const uint8_t* message, uint32_t n, uint32_t sequence) noexcept nogil:
        cdef uint32_t locate
        cdef uint64_t time, stock
        cdef uint8_t kind
        cdef const tc_itch_head* head = <const tc_itch_head*>message
        cdef itch_symbol* symbol
        self.empty()
        self.sequence = sequence
        self.recv = self.received if self.received else self.ts
        if n == 0:
            return self._refuse(BAD_LENGTH, 0)
        kind = message[0]
        locate = tc_be16(head.locate) if n >= 3 else 0
        if tc_itch_length[kind] != n:
            return self._refuse(BAD_LENGTH if tc_itch_length[kind] else BAD_TYPE, locate)
        symbol = &self.symbols[locate]
        if tc_itch_stock_at[kind]:
            if locate == 0:
                return self._refuse(BAD_LOCATE, 0)
            stock = tc_raw64(message + tc_itch_stock_at[kind])
            if symbol.stock != stock:
                if stock == 0 or symbol.stock:
                    return self._refuse(BAD_SYMBOL, locate)
                self.waiting_locate = locate
                self.waiting_stock = stock
                return ITCH_NAME
        elif kind == c"S" or kind == c"V" or kind == c"W":
            locate = 0
            symbol = self.symbols
            if symbol.stock == 0:
                self.waiting_locate = 0
                self.waiting_stock = self.market
                return ITCH_NAME

        time = tc_be48(head.time)
        if time >= DAY_NS:
            self._refuse(BAD_TIME, locate)
            time = self.time
        elif time < self.time and not self.snapshot:
            self._refuse(BAD_BACKWARDS, locate)
        self.time = time
        self.ts = self.midnight + time
        if not self.received:
            self.recv = self.ts
        if symbol.fresh:
            symbol.fresh = False
            self._introduce(locate)
        # An order that is known belongs to a stock that is wanted: then the locate code is wrong, and that must be seen.
        if symbol.left_out and (tc_itch_stock_at[kind] or n < 19 or self.resting.find(tc_be64(message + 11)) is NULL):
            return ITCH_DONE
        if kind == c"A" or kind == c"F":
            return self._add(message, locate)
        if kind == c"D" or kind == c"X":
            return self._cancel(message, locate)
        if kind == c"E" or kind == c"C":
            return self._execute(message, locate)
        if kind == c"U":
            return self._replace(message, locate)
        if kind == c"P":
            return self._unseen(message, locate)
        if kind == c"Q":
            return self._cross(message, locate)
        if kind == c"B":
            return self._break(message)
        if kind == c"R":
            return self._define(message, locate)
        if kind == c"S":
            return self._event(message)
        if kind == c"H" or kind == c"Y":
            return self._action(message, locate)
        if kind == c"h" or kind == c"J" or kind == c"V" or kind == c"W":
            return self._halt(message, locate)
        return ITCH_DONE

    cdef void prefetch(self, const uint8_t* message, uint32_t n) noexcept nogil:
        cdef uint32_t locate
        if n < sizeof(tc_itch_D):      # the shortest that is about an order
            return
        # Another type has other things where a reference would be; to call for memory in vain does no harm.
        locate = tc_be16((<const tc_itch_head*>message).locate)
        self.resting.prefetch(tc_be64((<const tc_itch_X*>message).reference))
        if n == sizeof(tc_itch_U):
            self.resting.prefetch(tc_be64((<const tc_itch_U*>message).new_reference))
        tc_prefetch(&self.symbols[locate])
        tc_prefetch(&self.resting.sides[2 * locate])

    cdef void prefetch_best(self, const uint8_t* message, uint32_t n) noexcept nogil:
        cdef const book_side* side
        cdef int i
        if n < sizeof(tc_itch_D):
            return
        side = &self.resting.sides[2 * tc_be16((<const tc_itch_head*>message).locate)]
        for i in range(2):
            if side[i].n:
                tc_prefetch(&side[i].levels[side[i].n - 1])

    cdef int _refuse(self, int why, uint32_t locate) noexcept nogil:
        self.rejected[why] += 1
        self._mark(locate)
        return ITCH_DONE

    cdef void _mark(self, uint32_t locate) noexcept nogil:
        """The book of this stock may be wrong, and who relies on its last quote is told so now."""
        cdef itch_symbol* symbol = &self.symbols[locate]
        if symbol.bad or locate == 0:
            return
        symbol.bad = True
        if symbol.stock and not symbol.left_out:
            self.tell_doubt(locate)

    cdef void _introduce(self, uint32_t locate) noexcept nogil:
        """What was said of this stock on an earlier day holds no longer; what rests begins with a Clear in any case."""
        if self.symbols[locate].left_out or locate == 0:
            return
        self.tell_order(locate, c"R", c"N", 0, TC_UNDEF_PRICE, 0, True)
        if not self.snapshot and (self.again or self.symbols[locate].bad):
            self.tell_quote(locate, c"R", c"N", TC_UNDEF_PRICE, 0)
            self.tell_book(locate, c"R", c"N", TC_UNDEF_PRICE, 0, 0)

    # --- orders -----------------------------------------------------------------------------------------------------

    cdef int _add(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        cdef const tc_itch_A* m = <const tc_itch_A*>message
        cdef uint32_t size = tc_be32(m.shares), price = tc_be32(m.price)
        cdef uint32_t side = 2 * locate + (m.side[0] == c"S")
        cdef itch_side before
        if m.side[0] != c"B" and m.side[0] != c"S":
            return self._refuse(BAD_SIDE, locate)
        if size == 0:
            return self._refuse(BAD_SIZE, locate)
        if price == 0 or price > PRICE_MAX:
            return self._refuse(BAD_PRICE, locate)
        before = self.best(side)
        return self._rest(tc_be64(m.reference), side, <int64_t>price * PRICE_UNIT, size, c"A", &before)

    cdef int _rest(self, uint64_t reference, uint32_t side, int64_t price, uint32_t size, char action, itch_side* before) noexcept nogil:
        """A new order; one that has its reference already is gone, for the venue knows better."""
        cdef book_order* old = self.resting.find(reference)
        cdef int64_t depth
        if old is not NULL:
            self._refuse(BAD_REPEATED, side >> 1)
            self._mark(old.side >> 1)
            self._remove(old)
            if action == c"A":
                before[0] = self.best(side)
        depth = self.resting.add(reference, side, price, size)
        if depth == NO_ROOM:
            self._refuse(BAD_ROOM, side >> 1)
            depth = 0
        else:
            self.tell_order(side >> 1, c"A", side_of(side), reference, price, size, True)
        self.tell_change(side, before, action, price, size, depth)
        return ITCH_DONE

    cdef book_order* _order(self, const uint8_t* reference, uint32_t locate) noexcept nogil:
        """The order that a message is about; NULL: it is not known, which is counted."""
        cdef book_order* order = self.resting.find(tc_be64(reference))
        if order is NULL:
            self._refuse(BAD_ORDER, locate)
        elif order.side >> 1 != locate:
            self._refuse(BAD_LOCATE, locate)
            self._mark(order.side >> 1)
        return order

    cdef void _remove(self, book_order* order) noexcept nogil:
        cdef book_order was = order[0]
        cdef itch_side before = self.best(was.side)
        cdef int64_t depth = self.resting.take(order, was.size)
        self.tell_order(was.side >> 1, c"C", side_of(was.side), was.reference, was.price, was.size, True)
        self.tell_change(was.side, &before, c"C", was.price, was.size, depth)

    cdef int _cancel(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        cdef const tc_itch_X* m = <const tc_itch_X*>message
        cdef book_order* order = self._order(m.reference, locate)
        cdef book_order was
        cdef uint32_t size
        cdef itch_side before
        cdef int64_t depth
        if order is NULL:
            return ITCH_DONE
        if message[0] == c"D":
            self._remove(order)
            return ITCH_DONE
        was = order[0]
        size = tc_be32(m.shares)
        if size == 0:
            return self._refuse(BAD_SIZE, was.side >> 1)
        if size > was.size:
            self._refuse(BAD_NEGATIVE, was.side >> 1)
            size = was.size
        before = self.best(was.side)
        depth = self.resting.take(order, size)
        self.tell_order(was.side >> 1, c"C", side_of(was.side), was.reference, was.price, size, True)
        self.tell_change(was.side, &before, c"C", was.price, size, depth)
        return ITCH_DONE

    cdef int _execute(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        cdef const tc_itch_E* m = <const tc_itch_E*>message
        cdef const tc_itch_C* c = <const tc_itch_C*>message
        cdef book_order* order = self._order(m.reference, locate)
        cdef book_order was
        cdef uint32_t size, done, px
        cdef int64_t price, depth
        cdef bint printed = True
        cdef char aggressor
        cdef itch_side before
        if order is NULL:
            return ITCH_DONE
        was = order[0]
        locate = was.side >> 1
        size = done = tc_be32(m.shares)
        price = was.price
        if size == 0:
            return self._refuse(BAD_SIZE, locate)
        if size > was.size:
            self._refuse(BAD_NEGATIVE, locate)
            size = was.size
        if message[0] == c"C":
            px = tc_be32(c.price)
            price = <int64_t>px * PRICE_UNIT
            printed = c.printable[0] == c"Y"
            if px == 0 or px > PRICE_MAX:
                self._refuse(BAD_PRICE, locate)
                printed = False
        aggressor = c"B" if was.side & 1 else c"A"
        if printed:
            self.tell_trade(locate, c"T", aggressor, price, done, self.sequence)
            self._remember(tc_be64(m.match), locate, aggressor, price, done)
            self.tell_order(locate, c"T", aggressor, 0, price, done, False)
        self.tell_order(locate, c"F", side_of(was.side), was.reference, price, done, False)
        before = self.best(was.side)
        depth = self.resting.take(order, size)
        self.tell_order(locate, c"C", side_of(was.side), was.reference, was.price, size, True)
        self.tell_change(was.side, &before, c"C", was.price, size, depth)
        return ITCH_DONE

    cdef int _replace(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        cdef const tc_itch_U* m = <const tc_itch_U*>message
        cdef book_order* order = self._order(m.reference, locate)
        cdef book_order was
        cdef uint32_t size = tc_be32(m.shares), price = tc_be32(m.price)
        cdef itch_side before
        cdef int64_t depth
        if order is NULL:
            return ITCH_DONE
        if size == 0 or price == 0 or price > PRICE_MAX:
            self._refuse(BAD_SIZE if size == 0 else BAD_PRICE, order.side >> 1)
            self._remove(order)
            return ITCH_DONE
        was = order[0]
        before = self.best(was.side)
        depth = self.resting.take(order, was.size)
        self.tell_order(was.side >> 1, c"C", side_of(was.side), was.reference, was.price, was.size, False)
        if depth < TC_BOOK_LEVELS:      # the book has changed, however deep the new order is
            before.count = TC_UNDEF_ORDER_SIZE
        return self._rest(tc_be64(m.new_reference), was.side, <int64_t>price * PRICE_UNIT, size, c"M", &before)

    # --- trades -----------------------------------------------------------------------------------------------------

    cdef int _unseen(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        """P: a trade against an order that was not shown; its side says nothing."""
        cdef const tc_itch_P* m = <const tc_itch_P*>message
        cdef uint32_t size = tc_be32(m.shares), price = tc_be32(m.price)
        if size == 0:
            return self._refuse(BAD_SIZE, locate)
        if price == 0 or price > PRICE_MAX:
            return self._refuse(BAD_PRICE, locate)
        self.tell_trade(locate, c"T", c"N", <int64_t>price * PRICE_UNIT, size, self.sequence)
        self._remember(tc_be64(m.match), locate, c"N", <int64_t>price * PRICE_UNIT, size)
        self.tell_order(locate, c"T", c"N", 0, <int64_t>price * PRICE_UNIT, size, True)
        return ITCH_DONE

    cdef int _cross(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        cdef const tc_itch_Q* m = <const tc_itch_Q*>message
        cdef uint64_t shares = tc_be64(m.shares)
        cdef uint32_t price = tc_be32(m.price), size = <uint32_t>shares
        if shares == 0:                # there was nothing to cross
            return ITCH_DONE
        if price == 0 or price > PRICE_MAX:
            return self._refuse(BAD_PRICE, locate)
        if shares >= TC_UNDEF_ORDER_SIZE:
            return self._refuse(BAD_SIZE, locate)
        self.tell_trade(locate, c"T", c"N", <int64_t>price * PRICE_UNIT, size, self.sequence)
        self._remember(tc_be64(m.match), locate, c"N", <int64_t>price * PRICE_UNIT, size)
        self.tell_order(locate, c"T", c"N", 0, <int64_t>price * PRICE_UNIT, size, True)
        return ITCH_DONE

    cdef int _break(self, const uint8_t* message) noexcept nogil:
        cdef uint64_t match = tc_be64((<const tc_itch_B*>message).match)
        cdef itch_trade* trade = &self.trades[match & (TRADES - 1)]
        if trade.size == 0 or trade.match != match:
            self.rejected[BAD_MATCH] += 1
            return ITCH_DONE
        self.tell_trade(trade.locate, c"C", trade.side, trade.price, trade.size, trade.sequence)
        trade.size = 0
        return ITCH_DONE

    cdef void _remember(self, uint64_t match, uint32_t locate, char side, int64_t price, uint32_t size) noexcept nogil:
        cdef itch_trade* trade = &self.trades[match & (TRADES - 1)]
        self.remembers = True
        trade.match = match
        trade.price = price
        trade.size = size
        trade.sequence = self.sequence
        trade.locate = <uint16_t>locate
        trade.side = side

    # --- statuses and definitions -----------------------------------------------------------------------------------

    cdef int _event(self, const uint8_t* message) noexcept nogil:
        cdef const tc_itch_state* event = tc_itch_event_of((<const tc_itch_S*>message).code[0])
        if event is NULL:
            return self._refuse(BAD_CODE, 0)
        self.symbols[0].trading = event.is_trading
        self.symbols[0].quoting = event.is_quoting
        self.tell_status(0, event.action, REASON_SCHEDULED, event.is_trading, event.is_quoting)
        return ITCH_DONE

    cdef int _action(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        """H and Y: what they say holds on."""
        cdef const tc_itch_H* m = <const tc_itch_H*>message
        cdef uint8_t code = (<const tc_itch_Y*>message).action[0]
        cdef itch_symbol* symbol = &self.symbols[locate]
        cdef const tc_itch_state* state
        if message[0] == c"Y":
            if code < c"0" or code > c"2":
                return self._refuse(BAD_CODE, locate)
            symbol.restricted = c"N" if code == c"0" else c"Y"
            self.tell_status(locate, ACTION_SSR, 0, symbol.trading, symbol.quoting)
            return ITCH_DONE
        state = tc_itch_state_of(m.state[0])
        if state is NULL:
            return self._refuse(BAD_CODE, locate)
        symbol.trading = state.is_trading
        symbol.quoting = state.is_quoting
        self.tell_status(locate, state.action, tc_itch_reason_of(m.reason), state.is_trading, state.is_quoting)
        return ITCH_DONE

    cdef int _halt(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        """h, J, V, W: what happens to a stock or to all beside its trading state."""
        cdef const tc_itch_h* m = <const tc_itch_h*>message
        cdef uint8_t level = (<const tc_itch_W*>message).level[0]
        cdef itch_symbol* symbol = &self.symbols[locate]
        if message[0] == c"J":
            self.tell_status(locate, ACTION_NEW_PRICE, REASON_LULD, symbol.trading, symbol.quoting)
        elif message[0] == c"V":
            self.tell_status(0, 0, REASON_MARKET_EVENT, symbol.trading, symbol.quoting)
        elif message[0] == c"W":
            if level < c"1" or level > c"3":
                return self._refuse(BAD_CODE, 0)
            self.tell_status(0, ACTION_HALT, REASON_LEVEL1 + level - c"1", c"N", c"N")
        elif m.action[0] != c"H" and m.action[0] != c"T":
            return self._refuse(BAD_CODE, locate)
        elif m.market[0] != self.letter:
            return ITCH_DONE           # a sister market's halt says nothing of this one
        elif m.action[0] == c"H":
            self.tell_status(locate, ACTION_HALT, REASON_OPERATIONAL, c"N", c"N")
        else:
            self.tell_status(locate, ACTION_TRADING, REASON_OPERATIONAL, c"Y", c"Y")
        return ITCH_DONE

    cdef int _define(self, const uint8_t* message, uint32_t locate) noexcept nogil:
        cdef const tc_itch_R* m = <const tc_itch_R*>message
        cdef itch_symbol* symbol = &self.symbols[locate]
        cdef tc_definition* definition = &self.definition
        cdef int n = 8
        definition.instrument_id = locate
        definition.publisher_id = self.publisher
        definition.ts_event = self.ts
        definition.ts_recv = self.recv
        definition.raw_instrument_id = locate
        definition.min_lot_size_round_lot = <int>min(tc_be32(m.round_lot), <uint32_t>0x7FFFFFFF)
        definition.security_update_action = c"M" if symbol.defined else c"A"
        while n > 0 and m.stock[n - 1] == c" ":
            n -= 1
        memset(definition.raw_symbol, 0, 9)
        memcpy(definition.raw_symbol, m.stock, n)
        definition.group[0] = m.category[0]
        definition.security_type[0] = m.issue_class[0]
        memcpy(definition.secsubtype, m.subtype, 2)
        symbol.defined = True
        self.put(symbol.topics[WANT_DEFINITION], TC_SCHEMA_DEFINITION, definition, sizeof(tc_definition))
        return ITCH_DONE

def decode(message: bytes) -> dict[str, int | str]:
    """One message as its fields by name, as they stand: numbers, and text without its padding. For people.

    :raises ValueError: there is no such type, or its length is another.
    """
    cdef size_t n, i
    cdef const tc_itch_field* field = tc_itch_fields(&n)
    cdef bint mine = False
    found = {}
    for i in range(n):
        if field[i].name[0] == 0:
            mine = message[:1] == bytes((field[i].type,))
            if mine and len(message) != field[i].bytes:
                raise ValueError(f"a message {message[:1]!r} has {field[i].bytes} bytes, not {len(message)}")
        elif mine:
            part = message[field[i].offset : field[i].offset + field[i].bytes]
            found[field[i].name.decode()] = part.decode("latin-1").rstrip() if field[i].text else int.from_bytes(part, "big")
    if not found:
        raise ValueError(f"no type of message: {message[:1]!r}")
    return found
