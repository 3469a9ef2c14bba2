"""Table of contents of batches, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


# Symbols by topic index of one link; None where the topic is not wanted.
cdef class Names:
    cdef list symbols
    cdef object _array

    cdef object array(self)


# Columns to be filled, each with room for `room` records; `count` are.
ctypedef struct columns_t:
    uint64_t* seq
    uint64_t* topic_seq
    uint64_t* ts_in
    uint64_t* ts_sent
    uint8_t* records
    uint32_t* topics
    uint32_t* folded
    uint16_t* flags
    uint32_t count
    uint32_t room
    uint32_t record_bytes
    uint16_t schema_id


# Memory for a batch of one schema.
cdef class Block:
    cdef object memory              # the numpy array that the columns lie in
    cdef columns_t columns

    # Does nobody but this block refer to its memory?
    cdef bint unused(self) noexcept


cdef class Batch:
    cdef readonly str schema
    cdef object _memory, _dtype, _records
    cdef Names _names
    cdef uint32_t _count, _room
    cdef uint64_t _ts_bot

    @staticmethod
    cdef Batch of(Block block, Names names, uint64_t ts_bot)

    cdef size_t _behind_records(self)
