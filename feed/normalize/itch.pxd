"""Table of contents of the ITCH normaliser, for cimport. Layouts: itch.h, codes: itch_codes.h."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from feed.normalize.order_book cimport OrderBooks, book_order
from feed.normalize.outbox cimport Outbox
from feed.wire.records cimport tc_level, tc_trade

cdef enum:
    ITCH_DONE = 0                 # dealt with; its records are in the outbox
    ITCH_NAME = 1                 # it is about a stock that has no topics yet: `waiting` says which. Again after bind()

cdef enum:
    WANT_QUOTE
    WANT_TRADE
    WANT_STATUS
    WANT_DEFINITION
    WANT_BOOK
    WANT_ORDER
    WANT_END

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


cdef struct itch_symbol:
    uint64_t stock                # its 8 characters as they came; 0: not known today
    uint32_t topics[WANT_END]
    bint left_out                 # nobody wants it: no book is kept
    bint fresh                    # named by the message that is dealt with now
    bint defined
    bint bad                      # its book may be wrong
    bint untold                   # something must be said of it that no message says
    char trading                  # of the last trading action: Y N ~
    char quoting
    char restricted               # short sales


cdef struct itch_trade:
    uint64_t match
    int64_t price
    uint32_t size                 # 0: none is remembered here
    uint32_t sequence
    uint16_t locate
    char side


cdef struct itch_side:            # the best level of a side before a message
    int64_t key
    uint64_t size
    uint32_t count
    bint there


cdef class Itch(Outbox):
    cdef readonly OrderBooks resting
    cdef itch_symbol* symbols     # by locate code
    cdef itch_trade* trades       # by the lowest bits of the match number: the last so many
    cdef uint64_t rejected[BAD_END]
    cdef uint64_t midnight        # ns since 1970
    cdef uint64_t time            # ns since midnight, of the last message
    cdef uint64_t ts              # ns since 1970, of the last message
    cdef uint32_t sequence        # of the message that is dealt with
    cdef uint64_t received        # when it came, ns since 1970; 0: not known
    cdef uint64_t recv            # its records' ts_recv: when it came, else its own time
    cdef bint snapshot            # what comes is a snapshot: no quote is right before it is whole
    cdef uint32_t telling         # from this locate code on stocks may be untold; 0: none is
    cdef bint remembers           # a trade
    cdef bint again               # topics may hold something of an earlier day
    cdef uint16_t publisher
    cdef char letter              # of the market, in operational halts
    cdef uint16_t waiting_locate
    cdef uint64_t waiting_stock
    cdef uint64_t market          # its MIC, as a stock's 8 characters

    # Deal with one message of `n` bytes, the `sequence`th. Returns ITCH_*.
    cdef int apply(self, const uint8_t* message, uint32_t n, uint32_t sequence) noexcept nogil
    # Call for the memory that a message will need: first its order and where its book is, later the best of the book.
    cdef void prefetch(self, const uint8_t* message, uint32_t n) noexcept nogil
    cdef void prefetch_best(self, const uint8_t* message, uint32_t n) noexcept nogil
    # A part of the stream is missing: every book may be wrong, which `tell` says of each.
    cdef void lost(self) noexcept nogil
    # The snapshot is whole: the books are right, which `tell` says of each.
    cdef void complete(self) noexcept nogil
    # Put into the outbox what must be said of one stock that no message says; False: there is nothing more to say.
    cdef bint tell(self) noexcept nogil

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
    cdef uint8_t _flags(self, uint32_t locate, bint last) noexcept nogil
    cdef void _fill(self, tc_trade* head, uint32_t locate, char action, char side, int64_t price, uint32_t size) noexcept nogil
    cdef void _tell_trade(self, uint32_t locate, char action, char side, int64_t price, uint32_t size, uint32_t sequence) noexcept nogil
    cdef void _remember(self, uint64_t match, uint32_t locate, char side, int64_t price, uint32_t size) noexcept nogil
    cdef void _tell_status(self, uint32_t locate, int action, int reason, char trading, char quoting) noexcept nogil
    cdef void _tell_order(self, uint32_t locate, char action, char side, uint64_t reference, int64_t price, uint32_t size, bint last) noexcept nogil
    cdef void _tell_quote(self, uint32_t locate, char action, char side, int64_t price, uint32_t size) noexcept nogil
    cdef void _tell_book(self, uint32_t locate, char action, char side, int64_t price, uint32_t size, int64_t depth) noexcept nogil
    cdef void _tell_doubt(self, uint32_t locate) noexcept nogil
    cdef void _tell_change(self, uint32_t side, const itch_side* before, char action, int64_t price, uint32_t size, int64_t depth) noexcept nogil
    cdef itch_side _best(self, uint32_t side) noexcept nogil
    cdef void _level(self, uint32_t locate, uint32_t depth, tc_level* level) noexcept nogil
