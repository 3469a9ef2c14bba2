"""C names of frame.h for cimport: what each call promises stands there."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "feed/wire/frame.h" nogil:
    enum:
        TC_FLAG_SNAPSHOT
        TC_FLAG_REPLAYED
        TC_FLAG_CONFLATED
        TC_FLAG_LOSS
        TC_FLAG_DOUBTFUL

        TC_WIRE_WORD_MAX
        TC_WIRE_SYMBOL_MAX
        TC_WIRE_TOPIC_MAX
        TC_WIRE_HEADER
        TC_WIRE_STEP
        TC_WIRE_COUNT_MAX
        TC_WIRE_LOG_HEADER

        TC_WIRE_LOG_RECORD
        TC_WIRE_LOG_TOPIC_KIND
        TC_WIRE_LOG_SOURCE_GAP

        TC_WIRE_TICKS
        TC_WIRE_HEARTBEAT
        TC_WIRE_FIREHOSE

        TC_WIRE_OK
        TC_WIRE_NO_TOPIC
        TC_WIRE_SHORT
        TC_WIRE_BAD_MAGIC
        TC_WIRE_BAD_VERSION
        TC_WIRE_BAD_ZERO
        TC_WIRE_BAD_COUNT
        TC_WIRE_BAD_SIZE
        TC_WIRE_BAD_LENGTH
        TC_WIRE_BAD_TRAILER
        TC_WIRE_BAD_RUN

    ctypedef struct tc_wire_header:
        uint8_t magic
        uint8_t version
        uint16_t flags
        uint16_t count
        uint16_t record_bytes
        uint64_t epoch
        uint64_t seq
        uint64_t topic_seq
        uint64_t ts_in
        uint64_t ts_sent
        uint32_t folded
        uint32_t zero

    ctypedef struct tc_wire_trailer:
        uint32_t seq_delta
        uint32_t ts_in_delta

    ctypedef struct tc_wire_log_header:
        uint32_t length
        uint32_t topic_id
        uint64_t seq
        uint64_t topic_seq
        uint64_t ts_in
        uint32_t committed_delta
        uint16_t kind
        uint16_t flags

    ctypedef struct tc_wire_frame:
        const uint8_t* topic        # BORROWED from the bytes parsed, not aligned, like the other pointers
        const uint8_t* records
        const uint8_t* trailer
        size_t records_length
        tc_wire_header header
        uint32_t topic_length
        uint16_t schema
        uint8_t word_length
        uint8_t kind

    const char* tc_wire_reason(int reason) noexcept
    uint32_t tc_wire_topic_length(const uint8_t* data, size_t n, uint8_t* word_length) noexcept
    int tc_wire_parse(const uint8_t* data, size_t n, tc_wire_frame* out) noexcept    # TC_WIRE_OK or why not
    tc_wire_trailer tc_wire_step(const uint8_t* trailer, uint32_t i) noexcept
    tc_wire_log_header tc_wire_log_at(const uint8_t* at) noexcept
    bint tc_wire_joins(const tc_wire_header* first, uint64_t seq, uint64_t topic_seq, uint64_t ts_in, uint16_t flags) noexcept
    size_t tc_wire_size(uint32_t topic_length, uint32_t record_bytes, uint32_t count) noexcept
    uint8_t* tc_wire_put_head(uint8_t* at, const uint8_t* topic, uint32_t topic_length, const tc_wire_header* header) noexcept
    uint8_t* tc_wire_put_step(uint8_t* at, uint32_t seq_delta, uint32_t ts_in_delta) noexcept
