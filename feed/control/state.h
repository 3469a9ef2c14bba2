/* The bytes of `state`, which control keeps beside the log: the last record of every topic that has a state.
 *
 *   0      struct tc_state_header, one page
 *   4096   struct tc_state_topic[max_topics]
 *   then   the slots: two for each topic that keeps a record, 8-byte aligned, each a whole log frame
 *
 * Control alone reads and writes it. One that was killed leaves a prefix of its program order behind (the kernel keeps
 * the pages), so a record is written to the slot that is not the current one, and only then becomes current; `position`
 * is stored last: what lies below it has been taken in. The file is as large as it may ever get; memory is reserved as
 * topics appear.
 */
#ifndef TICKCAST_CONTROL_STATE_H
#define TICKCAST_CONTROL_STATE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define TC_STATE_MAGIC 0x3145544154534354ull /* "TCSTATE1" */
#define TC_STATE_HEADER_BYTES 4096

typedef struct {
    uint64_t magic;        /* stored last when the file is made */
    uint32_t max_topics;   /* of the log */
    uint32_t topics;       /* entries that are set up */
    uint64_t epoch;        /* of the log that this is the state of */
    uint64_t slots_used;   /* bytes of slots given away */
    uint64_t rolled_ns;    /* when the session last rolled over, ns since 1970; 0: when this file was made */
    uint64_t rolled_seq;   /* seq of the first record after that; 0: it never has */
    uint64_t before_seq;   /* the same of the roll before */
    uint64_t position;     /* in the log: everything below has been taken in */
} tc_state_header;

typedef struct {
    uint64_t topic_seq;    /* the last one that was taken in; 0: none yet */
    uint64_t seq;          /* of that record; before the first: the next one when the topic appeared */
    uint32_t slots;        /* where its two slots begin, in 8 bytes from the start of the file; 0: it has none */
    uint32_t current;      /* slot that counts, TC_STATE_* */
    uint16_t slot_bytes;   /* of each slot: the log frame of one record */
    uint16_t schema;
    uint32_t retired;      /* 1: no record for a whole session; it is not told of any more until there is one */
} tc_state_topic;

enum { TC_STATE_NONE = 0, TC_STATE_FIRST = 1, TC_STATE_SECOND = 2 };

static_assert(sizeof(tc_state_header) == 64, "tc_state_header");
static_assert(offsetof(tc_state_header, position) == 56, "tc_state_header.position");
static_assert(sizeof(tc_state_topic) == 32, "tc_state_topic");
static_assert(offsetof(tc_state_topic, current) == 20, "tc_state_topic.current");

#endif
