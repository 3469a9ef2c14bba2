"""C names of layout.h for cimport."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from feed.wire.records cimport tc_order

cdef extern from "feed/control/layout.h" nogil:
    const uint64_t TC_STATE_MAGIC
    const uint64_t TC_BOOKS_MAGIC
    enum:
        TC_STATE_HEADER_BYTES
        TC_STATE_NONE
        TC_STATE_FIRST
        TC_STATE_SECOND
        TC_BOOK_WHOLE
        TC_BOOK_HOLED
        TC_BOOK_ROLLED
        TC_BOOK_TOO_LARGE

    ctypedef struct tc_state_header:
        uint64_t magic
        uint32_t max_topics
        uint32_t topics
        uint64_t epoch
        uint64_t slots_used
        uint64_t rolled_ns
        uint64_t rolled_seq
        uint64_t before_seq
        uint64_t position

    ctypedef struct tc_state_topic:
        uint64_t topic_seq
        uint64_t seq
        uint32_t slots
        uint32_t current
        uint16_t slot_bytes
        uint16_t schema
        uint32_t retired

    ctypedef struct tc_state_books:
        uint64_t magic
        uint64_t epoch
        uint32_t limit
        uint32_t max_topics
        uint32_t unused
        uint32_t free
        uint32_t resting
        uint32_t busy

    ctypedef struct tc_state_book:
        tc_order last
        uint64_t topic_seq
        uint64_t seq
        uint64_t ts_in
        uint32_t first
        uint32_t end
        uint32_t resting
        uint32_t standing

    ctypedef struct tc_state_order:
        tc_order record
        uint32_t topic
        uint32_t after
        uint32_t before
        uint32_t chain

    void tc_keep_order()
    void tc_say_busy(tc_state_books* books)
    void tc_say_done(tc_state_books* books)
