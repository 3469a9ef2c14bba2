# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The records that one message of a venue makes, until the sink has taken them all.

A message is dealt with at once and as a whole; a sink may be full in the midst of its records. So they wait here.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memset

from feed.log.through cimport TOOK
from feed.wire.records cimport tc_record_header


cdef class Outbox:
    """What a normaliser that turns messages into several records is made from."""

    def take_ticks(self) -> list[tuple[int, int]]:
        """(schema id, records the sink took since the last call), schemas without any left away."""
        taken = []
        cdef int i
        for i in range(TC_SCHEMA_END):
            if self.ticks[i]:
                taken.append((i, self.ticks[i]))
                self.ticks[i] = 0
        return taken

    cdef void empty(self) noexcept nogil:
        self.count = self.given = 0
        self.quotes_n = self.books_n = self.orders_n = 0

    cdef void put(self, uint32_t topic, uint16_t schema, const void* record, uint32_t nbytes) noexcept nogil:
        cdef outbox_entry* entry = &self.entries[self.count]
        if topic == OUTBOX_REFUSED:
            self.refused += 1
        if topic >= OUTBOX_REFUSED:
            return
        entry.topic = topic
        entry.schema = schema
        entry.record = record
        entry.nbytes = nbytes
        self.count += 1

    cdef tc_quote* next_quote(self) noexcept nogil:
        return <tc_quote*>_next(self.quotes, &self.quotes_n, sizeof(tc_quote), 1)

    cdef tc_book* next_book(self) noexcept nogil:
        return <tc_book*>_next(self.books, &self.books_n, sizeof(tc_book), 10)

    cdef tc_order* next_order(self) noexcept nogil:
        return <tc_order*>_next(self.orders, &self.orders_n, sizeof(tc_order), 160)

    cdef int64_t deliver(self, Sink sink, uint64_t ts_in, int64_t limit) noexcept nogil:
        cdef int64_t n = 0
        cdef int took
        cdef const outbox_entry* entry
        while self.given < self.count and n < limit:
            entry = &self.entries[self.given]
            took = sink.append(entry.topic, entry.record, entry.nbytes, ts_in, 0)
            if not took:
                break
            self.ticks[entry.schema] += took == TOOK
            self.given += 1
            n += 1
        return n


cdef inline void* _next(void* records, uint32_t* n, size_t nbytes, uint8_t rtype) noexcept nogil:
    cdef tc_record_header* record = <tc_record_header*>(<uint8_t*>records + n[0] * nbytes)
    if n[0] == OUTBOX_EACH:
        return NULL
    n[0] += 1
    memset(record, 0, nbytes)
    record.length = <uint8_t>(nbytes // 4)
    record.rtype = rtype
    return record
