# cython: language_level=3, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Coinbase's Advanced Trade messages (coinbase_messages.py) in, normalised records out; one at a time, no I/O.

    l2_data          quote, if the best of a side is another; book, if one of the best ten is
    market_trades    trade; sequence is the venue's trade_id

sequence_num counts all messages of a connection, of whatever channel and product. One that is left out may have been of
any product there: `GAP`. One that was here is passed over. A book whose bid meets its ask is marked as long as it does:
no level was lost, but it is not one to trade on. All else of books and trades is as in venue_books.pyx.
"""

from libc.stdint cimport int64_t, uint64_t

from feed.normalize.levels cimport LEVELS_ASK, LEVELS_BID, exact
from feed.normalize.venue cimport BAD_BOOK, BAD_QUOTE, NO_PRICE, NO_SIZE, NO_SYMBOL, NOT_UNDERSTOOD, TWICE
from feed.normalize.venue_books cimport VenueBook, VenueBooks, text_number, text_time
from feed.wire.records cimport TC_UNDEF_TIMESTAMP

import msgspec

from feed.normalize.coinbase_messages import CHANNEL, SPOKEN, Books, Heartbeats, Trades
from feed.normalize.venue_books import BAD_LEVEL, MALFORMED

PUBLISHER = 65005
"""publisher_id of records, beyond those that Databento gives out."""
GAP = "gap"

cdef object _decode = SPOKEN.decode
cdef object _decode_channel = CHANNEL.decode
cdef object _Books = Books
cdef object _Trades = Trades
cdef object _Heartbeats = Heartbeats
cdef object _CHANNELS = frozenset(("l2_data", "market_trades", "subscriptions", "heartbeats"))
cdef tuple _NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


cdef class Coinbase(VenueBooks):
    """Books and trades of Coinbase's spot markets; made as :class:`VenueRecords`. Names of symbols are as BTC-USD."""

    cdef public int64_t expected
    """The sequence_num that the next message of the connection at hand has; whoever has several puts each one's own
    here before `apply`. A connection begins with 0."""

    def apply(self, bytes message, uint64_t received_ns):
        """One message as it came. What is not data (Subscriptions; Channel, an error) is given back; `GAP` or `MALFORMED`
        if any of the books of the message's connection may be wrong."""
        cdef object said, each
        cdef int64_t number
        self.received = received_ns
        self.ts_event = TC_UNDEF_TIMESTAMP
        try:
            said = _decode(message)
        except _NOT_JSON:
            return self._other(message)
        number = said.sequence_num
        if number != self.expected:
            return self._out_of_turn(number)
        self.expected = number + 1
        if type(said) is _Books:
            for each in said.events:
                self._book_said(each, said.timestamp, number)
        elif type(said) is _Trades:
            for each in said.events:
                self._trades_said(each.trades, each.type == "snapshot")
        elif type(said) is not _Heartbeats:
            return said
        return None

    # --- books ------------------------------------------------------------------------------------------------------

    cdef int _book_said(self, object said, str sent, uint64_t number) except -1:
        cdef VenueBook symbol = self._symbols.get(said.product_id)
        cdef bint snapshot = said.type == "snapshot", fits = True
        cdef object level
        cdef exact price, size
        cdef uint64_t time = TC_UNDEF_TIMESTAMP
        if symbol is None:
            self.rejected[NO_SYMBOL] += 1
            return 0
        if snapshot:
            symbol.book.clear()
        elif not symbol.live:
            return 0
        for level in said.updates:
            if not text_number(level.price_level, &price):
                self.rejected[NO_PRICE] += 1
                fits = False
            elif not text_number(level.new_quantity, &size):
                self.rejected[NO_SIZE] += 1
                fits = False
            elif not self.put_level(symbol.book, LEVELS_BID if level.side == "bid" else LEVELS_ASK, &price, &size):
                fits = False
        if not fits:
            self.lose(symbol, BAD_LEVEL)
            return 0
        if not snapshot and said.updates:    # in a snapshot those of levels are of long ago
            time = text_time(said.updates[-1].event_time)
        self.ts_event = time if time != TC_UNDEF_TIMESTAMP else text_time(sent)
        symbol.live = True
        if symbol.book.crossed():
            self.mark(symbol.index, BAD_QUOTE | BAD_BOOK)
        else:
            self.clear(symbol.index, BAD_QUOTE | BAD_BOOK)
        self.tell_book(symbol, number, snapshot)
        return 0

    # --- trades and the rest ----------------------------------------------------------------------------------------

    cdef int _trades_said(self, list trades, bint snapshot) except -1:
        cdef object said
        cdef VenueBook symbol
        cdef exact number, price, size
        for said in sorted(trades, key=_number_of) if snapshot else reversed(trades) if _falls(trades) else trades:
            symbol = self._symbols.get(said.product_id)
            if symbol is None:
                self.rejected[NO_SYMBOL] += 1
            elif not text_number(said.price, &price):
                self.rejected[NO_PRICE] += 1
            elif not text_number(said.size, &size):
                self.rejected[NO_SIZE] += 1
            elif not text_number(said.trade_id, &number) or number.decimals:
                self.rejected[NOT_UNDERSTOOD] += 1
            else:
                self.ts_event = text_time(said.time)
                self.number_trade(symbol, number.digits, &price, &size, c"A" if said.side == "BUY" else c"B", snapshot)
        for symbol in self._by_index:
            symbol.begins = False
        return 0

    cdef object _other(self, bytes message):
        """What is of no channel that we know counts, and is nothing to us; an error has no number."""
        cdef object said
        try:
            said = _decode_channel(message)
        except _NOT_JSON:
            said = None
        if said is not None and said.type == "error" and not said.channel:
            return said
        self.rejected[NOT_UNDERSTOOD] += 1
        if said is None or not 0 <= said.sequence_num < 1 << 62 or said.channel in _CHANNELS:
            return MALFORMED
        if said.sequence_num != self.expected:
            return self._out_of_turn(said.sequence_num)
        self.expected += 1
        return None

    cdef object _out_of_turn(self, int64_t number):
        if number > self.expected:
            return GAP
        self.rejected[TWICE] += 1
        return None


def _number_of(trade):
    return len(trade.trade_id), trade.trade_id


cdef bint _falls(list trades):
    """The newest comes first."""
    return len(trades) > 1 and _number_of(trades[0]) > _number_of(trades[-1])
