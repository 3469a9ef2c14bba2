# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Price-level books of venues that tell the size at each price, and their decimal numbers, exact.

A number is kept as its digits and how many of them follow the dot, so that nothing is rounded and what a venue sums up
(Kraken) can be written again. Prices are also ordered, as int64 in units of 1e-9. The levels of a side are a sorted
array with the best at its end, where nearly all of it happens. Nothing is allocated but where an array doubles.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

from decimal import Decimal

from feed.wire.records cimport TC_UNDEF_ORDER_SIZE, TC_UNDEF_PRICE

cdef extern from "feed/normalize/crc32.h" nogil:
    void tc_crc32_init() noexcept
    uint32_t tc_crc32(const char* data, size_t n) noexcept

cdef enum:
    UNITS = 9                     # decimals of a price
    DIGITS_MAX = 19               # of a number: 10^19 - 1 fits in 64 bits
    DECIMALS_MAX = UNITS + DIGITS_MAX
    LEVELS_MIN = 64
    STEPS = 12                    # levels looked at one by one before the rest is halved
    SUMMED = 10                   # levels of a side that Kraken sums up
    NUMBER_BYTES = 2 * DIGITS_MAX + 2

LIMIT = 1 << 18
"""Levels that a side may have, by default: 6 MB; the fullest book of a real venue has some tens of thousands."""

DECIMAL_REASONS = ("fits", "not_a_number", "negative", "too_large", "too_fine")

cdef uint64_t[DIGITS_MAX + 1] TEN      # powers
cdef int _power
TEN[0] = 1
for _power in range(DIGITS_MAX):
    TEN[_power + 1] = 10 * TEN[_power]
tc_crc32_init()


cdef class LevelBook:
    """One symbol's. `limit`: levels that a side may have."""

    def __cinit__(self, *, limit: int = LIMIT):
        self.limit = limit
        self.settle()

    def __dealloc__(self):
        free(self.sides[0].room)
        free(self.sides[1].room)

    def put(self, side: int, price: str, size: str) -> int:
        """The level at `price` of side 0 (bids) or 1 (asks) has this size from here on, none at 0; what `set` gives.

        :raises ValueError: one of them is no number that fits.
        """
        cdef exact price_read = _read(price), size_read = _read(size)
        cdef int64_t px = 0
        _check(price_of(&price_read, &px), price)
        if not 0 <= side <= 1:
            raise ValueError("side 0 or 1")
        return self.set(side, px, price_read.decimals, &size_read)

    def levels(self, side: int) -> list[tuple[int, Decimal]]:
        """(price in 1e-9, size) of every level, the best first."""
        if not 0 <= side <= 1:
            raise ValueError("side 0 or 1")
        cdef uint32_t i
        cdef const price_level* level
        found = []
        for i in range(self.sides[<int>side].n):
            level = self.at(side, i)
            found.append((-level.key if side else level.key, Decimal(level.size).scaleb(-<int>level.size_decimals)))
        return found

    def cut(self, depth: int) -> None:
        """Only the best `depth` levels of each side stay."""
        self.truncate(depth)

    def reset(self) -> None:
        """Nothing is in it any more."""
        self.clear()

    @property
    def is_crossed(self) -> bool:
        """The best bid is not below the best ask."""
        return self.crossed()

    @property
    def crc32(self) -> int:
        """Kraken's checksum of what is in it."""
        return self.checksum()

    @property
    def memory_bytes(self) -> int:
        """Reserved for levels."""
        return (self.sides[0].capacity + self.sides[1].capacity) * sizeof(price_level)

    cdef int64_t set(self, int side, int64_t price, uint8_t price_decimals, const exact* size) noexcept nogil:
        cdef level_side* there = &self.sides[side]
        cdef int64_t key = -price if side else price
        cdef int64_t at = _place(there, key)
        cdef price_level* level
        cdef int64_t better
        if at >= 0 and there.room[there.first + at].key == key:
            level = &there.room[there.first + at]
            better = <int64_t>there.n - 1 - at
            if size.digits == 0:
                there.n -= 1
                memmove(level, level + 1, better * sizeof(price_level))
            elif (
                level.size == size.digits
                and level.size_decimals == size.decimals
                and level.price_decimals == price_decimals
            ):
                return LEVEL_SAME
            else:
                level.size = size.digits
                level.size_decimals = size.decimals
                level.price_decimals = price_decimals
        elif size.digits == 0:
            return LEVEL_UNKNOWN
        else:
            level = self._room(there, <uint32_t>(at + 1))
            if level is NULL:
                return LEVEL_NO_ROOM
            better = <int64_t>there.n - 2 - at
            level.key = key
            level.size = size.digits
            level.size_decimals = size.decimals
            level.price_decimals = price_decimals
        if better < self.reached[side]:
            self.reached[side] = <uint32_t>better
        return better

    cdef const price_level* at(self, int side, uint32_t place) noexcept nogil:
        cdef const level_side* there = &self.sides[side]
        return &there.room[there.first + there.n - 1 - place] if place < there.n else NULL

    cdef void clear(self) noexcept nogil:
        cdef int side
        for side in range(2):
            if self.sides[side].n:
                self.reached[side] = 0
            self.sides[side].n = self.sides[side].first = 0

    cdef void truncate(self, uint32_t depth) noexcept nogil:
        cdef int side
        cdef level_side* there
        for side in range(2):
            there = &self.sides[side]
            if there.n > depth:
                there.first += there.n - depth
                there.n = depth
                if depth < self.reached[side]:
                    self.reached[side] = depth

    cdef void settle(self) noexcept nogil:
        self.reached[0] = self.reached[1] = 0xFFFFFFFF

    cdef bint crossed(self) noexcept nogil:
        cdef const price_level* bid = self.at(LEVELS_BID, 0)
        cdef const price_level* ask = self.at(LEVELS_ASK, 0)
        return bid is not NULL and ask is not NULL and bid.key >= -ask.key

    cdef void fill(self, tc_level* levels, uint32_t n, uint8_t decimals) noexcept nogil:
        cdef uint32_t i
        cdef const price_level* level
        cdef exact size
        for i in range(n):
            levels[i].bid_px = levels[i].ask_px = TC_UNDEF_PRICE
            levels[i].bid_sz = levels[i].ask_sz = levels[i].bid_ct = levels[i].ask_ct = 0
            level = self.at(LEVELS_BID, i)
            if level is not NULL:
                size.digits = level.size
                size.decimals = level.size_decimals
                levels[i].bid_px = level.key
                levels[i].bid_sz = size_of(&size, decimals)
            level = self.at(LEVELS_ASK, i)
            if level is not NULL:
                size.digits = level.size
                size.decimals = level.size_decimals
                levels[i].ask_px = -level.key
                levels[i].ask_sz = size_of(&size, decimals)

    cdef uint32_t checksum(self) noexcept nogil:
        cdef char[4 * SUMMED * NUMBER_BYTES] text
        cdef char* at = text
        cdef const price_level* level
        cdef int i
        for i in range(2 * SUMMED):
            level = self.at(LEVELS_ASK, i) if i < SUMMED else self.at(LEVELS_BID, i - SUMMED)
            if level is not NULL:
                at = _write_price(at, -level.key if i < SUMMED else level.key, level.price_decimals)
                at = _write(at, level.size)
        return tc_crc32(text, at - text)

    cdef price_level* _room(self, level_side* there, uint32_t at) noexcept nogil:
        """Room for one more level at this place of the array; NULL: there is none."""
        cdef uint32_t capacity
        cdef price_level* more
        if there.n >= self.limit:
            return NULL
        if there.first + there.n == there.capacity:
            if 2 * there.n >= there.capacity:
                capacity = max(LEVELS_MIN, 2 * there.capacity)
                more = <price_level*>malloc(capacity * sizeof(price_level))
                if more is NULL:
                    return NULL
                if there.n:
                    memcpy(more, there.room + there.first, there.n * sizeof(price_level))
                free(there.room)
                there.room = more
                there.capacity = capacity
            else:
                memmove(there.room, there.room + there.first, there.n * sizeof(price_level))
            there.first = 0
        more = &there.room[there.first + at]
        memmove(more + 1, more, (there.n - at) * sizeof(price_level))
        there.n += 1
        return more


def price(text: str) -> int:
    """A decimal number's text in units of 1e-9, exact.

    :raises ValueError: it is none, or does not fit; with one of `DECIMAL_REASONS`.
    """
    cdef exact number = _read(text)
    cdef int64_t px = 0
    _check(price_of(&number, &px), text)
    return px


def size(text: str, decimals: int) -> int:
    """A decimal number's text as a record's size: whole units of 10^-decimals, to the nearest, 1 at least unless it is 0,
    at most 2^32-2, which stands for more.

    :raises ValueError: it is none.
    """
    cdef exact number = _read(text)
    if not 0 <= decimals <= 18:
        raise ValueError("0 to 18 decimals")
    return size_of(&number, decimals)


cdef exact _read(str text) except *:
    cdef exact number
    cdef bytes raw = text.encode()
    number.digits = number.decimals = 0
    _check(decimal(raw, len(raw), &number), text)
    return number


cdef int _check(int found, str text) except -1:
    if found != DECIMAL_FITS:
        raise ValueError(f"{DECIMAL_REASONS[found]}: {text[:40]!r}")
    return 0


cdef int decimal(const char* text, size_t n, exact* number) noexcept nogil:
    cdef const char* end = text + n
    cdef const char* dot = NULL
    cdef uint64_t digits = 0
    cdef int kept = 0, seen = 0, power = 0, decimals
    cdef bint minus = False
    cdef unsigned int digit
    if n and text[0] == c"-":
        minus = True
        text += 1
    while text < end:
        digit = <unsigned int>(text[0] - c"0")
        if digit <= 9:
            if kept or digit:
                kept += 1
                if kept > DIGITS_MAX:
                    return _after_digits(text, end)
                digits = 10 * digits + digit
            seen += 1
        elif text[0] == c"." and dot is NULL:
            dot = text
        else:
            break
        text += 1
    if seen == 0:
        return DECIMAL_NOT
    decimals = <int>(text - dot - 1) if dot is not NULL else 0
    if text < end:
        if not _exponent(text, end, &power):
            return DECIMAL_NOT
        decimals -= power
    if minus:
        return DECIMAL_NEGATIVE
    if digits == 0:
        decimals = min(max(decimals, 0), DECIMALS_MAX)
    if decimals < 0:
        if decimals < -DIGITS_MAX or digits > <uint64_t>0xFFFFFFFFFFFFFFFF // TEN[-decimals]:
            return DECIMAL_LARGE
        digits *= TEN[-decimals]
        decimals = 0
    if decimals > DECIMALS_MAX:
        return DECIMAL_FINE
    number.digits = digits
    number.decimals = <uint8_t>decimals
    return DECIMAL_FITS


cdef int price_of(const exact* number, int64_t* price) noexcept nogil:
    cdef uint64_t units = number.digits, power
    if number.decimals > UNITS:
        power = TEN[number.decimals - UNITS]
        if units % power:
            return DECIMAL_FINE
        units //= power
    else:
        power = TEN[UNITS - number.decimals]
        if units > <uint64_t>TC_UNDEF_PRICE // power:
            return DECIMAL_LARGE
        units *= power
    if units >= <uint64_t>TC_UNDEF_PRICE:
        return DECIMAL_LARGE
    price[0] = <int64_t>units
    return DECIMAL_FITS


cdef uint32_t size_of(const exact* number, uint8_t decimals) noexcept nogil:
    cdef uint64_t units = number.digits, power
    cdef int finer = <int>number.decimals - <int>decimals
    if units == 0:
        return 0
    if finer > 0:
        power = TEN[min(finer, DIGITS_MAX)]
        units = units // power + (1 if units % power >= power // 2 + (power & 1) else 0)
        if units == 0:
            units = 1
    elif units < TC_UNDEF_ORDER_SIZE and -finer <= UNITS:
        units *= TEN[-finer]
    elif finer:
        return TC_UNDEF_ORDER_SIZE - 1
    return <uint32_t>min(units, <uint64_t>TC_UNDEF_ORDER_SIZE - 1)


cdef int _after_digits(const char* text, const char* end) noexcept nogil:
    """What a text is that has more digits than are kept: too large, or no number."""
    cdef int power
    while text < end and (<unsigned int>(text[0] - c"0") <= 9 or text[0] == c"."):
        text += 1
    return DECIMAL_LARGE if text == end or _exponent(text, end, &power) else DECIMAL_NOT


cdef bint _exponent(const char* text, const char* end, int* power) noexcept nogil:
    """The rest of a number: e or E, a sign or none, one to three digits."""
    cdef bint minus = False
    cdef int value = 0
    if text[0] != c"e" and text[0] != c"E":
        return False
    text += 1
    if text < end and (text[0] == c"-" or text[0] == c"+"):
        minus = text[0] == c"-"
        text += 1
    if text == end or end - text > 3:
        return False
    while text < end:
        if <unsigned int>(text[0] - c"0") > 9:
            return False
        value = 10 * value + (text[0] - c"0")
        text += 1
    power[0] = -value if minus else value
    return True


cdef inline int64_t _place(const level_side* there, int64_t key) noexcept nogil:
    """The level of this key counted from the worst, or the next worse one; -1: there is none."""
    cdef const price_level* levels = there.room + there.first
    cdef int64_t at = <int64_t>there.n - 1, low, middle
    cdef int64_t stop = max(<int64_t>-1, at - STEPS)
    while at > stop and levels[at].key > key:
        at -= 1
    if at > stop or stop < 0:
        return at
    low = -1                      # key of low <= key, of at + 1 > key
    while low < at:
        middle = (low + at + 1) >> 1
        if levels[middle].key > key:
            at = middle - 1
        else:
            low = middle
    return at


cdef inline char* _write(char* at, uint64_t number) noexcept nogil:
    """Its digits, none for 0; gives where they end."""
    cdef char[DIGITS_MAX + 1] digits
    cdef int n = DIGITS_MAX + 1
    while number:
        n -= 1
        digits[n] = <char>(c"0" + number % 10)
        number //= 10
    memcpy(at, &digits[n], DIGITS_MAX + 1 - n)
    return at + (DIGITS_MAX + 1 - n)


cdef inline char* _write_price(char* at, int64_t price, uint8_t decimals) noexcept nogil:
    cdef int more
    if decimals <= UNITS:
        return _write(at, <uint64_t>price // TEN[UNITS - decimals])
    at = _write(at, <uint64_t>price)
    if price:
        for more in range(decimals - UNITS):
            at[0] = c"0"
            at += 1
    return at
