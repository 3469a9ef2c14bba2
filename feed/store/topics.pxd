"""The topics that an archive's frames name by their ids."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.log.layout cimport tc_topic_entry
from feed.store.layout cimport tc_block


cdef class TopicTable:
    cdef tc_topic_entry* entries            # by id; symbol_length 0: not known
    cdef uint64_t* topic_seqs               # by id: the last one that was learned, 0: none
    cdef uint32_t count, room               # highest id + 1

    # Learn from the payload of a block, whatever its kind; that block is whole.
    cdef int learn(self, const tc_block* block, const uint8_t* payload) except -1
    cdef int enter(self, const tc_topic_entry* entry, uint64_t topic_seq) except -1
    cdef const tc_topic_entry* entry(self, uint32_t topic_id) noexcept nogil
    # Has it the topic of every record in a block of frames?
    cdef bint knows(self, const tc_block* block, const uint8_t* payload) noexcept nogil
    cdef void clear(self) noexcept nogil
    # Whole blocks that say all of it, at least one; `seq` is that of the record that comes next.
    cdef list to_blocks(self, uint64_t epoch, uint64_t seq)
    cdef int _grow(self, uint32_t count) except -1
