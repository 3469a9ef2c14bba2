"""Table of contents of venues whose books and trades are kept by symbol, for cimport."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from feed.normalize.levels cimport LevelBook, exact
from feed.normalize.venue cimport VenueRecords


cdef class VenueBook:             # what is known of a symbol
    cdef LevelBook book
    cdef uint32_t index
    cdef uint32_t depth           # levels of a side that the venue tells; 0: all
    cdef bint live                # its snapshot is here, and all since is right
    cdef bint begins              # its trades are those of before we listened
    cdef uint64_t last_trade      # 0: none is known


cdef class VenueBooks(VenueRecords):
    cdef dict _symbols            # the venue's name -> VenueBook
    cdef list _by_index
    cdef list _wrong

    # A level as it came. False: it can't be put in, and the book is wrong without it.
    cdef bint put_level(self, LevelBook book, int side, const exact* price, const exact* size) noexcept nogil
    # All levels of a message are in, and right: tell what has changed.
    cdef void tell_book(self, VenueBook symbol, uint64_t sequence, bint snapshot) noexcept
    # The book of this symbol is wrong: it waits for a snapshot.
    cdef void lose(self, VenueBook symbol, str why)
    # A trade by its number: told once, those before it that never came are counted.
    cdef void number_trade(self, VenueBook symbol, uint64_t number, const exact* price, const exact* size, char side, bint snapshot) noexcept nogil
