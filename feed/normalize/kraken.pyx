# cython: language_level=3, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Kraken's messages (kraken_messages.py) in, normalised records out; one message at a time, no I/O.

    book         quote, if the best of a side is another; book, if one of the best ten is
    trade        trade; sequence is the venue's trade_id

A book is right as long as each checksum is: the CRC-32 of its best ten asks and bids after all levels of an update are
in and what is beyond the subscribed depth is cut off. One that is not, or a level that is no number, makes the symbol,
and it alone, wait for its next snapshot: `take_wrong` says so, MAYBE_BAD_BOOK is on its records, what comes in between
is passed over. Trades are numbered: one that was here is dropped, missing ones are counted, and the snapshot of trades
after a break brings back what it has of them.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from feed.normalize.levels cimport (
    DECIMAL_FITS,
    LEVEL_NO_ROOM,
    LEVELS_ASK,
    LEVELS_BID,
    LevelBook,
    decimal,
    exact,
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
    VenueRecords,
)
from feed.wire.records cimport TC_BOOK_LEVELS, TC_UNDEF_TIMESTAMP, tc_level

import re

import msgspec
import orjson

from feed.normalize.kraken_messages import ANSWER, CHANNEL, SPOKEN, Books, Heartbeat, Trades

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* n) except NULL

cdef extern from "feed/normalize/rfc3339.h" nogil:
    uint64_t tc_rfc3339(const char* text, size_t n) noexcept

cdef enum:
    FLAG_SNAPSHOT = 32            # DBN
    NUMBERS = 1 << 20             # trades further apart than this are not of one numbering

PUBLISHER = 65004
"""publisher_id of records, beyond those that Databento gives out."""
CHECKSUM = "checksum"
BAD_LEVEL = "bad_level"
MALFORMED = "malformed"
"""Why a book is wrong: what `take_wrong` gives."""

cdef object _decode = SPOKEN.decode
cdef object _decode_answer = ANSWER.decode
cdef object _Books = Books
cdef object _Trades = Trades
cdef object _Heartbeat = Heartbeat
cdef object _decode_channel = CHANNEL.decode
cdef object _CHANNELS = frozenset(("book", "trade"))
cdef object _NAMED = re.compile(rb'"symbol" ?: ?"([^"]{1,40})"')
cdef tuple _NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


cdef class _Symbol:
    cdef LevelBook book
    cdef uint32_t index, depth
    cdef bint live                # its snapshot is here, and all since is right
    cdef uint64_t last_trade      # 0: none is known


cdef class Kraken(VenueRecords):
    """Books and trades of Kraken's spot markets; made as :class:`VenueRecords`."""

    cdef dict _symbols            # the venue's name -> _Symbol
    cdef list _by_index
    cdef list _wrong
    cdef readonly uint64_t checked
    """Checksums that were right."""

    def __cinit__(self, sink, publisher, venue=None):
        self._symbols = {}
        self._by_index = []
        self._wrong = []

    def symbol(self, name: str, topics, instrument: int, decimals: int, depth: int = 10) -> int:
        """One more symbol, by the venue's `name` (BTC/USD), whose book is subscribed with `depth` levels a side; the rest
        as :meth:`VenueRecords.add`."""
        cdef _Symbol symbol = _Symbol()
        symbol.book = LevelBook(limit=2 * depth + 1024)
        symbol.depth = depth
        symbol.index = self.add(topics, instrument, decimals)
        self._symbols[name] = symbol
        self._by_index.append(symbol)
        return symbol.index

    def apply(self, bytes message, uint64_t received_ns):
        """One message as it came. What is not data (Answer, Instruments, Status) is given back, and `MALFORMED` if any of
        the books of the message's connection may be wrong for it."""
        cdef object said, each
        self.received = received_ns
        self.ts_event = TC_UNDEF_TIMESTAMP
        try:
            said = _decode(message)
        except msgspec.ValidationError:
            return self._answer(message)
        except _NOT_JSON:
            return self._malformed(message)
        if type(said) is _Books:
            for each in said.data:
                self._book_said(each, said.type == "snapshot")
        elif type(said) is _Trades:
            self._trades_said(said.data, said.type == "snapshot")
        elif type(said) is not _Heartbeat:
            return said
        return None

    def apply_v1(self, bytes message, uint64_t received_ns):
        """A book message of version 1, for captures of its days: [id, {"as": levels, "bs": levels}, "book-10", pair], or
        {"a": levels, "b": levels, "c": checksum}, in one object or two; a level is [price, size, time, ...]."""
        cdef _Symbol symbol
        cdef object said, part, total = None
        cdef bint fits = True, snapshot = False
        self.received = received_ns
        self.ts_event = TC_UNDEF_TIMESTAMP
        try:
            said = orjson.loads(message)
            if type(said) is not list:      # answers and heartbeats
                return
            symbol = self._symbols.get(said[-1])
            if symbol is None:
                self.rejected[NO_SYMBOL] += 1
                return
            for part in said[1:-2]:
                for key, side in (("as", LEVELS_ASK), ("bs", LEVELS_BID)):
                    if key in part:
                        if not snapshot:
                            symbol.book.clear()
                        snapshot = True
                        fits = self._levels_v1(symbol.book, side, part[key]) and fits
                if not symbol.live and not snapshot:
                    return
                for key, side in (("a", LEVELS_ASK), ("b", LEVELS_BID)):
                    if key in part:
                        fits = self._levels_v1(symbol.book, side, part[key]) and fits
                total = part.get("c", total)
            self._settle(symbol, fits, -1 if total is None else int(total), snapshot)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
            self.rejected[NOT_UNDERSTOOD] += 1

    def take_wrong(self) -> list:
        """(index, why) of the books that have become wrong since the last call and wait for a snapshot."""
        taken, self._wrong = self._wrong, []
        return taken

    def forget(self, index: int, received_ns: int) -> None:
        """What this symbol's connection said holds no longer: it waits for a snapshot, marked."""
        self._check(index)
        (<_Symbol>self._by_index[index]).live = False
        self.doubt(index, BAD_QUOTE | BAD_BOOK, received_ns)

    def is_live(self, index: int) -> bool:
        """Is the book of this symbol right, as far as its checksums tell?"""
        self._check(index)
        return (<_Symbol>self._by_index[index]).live

    def book(self, index: int) -> LevelBook:
        """The book of this symbol, to look at."""
        self._check(index)
        return (<_Symbol>self._by_index[index]).book

    # --- books ------------------------------------------------------------------------------------------------------

    cdef int _book_said(self, object said, bint snapshot) except -1:
        cdef _Symbol symbol = self._symbols.get(said.symbol)
        cdef bint fits
        if symbol is None:
            self.rejected[NO_SYMBOL] += 1
            return 0
        if snapshot:
            symbol.book.clear()
        elif not symbol.live:
            return 0
        fits = self._levels(symbol.book, LEVELS_BID, said.bids)
        fits = self._levels(symbol.book, LEVELS_ASK, said.asks) and fits
        self.ts_event = _time(said.timestamp)
        self._settle(symbol, fits, said.checksum, snapshot)
        return 0

    cdef bint _levels(self, LevelBook book, int side, list levels) except -1:
        """Put levels into the book; False: one of them was no level."""
        cdef object level
        cdef exact price, size
        cdef bint fits = True
        for level in levels:
            if _number(level.price, &price) and _number(level.qty, &size):
                fits = self._level(book, side, &price, &size) and fits
            else:
                self.rejected[NO_PRICE] += 1
                fits = False
        return fits

    cdef bint _levels_v1(self, LevelBook book, int side, list levels) except -1:
        cdef list level
        cdef exact price, size
        cdef bint fits = True
        for level in levels:
            if len(level) >= 2 and _text(level[0], &price) and _text(level[1], &size):
                fits = self._level(book, side, &price, &size) and fits
            else:
                self.rejected[NO_PRICE] += 1
                fits = False
        return fits

    cdef bint _level(self, LevelBook book, int side, const exact* price, const exact* size) noexcept nogil:
        cdef int64_t px
        if price_of(price, &px) != DECIMAL_FITS:    # 9999999997.00000 for a coin: real; whether it matters the sum says
            self.rejected[NO_PRICE] += 1
            return True
        if book.set(side, px, price.decimals, size) == LEVEL_NO_ROOM:
            self.rejected[NO_SIZE] += 1
            return False
        return True

    cdef void _settle(self, _Symbol symbol, bint fits, int64_t total, bint snapshot):
        """All levels are in: is the book right? Then tell what has changed."""
        cdef LevelBook book = symbol.book
        cdef tc_level[TC_BOOK_LEVELS] levels
        cdef uint32_t reached
        cdef uint8_t flags = FLAG_SNAPSHOT if snapshot else 0
        book.truncate(symbol.depth)
        if not fits or (total >= 0 and book.checksum() != total):
            self._lose(symbol, CHECKSUM if fits else BAD_LEVEL)
            return
        self.checked += total >= 0
        if not symbol.live:
            symbol.live = True
            self.clear(symbol.index, BAD_QUOTE | BAD_BOOK)
        reached = 0 if snapshot else min(book.reached[LEVELS_BID], book.reached[LEVELS_ASK])
        book.settle()
        if reached < TC_BOOK_LEVELS:
            book.fill(levels, TC_BOOK_LEVELS, <uint8_t>self.symbols[symbol.index].decimals)
            if reached == 0:
                self.tell_top(symbol.index, levels, 0, flags)
            self.tell_levels(symbol.index, levels, 0, flags)

    cdef void _lose(self, _Symbol symbol, str why):
        """The book of this symbol is wrong."""
        symbol.live = False
        self._wrong.append((symbol.index, why))
        self.mark(symbol.index, BAD_QUOTE | BAD_BOOK)

    # --- trades and the rest ----------------------------------------------------------------------------------------

    cdef int _trades_said(self, list trades, bint snapshot) except -1:
        cdef object said
        cdef _Symbol symbol
        cdef exact price, size
        cdef int64_t px = 0
        cdef uint64_t number, last
        cdef set new = set()
        if snapshot:
            trades = sorted(trades, key=_number_of)
        for said in trades:
            symbol = self._symbols.get(said.symbol)
            if symbol is None:
                self.rejected[NO_SYMBOL] += 1
                continue
            number = said.trade_id
            last = symbol.last_trade
            if snapshot and (last == 0 or symbol in new):   # of before we listened
                new.add(symbol)
                symbol.last_trade = number
                continue
            if number <= last and last - number < NUMBERS:
                self.rejected[TWICE] += not snapshot
                continue
            if not _number(said.price, &price) or price_of(&price, &px) != DECIMAL_FITS:
                self.rejected[NO_PRICE] += 1
                continue
            if not _number(said.qty, &size):
                self.rejected[NO_SIZE] += 1
                continue
            if last and last < number < last + NUMBERS:
                self.rejected[MISSED] += number - last - 1
            symbol.last_trade = number
            self.ts_event = _time(said.timestamp)
            self.tell_trade(
                symbol.index,
                px,
                size_of(&size, <uint8_t>self.symbols[symbol.index].decimals),
                c"B" if said.side == "buy" else c"A",
                number,
            )
        return 0

    cdef object _answer(self, bytes message):
        """What is of no channel that we know is an answer, or nothing to us."""
        try:
            return _decode_answer(message)
        except _NOT_JSON:
            pass
        try:
            if _decode_channel(message).channel not in _CHANNELS:
                self.rejected[NOT_UNDERSTOOD] += 1
                return None
        except _NOT_JSON:
            pass
        return self._malformed(message)

    cdef object _malformed(self, bytes message):
        """Data that can't be read: the books that it names are wrong, or nobody knows which."""
        cdef _Symbol symbol
        cdef object name, named = False
        self.rejected[NOT_UNDERSTOOD] += 1
        for name in set(_NAMED.findall(message)):
            symbol = self._symbols.get(name.decode("latin-1"))
            if symbol is not None:
                named = True
                if symbol.live:
                    self._lose(symbol, MALFORMED)
        return None if named else MALFORMED


cdef inline bint _number(object raw, exact* number) except -1:
    """The text of a number of JSON; False: it is none."""
    cdef Py_buffer view
    cdef int found
    PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE)
    found = decimal(<const char*>view.buf, view.len, number)
    PyBuffer_Release(&view)
    return found == DECIMAL_FITS


cdef inline bint _text(object text, exact* number) except -1:
    cdef Py_ssize_t n
    cdef const char* at = PyUnicode_AsUTF8AndSize(text, &n)
    return decimal(at, n, number) == DECIMAL_FITS


cdef inline uint64_t _time(str text) except? 0:
    cdef Py_ssize_t n
    cdef const char* at = PyUnicode_AsUTF8AndSize(text, &n)
    return tc_rfc3339(at, n)


def _number_of(trade):
    return trade.trade_id
