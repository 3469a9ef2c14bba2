"""Table of contents of the tick objects, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.wire.records cimport (
    tc_bar,
    tc_bbo,
    tc_book,
    tc_definition,
    tc_imbalance,
    tc_order,
    tc_quote,
    tc_stat,
    tc_status,
    tc_trade,
)


cdef class Tick:
    cdef readonly str symbol
    cdef readonly uint64_t seq, topic_seq, ts_in, ts_sent, ts_bot
    cdef uint8_t* body          # the record, inside the object
    cdef uint32_t record_bytes
    cdef uint16_t schema_id
    cdef readonly uint16_t flags
    cdef readonly uint32_t folded


cdef class Trade(Tick):
    cdef tc_trade r


cdef class Quote(Tick):
    cdef tc_quote r


cdef class Bbo(Tick):
    cdef tc_bbo r


cdef class Book(Tick):
    cdef tc_book r


cdef class Order(Tick):
    cdef tc_order r


cdef class Bar(Tick):
    cdef tc_bar r


cdef class Status(Tick):
    cdef tc_status r


cdef class Stat(Tick):
    cdef tc_stat r


cdef class Imbalance(Tick):
    cdef tc_imbalance r


cdef class Definition(Tick):
    cdef tc_definition r


# A new, empty tick of a schema; `record_bytes` of it may be filled at `body`. ValueError: there is no such schema.
cdef Tick new_tick(uint16_t schema_id)
