# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The clocks: wall time in integer nanoseconds, pacing, and the identity of this boot.

Times are never floats: a double holds today's nanoseconds only to within 0.24 µs.
"""

from posix.time cimport CLOCK_REALTIME, timespec

cdef extern from "<time.h>" nogil:
    int TIMER_ABSTIME
    int clock_nanosleep(int clock, int flags, const timespec* request, timespec* remain)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_TIMERSLACK
    int prctl(int option, unsigned long value)


cdef void wall_sleep_until(uint64_t deadline_ns) noexcept nogil:
    """Sleep until `deadline_ns` of the wall clock, or until a signal; returns at once if it has passed."""
    cdef timespec at
    at.tv_sec = deadline_ns // 1000000000
    at.tv_nsec = deadline_ns % 1000000000
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL)


def now_ns() -> int:
    """Wall time in ns since 1970 UTC."""
    return wall_ns()


def monotonic_ns() -> int:
    """A clock in ns that never steps back; only differences mean anything."""
    return mono_ns()


def sleep_until_ns(deadline_ns: int) -> None:
    """Sleep until wall time `deadline_ns`, or until a signal arrives; the GIL is released."""
    cdef uint64_t deadline = deadline_ns
    with nogil:
        wall_sleep_until(deadline)


def set_timer_slack_ns(slack_ns: int) -> None:
    """Let the kernel be at most `slack_ns` late when it wakes this thread (its default is 50 µs)."""
    prctl(PR_SET_TIMERSLACK, <unsigned long>slack_ns)


def boot_id() -> str:
    """The kernel's identity of this boot: equal on two processes means same host, same boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        return f.read().strip()
