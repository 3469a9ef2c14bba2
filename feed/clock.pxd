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


cdef void wall_sleep_until(uint64_t deadline_ns) noexcept nogil
