"""C names of layout.h for cimport."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from feed.log.layout cimport tc_topic_entry

cdef extern from "feed/store/layout.h" nogil:
    enum:
        TC_BLOCK_MAGIC
        TC_BLOCK_TOPICS
        TC_BLOCK_FRAMES
        TC_BLOCK_MISSING
        TC_BLOCK_INDEX
        TC_BLOCK_NAMES_TOPICS
        TC_BLOCK_HEADER
        TC_BLOCK_PAYLOAD_MAX
        TC_INDEX_STRIDE
        TC_CAUSE_BYTES
    const uint64_t TC_INDEX_END_MAGIC

    ctypedef struct tc_block:
        uint32_t magic
        uint16_t kind
        uint16_t flags
        uint32_t nbytes
        uint32_t count
        uint64_t epoch
        uint64_t first_seq
        uint64_t last_seq
        uint64_t first_ns
        uint64_t last_ns
        uint32_t payload_crc
        uint32_t header_crc

    ctypedef struct tc_topic_row:
        tc_topic_entry entry
        uint64_t topic_seq

    ctypedef struct tc_index_entry:
        uint64_t offset
        uint64_t first_seq
        uint64_t before_ns
        uint32_t flags

    ctypedef struct tc_index_end:
        uint64_t offset
        uint64_t magic
