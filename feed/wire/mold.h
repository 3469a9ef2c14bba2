/* MoldUDP64 (Nasdaq's specification, version 1.00): where a datagram's bytes lie, read without trusting them, and written.
 *
 * Freestanding but for memcpy. All numbers are big endian. One session's messages are numbered from 1; a datagram carries
 * `count` of them, each in a block of its own. Count 0 is a heartbeat, 0xFFFF the end of the session; both name the next
 * sequence. A request asks a server, by unicast, for messages that did not come; the answer is such a datagram.
 */
#ifndef TICKCAST_WIRE_MOLD_H
#define TICKCAST_WIRE_MOLD_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    TC_MOLD_SESSION = 10,         /* ASCII */
    TC_MOLD_HEADER = 20,
    TC_MOLD_LENGTH = 2,           /* before each block's bytes */
    TC_MOLD_COUNT_MAX = 0xFFFE,
    TC_MOLD_END = 0xFFFF,         /* the count that says: end of session */
    TC_MOLD_DATAGRAM_MAX = 65507, /* of UDP over IPv4 */
};

/*   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------------------------------------------------------+   0
 *  |                      session (10 bytes ASCII)                 |
 *  +                               +-------------------------------+   8
 *  |                               |          sequence (64)        |
 *  +-------------------------------+                               +  12
 *  |                                                               |
 *  +                               +-------------------------------+  16
 *  |                               |             count             |
 *  +---------------+---------------+-------------------------------+  20
 *  |  count blocks: u16 length, then so many bytes                 |
 */
enum { TC_MOLD_AT_SEQUENCE = 10, TC_MOLD_AT_COUNT = 18 };
static_assert(TC_MOLD_AT_SEQUENCE == TC_MOLD_SESSION && TC_MOLD_AT_COUNT + 2 == TC_MOLD_HEADER, "MoldUDP64 header");

/* A datagram that was read. The pointers are BORROWED from the bytes given. */
typedef struct {
    const uint8_t* session;  /* 10 bytes */
    const uint8_t* blocks;   /* the first block's length */
    const uint8_t* rest;     /* heartbeat and end of session: what follows the header, which the protocol gives no meaning */
    size_t rest_length;      /* 0 where there are blocks */
    uint64_t sequence;       /* of the first message; without messages: the next to come */
    uint32_t count;          /* messages; 0 at the end of the session */
    uint32_t end;            /* of the session */
} tc_mold_packet;

typedef struct {
    const uint8_t* session;
    uint64_t sequence;       /* of the first message wanted */
    uint32_t count;          /* how many, 1 to 65,535 */
} tc_mold_request;

/* Why bytes are none. */
enum {
    TC_MOLD_OK = 0,
    TC_MOLD_SHORT = -1,
    TC_MOLD_BAD_SESSION = -2,
    TC_MOLD_BAD_SEQUENCE = -3,
    TC_MOLD_BAD_BLOCK = -4,
    TC_MOLD_BAD_REST = -5,
    TC_MOLD_BAD_REQUEST = -6,
};

static inline const char* tc_mold_reason(int reason) {
    switch (reason) {
        case TC_MOLD_OK: return "a MoldUDP64 packet";
        case TC_MOLD_SHORT: return "ends within the header";
        case TC_MOLD_BAD_SESSION: return "session is not printable ASCII";
        case TC_MOLD_BAD_SEQUENCE: return "sequence is 0 or wraps round";
        case TC_MOLD_BAD_BLOCK: return "a block ends behind the datagram";
        case TC_MOLD_BAD_REST: return "bytes behind the last block";
        case TC_MOLD_BAD_REQUEST: return "not a request for 1 to 65,535 messages";
        default: return "no such reason";
    }
}

static inline uint16_t tc_mold_u16(const uint8_t* at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint64_t tc_mold_u64(const uint8_t* at) {
    uint64_t n;
    memcpy(&n, at, sizeof n);
    return __builtin_bswap64(n); /* x86-64 and aarch64 are little endian, like the rest of this feed */
}

static inline int tc_mold_session_is_text(const uint8_t* at) {
    int i;
    for (i = 0; i < TC_MOLD_SESSION; i++)
        if (at[i] < ' ' || at[i] > '~') return 0;
    return 1;
}

static inline int tc_mold_same_session(const uint8_t* a, const uint8_t* b) { return memcmp(a, b, TC_MOLD_SESSION) == 0; }

/* Read `n` bytes as a downstream datagram. Returns TC_MOLD_OK and fills `out`, or the reason why not, with `out` undefined.
 * After TC_MOLD_OK all blocks lie whole within the bytes: tc_mold_block() may be called `count` times. */
static inline int tc_mold_parse(const uint8_t* bytes, size_t n, tc_mold_packet* out) {
    const uint8_t* at = bytes + TC_MOLD_HEADER;
    size_t left;
    uint32_t i;
    if (n < TC_MOLD_HEADER) return TC_MOLD_SHORT;
    if (!tc_mold_session_is_text(bytes)) return TC_MOLD_BAD_SESSION;
    out->session = bytes;
    out->blocks = at;
    out->rest = at;
    out->sequence = tc_mold_u64(bytes + TC_MOLD_AT_SEQUENCE);
    out->count = tc_mold_u16(bytes + TC_MOLD_AT_COUNT);
    out->end = out->count == TC_MOLD_END;
    if (out->end) out->count = 0;
    if (out->sequence == 0 || out->sequence > UINT64_MAX - TC_MOLD_COUNT_MAX) return TC_MOLD_BAD_SEQUENCE;
    left = n - TC_MOLD_HEADER;
    out->rest_length = out->count == 0 ? left : 0;
    for (i = 0; i < out->count; i++) {
        size_t size;
        if (left < TC_MOLD_LENGTH) return TC_MOLD_BAD_BLOCK;
        size = (size_t)TC_MOLD_LENGTH + tc_mold_u16(at);
        if (left < size) return TC_MOLD_BAD_BLOCK;
        at += size;
        left -= size;
    }
    return out->count != 0 && left != 0 ? TC_MOLD_BAD_REST : TC_MOLD_OK;
}

/* The block whose length stands at `*at`: its bytes, and `*at` behind it. Of a datagram that was parsed. */
static inline const uint8_t* tc_mold_block(const uint8_t** at, uint32_t* length) {
    const uint8_t* block = *at + TC_MOLD_LENGTH;
    *length = tc_mold_u16(*at);
    *at = block + *length;
    return block;
}

/* Read `n` bytes as a request. */
static inline int tc_mold_parse_request(const uint8_t* bytes, size_t n, tc_mold_request* out) {
    if (n < TC_MOLD_HEADER) return TC_MOLD_SHORT;
    if (n > TC_MOLD_HEADER) return TC_MOLD_BAD_REST;
    if (!tc_mold_session_is_text(bytes)) return TC_MOLD_BAD_SESSION;
    out->session = bytes;
    out->sequence = tc_mold_u64(bytes + TC_MOLD_AT_SEQUENCE);
    out->count = tc_mold_u16(bytes + TC_MOLD_AT_COUNT);
    if (out->sequence == 0 || out->sequence > UINT64_MAX - TC_MOLD_END) return TC_MOLD_BAD_SEQUENCE;
    return out->count == 0 ? TC_MOLD_BAD_REQUEST : TC_MOLD_OK;
}

/* Write a header. Returns where the first block's length goes. `count`: as it stands in the datagram. */
static inline uint8_t* tc_mold_put_header(uint8_t* at, const uint8_t* session, uint64_t sequence, uint32_t count) {
    uint64_t n = __builtin_bswap64(sequence);
    memcpy(at, session, TC_MOLD_SESSION);
    memcpy(at + TC_MOLD_AT_SEQUENCE, &n, sizeof n);
    at[TC_MOLD_AT_COUNT] = (uint8_t)(count >> 8);
    at[TC_MOLD_AT_COUNT + 1] = (uint8_t)count;
    return at + TC_MOLD_HEADER;
}

/* Write a block's length. Returns where its bytes go. */
static inline uint8_t* tc_mold_put_length(uint8_t* at, uint32_t length) {
    at[0] = (uint8_t)(length >> 8);
    at[1] = (uint8_t)length;
    return at + TC_MOLD_LENGTH;
}

#endif
