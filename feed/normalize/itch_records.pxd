"""Table of contents of the records of an ITCH market, for cimport."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from feed.normalize.order_book cimport OrderBooks
from feed.normalize.outbox cimport Outbox
from feed.wire.records cimport tc_level, tc_trade

cdef enum:
    LOCATES = 1 << 16
    PRICE_UNIT = 100_000          # 0.0001 in 1e-9

cdef enum:
    WANT_QUOTE
    WANT_TRADE
    WANT_STATUS
    WANT_DEFINITION
    WANT_BOOK
    WANT_ORDER
    WANT_END


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


cdef struct itch_side:            # the best level of a side before a message
    int64_t key
    uint64_t size
    uint32_t count
    bint there


cdef class ItchRecords(Outbox):
    cdef readonly OrderBooks resting
    cdef itch_symbol* symbols     # by locate code
    cdef uint64_t time            # ns since midnight, of the last message
    cdef uint64_t ts              # ns since 1970, of the last message
    cdef uint32_t sequence        # of the message that is dealt with
    cdef uint64_t received        # when it came, ns since 1970; 0: not known
    cdef uint64_t recv            # its records' ts_recv: when it came, else its own time
    cdef bint snapshot            # what comes is a snapshot: no quote is right before it is whole
    cdef uint32_t telling         # from this locate code on stocks may be untold; 0: none is
    cdef uint16_t publisher

    # A part of the stream is missing: every book may be wrong, which `tell` says of each.
    cdef void lost(self) noexcept nogil
    # The snapshot is whole: the books are right, which `tell` says of each.
    cdef void complete(self) noexcept nogil
    # Put into the outbox what must be said of one stock that no message says; False: there is nothing more to say.
    cdef bint tell(self) noexcept nogil

    cdef uint8_t flags(self, uint32_t locate, bint last) noexcept nogil
    cdef void fill(self, tc_trade* head, uint32_t locate, char action, char side, int64_t price, uint32_t size) noexcept nogil
    cdef void tell_trade(self, uint32_t locate, char action, char side, int64_t price, uint32_t size, uint32_t sequence) noexcept nogil
    cdef void tell_status(self, uint32_t locate, int action, int reason, char trading, char quoting) noexcept nogil
    cdef void tell_order(self, uint32_t locate, char action, char side, uint64_t reference, int64_t price, uint32_t size, bint last) noexcept nogil
    cdef void tell_quote(self, uint32_t locate, char action, char side, int64_t price, uint32_t size) noexcept nogil
    cdef void tell_book(self, uint32_t locate, char action, char side, int64_t price, uint32_t size, int64_t depth) noexcept nogil
    cdef void tell_doubt(self, uint32_t locate) noexcept nogil
    cdef void tell_change(self, uint32_t side, const itch_side* before, char action, int64_t price, uint32_t size, int64_t depth) noexcept nogil
    cdef itch_side best(self, uint32_t side) noexcept nogil
    cdef void level(self, uint32_t locate, uint32_t depth, tc_level* level) noexcept nogil


cdef inline char side_of(uint32_t side) noexcept nogil:
    return c"A" if side & 1 else c"B"
