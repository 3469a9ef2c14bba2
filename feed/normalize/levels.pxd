"""Table of contents of the price-level books and of exact decimals, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from feed.wire.records cimport tc_level

cdef enum:
    LEVELS_BID = 0
    LEVELS_ASK = 1

cdef enum:                        # what a decimal number is found to be; words: DECIMAL_REASONS in levels.pyx
    DECIMAL_FITS
    DECIMAL_NOT                   # no number at all
    DECIMAL_NEGATIVE
    DECIMAL_LARGE                 # more than 19 digits; as a price, 2^63-1 or more units of 1e-9
    DECIMAL_FINE                  # as a price, not a whole number of 1e-9
    DECIMAL_END

cdef enum:                        # what LevelBook.set gives, else how many better levels the side has
    LEVEL_SAME = -1               # it was so already
    LEVEL_UNKNOWN = -2            # to be removed, but there is none
    LEVEL_NO_ROOM = -3            # the side has as many as it may, or memory is out


cdef struct exact:                # digits / 10^decimals
    uint64_t digits
    uint8_t decimals              # as the text has them, zeros at the end too: "1.50" is 150 and 2


cdef struct price_level:
    int64_t key                   # a bid's price in 1e-9, an ask's negated: the greater, the better
    uint64_t size                 # its digits, never 0
    uint8_t size_decimals
    uint8_t price_decimals


cdef struct level_side:
    price_level* room
    uint32_t first                # those before it were cut off
    uint32_t n                    # ascending by key from `first`: the best is the last
    uint32_t capacity


cdef class LevelBook:
    cdef level_side sides[2]      # LEVELS_*
    cdef uint32_t reached[2]      # the best place (0: the top) of each side that changed since `settle`
    cdef uint32_t limit

    # The level of this price has this size from here on; size 0 removes it.
    cdef int64_t set(self, int side, int64_t price, uint8_t price_decimals, const exact* size) noexcept nogil
    # The level of this place, 0 is the best; NULL: the side has not so many.
    cdef const price_level* at(self, int side, uint32_t place) noexcept nogil
    # Nothing is in it any more.
    cdef void clear(self) noexcept nogil
    # Only the best `depth` levels of each side stay.
    cdef void truncate(self, uint32_t depth) noexcept nogil
    # From here on nothing has changed.
    cdef void settle(self) noexcept nogil
    # The best bid is not below the best ask.
    cdef bint crossed(self) noexcept nogil
    # The first `n` places as a record has them, sizes in units of 10^-decimals; undefined price where there is no level.
    cdef void fill(self, tc_level* levels, uint32_t n, uint8_t decimals) noexcept nogil
    # Kraken's: CRC-32 of the digits of the ten best asks, then bids.
    cdef uint32_t checksum(self) noexcept nogil
    cdef price_level* _room(self, level_side* there, uint32_t at) noexcept nogil


# A decimal number's text (digits, a dot, an exponent) without any rounding. Gives DECIMAL_*.
cdef int decimal(const char* text, size_t n, exact* number) noexcept nogil
# The number as a price in units of 1e-9. Gives DECIMAL_*.
cdef int price_of(const exact* number, int64_t* price) noexcept nogil
# The number as a record's size: whole units of 10^-decimals, to the nearest, 1 at least unless it is 0, at most 2^32-2.
cdef uint32_t size_of(const exact* number, uint8_t decimals) noexcept nogil
