"""C names of layout.h for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "feed/log/layout.h" nogil:
    enum:
        TC_KIND_RECORD
        TC_KIND_TOPIC
        TC_KIND_SOURCE_GAP
        TC_KIND_PADDING
        TC_FRAME_HEADER
        TC_SYMBOL_MAX
        TC_LOG_OPEN
        TC_LOG_CLOSED
        TC_LOG_REPLACED
        TC_GATE_NONE
        TC_GATE_ON
        TC_GATE_EVICTED
        TC_READER_SLOTS
    const uint64_t TC_LOG_MAGIC
    const uint32_t TC_LOG_VERSION

    ctypedef struct tc_log_frame:
        uint32_t length
        uint32_t topic_id
        uint64_t seq
        uint64_t topic_seq
        uint64_t ts_in
        uint32_t committed_delta
        uint16_t kind
        uint16_t flags
        uint8_t* record

    ctypedef struct tc_topic_entry:
        uint16_t schema
        uint16_t symbol_length
        uint32_t topic_id
        char symbol[72]

    ctypedef struct tc_log_header:
        uint64_t magic
        uint32_t version
        uint32_t segments
        uint64_t segment_bytes
        uint32_t max_topics
        uint32_t writer_pid
        uint64_t epoch
        char boot_id[40]
        uint64_t tail
        uint64_t next_seq
        uint64_t tail_ns
        uint32_t topic_count
        uint32_t state
        uint64_t alive_ns
        uint64_t low
        uint32_t doorbell

    ctypedef struct tc_reader_slot:
        uint32_t pid
        uint32_t gating
        uint64_t start_time
        uint64_t position
        uint32_t parked
        char name[32]

    ctypedef struct tc_readers:
        uint64_t magic
        uint32_t used
        uint32_t waiters
        tc_reader_slot slots[1024]
