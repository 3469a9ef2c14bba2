# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Binance's messages in, normalised records out: spot, USD-M and coin-M futures; one message at a time, no I/O.

    bookTicker    quote: the best of both sides as it changes, each message whole in itself
    depthUpdate   book: the best ten, if one of them changed
    trade         trade: side is the aggressor's, sequence the venue's trade id

A book begins with a snapshot (REST), which stands somewhere in the stream of updates: those that come before it are
held, those that it has are dropped, and the first one that is put to it must reach from inside it beyond it. After that
spot's U must be the u before plus one, and futures' pu the u before. What does not follow makes the symbol, and it alone,
wait for another snapshot, MAYBE_BAD_BOOK meanwhile.

A snapshot has so many levels of a side at most; what lies beyond them and does not change is never told. When the best
ones come near that, another snapshot is due, while the book goes on. It is marked only where that comes too late.

Quotes are not affected by that. They come from bookTicker, which is ahead of the book, and the time of spot's, which has
none, is undefined. Until a connection brings a symbol's first one, the best of a snapshot stands for it: both are numbered
alike.
"""

from libc.stdint cimport INT64_MIN
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from feed.normalize.binance_message cimport (
    binance_message,
    is_event,
    number_at,
    read_message,
    take_number,
    tc_json,
    tc_json_skip,
    tc_json_take,
)
from feed.normalize.levels cimport (
    DECIMAL_FITS,
    DECIMAL_LARGE,
    LEVEL_NO_ROOM,
    LEVELS_ASK,
    LEVELS_BID,
    LevelBook,
    exact,
    price_level,
    price_of,
    size_of,
)
from feed.normalize.venue cimport (
    BAD_BOOK,
    BAD_QUOTE,
    MISSED,
    NO_PRICE,
    NO_SIZE,
    NO_SYMBOL,
    NOT_UNDERSTOOD,
    TWICE,
    VENUE_BOOK,
    VenueRecords,
)
from feed.wire.records cimport TC_BOOK_LEVELS, TC_UNDEF_PRICE, TC_UNDEF_TIMESTAMP, tc_level

from collections import deque
from decimal import Decimal

cdef enum:
    WAITS                         # for a snapshot
    BEGINS                        # has one, and no update after it
    LIVE

cdef enum:
    FOLLOWS
    IS_OLD
    LEAVES_GAP

cdef enum:
    SNAPSHOT_LEVELS = 1000        # of a side that is asked for: a side with fewer is whole
    LEVELS_KEPT = 5000
    NEAR = 100                    # levels: when the book is due for another snapshot
    FLAG_SNAPSHOT = 32            # DBN
    TRADES_APART = 1 << 20        # trade ids further apart are not of one numbering

cdef enum:
    IS_DONE = 0
    IS_ANSWER = 1
    NEEDS = 2

DONE = <int>IS_DONE
ANSWER = <int>IS_ANSWER
"""It is none of the market's data: an answer to what was asked on the connection."""
NEEDS_SNAPSHOT = <int>NEEDS
"""The book of `index` waits for a snapshot, or is due for another one."""
PUBLISHERS = {"spot": 65001, "usdm": 65002, "coinm": 65003}
"""publisher_id of records, beyond those that Databento gives out."""
DEPTH = <int>SNAPSHOT_LEVELS
HELD_MAX = 4096
HELD_BYTES_MAX = 16 << 20
"""Updates of a symbol that wait for a snapshot; of more the oldest go, and a later snapshot is needed."""


cdef class Binance(VenueRecords):
    """The symbols of one market, one of `PUBLISHERS`, into `sink`; other arguments as VenueRecords has them."""

    def __cinit__(self, sink, int publisher, venue=None):
        self.futures = publisher != PUBLISHERS["spot"]
        self.index = -1
        self.cause = ""
        self._names = {}
        self._books = []
        self._held = []

    def __dealloc__(self):
        free(self.market)
        free(self.read[0])
        free(self.read[1])

    def name(self, index: int, symbol: str) -> None:
        """The venue's name of the symbol that `add` gave this index, in the order of the indices."""
        cdef binance_symbol* larger
        self._check(index)
        if index != len(self._books):
            raise ValueError("one after the other")
        if <uint32_t>index >= self.market_room:
            larger = <binance_symbol*>realloc(self.market, self.symbols_room * sizeof(binance_symbol))
            if larger is NULL:
                raise MemoryError
            self.market = larger
            self.market_room = self.symbols_room
        memset(&self.market[<uint32_t>index], 0, sizeof(binance_symbol))
        self._names[symbol.encode("ascii")] = index
        self._books.append(LevelBook())
        self._held.append(deque())

    def apply(self, payload: bytes, received_ns: int) -> int:
        """Deal with one message: `DONE`, `ANSWER` or `NEEDS_SNAPSHOT`. `cause` says what went wrong with the book of
        `index`, "" if nothing did."""
        cdef binance_message message
        cdef object known
        self.received = received_ns
        self.index = -1
        self.cause = ""
        if not read_message(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), &message):
            self.rejected[NOT_UNDERSTOOD] += 1
            return IS_DONE
        if message.symbol is NULL:
            return IS_ANSWER
        known = self._names.get(PyBytes_FromStringAndSize(message.symbol, message.symbol_n))
        if known is None:
            self.rejected[NO_SYMBOL] += 1
            return IS_DONE
        self.index = known
        self.ts_event = TC_UNDEF_TIMESTAMP
        if message.T or message.E:
            self.ts_event = 1_000_000 * (message.T if message.T else message.E)
        if is_event(&message, b"depthUpdate", 11):
            return self._depth(&message, payload)
        if is_event(&message, b"bookTicker", 10) or (message.event is NULL and message.has_u):
            return self._ticker(&message)
        if is_event(&message, b"trade", 5):
            return self._trade(&message)
        self.rejected[NOT_UNDERSTOOD] += 1
        return IS_DONE

    def snapshot(self, index: int, payload: bytes, received_ns: int) -> bool:
        """A snapshot of a symbol's book; True: the book is right. False: it is of no use, another one is needed."""
        cdef binance_message message
        cdef binance_symbol* market
        cdef binance_symbol fresh
        cdef tc_level top
        cdef LevelBook book
        cdef int found
        self._check(index)
        self.received = received_ns
        self.index = index
        self.cause = ""
        market = &self.market[<uint32_t>index]
        if market.state != WAITS and not market.due:
            return True
        if (
            not read_message(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), &message)
            or not message.has_id
            or not self._read(LEVELS_BID, message.b)
            or not self._read(LEVELS_ASK, message.a)
        ):
            self.rejected[NOT_UNDERSTOOD] += 1
            return False
        self.ts_event = TC_UNDEF_TIMESTAMP
        if message.T or message.E:
            self.ts_event = 1_000_000 * (message.T if message.T else message.E)
        book = LevelBook()
        self._put(book)
        fresh = market[0]
        fresh.known[LEVELS_BID] = _known(book, LEVELS_BID, SNAPSHOT_LEVELS)
        fresh.known[LEVELS_ASK] = _known(book, LEVELS_ASK, SNAPSHOT_LEVELS)
        fresh.last = message.lastUpdateId
        fresh.state = BEGINS
        fresh.due = False
        held = self._held[index]
        while held:
            update = held[0]
            read_message(PyBytes_AS_STRING(update), PyBytes_GET_SIZE(update), &message)
            found = self._follows(&fresh, &message)
            if found == LEAVES_GAP or not self._read_both(&message):
                if found != LEAVES_GAP:
                    market.held_bytes -= PyBytes_GET_SIZE(held.popleft())
                return False
            market.held_bytes -= PyBytes_GET_SIZE(held.popleft())
            if found == FOLLOWS:
                self._put(book)
                fresh.last = message.u
                fresh.state = LIVE
                self.ts_event = 1_000_000 * (message.T if message.T else message.E)
        if book.crossed():  # no matching venue has that: snapshot and updates are not of one book
            return False
        market[0] = fresh
        self._books[index] = book
        self.clear(index, BAD_BOOK)
        book.reached[0] = 0
        self._tell(index, fresh.last, FLAG_SNAPSHOT)
        if fresh.ticker == 0:
            self.market[<uint32_t>index].ticker = fresh.last
            self.clear(index, BAD_QUOTE)
            book.fill(&top, 1, self.symbols[<uint32_t>index].decimals)
            self.tell_top(index, &top, fresh.last, FLAG_SNAPSHOT)
        return True

    def down(self, index: int, received_ns: int) -> None:
        """Messages of this symbol may be missing from here on: nothing holds until a snapshot, and a quote, is there."""
        cdef binance_symbol* market
        self.doubt(index, BAD_QUOTE | BAD_BOOK, received_ns)
        market = &self.market[<uint32_t>index]
        market.state = WAITS
        market.ticker = 0
        self._held[index].clear()

    def is_waiting(self, index: int) -> bool:
        """Does this symbol's book wait for a snapshot?"""
        self._check(index)
        return self.market[<uint32_t>index].state == WAITS

    def levels(self, index: int, side: int, n: int):
        """(price in 1e-9, size) of the best `n` levels of the book, side 0 is bids. For people and tests."""
        cdef LevelBook book
        cdef const price_level* level
        cdef uint32_t i
        self._check(index)
        book = self._books[index]
        found = []
        for i in range(min(<uint32_t>n, book.sides[<size_t>bool(side)].n)):
            level = book.at(bool(side), i)
            found.append((-level.key if side else level.key, Decimal(level.size).scaleb(-<int>level.size_decimals)))
        return found

    # --- the three kinds --------------------------------------------------------------------------------------------

    cdef int _depth(self, const binance_message* message, object payload) except -1:
        cdef uint32_t symbol = <uint32_t>self.index
        cdef binance_symbol* market = &self.market[symbol]
        cdef LevelBook book
        cdef int found
        if not (message.has_U and message.has_u) or message.u < message.U or (self.futures and not message.has_pu):
            self.rejected[NOT_UNDERSTOOD] += 1
            return self._lost(symbol, "malformed")
        if market.state == WAITS:
            self._hold(symbol, payload)
            return NEEDS
        found = self._follows(market, message)
        if found == IS_OLD:
            self.rejected[TWICE] += market.state == LIVE
            return IS_DONE
        if found == LEAVES_GAP:
            self._lost(symbol, "gap")
            self._hold(symbol, payload)
            return NEEDS
        if not self._read_both(message):
            self.rejected[NOT_UNDERSTOOD] += 1
            return self._lost(symbol, "malformed")
        market.state = LIVE
        market.last = message.u
        book = <LevelBook>self._books[symbol]
        if not self._put(book):
            return self._lost(symbol, "no_room")
        if market.due:
            self._hold(symbol, payload)
        elif _ends_within(book, market, NEAR):
            market.due = True
        if book.sides[0].n > 2 * LEVELS_KEPT or book.sides[1].n > 2 * LEVELS_KEPT:
            book.truncate(LEVELS_KEPT)
            market.known[LEVELS_BID] = max(market.known[LEVELS_BID], _known(book, LEVELS_BID, LEVELS_KEPT))
            market.known[LEVELS_ASK] = max(market.known[LEVELS_ASK], _known(book, LEVELS_ASK, LEVELS_KEPT))
        self._tell(symbol, message.u, 0)
        return NEEDS if market.due else IS_DONE

    cdef int _ticker(self, const binance_message* message) noexcept nogil:
        cdef uint32_t symbol = <uint32_t>self.index
        cdef binance_symbol* market = &self.market[symbol]
        cdef tc_level top
        cdef exact number
        if not message.has_u:
            self.rejected[NOT_UNDERSTOOD] += 1
            return IS_DONE
        if message.u <= market.ticker:
            self.rejected[TWICE] += 1
            return IS_DONE
        memset(&top, 0, sizeof(top))
        top.bid_px = top.ask_px = TC_UNDEF_PRICE
        if not number_at(message.b, &number) or price_of(&number, &top.bid_px) != DECIMAL_FITS:
            self.rejected[NO_PRICE] += 1
            return IS_DONE
        if not number_at(message.a, &number) or price_of(&number, &top.ask_px) != DECIMAL_FITS:
            self.rejected[NO_PRICE] += 1
            return IS_DONE
        if not number_at(message.B, &number):
            self.rejected[NO_SIZE] += 1
            return IS_DONE
        top.bid_sz = size_of(&number, self.symbols[symbol].decimals)
        if not number_at(message.A, &number):
            self.rejected[NO_SIZE] += 1
            return IS_DONE
        top.ask_sz = size_of(&number, self.symbols[symbol].decimals)
        if top.bid_sz == 0:
            top.bid_px = TC_UNDEF_PRICE
        if top.ask_sz == 0:
            top.ask_px = TC_UNDEF_PRICE
        market.ticker = message.u
        self.clear(symbol, BAD_QUOTE)
        self.tell_top(symbol, &top, message.u, 0)
        return IS_DONE

    cdef int _trade(self, const binance_message* message) noexcept nogil:
        cdef uint32_t symbol = <uint32_t>self.index
        cdef binance_symbol* market = &self.market[symbol]
        cdef exact number, size
        cdef int64_t price = 0
        if not (message.has_t and message.has_m):
            self.rejected[NOT_UNDERSTOOD] += 1
            return IS_DONE
        if not number_at(message.p, &number) or number.digits == 0 or price_of(&number, &price) != DECIMAL_FITS:
            self.rejected[NO_PRICE] += 1
            return IS_DONE
        if not number_at(message.q, &size) or size.digits == 0:
            self.rejected[NO_SIZE] += 1
            return IS_DONE
        if market.trade and message.t < market.trade + TRADES_APART and market.trade < message.t + TRADES_APART:
            if message.t <= market.trade:
                self.rejected[TWICE] += 1
                return IS_DONE
            self.rejected[MISSED] += message.t - market.trade - 1
        market.trade = message.t
        self.tell_trade(symbol, price, size_of(&size, self.symbols[symbol].decimals), c"A" if message.m else c"B", message.t)
        return IS_DONE

    # --- the book ---------------------------------------------------------------------------------------------------

    cdef int _follows(self, const binance_symbol* market, const binance_message* message) noexcept nogil:
        """Where an update stands to what the book has (formats: Binance spot and futures)."""
        if self.futures:
            if market.state == LIVE:
                if message.pu == market.last:
                    return FOLLOWS
                return IS_OLD if message.u <= market.last else LEAVES_GAP
            if message.u < market.last:
                return IS_OLD
            return FOLLOWS if message.U <= market.last or message.pu <= market.last else LEAVES_GAP
        if message.u <= market.last:
            return IS_OLD
        if market.state == LIVE:
            return FOLLOWS if message.U == market.last + 1 else LEAVES_GAP
        return FOLLOWS if message.U <= market.last + 1 else LEAVES_GAP

    cdef bint _read_both(self, const binance_message* message) noexcept nogil:
        return self._read(LEVELS_BID, message.b) and self._read(LEVELS_ASK, message.a)

    cdef bint _read(self, int side, tc_json at) noexcept nogil:
        """A list of [price, size] into `read`; False: it is none. An ask beyond all prices that a record has is left out."""
        cdef binance_level* level
        cdef exact number
        cdef int found
        self.read_n[side] = 0
        if at.at is NULL or not tc_json_take(&at, c"["):
            return False
        if tc_json_take(&at, c"]"):
            return True
        while True:
            if self.read_n[side] == self.read_room[side]:
                level = <binance_level*>realloc(self.read[side], (2 * self.read_room[side] + 64) * sizeof(binance_level))
                if level is NULL:
                    return False
                self.read[side] = level
                self.read_room[side] = 2 * self.read_room[side] + 64
            level = &self.read[side][self.read_n[side]]
            if not tc_json_take(&at, c"[") or not take_number(&at, &number) or number.digits == 0:
                return False
            found = price_of(&number, &level.price)
            level.price_decimals = number.decimals
            if not tc_json_take(&at, c",") or not take_number(&at, &level.size):
                return False
            while tc_json_take(&at, c","):
                if not tc_json_skip(&at):
                    return False
            if not tc_json_take(&at, c"]"):
                return False
            if found == DECIMAL_FITS:
                self.read_n[side] += 1
            elif found == DECIMAL_LARGE and side == LEVELS_ASK:
                self.rejected[NO_PRICE] += 1
            else:
                return False
            if not tc_json_take(&at, c","):
                return tc_json_take(&at, c"]")

    cdef bint _put(self, LevelBook book) noexcept nogil:
        """The levels that were read into a book; False: it has no room for them."""
        cdef const binance_level* level
        cdef uint32_t i
        cdef int side
        for side in range(2):
            for i in range(self.read_n[side]):
                level = &self.read[side][i]
                if book.set(side, level.price, level.price_decimals, &level.size) == LEVEL_NO_ROOM:
                    return False
        return True

    cdef void _tell(self, uint32_t symbol, uint64_t sequence, uint8_t flags) noexcept:
        """The best ten, if they may have changed."""
        cdef LevelBook book = <LevelBook>self._books[symbol]
        cdef tc_level[10] levels
        if book.reached[0] < TC_BOOK_LEVELS or book.reached[1] < TC_BOOK_LEVELS:
            if _ends_within(book, &self.market[symbol], TC_BOOK_LEVELS):
                self.mark(symbol, BAD_BOOK)
            else:
                self.clear(symbol, BAD_BOOK)
            book.fill(levels, TC_BOOK_LEVELS, self.symbols[symbol].decimals)
            self.tell_levels(symbol, levels, sequence, flags)
        book.settle()

    cdef int _hold(self, uint32_t symbol, object payload) except -1:
        """An update that waits for a snapshot."""
        cdef binance_symbol* market = &self.market[symbol]
        held = self._held[symbol]
        if not held:
            market.held_bytes = 0
        held.append(payload)
        market.held_bytes += PyBytes_GET_SIZE(payload)
        while len(held) > HELD_MAX or (market.held_bytes > <uint64_t>HELD_BYTES_MAX and len(held) > 1):
            market.held_bytes -= PyBytes_GET_SIZE(held.popleft())
        return 0

    cdef int _lost(self, uint32_t symbol, str cause) except -1:
        """The book has to be got anew."""
        cdef binance_symbol* market = &self.market[symbol]
        if market.state != WAITS:
            self.cause = cause
            market.state = WAITS
            market.due = False
            self._held[symbol].clear()
        self.mark(symbol, BAD_BOOK)
        return NEEDS


cdef int64_t _known(LevelBook book, int side, uint32_t most) noexcept nogil:
    """The key of the last level of a side that has as many as it could be given; INT64_MIN: there are no more."""
    cdef uint32_t n = book.sides[side].n
    return book.at(side, n - 1).key if n >= most else INT64_MIN


cdef bint _ends_within(LevelBook book, const binance_symbol* market, uint32_t levels) noexcept nogil:
    """Do what is known for certain and what is not meet within the best so many of a side?"""
    cdef const price_level* level
    cdef int side
    for side in range(2):
        if market.known[side] != INT64_MIN:
            level = book.at(side, levels - 1)
            if level is NULL or level.key < market.known[side]:
                return True
    return False
