/* The counters file's bytes: figures of every process of a feed, written in nanoseconds, read by anybody who may.
 *
 * ROOT/NAME/counters    mode 0640, sparse: what no row uses takes no memory
 *
 *          0  tc_counters_header                    one page
 *       4096  tc_counter_row rows[max_rows]         what is counted: metric, labels, where its value is
 *  values_at  values, each on cache lines of its own: u64 or i64 in 64 bytes, or a tc_histogram
 *
 * Rows are made, found again and retired under flock() of the file; the kernel lets go of that when its holder dies.
 * A half-made row is told by its odd stamp and is made anew by the next one who needs a row. Values need no lock: each
 * has one writer, words are stored whole (relaxed), and a reader in another process sees them grow.
 *
 * Pairs:  tc_counters_publish_row (release) with tc_counters_copy_row (acquire): a row read with one even stamp before
 *         and after is whole.  The store to `used_rows` (release) with its load (acquire): rows below it have been made.
 */
#ifndef TICKCAST_METRICS_COUNTERS_H
#define TICKCAST_METRICS_COUNTERS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TC_COUNTERS_MAGIC 0x31544e554f434354ull /* "TCCOUNT1" */
#define TC_COUNTERS_VERSION 1u

enum {
    TC_COUNTERS_PAGE = 4096,
    TC_COUNTERS_ROWS = 4096,
    TC_COUNTERS_SLOT = 64,      /* bytes of a counter's or gauge's value */
    TC_COUNTERS_NAME = 56,      /* bytes of a metric's name with its NUL */
    TC_COUNTERS_LABELS = 176,   /* bytes of all labels with their NULs */
    TC_COUNTERS_LABEL_VALUE = 63 /* longer label values are cut */
};
#define TC_COUNTERS_BYTES (64ull << 20) /* of the whole file */

enum { TC_ROW_RETIRED = 0, TC_ROW_COUNTER = 1, TC_ROW_GAUGE = 2, TC_ROW_HISTOGRAM = 3 };

/*  +-------------------------------+-------------------------------+   0
 *  |                             magic                             |
 *  +-------------------------------+-------------------------------+   8
 *  |            version            |           max_rows            |
 *  +-------------------------------+-------------------------------+  16
 *  |                           values_at                           |
 *  +-------------------------------+-------------------------------+  24
 *  |                          file_bytes                           |
 *  +-------------------------------+-------------------------------+  32
 *  |           used_rows           |           reserved            |
 *  +-------------------------------+-------------------------------+  40
 *  |                          next_value                           |
 *  +-------------------------------+-------------------------------+  48
 *  |                            refused                            |
 *  +-------------------------------+-------------------------------+
 */
typedef struct {
    uint64_t magic;       /* stored last when the file is made */
    uint32_t version;
    uint32_t max_rows;
    uint64_t values_at;   /* offset of the first value in the file */
    uint64_t file_bytes;
    uint32_t used_rows;   /* rows below this index have been made once */
    uint32_t reserved;
    uint64_t next_value;  /* offset of the first byte that no row's value has */
    uint64_t refused;     /* rows that were asked for and not given */
} tc_counters_header;

/*  +-------------------------------+-------------------------------+   0
 *  |  stamp: 0 never, odd half-made |             kind              |
 *  +-------------------------------+-------------------------------+   8
 *  |                             value                             |
 *  +-------------------------------+-------------------------------+  16
 *  |          value_bytes          |              pid              |
 *  +-------------------------------+-------------------------------+  24
 *  |   name, NUL padded (56)   |   labels: key=value NUL ... (176) |
 *  +---------------------------------------------------------------+ 256
 */
typedef struct {
    uint32_t stamp;       /* grows by 2 each time that the row is made or retired */
    uint32_t kind;        /* TC_ROW_* */
    uint64_t value;       /* its offset in the file; stays with the row for ever */
    uint32_t value_bytes;
    uint32_t pid;         /* of the process that last asked for it, for people */
    char name[TC_COUNTERS_NAME];
    char labels[TC_COUNTERS_LABELS]; /* in the metric's order; an empty string ends them */
} tc_counter_row;

#define TC_AT(type, field, offset) static_assert(offsetof(type, field) == (offset), #type "." #field)
TC_AT(tc_counters_header, values_at, 16);
TC_AT(tc_counters_header, used_rows, 32);
TC_AT(tc_counters_header, refused, 48);
TC_AT(tc_counter_row, value, 8);
TC_AT(tc_counter_row, name, 24);
TC_AT(tc_counter_row, labels, 80);
static_assert(sizeof(tc_counter_row) == 256, "tc_counter_row");
#undef TC_AT

/* From here to tc_counters_publish_row the row is half-made. */
static inline void tc_counters_begin_row(tc_counter_row *row) {
    __atomic_store_n(&row->stamp, row->stamp | 1u, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the odd stamp is out before any field changes */
}

static inline void tc_counters_publish_row(tc_counter_row *row) {
    __atomic_store_n(&row->stamp, (row->stamp | 1u) + 1u, __ATOMIC_RELEASE);
}

/* 1: `out` is a whole row; 0: it is being made right now (or was never). */
static inline int tc_counters_copy_row(const tc_counter_row *row, tc_counter_row *out) {
    uint32_t stamp = __atomic_load_n(&row->stamp, __ATOMIC_ACQUIRE);
    if (stamp == 0 || stamp & 1u) return 0;
    memcpy(out, row, sizeof *out);
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the fields are in before the stamp is looked at again */
    out->stamp = stamp;
    return __atomic_load_n(&row->stamp, __ATOMIC_RELAXED) == stamp;
}

static inline uint32_t tc_counters_used(const tc_counters_header *header) {
    return __atomic_load_n(&header->used_rows, __ATOMIC_ACQUIRE);
}

static inline void tc_counters_set_used(tc_counters_header *header, uint32_t rows) {
    __atomic_store_n(&header->used_rows, rows, __ATOMIC_RELEASE);
}

/* The hot path's part: one writer's add and store, any reader's load, of a value's word. */
static inline void tc_counter_add(uint64_t *slot, uint64_t n) {
    __atomic_store_n(slot, __atomic_load_n(slot, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void tc_counter_put(uint64_t *slot, uint64_t value) { __atomic_store_n(slot, value, __ATOMIC_RELAXED); }

static inline uint64_t tc_counter_load(const uint64_t *slot) { return __atomic_load_n(slot, __ATOMIC_RELAXED); }

#endif
