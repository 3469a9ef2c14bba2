/* One frame on the wire: where its bytes lie, how to read them without trusting them, how to write them.
 *
 * Freestanding but for memcpy, memcmp and memchr: the fuzz harness under tests/wire/fuzz compiles this file alone. What the
 * fields mean, and what a publisher promises, is in README.md beside this file.
 */
#ifndef TICKCAST_WIRE_FRAME_H
#define TICKCAST_WIRE_FRAME_H

#include "feed/wire/records.h"

#define TC_WIRE_MAGIC 0x54u
#define TC_WIRE_VERSION 1u

enum {
    TC_FLAG_SNAPSHOT = 1,   /* state as of now, not an event of now */
    TC_FLAG_REPLAYED = 2,   /* sent before; this is an answer to somebody's question */
    TC_FLAG_CONFLATED = 4,  /* `folded` earlier ticks of the topic were dropped in favour of this one */
    TC_FLAG_LOSS = 8,       /* the feed itself lost something of this topic before this frame */
    TC_FLAG_DOUBTFUL = 16,  /* a record that breaks a rule of the feed's validation */
};

enum {
    TC_WIRE_WORD_MAX = 12,
    TC_WIRE_SYMBOL_MAX = 71,
    TC_WIRE_TOPIC_MAX = TC_WIRE_WORD_MAX + 1 + TC_WIRE_SYMBOL_MAX + 1, /* "word.symbol|" */
    TC_WIRE_HEADER = 56,
    TC_WIRE_STEP = 8,           /* one entry of the trailer */
    TC_WIRE_COUNT_MAX = 65535,
    TC_WIRE_LOG_HEADER = 40,
    TC_WIRE_LOG_TOPIC = 80,     /* record of a log frame that announces a topic */
};

/*   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------+---------------+-------------------------------+   0
 *  |  magic 0x54   |   version 1   |             flags             |
 *  +---------------+---------------+-------------------------------+   4
 *  |             count             |         record_bytes          |
 *  +-------------------------------+-------------------------------+   8
 *  |                           epoch (64)                          |
 *  +---------------------------------------------------------------+  16
 *  |                            seq (64)                           |
 *  +---------------------------------------------------------------+  24
 *  |                         topic_seq (64)                        |
 *  +---------------------------------------------------------------+  32
 *  |                           ts_in (64)                          |
 *  +---------------------------------------------------------------+  40
 *  |                          ts_sent (64)                         |
 *  +---------------------------------------------------------------+  48
 *  |                             folded                            |
 *  +---------------------------------------------------------------+  52
 *  |                              zero                             |
 *  +---------------------------------------------------------------+  56
 *  |              count records of record_bytes, then,             |
 *  |              if count > 1, count trailer steps                |
 */
typedef struct {
    uint8_t magic;
    uint8_t version;
    uint16_t flags;        /* TC_FLAG_*; bits not named here are ignored */
    uint16_t count;        /* records; 0: only news of the numbering */
    uint16_t record_bytes; /* 0 if count is 0, and in the firehose */
    uint64_t epoch;        /* ns since 1970 when this numbering began */
    uint64_t seq;          /* of the first record, over all topics; count 0: all below have been sent */
    uint64_t topic_seq;    /* of the first record, within the topic; count 0: the next to come */
    uint64_t ts_in;        /* ns since 1970: when the feed first had the first record; count 0: 0 */
    uint64_t ts_sent;      /* ns since 1970: when the frame was handed to the transport */
    uint32_t folded;       /* earlier ticks that a conflated one replaces */
    uint32_t zero;
} tc_wire_header;

/* One step of the trailer, relative to the frame's first record. The first step is (0, 0), seq_delta rises strictly. */
typedef struct {
    uint32_t seq_delta;
    uint32_t ts_in_delta; /* ns */
} tc_wire_trailer;

/* A log frame as the firehose carries it: the same bytes as tc_log_frame in feed/log/layout.h, but not aligned. */
typedef struct {
    uint32_t length;          /* with this header, a multiple of 8 */
    uint32_t topic_id;
    uint64_t seq;
    uint64_t topic_seq;
    uint64_t ts_in;
    uint32_t committed_delta; /* ns */
    uint16_t kind;            /* TC_WIRE_LOG_* */
    uint16_t flags;
} tc_wire_log_header;

enum { TC_WIRE_LOG_RECORD = 0, TC_WIRE_LOG_TOPIC_KIND = 1, TC_WIRE_LOG_SOURCE_GAP = 2 };

#define TC_WIRE_AT(T, field, offset) static_assert(offsetof(T, field) == (offset), #T "." #field)
TC_WIRE_AT(tc_wire_header, flags, 2);
TC_WIRE_AT(tc_wire_header, count, 4);
TC_WIRE_AT(tc_wire_header, record_bytes, 6);
TC_WIRE_AT(tc_wire_header, epoch, 8);
TC_WIRE_AT(tc_wire_header, seq, 16);
TC_WIRE_AT(tc_wire_header, topic_seq, 24);
TC_WIRE_AT(tc_wire_header, ts_in, 32);
TC_WIRE_AT(tc_wire_header, ts_sent, 40);
TC_WIRE_AT(tc_wire_header, folded, 48);
TC_WIRE_AT(tc_wire_header, zero, 52);
TC_WIRE_AT(tc_wire_log_header, ts_in, 24);
TC_WIRE_AT(tc_wire_log_header, kind, 36);
static_assert(sizeof(tc_wire_header) == TC_WIRE_HEADER, "tc_wire_header");
static_assert(sizeof(tc_wire_trailer) == TC_WIRE_STEP, "tc_wire_trailer");
static_assert(sizeof(tc_wire_log_header) == TC_WIRE_LOG_HEADER, "tc_wire_log_header");

/* What kind of frame a topic makes it. */
enum { TC_WIRE_TICKS = 0, TC_WIRE_HEARTBEAT = 1, TC_WIRE_FIREHOSE = 2 };

/* A frame that was read. The pointers are BORROWED from the bytes given and not aligned: copy out, never cast. */
typedef struct {
    const uint8_t* topic;
    const uint8_t* records;  /* firehose: the run of log frames */
    const uint8_t* trailer;  /* NULL if count <= 1, and in the firehose */
    size_t records_length;   /* bytes at `records` */
    tc_wire_header header;   /* a copy */
    uint32_t topic_length;   /* with the bar */
    uint16_t schema;         /* TC_SCHEMA_NONE: heartbeat, firehose, or a word newer than this code */
    uint8_t word_length;     /* schema word at the start of the topic; 0 for heartbeat and firehose */
    uint8_t kind;            /* TC_WIRE_TICKS, TC_WIRE_HEARTBEAT, TC_WIRE_FIREHOSE */
} tc_wire_frame;

/* Why bytes are no frame. */
enum {
    TC_WIRE_OK = 0,
    TC_WIRE_NO_TOPIC = -1,
    TC_WIRE_SHORT = -2,
    TC_WIRE_BAD_MAGIC = -3,
    TC_WIRE_BAD_VERSION = -4,
    TC_WIRE_BAD_ZERO = -5,
    TC_WIRE_BAD_COUNT = -6,
    TC_WIRE_BAD_SIZE = -7,
    TC_WIRE_BAD_LENGTH = -8,
    TC_WIRE_BAD_TRAILER = -9,
    TC_WIRE_BAD_RUN = -10,
};

/* The reason in words, for an error message. */
static inline const char* tc_wire_reason(int reason) {
    switch (reason) {
        case TC_WIRE_OK: return "a frame";
        case TC_WIRE_NO_TOPIC: return "does not begin with a topic";
        case TC_WIRE_SHORT: return "ends within the header";
        case TC_WIRE_BAD_MAGIC: return "magic byte is wrong";
        case TC_WIRE_BAD_VERSION: return "version is not known";
        case TC_WIRE_BAD_ZERO: return "header's last field is not zero";
        case TC_WIRE_BAD_COUNT: return "a heartbeat has records";
        case TC_WIRE_BAD_SIZE: return "record size does not fit the schema";
        case TC_WIRE_BAD_LENGTH: return "length differs from what the header says";
        case TC_WIRE_BAD_TRAILER: return "trailer's sequence does not rise from zero";
        case TC_WIRE_BAD_RUN: return "firehose run is not a run of log frames";
        default: return "no such reason";
    }
}

/* Length with the bar of the topic at the start of `n` bytes, and the length of its schema word; 0: no topic there. */
static inline uint32_t tc_wire_topic_length(const uint8_t* bytes, size_t n, uint8_t* word_length) {
    size_t limit = n < TC_WIRE_TOPIC_MAX ? n : TC_WIRE_TOPIC_MAX, dot = 0, at;
    *word_length = 0;
    if (limit >= 2 && bytes[0] == '*' && bytes[1] == '|') return 2;
    if (limit >= 10 && memcmp(bytes, "heartbeat|", 10) == 0) return 10;
    while (dot < limit && ((bytes[dot] >= 'a' && bytes[dot] <= 'z') || (bytes[dot] >= '0' && bytes[dot] <= '9'))) dot++;
    if (dot == 0 || dot > TC_WIRE_WORD_MAX || dot == limit || bytes[dot] != '.' || bytes[0] < 'a') return 0;
    for (at = dot + 1; at < limit; at++) {
        uint8_t c = bytes[at];
        if (c == '|') {
            if (at == dot + 1) return 0;
            *word_length = (uint8_t)dot;
            return (uint32_t)at + 1;
        }
        if (c < ' ' || c > '~' || c == '*' || c == '?' || at - dot > TC_WIRE_SYMBOL_MAX) return 0;
    }
    return 0;
}

/* Header of the log frame at `at`, whose 40 bytes must be there. Its record follows; the next frame is `length` further. */
static inline tc_wire_log_header tc_wire_log_at(const uint8_t* at) {
    tc_wire_log_header header;
    memcpy(&header, at, sizeof header);
    return header;
}

/* Exactly `count` log frames fill `n` bytes? */
static inline int tc_wire_run_is_whole(const uint8_t* at, size_t n, uint32_t count) {
    while (count > 0) {
        tc_wire_log_header log;
        if (n < TC_WIRE_LOG_HEADER) return 0;
        log = tc_wire_log_at(at);
        if (log.length < TC_WIRE_LOG_HEADER || log.length > n || log.length % 8 != 0) return 0;
        if (log.kind > TC_WIRE_LOG_SOURCE_GAP) return 0;
        if (log.kind == TC_WIRE_LOG_TOPIC_KIND) {
            uint16_t symbol_length;
            if (log.length != TC_WIRE_LOG_HEADER + TC_WIRE_LOG_TOPIC) return 0;
            memcpy(&symbol_length, at + TC_WIRE_LOG_HEADER + 2, sizeof symbol_length);
            if (symbol_length == 0 || symbol_length > TC_WIRE_SYMBOL_MAX) return 0;
        }
        at += log.length;
        n -= log.length;
        count--;
    }
    return n == 0;
}

/* Step `i` of a trailer; `i` < count. */
static inline tc_wire_trailer tc_wire_step(const uint8_t* trailer, uint32_t i) {
    tc_wire_trailer step;
    memcpy(&step, trailer + (size_t)i * TC_WIRE_STEP, sizeof step);
    return step;
}

/* Read `n` bytes as a frame. Returns TC_WIRE_OK and fills `out`, or the reason why not, with `out` undefined. Reads nothing
 * outside the bytes, allocates nothing. After TC_WIRE_OK: records, trailer and log frames lie whole within the bytes. */
static inline int tc_wire_parse(const uint8_t* bytes, size_t n, tc_wire_frame* out) {
    uint64_t rest, records;
    uint32_t i, before;
    const uint8_t* at;

    out->topic_length = tc_wire_topic_length(bytes, n, &out->word_length);
    if (out->topic_length == 0) return TC_WIRE_NO_TOPIC;
    if (n - out->topic_length < TC_WIRE_HEADER) return TC_WIRE_SHORT;
    out->topic = bytes;
    at = bytes + out->topic_length;
    memcpy(&out->header, at, TC_WIRE_HEADER);
    at += TC_WIRE_HEADER;
    rest = n - out->topic_length - TC_WIRE_HEADER;
    if (out->header.magic != TC_WIRE_MAGIC) return TC_WIRE_BAD_MAGIC;
    if (out->header.version != TC_WIRE_VERSION) return TC_WIRE_BAD_VERSION;
    if (out->header.zero != 0) return TC_WIRE_BAD_ZERO;

    out->records = at;
    out->trailer = NULL;
    out->schema = TC_SCHEMA_NONE;
    if (out->word_length == 0) {
        out->kind = bytes[0] == '*' ? TC_WIRE_FIREHOSE : TC_WIRE_HEARTBEAT;
        out->records_length = (size_t)rest;
        if (out->header.record_bytes != 0) return TC_WIRE_BAD_SIZE;
        if (out->kind == TC_WIRE_FIREHOSE)
            return tc_wire_run_is_whole(at, (size_t)rest, out->header.count) ? TC_WIRE_OK : TC_WIRE_BAD_RUN;
        if (out->header.count != 0) return TC_WIRE_BAD_COUNT;
        return rest == 0 ? TC_WIRE_OK : TC_WIRE_BAD_LENGTH;
    }

    out->kind = TC_WIRE_TICKS;
    out->schema = tc_schema_of_word(bytes, out->word_length);
    if ((out->header.record_bytes == 0) != (out->header.count == 0)) return TC_WIRE_BAD_SIZE;
    if (out->header.count != 0 && out->schema != TC_SCHEMA_NONE && out->header.record_bytes != tc_record_bytes(out->schema))
        return TC_WIRE_BAD_SIZE;
    records = (uint64_t)out->header.count * out->header.record_bytes; /* at most 2^32: cannot wrap */
    out->records_length = (size_t)records;
    if (out->header.count <= 1) return rest == records ? TC_WIRE_OK : TC_WIRE_BAD_LENGTH;

    if (rest != records + (uint64_t)out->header.count * TC_WIRE_STEP) return TC_WIRE_BAD_LENGTH;
    out->trailer = at + records;
    before = tc_wire_step(out->trailer, 0).seq_delta;
    if (before != 0) return TC_WIRE_BAD_TRAILER;
    for (i = 1; i < out->header.count; i++) {
        uint32_t delta = tc_wire_step(out->trailer, i).seq_delta;
        if (delta <= before) return TC_WIRE_BAD_TRAILER;
        before = delta;
    }
    return TC_WIRE_OK;
}

/* May a record join the batch that `first` began and that now has first->count records? If not, it begins the next frame.
 * Its topic is the same; `flags` are its own. */
static inline int tc_wire_joins(const tc_wire_header* first, uint64_t seq, uint64_t topic_seq, uint64_t ts_in, uint16_t flags) {
    return first->count > 0 && first->count < TC_WIRE_COUNT_MAX && flags == first->flags && first->folded == 0
        && topic_seq == first->topic_seq + first->count
        && seq > first->seq && seq - first->seq <= UINT32_MAX
        && ts_in >= first->ts_in && ts_in - first->ts_in <= UINT32_MAX;
}

/* Bytes of a whole frame of ticks (not of a firehose frame: that has no trailer). */
static inline size_t tc_wire_size(uint32_t topic_length, uint32_t record_bytes, uint32_t count) {
    size_t trailer = count > 1 ? (size_t)count * TC_WIRE_STEP : 0;
    return (size_t)topic_length + TC_WIRE_HEADER + (size_t)count * record_bytes + trailer;
}

/* Write topic and header at `at`; magic, version and zero are filled in. Returns where the records go. */
static inline uint8_t* tc_wire_put_head(uint8_t* at, const uint8_t* topic, uint32_t topic_length, const tc_wire_header* header) {
    tc_wire_header copy = *header;
    copy.magic = TC_WIRE_MAGIC;
    copy.version = TC_WIRE_VERSION;
    copy.zero = 0;
    memcpy(at, topic, topic_length);
    memcpy(at + topic_length, &copy, sizeof copy);
    return at + topic_length + sizeof copy;
}

/* Write one step of the trailer. Returns where the next one goes. */
static inline uint8_t* tc_wire_put_step(uint8_t* at, uint32_t seq_delta, uint32_t ts_in_delta) {
    tc_wire_trailer step = {seq_delta, ts_in_delta};
    memcpy(at, &step, sizeof step);
    return at + sizeof step;
}

#endif
