"""Table of contents of the order-by-order books, for cimport.

An order is found by its reference, a level by its price. A pointer to an order holds until the next add or take.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "feed/normalize/order_book.h" nogil:
    void tc_prefetch(const void* at) noexcept

cdef enum:
    SIDE_BID = 0
    SIDE_ASK = 1

cdef enum:
    NO_ROOM = -1                  # what `add` gives when it holds as many orders as it may, or memory is out


cdef struct book_order:
    uint64_t reference            # the venue's
    int64_t price                 # 1e-9
    uint32_t size                 # 0: the slot is free
    uint32_t side                 # 2 * book + SIDE_*


cdef struct book_level:
    int64_t key                   # a bid's price, an ask's negated: the greater, the better
    uint64_t size
    uint32_t count                # orders


cdef struct book_side:
    book_level* levels            # ascending by key: the best is the last
    uint32_t n
    uint32_t capacity


cdef class OrderBooks:
    cdef uint32_t sides_n
    cdef book_side* sides         # 2 * book + SIDE_*
    cdef book_order* slots        # open addressing, linear, a power of two of slots, at most 5/8 of them taken
    cdef uint64_t mask
    cdef int shift                # of the hash, so that its highest bits count
    cdef uint64_t taken
    cdef uint64_t limit
    cdef uint64_t level_bytes

    # The order with this reference, NULL: none rests.
    cdef book_order* find(self, uint64_t reference) noexcept nogil
    # A new order behind the others of its price. `size` is not 0, no order rests with this reference. Returns how many
    # better levels its side has, or NO_ROOM.
    cdef int64_t add(self, uint64_t reference, uint32_t side, int64_t price, uint32_t size) noexcept nogil
    # `size` less of an order, at most what it has; at nothing left it is gone. Returns how many better levels there are.
    cdef int64_t take(self, book_order* order, uint32_t size) noexcept nogil
    # Nothing rests any more.
    cdef void clear(self) noexcept nogil
    cdef void prefetch(self, uint64_t reference) noexcept nogil
    cdef bint _grow(self) noexcept nogil
    cdef void _free(self, book_order* order) noexcept nogil
    cdef int64_t _raise(self, uint32_t side, int64_t key, uint32_t size) noexcept nogil


cdef inline const book_level* book_top(const book_side* side) noexcept nogil:
    """The best level; NULL: the side is empty."""
    return &side.levels[side.n - 1] if side.n else NULL
