"""C names of mold.h for cimport: what each call promises stands there."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "feed/wire/mold.h" nogil:
    enum:
        TC_MOLD_SESSION
        TC_MOLD_HEADER
        TC_MOLD_LENGTH
        TC_MOLD_COUNT_MAX
        TC_MOLD_END
        TC_MOLD_DATAGRAM_MAX

        TC_MOLD_OK
        TC_MOLD_SHORT
        TC_MOLD_BAD_SESSION
        TC_MOLD_BAD_SEQUENCE
        TC_MOLD_BAD_BLOCK
        TC_MOLD_BAD_REST
        TC_MOLD_BAD_REQUEST

    ctypedef struct tc_mold_packet:
        const uint8_t* session      # BORROWED from the bytes parsed, like the other pointers
        const uint8_t* blocks
        const uint8_t* rest
        size_t rest_length
        uint64_t sequence
        uint32_t count
        uint32_t end

    ctypedef struct tc_mold_request:
        const uint8_t* session
        uint64_t sequence
        uint32_t count

    const char* tc_mold_reason(int reason) noexcept
    bint tc_mold_same_session(const uint8_t* a, const uint8_t* b) noexcept
    int tc_mold_parse(const uint8_t* data, size_t n, tc_mold_packet* out) noexcept      # TC_MOLD_OK or why not
    const uint8_t* tc_mold_block(const uint8_t** at, uint32_t* length) noexcept
    int tc_mold_parse_request(const uint8_t* data, size_t n, tc_mold_request* out) noexcept
    uint8_t* tc_mold_put_header(uint8_t* at, const uint8_t* session, uint64_t sequence, uint32_t count) noexcept
    uint8_t* tc_mold_put_length(uint8_t* at, uint32_t length) noexcept
