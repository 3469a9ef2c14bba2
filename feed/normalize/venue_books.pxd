"""Table of contents of venues whose books and trades are kept by symbol, for cimport."""

from libc.stdint cimport uint32_t, uint64_t

from feed.normalize.levels cimport DECIMAL_FITS, LevelBook, decimal, exact
from feed.normalize.venue cimport VenueRecords

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* n) except NULL

cdef extern from "feed/normalize/rfc3339.h" nogil:
    uint64_t tc_rfc3339(const char* text, size_t n) noexcept


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


cdef inline bint text_number(object text, exact* number) except -1:
    """The number that a text is; False: it is none."""
    cdef Py_ssize_t n
    cdef const char* at = PyUnicode_AsUTF8AndSize(text, &n)
    return decimal(at, n, number) == DECIMAL_FITS


cdef inline uint64_t text_time(str text) except? 0:
    """ns since 1970, TC_UNDEF_TIMESTAMP: it is no time."""
    cdef Py_ssize_t n
    cdef const char* at = PyUnicode_AsUTF8AndSize(text, &n)
    return tc_rfc3339(at, n)
