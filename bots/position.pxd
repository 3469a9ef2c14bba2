"""Table of contents of a durable bot's position, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

ctypedef struct position_header_t:
    uint64_t magic
    uint64_t epoch              # that the numbers below are of; 0: none yet
    uint64_t seq                # every tick of the bot's topics below it has been dealt with
    uint64_t proved             # likewise, and also what the network lost unnoticed lies above it
    uint64_t handed             # highest seq that was ever handed to the bot
    uint32_t count              # entries in use
    uint32_t reserved

ctypedef struct position_entry_t:
    uint64_t due                # next topic_seq; all below have been dealt with
    uint16_t schema
    uint8_t symbol_length       # 0: not written yet
    char symbol[85]


cdef class Position:
    cdef position_header_t* header
    cdef position_entry_t* entries
    cdef uint32_t room
    cdef dict index             # (schema id, symbol) -> entry
    cdef object _map, _path
    cdef int _fd

    cdef position_entry_t* entry(self, uint32_t index) noexcept nogil
