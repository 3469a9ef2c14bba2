"""Table of contents of the ITCH normaliser, for cimport. Layouts: itch.h, codes: itch_codes.h."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from feed.normalize.itch_records cimport ItchRecords, itch_side
from feed.normalize.order_book cimport book_order

cdef enum:
    ITCH_DONE = 0                 # dealt with; its records are in the outbox
    ITCH_NAME = 1                 # it is about a stock that has no topics yet: `waiting` says which. Again after bind()

cdef enum:                        # why something was refused; words in itch.pyx
    BAD_TYPE
    BAD_LENGTH
    BAD_TIME
    BAD_BACKWARDS
    BAD_ORDER
    BAD_REPEATED
    BAD_NEGATIVE
    BAD_SIZE
    BAD_PRICE
    BAD_SIDE
    BAD_LOCATE
    BAD_SYMBOL
    BAD_MATCH
    BAD_CODE
    BAD_ROOM
    BAD_END


cdef struct itch_trade:
    uint64_t match
    int64_t price
    uint32_t size                 # 0: none is remembered here
    uint32_t sequence
    uint16_t locate
    char side


cdef class Itch(ItchRecords):
    cdef itch_trade* trades       # by the lowest bits of the match number: the last so many
    cdef uint64_t rejected[BAD_END]
    cdef uint64_t midnight        # ns since 1970
    cdef bint remembers           # a trade
    cdef bint again               # topics may hold something of an earlier day
    cdef char letter              # of the market, in operational halts
    cdef uint16_t waiting_locate
    cdef uint64_t waiting_stock
    cdef uint64_t market          # its MIC, as a stock's 8 characters

    # Deal with one message of `n` bytes, the `sequence`th. Returns ITCH_*.
    cdef int apply(self, const uint8_t* message, uint32_t n, uint32_t sequence) noexcept nogil
    # Call for the memory that a message will need: first its order and where its book is, later the best of the book.
    cdef void prefetch(self, const uint8_t* message, uint32_t n) noexcept nogil
    cdef void prefetch_best(self, const uint8_t* message, uint32_t n) noexcept nogil

    cdef int _refuse(self, int why, uint32_t locate) noexcept nogil
    cdef void _mark(self, uint32_t locate) noexcept nogil
    cdef void _introduce(self, uint32_t locate) noexcept nogil
    cdef int _add(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _rest(self, uint64_t reference, uint32_t side, int64_t price, uint32_t size, char action, itch_side* before) noexcept nogil
    cdef int _execute(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _cancel(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _replace(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _unseen(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _cross(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _break(self, const uint8_t* message) noexcept nogil
    cdef book_order* _order(self, const uint8_t* reference, uint32_t locate) noexcept nogil
    cdef void _remove(self, book_order* order) noexcept nogil
    cdef int _event(self, const uint8_t* message) noexcept nogil
    cdef int _action(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _halt(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef int _define(self, const uint8_t* message, uint32_t locate) noexcept nogil
    cdef void _remember(self, uint64_t match, uint32_t locate, char side, int64_t price, uint32_t size) noexcept nogil
