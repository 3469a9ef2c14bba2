# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""One block of an archive file: its sums, and what is believed of it.

A block counts only as a whole. Its header has a sum of its own, so that headers can be walked without reading payloads.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, TC_KIND_TOPIC, tc_log_frame
from feed.store.layout cimport (
    TC_BLOCK_FRAMES,
    TC_BLOCK_HEADER,
    TC_BLOCK_INDEX,
    TC_BLOCK_MAGIC,
    TC_BLOCK_NAMES_TOPICS,
    TC_BLOCK_PAYLOAD_MAX,
    TC_BLOCK_TOPICS,
    tc_block,
)

cdef extern from "feed/store/crc32c.h" nogil:
    void tc_crc32c_init()
    uint32_t tc_crc32c(uint32_t crc, const uint8_t* data, size_t n)
    uint32_t tc_crc_by_table(uint32_t crc, const uint8_t* data, size_t n)

tc_crc32c_init()


cdef void block_close(tc_block* block, const uint8_t* payload) noexcept nogil:
    block.magic = TC_BLOCK_MAGIC
    block.payload_crc = tc_crc32c(0, payload, block.nbytes)
    block.header_crc = tc_crc32c(0, <const uint8_t*>block, TC_BLOCK_HEADER - 4)


cdef bint block_headed(const tc_block* block) noexcept nogil:
    return (
        block.magic == TC_BLOCK_MAGIC
        and block.header_crc == tc_crc32c(0, <const uint8_t*>block, TC_BLOCK_HEADER - 4)
        and TC_BLOCK_TOPICS <= block.kind <= TC_BLOCK_INDEX
        and (block.nbytes <= TC_BLOCK_PAYLOAD_MAX or block.kind == TC_BLOCK_INDEX)
        and block.nbytes & 7 == 0
    )


cdef bint block_whole(const tc_block* block, const uint8_t* payload) noexcept nogil:
    cdef uint32_t at = 0, frames = 0, length
    if tc_crc32c(0, payload, block.nbytes) != block.payload_crc:
        return False
    if block.kind != TC_BLOCK_FRAMES:
        return True
    # Whoever walks the frames relies on their lengths.
    while at < block.nbytes:
        length = (<const tc_log_frame*>(payload + at)).length
        if length < TC_FRAME_HEADER or length & 7 or length > block.nbytes - at:
            return False
        at += length
        frames += 1
    return frames == block.count


cdef size_t block_trim(tc_block* block, const uint8_t* payload, uint64_t seq) noexcept nogil:
    cdef const tc_log_frame* frame
    cdef uint32_t start = 0, at
    while start < block.nbytes:
        frame = <const tc_log_frame*>(payload + start)
        if frame.seq >= seq:
            break
        start += frame.length
        block.count -= 1
    block.first_seq = seq
    block.nbytes -= start
    block.flags = 0
    block.first_ns = block.last_ns = 0
    at = start
    while at < start + block.nbytes:
        frame = <const tc_log_frame*>(payload + at)
        if frame.kind == TC_KIND_TOPIC:
            block.flags |= TC_BLOCK_NAMES_TOPICS
        elif frame.kind == TC_KIND_RECORD:
            if block.first_ns == 0 or frame.ts_in < block.first_ns:
                block.first_ns = frame.ts_in
            if frame.ts_in > block.last_ns:
                block.last_ns = frame.ts_in
        at += frame.length
    return start


def crc32c(const uint8_t[::1] data, *, bint table=False):
    cdef size_t n = data.shape[0]
    cdef const uint8_t* at = &data[0] if n else NULL
    return tc_crc_by_table(0xffffffff, at, n) ^ 0xffffffff if table else tc_crc32c(0, at, n)
