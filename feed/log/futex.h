/* Sleeping on a word of shared memory and waking its sleepers: futex(2). A read-only mapping is enough to sleep. */
#ifndef TICKCAST_LOG_FUTEX_H
#define TICKCAST_LOG_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleep while *word == value, at most `timeout_ns`; a wake-up, a time-out, a signal and a changed word all just return. */
static inline void tc_futex_wait(const uint32_t *word, uint32_t value, uint64_t timeout_ns) {
    struct timespec t = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &t, NULL, 0);
}

/* Wake everybody who sleeps on it. */
static inline void tc_futex_wake(const uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

/* One turn of a spinning wait: leaves the core's resources to its sibling and does not flood the memory system. */
static inline void tc_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
