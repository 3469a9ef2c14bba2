"""Table of contents of the outbox, for cimport."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from feed.log.sink cimport Sink
from feed.wire.records cimport TC_SCHEMA_END, tc_book, tc_definition, tc_order, tc_quote, tc_status, tc_trade

cdef enum:
    OUTBOX_NO_TOPIC = 0xFFFFFFFF  # nobody wants it: drop it without a word
    OUTBOX_REFUSED = 0xFFFFFFFE   # the sink takes no more topics: count it and go on
    OUTBOX_EACH = 8               # quotes, books, orders that one message can make at most

cdef struct outbox_entry:
    const void* record
    uint32_t nbytes
    uint32_t topic
    uint16_t schema


cdef class Outbox:
    cdef outbox_entry entries[3 * OUTBOX_EACH + 3]
    cdef uint32_t count           # records of the message
    cdef uint32_t given           # of them the sink has so many
    cdef tc_quote quotes[OUTBOX_EACH]
    cdef tc_book books[OUTBOX_EACH]
    cdef tc_order orders[OUTBOX_EACH]
    cdef tc_trade trade
    cdef tc_status status
    cdef tc_definition definition
    cdef uint32_t quotes_n, books_n, orders_n
    cdef uint64_t refused         # records without a topic since they were last taken
    cdef uint64_t ticks[TC_SCHEMA_END]

    # Forget the last message's records, which the sink has.
    cdef void empty(self) noexcept nogil
    # One more record, which stays where it is until the sink has it.
    cdef void put(self, uint32_t topic, uint16_t schema, const void* record, uint32_t nbytes) noexcept nogil
    # The next free one of its kind, zeroed but for what never changes; NULL: a message made too many, this one is lost.
    cdef tc_quote* next_quote(self) noexcept nogil
    cdef tc_book* next_book(self) noexcept nogil
    cdef tc_order* next_order(self) noexcept nogil
    # Give the sink at most `limit` of what it does not have yet; `ts_in` 0: it stamps them. Returns how many it took.
    cdef int64_t deliver(self, Sink sink, uint64_t ts_in, int64_t limit) noexcept nogil
