/* Every atomic access and fence of the tick log, each named for what it does and for its partner.
 *
 * Nothing else in feed/log may order memory. The proofs are in tests/log/model: there each of these is weakened in turn and
 * the checker shows what then goes wrong. The rules in words: README.md beside this file.
 *
 * TC_SEED_NO_VALIDATION and TC_SEED_NO_STORELOAD plant a fault each, for the race harness to find; never define them.
 */
#ifndef TICKCAST_LOG_FENCES_H
#define TICKCAST_LOG_FENCES_H

#include <stdint.h>

#include "feed/log/layout.h"

/* --- commit ------------------------------------------------------------------------------------------------------- */

/* Writer, before tc_commit of the frame in front: the next frame's length is 0 until it is committed. Ordered by that
 * tc_commit. */
static inline void tc_clear_next(tc_log_frame *next) { __atomic_store_n(&next->length, 0u, __ATOMIC_RELAXED); }

/* Writer: the frame's body and the cleared word behind it become visible with its length. Pairs with tc_committed. */
static inline void tc_commit(tc_log_frame *frame, uint32_t length) { __atomic_store_n(&frame->length, length, __ATOMIC_RELEASE); }

/* Reader: 0 while there is no frame. Pairs with tc_commit. */
static inline uint32_t tc_committed(const tc_log_frame *frame) { return __atomic_load_n(&frame->length, __ATOMIC_ACQUIRE); }

/* --- overrun ------------------------------------------------------------------------------------------------------ */

/* Writer, before it touches a segment again: everything below `low` is void. The fence keeps the overwriting stores behind
 * the store of `low`; pairs with the fence in tc_low_after_copy. The store is a release for those who go on at `low`: they
 * must find the frame that stands there; pairs with tc_low. */
static inline void tc_void_below(uint64_t *low, uint64_t position) {
    __atomic_store_n(low, position, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Reader, after it has copied: if any of the copy came from an overwriting store, the `low` that went before that store is
 * seen here. Pairs with tc_void_below. */
static inline uint64_t tc_low_after_copy(const uint64_t *low) {
#ifdef TC_SEED_NO_VALIDATION
    return 0;
#else
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(low, __ATOMIC_RELAXED);
#endif
}

/* Reader, choosing where to go on: the first frame at `low` was committed before `low` said so. Pairs with tc_void_below. */
static inline uint64_t tc_low(const uint64_t *low) { return __atomic_load_n(low, __ATOMIC_ACQUIRE); }

/* --- the log's figures, for joiners, observers and a writer that resumes ------------------------------------------- */

/* Writer: tail, next_seq, topic_count, topic_seqs. Pairs with tc_read_published. */
static inline void tc_publish(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
static inline void tc_publish32(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

/* Pairs with tc_publish. */
static inline uint64_t tc_read_published(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline uint32_t tc_read_published32(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

/* Reader's position, for gates. Release: the writer may reuse what lies below only after it has been read. Pairs with
 * tc_read_published in the writer's gate. */
static inline void tc_report(uint64_t *position, uint64_t value) { __atomic_store_n(position, value, __ATOMIC_RELEASE); }

/* Values that order nothing: parked, pid, gating, state of a slot. */
static inline void tc_note32(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
static inline uint32_t tc_noted32(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

/* --- parking ------------------------------------------------------------------------------------------------------ */

/* Sleeper, step 1: the ring count to sleep on, read before saying so. Acquire keeps the next store behind it. Pairs with
 * tc_ring. */
static inline uint32_t tc_rings(const uint32_t *doorbell) { return __atomic_load_n(doorbell, __ATOMIC_ACQUIRE); }

/* Sleeper, step 2: say it, then look again. The fence is one half of Dekker's handshake, tc_somebody_waits the other: at
 * least one side sees what the other stored. */
static inline void tc_say_waiting(uint32_t *waiters) {
    __atomic_store_n(waiters, 1u, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Waker, after its commits. Pairs with tc_say_waiting. */
static inline int tc_somebody_waits(const uint32_t *waiters) {
#ifndef TC_SEED_NO_STORELOAD
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
    return __atomic_load_n(waiters, __ATOMIC_RELAXED) != 0;
}

/* Waker: take all claims up to now, then make every sleeper's ring count stale. A claim made after the exchange leads to
 * the next ring. Pairs with tc_rings; the caller wakes the futex next. */
static inline void tc_ring(uint32_t *waiters, uint32_t *doorbell) {
    __atomic_exchange_n(waiters, 0u, __ATOMIC_ACQ_REL);
    __atomic_fetch_add(doorbell, 1u, __ATOMIC_RELEASE);
}

#endif
