"""Table of contents of what a request selects, for cimport."""

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t, uint8_t

from feed.log.layout cimport tc_topic_entry

cdef enum:
    SELECTED_NOT = -1

ctypedef struct Entry:
    uint64_t hash               # of schema, symbol or its beginning
    uint32_t text               # offset in the texts
    int32_t value               # what find() gives
    uint16_t schema             # 0: any
    uint8_t length              # of the text
    uint8_t kind                # 0: free; else WHOLE or BEGINNING


cdef class Selection:
    cdef Entry* entries         # a hash table, open addressing
    cdef char* texts
    cdef uint32_t mask, count, room
    cdef size_t texts_used, texts_room
    cdef uint64_t seed
    cdef uint64_t lengths[2]    # bit n: a beginning of n characters is selected
    cdef uint32_t schemas       # bit n: schema id n is selected
    cdef bint everything        # every symbol is
    cdef bint by_schema         # entries name their schema

    # The value of the entry that selects a topic, or SELECTED_NOT. A pattern's value is 0, a topic's what add_topic() was given.
    cdef int32_t find(self, const tc_topic_entry* entry) noexcept nogil
    # Select one topic; gives the value that an earlier call had given it, or SELECTED_NOT.
    cdef int32_t add_topic(self, uint16_t schema, str symbol, int32_t value) except -2

    cdef int _reserve(self, size_t entries) except -1
    cdef Entry* _put(self, uint16_t schema, const char* text, Py_ssize_t length, uint8_t kind) except NULL
    cdef Entry* _slot(self, uint64_t hash, uint16_t schema, const char* text, size_t length, uint8_t kind) noexcept nogil
