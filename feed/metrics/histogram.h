/* A log-linear histogram of nanoseconds: what one is made of and how a value is put in.
 *
 * 64 sub-buckets to the octave, so a bucket is at most 1/64 of its values wide and its middle is within 0.8 % of each.
 * Below 128 ns every nanosecond has its own bucket; 2^34 ns (17.2 s) and above share the last one.
 *
 *      index            values                                   width
 *      0 .. 127         the index itself                         1 ns
 *      s*64 + m         m << s  ..  ((m + 1) << s) - 1           2^s ns,   1 <= s <= 27, 64 <= m < 128
 *
 * Written by one thread. Each word is loaded and stored whole (relaxed), so that a reader in another process sees values
 * that only grow; it may see a count whose sum is yet to come. There is no total: it is the sum of the buckets.
 */
#ifndef TICKCAST_METRICS_HISTOGRAM_H
#define TICKCAST_METRICS_HISTOGRAM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum { TC_HISTOGRAM_BUCKETS = 29 * 64 };
#define TC_HISTOGRAM_TOP_NS (1ull << 34) /* the first value that is clamped into the last bucket */

typedef struct {
    uint64_t sum_ns;    /* of everything that is in a bucket, clamped or not */
    uint64_t max_ns;
    uint64_t negative;  /* how many values below zero were offered; they are in no bucket and in no sum */
    uint64_t reserved[5];
    uint64_t counts[TC_HISTOGRAM_BUCKETS];
} tc_histogram;

static_assert(offsetof(tc_histogram, counts) == 64, "tc_histogram.counts");
static_assert(sizeof(tc_histogram) % 64 == 0, "tc_histogram");

/* One writer's read-modify-write: no lock prefix, but never a torn word. */
static inline void tc_histogram_bump(uint64_t *word, uint64_t n) {
    __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint64_t tc_histogram_load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

static inline uint32_t tc_histogram_index(uint64_t ns) {
    if (ns >= TC_HISTOGRAM_TOP_NS) return TC_HISTOGRAM_BUCKETS - 1;
    uint32_t shift = 57u - (uint32_t)__builtin_clzll(ns | 64u);
    return shift * 64u + (uint32_t)(ns >> shift);
}

/* The smallest value of a bucket, ns. */
static inline uint64_t tc_histogram_floor(uint32_t index) {
    if (index < 128) return index;
    return (uint64_t)(index % 64 + 64) << (index / 64 - 1);
}

/* How many ns of values share a bucket (the last one also takes all that is clamped). */
static inline uint64_t tc_histogram_width(uint32_t index) { return index < 128 ? 1 : 1ull << (index / 64 - 1); }

/* The same value `n` times: a batch that shared one pair of clock reads. */
static inline void tc_histogram_record_n(tc_histogram *h, int64_t ns, uint64_t n) {
    if (ns < 0) {
        tc_histogram_bump(&h->negative, n);
        return;
    }
    tc_histogram_bump(&h->counts[tc_histogram_index((uint64_t)ns)], n);
    tc_histogram_bump(&h->sum_ns, (uint64_t)ns * n);
    if ((uint64_t)ns > h->max_ns) __atomic_store_n(&h->max_ns, (uint64_t)ns, __ATOMIC_RELAXED);
}

static inline void tc_histogram_record(tc_histogram *h, int64_t ns) { tc_histogram_record_n(h, ns, 1); }

/* The values of one batch, between tc_histogram_begin and tc_histogram_end: neighbours in one bucket share a bump, and
 * the sum waits in a register rather than for its own last store. */
typedef struct {
    tc_histogram *h;
    uint64_t sum_ns, max_ns, negative, alike;
    uint32_t index; /* of the last `alike` values */
} tc_histogram_batch;

static inline tc_histogram_batch tc_histogram_begin(tc_histogram *h) { return (tc_histogram_batch){.h = h}; }

static inline void tc_histogram_add(tc_histogram_batch *batch, int64_t ns) {
    if (ns < 0) {
        batch->negative++;
        return;
    }
    uint32_t index = tc_histogram_index((uint64_t)ns);
    if (index != batch->index) {
        tc_histogram_bump(&batch->h->counts[batch->index], batch->alike);
        batch->index = index;
        batch->alike = 0;
    }
    batch->alike++;
    batch->sum_ns += (uint64_t)ns;
    if ((uint64_t)ns > batch->max_ns) batch->max_ns = (uint64_t)ns;
}

static inline void tc_histogram_end(tc_histogram_batch *batch) {
    tc_histogram *h = batch->h;
    tc_histogram_bump(&h->counts[batch->index], batch->alike);
    tc_histogram_bump(&h->sum_ns, batch->sum_ns);
    tc_histogram_bump(&h->negative, batch->negative);
    if (batch->max_ns > h->max_ns) __atomic_store_n(&h->max_ns, batch->max_ns, __ATOMIC_RELAXED);
}

#endif
