"""Table of contents of the last records that control keeps, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.control.layout cimport tc_state_header, tc_state_topic
from feed.log.layout cimport tc_topic_entry
from feed.wire.records cimport (
    TC_SCHEMA_BBO,
    TC_SCHEMA_BOOK,
    TC_SCHEMA_DEFINITION,
    TC_SCHEMA_QUOTE,
    TC_SCHEMA_STATUS,
)


cdef class Lasts:
    # --- the file, valid until close() ---
    cdef tc_state_header* header
    cdef tc_state_topic* topics                 # by topic id, header.topics of them
    cdef uint8_t* file
    cdef size_t slots_at, nbytes                # of the file
    cdef size_t entries_reserved, slots_reserved
    cdef readonly uint64_t unkept               # topics for which there was no room in shared memory
    cdef object _fd, _map, _path

    # Set up the next topic; `seq` is that of the record to come. Raises LogSpace where not even its entry has room.
    cdef int add(self, uint16_t schema, uint64_t seq) except -1
    # The log frame of a topic's last record; NULL: none is kept.
    cdef const uint8_t* last(self, uint32_t topic_id) noexcept nogil
    # Where the next one goes, beside the one that counts; NULL: this topic keeps none. It counts after turn().
    cdef uint8_t* beside(self, const tc_state_topic* topic) noexcept nogil
    cdef void turn(self, tc_state_topic* topic) noexcept nogil

    cdef bint _sound(self, const tc_topic_entry* entries) noexcept nogil
    cdef int _reserve_entries(self, uint32_t count) except -1
    cdef bint _reserve_slots(self, size_t more) except -1


cdef inline bint is_state(uint16_t schema) noexcept nogil:
    """Is the last record of this schema what a late bot has to know?"""
    return (
        schema == TC_SCHEMA_QUOTE or schema == TC_SCHEMA_BBO or schema == TC_SCHEMA_BOOK or schema == TC_SCHEMA_DEFINITION
        or schema == TC_SCHEMA_STATUS
    )
