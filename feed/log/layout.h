/* The tick log's bytes, and nothing else: every structure that feed and bots share through memory.
 *
 * ROOT/NAME/            mode 0750
 *   lock      0640      flock()ed by the one writer; holds its process id in ASCII
 *   log       0640      struct tc_log_header, one page
 *   topics    0640      u64 topic_seq[max_topics], then struct tc_topic_entry[max_topics]
 *   segments  0640      `segments` times `segment_bytes`, used in turn; frames never cross a segment's end
 *   readers   0660      struct tc_readers: the only page that bots write
 *
 * A position counts bytes ever written; it lies at (position % (segments * segment_bytes)) in `segments`.
 * All little-endian. Who may write what, and the order of loads and stores: README.md beside this file.
 */
#ifndef TICKCAST_LOG_LAYOUT_H
#define TICKCAST_LOG_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define TC_LOG_MAGIC 0x31474f4c4b434954ull /* "TICKLOG1" */
#define TC_LOG_VERSION 1u
#define TC_CACHE_LINE 64

/*   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------------------------------------------------------+   0
 *  |            length of this frame in bytes, 0: not yet          |
 *  +---------------------------------------------------------------+   4
 *  |                           topic_id                            |
 *  +---------------------------------------------------------------+   8
 *  |                             seq (64)                          |
 *  +---------------------------------------------------------------+  16
 *  |                          topic_seq (64)                       |
 *  +---------------------------------------------------------------+  24
 *  |                           ts_in (64)                          |
 *  +---------------------------------------------------------------+  32
 *  |                     committed - ts_in, ns                     |
 *  +-------------------------------+-------------------------------+  36
 *  |             kind              |             flags             |
 *  +-------------------------------+-------------------------------+  40
 *  |                            record ...                         |
 */
typedef struct {
    uint32_t length;          /* whole frame in bytes, a multiple of 8; stored last, with release */
    uint32_t topic_id;
    uint64_t seq;             /* over all topics, from 1; kinds that are no record: the next one's */
    uint64_t topic_seq;       /* within the topic, from 1; kinds that are no record: 0 */
    uint64_t ts_in;           /* ns since 1970: when this feed first had it */
    uint32_t committed_delta; /* ns from ts_in to commit; saturates */
    uint16_t kind;            /* TC_KIND_* */
    uint16_t flags;           /* as in the wire's frame header */
    uint8_t record[];
} tc_log_frame;

enum { TC_KIND_RECORD = 0, TC_KIND_TOPIC = 1, TC_KIND_SOURCE_GAP = 2, TC_KIND_PADDING = 3 };
enum { TC_FRAME_HEADER = 40, TC_SYMBOL_MAX = 71 };

/* The record of a TC_KIND_TOPIC frame, and an entry of the topic table. */
typedef struct {
    uint16_t schema;          /* id of the schema, see feed/wire/records.h */
    uint16_t symbol_length;   /* 1 to 71 */
    uint32_t topic_id;
    char symbol[72];          /* NUL padded */
} tc_topic_entry;

typedef struct {
    /* 0: constant once the log is open */
    uint64_t magic;
    uint32_t version;
    uint32_t segments;
    uint64_t segment_bytes;
    uint32_t max_topics;
    uint32_t writer_pid;
    uint64_t epoch;           /* ns since 1970 when this numbering began */
    char boot_id[40];
    uint8_t pad0[48];
    /* 128: written once per batch */
    uint64_t tail;            /* position behind the last committed frame */
    uint64_t next_seq;
    uint64_t tail_ns;         /* wall time of the last commit */
    uint32_t topic_count;     /* entries of the topic table that are filled */
    uint32_t state;           /* TC_LOG_* */
    uint8_t pad1[8];
    /* 168: written some 20 times a second, whether ticks come or not */
    uint64_t alive_ns;        /* wall time of the sequencer's last sign of life; 0: none yet */
    uint8_t pad2[16];
    /* 192: written once per segment */
    uint64_t low;             /* nothing below this position may be read any more */
    uint8_t pad3[56];
    /* 256: written when somebody is parked */
    uint32_t doorbell;        /* futex word, counts rings */
    uint8_t pad4[60];
} tc_log_header;

enum { TC_LOG_OPEN = 1, TC_LOG_CLOSED = 2, TC_LOG_REPLACED = 3 };

/* One reader. Writable by all bots of the group: a wrong value may cost a needless wake-up, never a tick. */
typedef struct {
    uint32_t pid;             /* 0: free */
    uint32_t gating;          /* TC_GATE_* */
    uint64_t start_time;      /* of the process, clock ticks since boot: tells a reused pid apart */
    uint64_t position;        /* everything below has been dealt with */
    uint32_t parked;          /* 1 while asleep on the doorbell; for people and for choosing how to wake */
    uint32_t reserved;
    char name[32];            /* NUL padded */
} tc_reader_slot;

enum { TC_GATE_NONE = 0, TC_GATE_ON = 1, TC_GATE_EVICTED = 2 };
enum { TC_READER_SLOTS = 1024 };

typedef struct {
    uint64_t magic;
    uint32_t used;            /* slots below this index have been used at least once */
    uint32_t reserved;
    uint8_t pad0[48];
    /* 64 */
    uint32_t waiters;         /* set by a reader before it sleeps, cleared by the writer before it rings */
    uint8_t pad1[60];
    /* 128 */
    tc_reader_slot slots[TC_READER_SLOTS];
} tc_readers;

#define TC_AT(type, field, offset) static_assert(offsetof(type, field) == (offset), #type "." #field)
TC_AT(tc_log_frame, topic_id, 4);
TC_AT(tc_log_frame, seq, 8);
TC_AT(tc_log_frame, topic_seq, 16);
TC_AT(tc_log_frame, ts_in, 24);
TC_AT(tc_log_frame, committed_delta, 32);
TC_AT(tc_log_frame, kind, 36);
TC_AT(tc_log_frame, flags, 38);
TC_AT(tc_log_frame, record, TC_FRAME_HEADER);
TC_AT(tc_log_header, tail, 128);
TC_AT(tc_log_header, alive_ns, 168);
TC_AT(tc_log_header, low, 192);
TC_AT(tc_log_header, doorbell, 256);
TC_AT(tc_readers, waiters, 64);
TC_AT(tc_readers, slots, 128);
static_assert(sizeof(tc_log_header) == 320, "tc_log_header");
static_assert(sizeof(tc_topic_entry) == 80, "tc_topic_entry");
static_assert(sizeof(tc_reader_slot) == 64, "tc_reader_slot");

#endif
