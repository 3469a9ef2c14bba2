# cython: language_level=3
"""How long a thread runs before others have their turn: sched_setattr(2), which glibc before 2.41 has no function for."""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from "<sys/syscall.h>" nogil:
    long SYS_sched_setattr
    long SYS_sched_getattr

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)

# struct sched_attr of linux/sched/types.h, SCHED_ATTR_SIZE_VER0.
ctypedef struct sched_attr_t:
    uint32_t size, policy
    uint64_t flags
    int32_t nice
    uint32_t priority
    uint64_t runtime, deadline, period


def short_slice(slice_ns: int) -> bool:
    """Ask for slices of `slice_ns` for this thread and those that it starts; true if the kernel grants them.

    A thread that sleeps most of the time and asks for short slices (0.1 to 100 ms) need not wait, when it wakes, until one
    that asks for longer ones has used its own up: some 3 ms otherwise. Linux 6.12 and later; others take no notice.
    """
    cdef sched_attr_t attr
    memset(&attr, 0, sizeof(attr))
    if syscall(SYS_sched_getattr, 0, &attr, <uint32_t>sizeof(attr), 0) != 0 or attr.policy != 0:
        return False
    attr.runtime = slice_ns
    if syscall(SYS_sched_setattr, 0, &attr, 0) != 0:
        return False
    return syscall(SYS_sched_getattr, 0, &attr, <uint32_t>sizeof(attr), 0) == 0 and attr.runtime == <uint64_t>slice_ns
