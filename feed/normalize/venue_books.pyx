# cython: language_level=3, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""What the normalisers of venues have in common that send snapshots of books by themselves, and number their trades.

A book that is wrong waits for its next snapshot, it alone: `take_wrong` says so, MAYBE_BAD_BOOK is on its records, what
comes in between is passed over. A trade that was here is dropped, missing ones are counted; a snapshot of trades after a
break brings back what it has of them, the first one is of before we listened.
"""

from libc.stdint cimport int64_t

from feed.normalize.levels cimport (
    DECIMAL_FITS,
    DECIMAL_LARGE,
    LEVEL_NO_ROOM,
    LEVELS_ASK,
    LEVELS_BID,
    price_of,
    size_of,
)
from feed.normalize.venue cimport BAD_BOOK, BAD_QUOTE, MISSED, NO_PRICE, NO_SIZE, TWICE
from feed.wire.records cimport TC_BOOK_LEVELS, tc_level

from feed.normalize.levels import LIMIT

cdef enum:
    FLAG_SNAPSHOT = 32            # DBN
    TOLD_AGAIN = 1 << 10          # a number that is lower by more than this is of another numbering, not of before
    MISSED_MOST = 1 << 20         # and so is one that is higher by more than this

BAD_LEVEL = "bad_level"
MALFORMED = "malformed"
"""Why a book is wrong: what `take_wrong` gives."""


cdef class VenueBook:
    """What is known of a symbol."""


cdef class VenueBooks(VenueRecords):
    """Made as :class:`VenueRecords`."""

    def __cinit__(self, sink, publisher, venue=None):
        self._symbols = {}
        self._by_index = []
        self._wrong = []

    def symbol(self, name: str, topics, instrument: int, decimals: int, depth: int = 0) -> int:
        """One more symbol, by the venue's `name`, whose book is told with `depth` levels a side (0: all); the rest as
        :meth:`VenueRecords.add`."""
        cdef VenueBook symbol = VenueBook()
        symbol.book = LevelBook(limit=2 * depth + 1024 if depth else LIMIT)
        symbol.depth = depth
        symbol.index = self.add(topics, instrument, decimals)
        self._symbols[name] = symbol
        self._by_index.append(symbol)
        return symbol.index

    def take_wrong(self) -> list:
        """(index, why) of the books that have become wrong since the last call and wait for a snapshot."""
        taken, self._wrong = self._wrong, []
        return taken

    def forget(self, index: int, received_ns: int) -> None:
        """What was said of this symbol's book holds no longer: it waits for a snapshot, marked."""
        self._check(index)
        (<VenueBook>self._by_index[index]).live = False
        self.doubt(index, BAD_QUOTE | BAD_BOOK, received_ns)

    def is_live(self, index: int) -> bool:
        """Is the book of this symbol right, as far as the venue lets us see?"""
        self._check(index)
        return (<VenueBook>self._by_index[index]).live

    def book(self, index: int) -> LevelBook:
        """The book of this symbol, to look at."""
        self._check(index)
        return (<VenueBook>self._by_index[index]).book

    cdef bint put_level(self, LevelBook book, int side, const exact* price, const exact* size) noexcept nogil:
        cdef int64_t px
        cdef int found = price_of(price, &px)
        if found != DECIMAL_FITS:
            self.rejected[NO_PRICE] += 1
            return found == DECIMAL_LARGE   # somebody asks 9999999997.00000 for a coin: nothing is wrong without that
        if book.set(side, px, price.decimals, size) == LEVEL_NO_ROOM:
            self.rejected[NO_SIZE] += 1
            return False
        return True

    cdef void tell_book(self, VenueBook symbol, uint64_t sequence, bint snapshot) noexcept:
        cdef LevelBook book = symbol.book
        cdef tc_level[TC_BOOK_LEVELS] levels
        cdef uint32_t reached = min(book.reached[LEVELS_BID], book.reached[LEVELS_ASK])
        if not symbol.live:
            symbol.live = True
            self.clear(symbol.index, BAD_QUOTE | BAD_BOOK)
        book.settle()
        if snapshot:
            reached = 0
        if reached < TC_BOOK_LEVELS:
            book.fill(levels, TC_BOOK_LEVELS, self.symbols[symbol.index].decimals)
            if reached == 0:
                self.tell_top(symbol.index, levels, sequence, FLAG_SNAPSHOT if snapshot else 0)
            self.tell_levels(symbol.index, levels, sequence, FLAG_SNAPSHOT if snapshot else 0)

    cdef void lose(self, VenueBook symbol, str why):
        symbol.live = False
        self._wrong.append((symbol.index, why))
        self.mark(symbol.index, BAD_QUOTE | BAD_BOOK)

    cdef void number_trade(self, VenueBook symbol, uint64_t number, const exact* price, const exact* size, char side, bint snapshot) noexcept nogil:
        cdef uint64_t last = symbol.last_trade
        cdef int64_t px = 0
        if snapshot and (last == 0 or symbol.begins):
            symbol.begins = True
            symbol.last_trade = number
            return
        if number <= last and last - number < TOLD_AGAIN:
            self.rejected[TWICE] += not snapshot
            return
        if price_of(price, &px) != DECIMAL_FITS:
            self.rejected[NO_PRICE] += 1
            return
        if last and last < number < last + MISSED_MOST:
            self.rejected[MISSED] += number - last - 1
        symbol.last_trade = number
        self.tell_trade(symbol.index, px, size_of(size, self.symbols[symbol.index].decimals), side, number)
