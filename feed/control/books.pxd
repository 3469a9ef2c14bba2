"""Table of contents of the order books that control keeps, for cimport."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from feed.wire.records cimport tc_order

cdef enum:
    BOOK_WHOLE = 0          # all of it is known: its beginning, or a Clear, was seen (no record yet is such a beginning)
    BOOK_HOLED = 1          # records were missed: only what was added since is known
    BOOK_ROLLED = 2         # emptied at the session roll: whole, unless a record speaks of an order from before
    BOOK_TOO_LARGE = 3      # given up for want of room, empty until the next Clear

cdef enum:
    BOOK_ORDERS_MAX = 131_072   # resting in one book; with more it is given up: a snapshot is one answer, here of 12 MiB

ctypedef struct Order:
    tc_order record             # as its last Add or Modify said; `size` is what is left
    uint32_t topic
    uint32_t after, before      # in its book, in order of priority; 0: none
    uint32_t chain              # the next one in its bucket; in a free order the next free one

ctypedef struct Book:
    tc_order last               # the last record applied
    uint64_t topic_seq          # of it; 0: none yet
    uint64_t seq
    uint64_t ts_in
    uint32_t first, end         # orders of first and last priority; 0: none rest
    uint32_t resting            # orders
    uint32_t standing           # BOOK_*


cdef class Books:
    cdef Book* books            # by topic id; valid as long as this object lives, like the others
    cdef Order* orders          # [0] is nobody
    cdef uint32_t* buckets
    cdef uint32_t mask, limit, unused, free
    cdef readonly uint32_t resting      # orders in all books
    cdef readonly uint64_t given_up     # books given up for want of room
    cdef object _memory

    # Apply one record of an order topic; `flags` are its log frame's. What was applied already is passed over.
    cdef void apply(self, uint32_t topic_id, uint64_t topic_seq, uint64_t seq, uint64_t ts_in, uint16_t flags, const tc_order* record) noexcept nogil
    # Everything up to `topic_seq` has gone by unseen.
    cdef void miss(self, uint32_t topic_id, uint64_t topic_seq) noexcept nogil
    # The session rolls over: the book begins anew.
    cdef void roll(self, uint32_t topic_id) noexcept nogil

    cdef void _add(self, uint32_t topic_id, const tc_order* record) noexcept nogil
    cdef void _modify(self, uint32_t topic_id, const tc_order* record) noexcept nogil
    cdef void _cancel(self, uint32_t topic_id, const tc_order* record) noexcept nogil
    cdef void _clear(self, uint32_t topic_id, uint16_t publisher_id) noexcept nogil
    cdef void _clear_side(self, uint32_t topic_id, uint16_t publisher_id, char side) noexcept nogil
    cdef void _empty(self, uint32_t topic_id) noexcept nogil
    cdef uint32_t _find(self, uint32_t topic_id, uint16_t publisher_id, uint64_t order_id) noexcept nogil
    cdef void _remove(self, uint32_t at) noexcept nogil
    cdef void _link_last(self, Book* book, uint32_t at) noexcept nogil
    cdef void _unlink(self, Book* book, uint32_t at) noexcept nogil
    cdef uint32_t* _bucket(self, uint32_t topic_id, uint16_t publisher_id, uint64_t order_id) noexcept nogil
