# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Order-by-order books: every resting order of a venue, and the price levels that they make.

Orders lie in one hash table by the venue's reference, 24 bytes each. The levels of a side are a sorted array with the
best at its end: most of what happens is near it, so that a level is found in a few steps and room for it made by moving
a few. Prices are exact, in units of 1e-9. Nothing is allocated per message, except where table or array double.
"""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove, memset

cdef extern from "feed/normalize/order_book.h" nogil:
    void* tc_pages(size_t nbytes) noexcept
    void tc_pages_free(void* at, size_t nbytes) noexcept

cdef enum:
    SLOTS_MIN = 1 << 16
    LEVELS_MIN = 16
    STEPS = 12                    # levels looked at one by one before the rest is halved

LIMIT = 1 << 27
"""Orders that may rest at once, by default: 6 GB; the busiest Nasdaq day has some millions."""


cdef class OrderBooks:
    """
    :param books: how many; they are numbered from 0.
    :param limit: orders that may rest in all of them together.
    """

    def __cinit__(self, books: int, *, limit: int = LIMIT):
        self.sides_n = 2 * books
        self.limit = limit
        self.mask = SLOTS_MIN - 1
        self.shift = 64 - 16
        self.sides = <book_side*>calloc(max(1, self.sides_n), sizeof(book_side))
        self.slots = <book_order*>tc_pages(SLOTS_MIN * sizeof(book_order))
        if self.sides is NULL or self.slots is NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t i
        if self.sides is not NULL:
            for i in range(self.sides_n):
                free(self.sides[i].levels)
        free(self.sides)
        tc_pages_free(self.slots, (self.mask + 1) * sizeof(book_order))

    def levels(self, book: int, side: int) -> list[tuple[int, int, int]]:
        """(price in 1e-9, size, orders) of every level, the best first; `side` 0 are bids, 1 asks."""
        cdef uint32_t i = 2 * book + side
        if not 0 <= side <= 1 or not 0 <= 2 * book < self.sides_n:
            raise IndexError("there is no such side")
        cdef const book_side* there = &self.sides[i]
        sign = -1 if side else 1
        return [(sign * there.levels[n].key, there.levels[n].size, there.levels[n].count) for n in reversed(range(there.n))]

    @property
    def orders(self) -> int:
        """How many rest."""
        return self.taken

    @property
    def memory_bytes(self) -> int:
        """Reserved for orders, levels and books."""
        return (self.mask + 1) * sizeof(book_order) + self.level_bytes + self.sides_n * sizeof(book_side)

    # --- orders -----------------------------------------------------------------------------------------------------

    cdef book_order* find(self, uint64_t reference) noexcept nogil:
        cdef uint64_t i = _hash(reference) >> self.shift
        while self.slots[i].size:
            if self.slots[i].reference == reference:
                return &self.slots[i]
            i = (i + 1) & self.mask
        return NULL

    cdef int64_t add(self, uint64_t reference, uint32_t side, int64_t price, uint32_t size) noexcept nogil:
        cdef uint64_t i
        cdef int64_t depth
        if self.taken >= self.limit or (8 * (self.taken + 1) > 5 * (self.mask + 1) and not self._grow()):
            return NO_ROOM
        depth = self._raise(side, -price if side & 1 else price, size)
        if depth == NO_ROOM:
            return NO_ROOM
        i = _hash(reference) >> self.shift
        while self.slots[i].size:
            i = (i + 1) & self.mask
        self.slots[i].reference = reference
        self.slots[i].price = price
        self.slots[i].size = size
        self.slots[i].side = side
        self.taken += 1
        return depth

    cdef int64_t take(self, book_order* order, uint32_t size) noexcept nogil:
        cdef book_side* side = &self.sides[order.side]
        cdef int64_t at = _level(side, -order.price if order.side & 1 else order.price)
        cdef book_level* level = &side.levels[at]
        cdef int64_t depth = side.n - 1 - at
        level.size -= size
        order.size -= size
        if order.size == 0:
            level.count -= 1
            self._free(order)
        if level.count == 0:
            side.n -= 1
            memmove(level, level + 1, (side.n - at) * sizeof(book_level))
        return depth

    cdef void clear(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.sides_n):
            self.sides[i].n = 0
        memset(self.slots, 0, (self.mask + 1) * sizeof(book_order))
        self.taken = 0

    cdef void prefetch(self, uint64_t reference) noexcept nogil:
        tc_prefetch(&self.slots[_hash(reference) >> self.shift])

    cdef bint _grow(self) noexcept nogil:
        cdef uint64_t i, at, slots = 2 * (self.mask + 1)
        cdef book_order* grown = <book_order*>tc_pages(slots * sizeof(book_order))
        if grown is NULL:
            return False
        for i in range(self.mask + 1):
            if self.slots[i].size:
                at = _hash(self.slots[i].reference) >> (self.shift - 1)
                while grown[at].size:
                    at = (at + 1) & (slots - 1)
                grown[at] = self.slots[i]
        tc_pages_free(self.slots, (self.mask + 1) * sizeof(book_order))
        self.slots = grown
        self.mask = slots - 1
        self.shift -= 1
        return True

    cdef void _free(self, book_order* order) noexcept nogil:
        """Close the gap: who lies behind it and would have lain there moves up, so that no search ends too early."""
        cdef uint64_t hole = order - self.slots
        cdef uint64_t i = hole, home
        while True:
            i = (i + 1) & self.mask
            if self.slots[i].size == 0:
                break
            home = _hash(self.slots[i].reference) >> self.shift
            if ((i - home) & self.mask) >= ((i - hole) & self.mask):
                self.slots[hole] = self.slots[i]
                hole = i
        self.slots[hole].size = 0
        self.taken -= 1

    # --- levels -----------------------------------------------------------------------------------------------------

    cdef int64_t _raise(self, uint32_t i, int64_t key, uint32_t size) noexcept nogil:
        """Put an order's size onto its level, which is made if there is none."""
        cdef book_side* side = &self.sides[i]
        cdef int64_t at = _level(side, key)
        cdef book_level* level
        cdef book_level* more
        cdef uint32_t capacity
        if at < 0 or side.levels[at].key != key:
            at += 1
            if side.n == side.capacity:
                capacity = max(LEVELS_MIN, 2 * side.capacity)
                more = <book_level*>realloc(side.levels, capacity * sizeof(book_level))
                if more is NULL:
                    return NO_ROOM
                self.level_bytes += (capacity - side.capacity) * sizeof(book_level)
                side.levels = more
                side.capacity = capacity
            level = &side.levels[at]
            memmove(level + 1, level, (side.n - at) * sizeof(book_level))
            side.n += 1
            level.key = key
            level.size = 0
            level.count = 0
        level = &side.levels[at]
        level.size += size
        level.count += 1
        return side.n - 1 - at


cdef inline uint64_t _hash(uint64_t reference) noexcept nogil:
    """Fibonacci hashing: references are mostly consecutive."""
    return reference * <uint64_t>0x9E3779B97F4A7C15


cdef inline int64_t _level(const book_side* side, int64_t key) noexcept nogil:
    """The level of this key, or the next worse one; -1: there is none."""
    cdef int64_t at = <int64_t>side.n - 1, low, middle
    cdef int64_t stop = max(<int64_t>-1, at - STEPS)
    while at > stop and side.levels[at].key > key:
        at -= 1
    if at > stop or stop < 0:
        return at
    low = -1                       # key of low <= key, of at + 1 > key
    while low < at:
        middle = (low + at + 1) >> 1
        if side.levels[middle].key > key:
            at = middle - 1
        else:
            low = middle
    return at
