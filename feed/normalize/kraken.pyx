# cython: language_level=3, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Kraken's messages (kraken_messages.py) in, normalised records out; one message at a time, no I/O.

    book         quote, if the best of a side is another; book, if one of the best ten is
    trade        trade; sequence is the venue's trade_id

A book is right as long as each checksum is: the CRC-32 of its best ten asks and bids after all levels of an update are
in and what is beyond the subscribed depth is cut off. Else, or after a level that is no number, it waits for a snapshot
(venue_books.pyx, as all that follows from that).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint64_t

from feed.normalize.levels cimport DECIMAL_FITS, LEVELS_ASK, LEVELS_BID, LevelBook, decimal, exact
from feed.normalize.venue cimport NO_PRICE, NO_SIZE, NO_SYMBOL, NOT_UNDERSTOOD
from feed.normalize.venue_books cimport VenueBook, VenueBooks, text_number, text_time
from feed.wire.records cimport TC_UNDEF_TIMESTAMP

import re

import msgspec
import orjson

from feed.normalize.kraken_messages import ANSWER, CHANNEL, SPOKEN, Books, Heartbeat, Trades
from feed.normalize.venue_books import BAD_LEVEL, MALFORMED

PUBLISHER = 65004
"""publisher_id of records, beyond those that Databento gives out."""
CHECKSUM = "checksum"
"""Why a book is wrong, beside `BAD_LEVEL` and `MALFORMED`."""

cdef object _decode = SPOKEN.decode
cdef object _decode_answer = ANSWER.decode
cdef object _Books = Books
cdef object _Trades = Trades
cdef object _Heartbeat = Heartbeat
cdef object _decode_channel = CHANNEL.decode
cdef object _CHANNELS = frozenset(("book", "trade"))
cdef object _NAMED = re.compile(rb'"symbol" ?: ?"([^"]{1,40})"')
cdef tuple _NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


cdef class Kraken(VenueBooks):
    """Books and trades of Kraken's spot markets; made as :class:`VenueRecords`. Names of symbols are as BTC/USD."""

    cdef readonly uint64_t checked
    """Checksums that were right."""

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
        cdef VenueBook symbol
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

    # --- books ------------------------------------------------------------------------------------------------------

    cdef int _book_said(self, object said, bint snapshot) except -1:
        cdef VenueBook symbol = self._symbols.get(said.symbol)
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
        self.ts_event = text_time(said.timestamp)
        self._settle(symbol, fits, said.checksum, snapshot)
        return 0

    cdef bint _levels(self, LevelBook book, int side, list levels) except -1:
        """Put levels into the book; False: one of them was no level."""
        cdef object level
        cdef exact price, size
        cdef bint fits = True
        for level in levels:
            if _number(level.price, &price) and _number(level.qty, &size):
                fits = self.put_level(book, side, &price, &size) and fits
            else:
                self.rejected[NO_PRICE] += 1
                fits = False
        return fits

    cdef bint _levels_v1(self, LevelBook book, int side, list levels) except -1:
        cdef list level
        cdef exact price, size
        cdef bint fits = True
        for level in levels:
            if len(level) >= 2 and text_number(level[0], &price) and text_number(level[1], &size):
                fits = self.put_level(book, side, &price, &size) and fits
            else:
                self.rejected[NO_PRICE] += 1
                fits = False
        return fits

    cdef void _settle(self, VenueBook symbol, bint fits, int64_t total, bint snapshot):
        """All levels are in: is the book right?"""
        symbol.book.truncate(symbol.depth)
        if not fits or (total >= 0 and symbol.book.checksum() != total):
            self.lose(symbol, CHECKSUM if fits else BAD_LEVEL)
            return
        self.checked += total >= 0
        self.tell_book(symbol, 0, snapshot)

    # --- trades and the rest ----------------------------------------------------------------------------------------

    cdef int _trades_said(self, list trades, bint snapshot) except -1:
        cdef object said
        cdef VenueBook symbol
        cdef exact price, size
        for said in sorted(trades, key=_number_of) if snapshot else trades:
            symbol = self._symbols.get(said.symbol)
            if symbol is None:
                self.rejected[NO_SYMBOL] += 1
            elif not _number(said.price, &price):
                self.rejected[NO_PRICE] += 1
            elif not _number(said.qty, &size):
                self.rejected[NO_SIZE] += 1
            else:
                self.ts_event = text_time(said.timestamp)
                self.number_trade(symbol, said.trade_id, &price, &size, c"B" if said.side == "buy" else c"A", snapshot)
        for symbol in self._by_index:
            symbol.begins = False
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
        cdef VenueBook symbol
        cdef object name, named = False
        self.rejected[NOT_UNDERSTOOD] += 1
        for name in set(_NAMED.findall(message)):
            symbol = self._symbols.get(name.decode("latin-1"))
            if symbol is not None:
                named = True
                if symbol.live:
                    self.lose(symbol, MALFORMED)
        return None if named else MALFORMED


cdef inline bint _number(object raw, exact* number) except -1:
    """The text of a number of JSON; False: it is none."""
    cdef Py_buffer view
    cdef int found
    PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE)
    found = decimal(<const char*>view.buf, view.len, number)
    PyBuffer_Release(&view)
    return found == DECIMAL_FITS


def _number_of(trade):
    return trade.trade_id
