"""Table of contents of the order books that control keeps, for cimport."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from feed.control.layout cimport tc_state_book, tc_state_books, tc_state_order
from feed.wire.records cimport tc_order

cdef enum:
    BOOK_ORDERS_MAX = 131_072   # resting in one book; with more it is given up: a snapshot is one answer, here of 12 MiB


cdef class Books:
    # --- the file, valid until close() ---
    cdef tc_state_books* header
    cdef tc_state_book* books                 # by topic id, as far as reserve() was called
    cdef tc_state_order* orders
    cdef uint32_t* buckets
    cdef size_t books_at, buckets_at, orders_at, nbytes         # of the file
    cdef size_t books_reserved, orders_reserved
    cdef uint32_t mask
    cdef int fd
    cdef readonly bint kept             # taken up as they were left, not begun anew
    cdef readonly uint64_t given_up     # books given up for want of room
    cdef object _map, _path

    # Memory for the book of an order topic. Raises LogSpace.
    cdef int reserve(self, uint32_t topic_id) except -1
    # Apply one record of an order topic; `flags` are its log frame's. What was applied already is passed over.
    cdef void apply(self, uint32_t topic_id, uint64_t topic_seq, uint64_t seq, uint64_t ts_in, uint16_t flags, const tc_order* record) noexcept nogil
    # Everything up to `topic_seq` has gone by unseen.
    cdef void miss(self, uint32_t topic_id, uint64_t topic_seq) noexcept nogil
    # The session rolls over: the book begins anew.
    cdef void roll(self, uint32_t topic_id) noexcept nogil

    cdef void _apply(self, tc_state_book* book, uint32_t topic_id, const tc_order* record) noexcept nogil
    cdef void _add(self, uint32_t topic_id, const tc_order* record) noexcept nogil
    cdef void _modify(self, uint32_t topic_id, const tc_order* record) noexcept nogil
    cdef void _cancel(self, uint32_t topic_id, const tc_order* record) noexcept nogil
    cdef void _clear(self, uint32_t topic_id, uint16_t publisher_id) noexcept nogil
    cdef void _clear_side(self, uint32_t topic_id, uint16_t publisher_id, char side) noexcept nogil
    cdef void _empty(self, uint32_t topic_id) noexcept nogil
    cdef void _missed(self, uint32_t topic_id, uint64_t topic_seq) noexcept nogil
    cdef uint32_t _find(self, uint32_t topic_id, uint16_t publisher_id, uint64_t order_id) noexcept nogil
    cdef uint32_t _room(self) noexcept nogil
    cdef void _remove(self, uint32_t at) noexcept nogil
    cdef void _link_last(self, tc_state_book* book, uint32_t at) noexcept nogil
    cdef void _unlink(self, tc_state_book* book, uint32_t at) noexcept nogil
    cdef uint32_t* _bucket(self, uint32_t topic_id, uint16_t publisher_id, uint64_t order_id) noexcept nogil
    cdef bint _sound(self, uint32_t topic_id, uint32_t* counted) noexcept nogil
