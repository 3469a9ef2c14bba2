"""Slices of threads: granted where the kernel knows them, and nothing else of the thread is changed."""

from __future__ import annotations

import os
import platform
import threading

from feed.scheduling import short_slice


def in_a_thread(slice_ns: int) -> tuple[bool, int, int]:
    """What was granted, and the niceness and policy of the thread after that."""
    found: list[tuple[bool, int, int]] = []

    def ask() -> None:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, 3)
        granted = short_slice(slice_ns)
        found.append((granted, os.getpriority(os.PRIO_PROCESS, thread), os.sched_getscheduler(thread)))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0]


def test_a_slice_is_granted_where_the_kernel_knows_it() -> None:
    major, minor = (int(each) for each in platform.release().split(".")[:2])
    granted, nice, policy = in_a_thread(100_000)
    assert (nice, policy) == (3, os.SCHED_OTHER)
    if (major, minor) >= (6, 12):
        assert granted


def test_what_the_kernel_does_not_grant_is_said() -> None:
    """It keeps slices between 0.1 and 100 ms."""
    granted, nice, policy = in_a_thread(1)
    assert (granted, nice, policy) == (False, 3, os.SCHED_OTHER)
