# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The tick log seen from outside: its header, its topics and its readers, without being one of them.

A `LogReader` takes a slot, maps the whole log and needs the right to write `readers`; looking needs none of that, and works
on a log that is closed or whose writer is dead.
"""

import mmap
import os
from pathlib import Path
from typing import NamedTuple

from libc.stdint cimport uint8_t, uint32_t, uint64_t

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
    tc_topic_entry,
)

from feed.errors import CallerError, LogMissing
from feed.wire.records import BY_ID


class ReaderFigures(NamedTuple):
    """One living reader; `gating` is no, yes or evicted."""

    name: str
    pid: int
    lag_bytes: int
    parked: bool
    gating: str


class LogFigures(NamedTuple):
    """The log at one moment: `state` open, closed or replaced; `tail` in bytes since the epoch began; times in wall ns."""

    state: str
    writer_pid: int
    writer_alive: bool
    epoch: int
    next_seq: int
    tail: int
    tail_ns: int
    alive_ns: int
    log_bytes: int
    topics: int
    readers: list


def log_figures(directory: Path) -> LogFigures | None:
    """What the log in `directory` says of itself now; None if there is none (yet), or one of another version."""
    try:
        return LogObserver(directory).figures()
    except LogMissing:
        return None


cdef class LogObserver:
    """The log in `directory`, open or ended.

    :raises LogMissing: there is none, it is only being made, or it is of another version.
    """

    cdef const tc_log_header* header       # BORROWED from _maps, valid as long as this object lives
    cdef const uint64_t* topic_seqs
    cdef const tc_topic_entry* entries
    cdef const tc_readers* readers
    cdef object _maps

    def __init__(self, directory: Path) -> None:
        try:
            log = _mapped(directory / "log", sizeof(tc_log_header))
            topics = _mapped(directory / "topics", 8 + sizeof(tc_topic_entry))
            readers = _mapped(directory / "readers", sizeof(tc_readers))
        except (FileNotFoundError, ValueError):
            raise LogMissing("no feed has its log here", where=str(directory)) from None
        cdef const uint8_t[::1] log_bytes = log
        cdef const uint8_t[::1] topics_bytes = topics
        cdef const uint8_t[::1] readers_bytes = readers
        self._maps = (log, topics, readers)
        self.header = <const tc_log_header*>&log_bytes[0]
        self.readers = <const tc_readers*>&readers_bytes[0]
        if tc_read_published(&self.header.magic) != TC_LOG_MAGIC or self.header.version != TC_LOG_VERSION:
            raise LogMissing("the log is only being made, or of another version", where=str(directory))
        self.topic_seqs = <const uint64_t*>&topics_bytes[0]
        self.entries = <const tc_topic_entry*>(&topics_bytes[0] + 8 * <size_t>self.header.max_topics)

    def figures(self) -> LogFigures:
        tail = tc_read_published(&self.header.tail)
        return LogFigures(
            state=self.state,
            writer_pid=self.header.writer_pid,
            writer_alive=start_time(self.header.writer_pid) != 0,
            epoch=self.epoch,
            next_seq=self.next_seq,
            tail=tail,
            tail_ns=tc_read_published(&self.header.tail_ns),
            alive_ns=self.alive_ns,
            log_bytes=self.header.segment_bytes * self.header.segments,
            topics=self.topic_count,
            readers=self._readers(tail),
        )

    @property
    def state(self) -> str:
        """open, closed (its feed ended) or replaced (its feed began a new one)."""
        return {TC_LOG_OPEN: "open", TC_LOG_CLOSED: "closed"}.get(tc_read_published32(&self.header.state), "replaced")

    @property
    def epoch(self) -> int:
        """When this numbering began, ns since 1970."""
        return self.header.epoch

    @property
    def next_seq(self) -> int:
        """seq of the next record to be written."""
        return tc_read_published(&self.header.next_seq)

    @property
    def alive_ns(self) -> int:
        """Wall time of the sequencer's last sign of life, 0 before the first."""
        return tc_read_published(&self.header.alive_ns)

    @property
    def topic_count(self) -> int:
        return tc_read_published32(&self.header.topic_count)

    def topic(self, topic_id: int) -> tuple[str, str]:
        """(schema, symbol) of a topic id below `topic_count`."""
        return topic_of(self.entries, self.topic_count, topic_id)

    def topic_seq(self, topic_id: int) -> int:
        """The last topic_seq given in a topic of an id below `topic_count`, 0 before the first."""
        if not 0 <= topic_id < self.topic_count:
            raise CallerError("no such topic id", expected=f"below {self.topic_count}", found=topic_id)
        return tc_read_published(&self.topic_seqs[<uint32_t>topic_id])

    def _readers(self, tail: int) -> list[ReaderFigures]:
        cdef const tc_reader_slot* slot
        cdef uint32_t i
        cdef uint64_t position
        alive = Alive()
        found = []
        for i in range(min(tc_noted32(&self.readers.used), <uint32_t>TC_READER_SLOTS)):
            slot = &self.readers.slots[i]
            pid = tc_noted32(&slot.pid)
            if not alive.holds(pid, slot.start_time):
                continue
            position = tc_read_published(&slot.position)
            found.append(
                ReaderFigures(
                    name=(<bytes>slot.name[:32]).split(b"\0")[0].decode("utf-8", "replace"),
                    pid=pid,
                    lag_bytes=max(0, tail - position),
                    parked=tc_noted32(&slot.parked) != 0,
                    gating=("no", "yes", "evicted")[min(tc_noted32(&slot.gating), 2)],
                )
            )
        return found


cdef topic_of(const tc_topic_entry* entries, uint32_t count, object topic_id):
    if not 0 <= topic_id < count:
        raise CallerError("no such topic id", expected=f"below {count}", found=topic_id)
    cdef const tc_topic_entry* entry = &entries[<uint32_t>topic_id]
    return BY_ID[entry.schema].word, entry.symbol[: entry.symbol_length].decode("ascii")


class Alive:
    """Does the process that took a slot still live? Each process is looked up once."""

    def __init__(self) -> None:
        self._start_times: dict[int, int] = {}

    def holds(self, pid: int, since: int) -> bool:
        if pid and pid not in self._start_times:
            self._start_times[pid] = start_time(pid)
        return pid != 0 and self._start_times[pid] == since


def start_time(pid: int) -> int:
    """When the process started, clock ticks since boot (proc(5), stat field 22); 0 if there is none. Tells a pid that is
    used again from the one before."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _mapped(path: Path, least_bytes: int) -> mmap.mmap:
    """The file, for reading; ValueError if it is shorter than that: it is only being made."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size < least_bytes:
            raise ValueError(f"{path} is too short")
        return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
