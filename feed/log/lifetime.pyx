# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The life of a log's files: who may write, a new log, one that is taken over, the end."""

import errno
import fcntl
import mmap
import os
import shutil
from pathlib import Path

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from feed.clock cimport wall_ns
from feed.log.fences cimport tc_futex_wake, tc_publish, tc_publish32
from feed.log.layout cimport (
    TC_LOG_CLOSED,
    TC_LOG_MAGIC,
    TC_LOG_OPEN,
    TC_LOG_VERSION,
    tc_log_header,
    tc_readers,
    tc_topic_entry,
)

from feed.clock import boot_id
from feed.errors import LogBusy, LogError
from feed.log import place

SEGMENTS = 16
HEADER_BYTES = 4096


def require_free(directory: Path) -> None:
    """Find out whether a writer is alive, without becoming one.

    :raises LogBusy: there is one.
    """
    if (directory / "lock").exists():
        os.close(hold(directory / "lock"))


def discard(directory: Path) -> None:
    """Clear away a feed's whole directory, telling readers that still have its log open that it was the end.

    :raises LogBusy: its writer is alive.
    """
    try:
        lock = hold(directory / "lock")
    except FileNotFoundError:
        return
    try:
        end(directory)
    finally:
        os.close(lock)


def hold(path: Path) -> int:
    """Take a lock (a feed's, or its log's writer's) for the life of the descriptor that this gives: the kernel frees it
    however its holder dies.

    :raises LogBusy: another process holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink == 0:
            # The holder before us cleared the directory away while we waited at its lock.
            os.close(fd)
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            return hold(path)
    except OSError as e:
        holder = int(os.pread(fd, 20, 0) or b"0")
        os.close(fd)
        if e.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise LogBusy(
            "a feed of this name is running already" if path.name == "supervisor" else "this log has a writer already",
            holder=holder,
            found=f"process {holder}",
            where=str(path.parent),
            remedy=f"Stop it (kill {holder}) or give this feed another feed.name",
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def mark(directory: Path, state: int) -> None:
    """Tell readers that nothing more will come in this log, and wake them."""
    cdef uint8_t[::1] view
    cdef tc_log_header* header
    try:
        with (directory / "log").open("r+b") as f:
            page = mmap.mmap(f.fileno(), HEADER_BYTES)
    except (FileNotFoundError, ValueError):
        return
    view = page
    header = <tc_log_header*>&view[0]
    tc_publish32(&header.state, state)
    tc_publish32(&header.doorbell, header.doorbell + 1)
    tc_futex_wake(&header.doorbell)


def end(directory: Path) -> None:
    mark(directory, TC_LOG_CLOSED)
    shutil.rmtree(directory)


def can_resume(directory: Path, log_bytes: int, max_topics: int) -> bool:
    """Is there a whole log of this geometry and this boot, and did its feed not end?"""
    cdef uint8_t[::1] view
    cdef tc_log_header* header
    try:
        with (directory / "log").open("r+b") as f:
            page = mmap.mmap(f.fileno(), HEADER_BYTES)
        complete = all((directory / name).exists() for name in place.FILES)
    except (FileNotFoundError, ValueError):
        return False
    view = page
    header = <tc_log_header*>&view[0]
    if header.magic != TC_LOG_MAGIC:
        return False
    return (
        complete
        and header.version == TC_LOG_VERSION
        and header.segments == SEGMENTS
        and header.segment_bytes * SEGMENTS == <uint64_t>log_bytes
        and header.max_topics == <uint32_t>max_topics
        and header.state == TC_LOG_OPEN
        and bytes(header.boot_id[:36]) == boot_id().encode()
    )


def create(directory: Path, log_bytes: int, max_topics: int, group: int) -> None:
    """A new log with a new epoch. The magic is stored last: until then no reader takes it for one."""
    sizes = {
        "log": HEADER_BYTES,
        "topics": max_topics * (8 + sizeof(tc_topic_entry)),
        "segments": log_bytes,
        "readers": sizeof(tc_readers),
    }
    place.unlink(directory)
    place.require_space(directory, sum(sizes.values()))
    try:
        for name in ("readers", "topics", "segments", "log"):
            fd = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o660 if name == "readers" else 0o640)
            try:
                os.fchmod(fd, 0o660 if name == "readers" else 0o640)
                if group >= 0:
                    os.fchown(fd, -1, group)
                os.posix_fallocate(fd, 0, sizes[name])
            finally:
                os.close(fd)
        if group >= 0:
            os.chown(directory, -1, group)
    except OSError as e:
        place.unlink(directory)
        if e.errno == errno.ENOSPC:
            place.require_space(directory, sum(sizes.values()) + 1)
        raise LogError("cannot create the log", found=e.strerror, where=str(directory)) from e
    with (directory / "log").open("r+b") as f:
        page = mmap.mmap(f.fileno(), HEADER_BYTES)
    cdef uint8_t[::1] view = page
    cdef tc_log_header* header = <tc_log_header*>&view[0]
    header.version = TC_LOG_VERSION
    header.segments = SEGMENTS
    header.segment_bytes = log_bytes // SEGMENTS
    header.max_topics = max_topics
    header.epoch = wall_ns()
    header.next_seq = 1
    header.state = TC_LOG_OPEN
    boot = boot_id().encode()
    memcpy(header.boot_id, <const char*>boot, len(boot))
    tc_publish(&header.magic, TC_LOG_MAGIC)
