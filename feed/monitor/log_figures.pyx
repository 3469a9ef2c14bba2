# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The tick log as seen from outside: its header and its readers, without becoming a reader.

A `LogReader` would take a slot, map the whole log and need the right to write `readers`; looking needs none of that,
and works on a log that is closed or whose writer is dead.
"""

import mmap
import os
from pathlib import Path
from typing import NamedTuple

from feed.log.fences cimport tc_noted32, tc_read_published, tc_read_published32
from feed.log.layout cimport (
    TC_LOG_CLOSED,
    TC_LOG_MAGIC,
    TC_LOG_OPEN,
    TC_LOG_VERSION,
    TC_READER_SLOTS,
    tc_log_header,
    tc_reader_slot,
    tc_readers,
)
from libc.stdint cimport uint8_t, uint32_t, uint64_t


class ReaderFigures(NamedTuple):
    """One living reader; `gating` is no, yes or evicted."""

    name: str
    pid: int
    lag_bytes: int
    parked: bool
    gating: str


class LogFigures(NamedTuple):
    """The log's header: `state` open, closed or replaced; `tail` in bytes since the epoch began; times in wall ns."""

    state: str
    writer_pid: int
    writer_alive: bool
    epoch: int
    next_seq: int
    tail: int
    tail_ns: int
    log_bytes: int
    topics: int
    readers: list


def log_figures(directory: Path) -> LogFigures | None:
    """What the log in `directory` says of itself now; None if there is none (yet), or one of another version."""
    try:
        log = _mapped(directory / "log", sizeof(tc_log_header))
        readers = _mapped(directory / "readers", sizeof(tc_readers))
    except (FileNotFoundError, ValueError):
        return None
    cdef const uint8_t[::1] log_view = log
    cdef const uint8_t[::1] readers_view = readers
    cdef const tc_log_header* header = <const tc_log_header*>&log_view[0]
    cdef const tc_readers* slots = <const tc_readers*>&readers_view[0]
    if tc_read_published(&header.magic) != TC_LOG_MAGIC or header.version != TC_LOG_VERSION:
        return None
    state = {TC_LOG_OPEN: "open", TC_LOG_CLOSED: "closed"}.get(tc_read_published32(&header.state), "replaced")
    tail = tc_read_published(&header.tail)
    return LogFigures(
        state=state,
        writer_pid=header.writer_pid,
        writer_alive=_start_time(header.writer_pid) != 0,
        epoch=header.epoch,
        next_seq=tc_read_published(&header.next_seq),
        tail=tail,
        tail_ns=tc_read_published(&header.tail_ns),
        log_bytes=header.segment_bytes * header.segments,
        topics=tc_read_published32(&header.topic_count),
        readers=_readers(slots, tail),
    )


cdef list _readers(const tc_readers* readers, uint64_t tail):
    cdef const tc_reader_slot* slot
    cdef uint32_t i
    cdef uint64_t position
    found = []
    for i in range(min(tc_noted32(&readers.used), <uint32_t>TC_READER_SLOTS)):
        slot = &readers.slots[i]
        pid = tc_noted32(&slot.pid)
        if pid == 0 or _start_time(pid) != slot.start_time:
            continue
        position = tc_read_published(&slot.position)
        found.append(
            ReaderFigures(
                name=(<bytes>slot.name[:32]).split(b"\0")[0].decode("utf-8", "replace"),
                pid=pid,
                lag_bytes=tail - position if position < tail else 0,
                parked=tc_noted32(&slot.parked) != 0,
                gating=("no", "yes", "evicted")[min(tc_noted32(&slot.gating), 2)],
            )
        )
    return found


def _mapped(path: Path, least_bytes: int) -> mmap.mmap:
    """The file, for reading; ValueError if it is shorter than that: it is only being made."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size < least_bytes:
            raise ValueError(f"{path} is too short")
        return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)


def _start_time(pid: int) -> int:
    """When the process started, clock ticks since boot (proc(5), stat field 22); 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return 0
