/* The archive's files: what their bytes are, and nothing else. README.md beside this file is the specification.
 *
 * FOLDER/
 *   lock                        flock()ed by the one writer; holds its process id in ASCII
 *   EPOCH-FIRSTSEQ.ticks        a segment, open or sealed; both numbers 20 decimal digits
 *   EPOCH-FIRSTSEQ.ticks.zst    a sealed segment, compressed (zstd seekable format); its content is a segment
 *
 * A segment is a run of blocks: a tc_block header, then its payload. All little-endian, all lengths multiples of 8.
 */
#ifndef TICKCAST_STORE_LAYOUT_H
#define TICKCAST_STORE_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "feed/log/layout.h"

#define TC_BLOCK_MAGIC 0x314b4254u          /* "TBK1": the 1 is the version */
#define TC_INDEX_END_MAGIC 0x444e454b434954ull /* "TICKEND" */

typedef struct {
    uint32_t magic;
    uint16_t kind;            /* TC_BLOCK_* */
    uint16_t flags;           /* TC_BLOCK_NAMES_TOPICS */
    uint32_t nbytes;          /* of the payload behind this header */
    uint32_t count;           /* frames, topics or index entries in it */
    uint64_t epoch;           /* of the numbering; ns since 1970 when it began */
    uint64_t first_seq;       /* of the records in it; where there is none, of the one that comes next */
    uint64_t last_seq;        /* first_seq - 1: there is none */
    uint64_t first_ns;        /* lowest and highest ts_in of these records, 0 if there is none */
    uint64_t last_ns;
    uint32_t payload_crc;     /* CRC-32C of the payload */
    uint32_t header_crc;      /* CRC-32C of the 60 bytes before this */
} tc_block;

enum {
    TC_BLOCK_TOPICS = 1,      /* payload: count tc_topic_row */
    TC_BLOCK_FRAMES = 2,      /* payload: count log frames, kinds record, topic and source gap */
    TC_BLOCK_MISSING = 3,     /* payload: the cause in ASCII, NUL padded to 32 */
    TC_BLOCK_INDEX = 4,       /* payload: count tc_index_entry, then tc_index_end; the last block of a sealed segment */
};
enum { TC_BLOCK_NAMES_TOPICS = 1 }; /* flags: it is of kind topics, or has frames of kind topic */

enum {
    TC_BLOCK_HEADER = 64,
    TC_BLOCK_PAYLOAD_MAX = 1 << 20, /* of every kind but the index */
    TC_INDEX_STRIDE = 256 << 10,    /* bytes of a segment that share an entry of the index */
    TC_CAUSE_BYTES = 32,
};

typedef struct {
    tc_topic_entry entry;     /* as in the log */
    uint64_t topic_seq;       /* the last one before this block; 0: none in this archive */
} tc_topic_row;

typedef struct {
    uint64_t offset;          /* of the first block of a stretch */
    uint64_t first_seq;       /* of that block */
    uint64_t before_ns;       /* highest ts_in of all blocks before it, 0 if there is none */
    uint32_t flags;           /* of all blocks of the stretch, or-ed */
    uint32_t zero;
} tc_index_entry;

typedef struct {
    uint64_t offset;          /* of this index's block */
    uint64_t magic;           /* the last 8 bytes of a sealed segment */
} tc_index_end;

#define TC_STORE_AT(type, field, offset) static_assert(offsetof(type, field) == (offset), #type "." #field)
TC_STORE_AT(tc_block, nbytes, 8);
TC_STORE_AT(tc_block, epoch, 16);
TC_STORE_AT(tc_block, first_seq, 24);
TC_STORE_AT(tc_block, last_seq, 32);
TC_STORE_AT(tc_block, first_ns, 40);
TC_STORE_AT(tc_block, last_ns, 48);
TC_STORE_AT(tc_block, payload_crc, 56);
TC_STORE_AT(tc_block, header_crc, 60);
TC_STORE_AT(tc_topic_row, topic_seq, 80);
static_assert(sizeof(tc_block) == TC_BLOCK_HEADER, "tc_block");
static_assert(sizeof(tc_topic_row) == 88, "tc_topic_row");
static_assert(sizeof(tc_index_entry) == 32, "tc_index_entry");
static_assert(sizeof(tc_index_end) == 16, "tc_index_end");

#endif
