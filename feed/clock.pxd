"""The clocks, for cimport: every time stamp in the hot path is one of these calls."""

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec


cdef inline uint64_t wall_ns() noexcept nogil:
    """Nanoseconds since 1970 UTC (CLOCK_REALTIME through the vDSO; no system call)."""
    cdef timespec t
    clock_gettime(CLOCK_REALTIME, &t)
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec


cdef inline uint64_t mono_ns() noexcept nogil:
    """Nanoseconds that never step back (CLOCK_MONOTONIC): for time-outs and intervals only."""
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec


cdef extern from *:
    """
    static inline unsigned long long tc_cycles(void) {
    #if defined(__x86_64__)
        return __builtin_ia32_rdtsc();
    #elif defined(__aarch64__)
        unsigned long long now;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
        return now;
    #else
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000000000ull + now.tv_nsec;
    #endif
    }
    """
    # The processor's counter, which runs evenly: a few ns, for differences that are summed up. How many ns one count is, is
    # seen from how far it and mono_ns() got between two distant moments.
    uint64_t cycles "tc_cycles"() noexcept nogil


cdef void wall_sleep_until(uint64_t deadline_ns) noexcept nogil
