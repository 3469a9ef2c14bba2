/* The bytes of `state` and `books`, which control keeps beside the log: the last record of every topic that has a state, and
 * the resting orders of every order topic.
 *
 *   state    0      struct tc_state_header, one page
 *            4096   struct tc_state_topic[max_topics]
 *            then   the slots: two for each topic that keeps a record, 8-byte aligned, each a whole log frame
 *   books    0      struct tc_state_books, one page
 *            4096   struct tc_state_book[max_topics]
 *            then   uint32_t buckets[], a power of two and at least `limit`, then struct tc_state_order[limit + 1]
 *
 * Control alone reads and writes them. One that was killed leaves a prefix of its program order behind (the kernel keeps
 * the pages). So a record is written to the slot that is not the current one, and only then becomes current; `position` is
 * stored last: what lies below it has been taken in. A book can't be changed in one store: `busy` says that one is being
 * changed, and who finds it set begins with empty books. Both files are as large as they may ever get; memory is reserved as
 * it is needed.
 */
#ifndef TICKCAST_CONTROL_LAYOUT_H
#define TICKCAST_CONTROL_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "feed/wire/records.h"

#define TC_STATE_MAGIC 0x3145544154534354ull /* "TCSTATE1" */
#define TC_BOOKS_MAGIC 0x31534b4f4f424354ull /* "TCBOOKS1" */
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

typedef struct {
    uint64_t magic;        /* stored last when the file is made */
    uint64_t epoch;
    uint32_t limit;        /* orders that there may be room for */
    uint32_t max_topics;
    uint32_t unused;       /* orders from here on were never used; [0] is nobody */
    uint32_t free;         /* the first free one of those that were, 0: none */
    uint32_t resting;      /* orders in all books */
    uint32_t busy;         /* 1: a book is being changed */
} tc_state_books;

typedef struct {
    tc_order last;         /* the last record applied */
    uint64_t topic_seq;    /* of it; 0: none yet */
    uint64_t seq;
    uint64_t ts_in;
    uint32_t first;        /* the order of first priority, 0: none rests */
    uint32_t end;          /* the last one */
    uint32_t resting;      /* orders */
    uint32_t standing;     /* TC_BOOK_* */
} tc_state_book;

enum {
    TC_BOOK_WHOLE = 0,     /* all is known: its beginning, or a Clear, was seen (no record yet is such a beginning) */
    TC_BOOK_HOLED = 1,     /* records were missed: only what was added since is known */
    TC_BOOK_ROLLED = 2,    /* emptied at the session's roll: whole, unless a record speaks of an order from before */
    TC_BOOK_TOO_LARGE = 3, /* given up for want of room, empty until the next Clear */
};

typedef struct {
    tc_order record;       /* as its last Add or Modify said; `size` is what is left */
    uint32_t topic;
    uint32_t after;        /* in its book, in order of priority; 0: none */
    uint32_t before;
    uint32_t chain;        /* the next one in its bucket; in a free order the next free one */
} tc_state_order;

/* Nothing else reads these files while they are written, so what matters is the order of the stores in the program, and that
 * the compiler keeps it: the next control finds what the killed one had stored up to an instruction (State.open). */
static inline void tc_keep_order(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

static inline void tc_say_busy(tc_state_books* books) {
    books->busy = 1;
    tc_keep_order();
}

static inline void tc_say_done(tc_state_books* books) {
    tc_keep_order();
    books->busy = 0;
}

static_assert(sizeof(tc_state_header) == 64, "tc_state_header");
static_assert(offsetof(tc_state_header, position) == 56, "tc_state_header.position");
static_assert(sizeof(tc_state_topic) == 32, "tc_state_topic");
static_assert(offsetof(tc_state_topic, current) == 20, "tc_state_topic.current");
static_assert(sizeof(tc_state_books) == 40, "tc_state_books");
static_assert(sizeof(tc_state_book) == 96, "tc_state_book");
static_assert(sizeof(tc_state_order) == 72, "tc_state_order");

#endif
