# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""A reader of the tick log: maps it read-only, copies a frame and then asks whether the copy is whole.

Nothing here can slow the writer or another reader. One that falls a whole log behind is overtaken; it is told which
sequence numbers it lost and goes on at the oldest whole frame.
"""

import fcntl
import mmap
import os
from pathlib import Path
from typing import NamedTuple

from libc.string cimport memcpy, strncmp

from feed.clock cimport mono_ns, wall_ns
from feed.log.fences cimport (
    tc_committed,
    tc_futex_wait,
    tc_low,
    tc_low_after_copy,
    tc_note32,
    tc_noted32,
    tc_pause,
    tc_read_published,
    tc_read_published32,
    tc_report,
    tc_rings,
    tc_say_waiting,
)
from feed.log.layout cimport (
    TC_FRAME_HEADER,
    TC_GATE_EVICTED,
    TC_GATE_NONE,
    TC_KIND_PADDING,
    TC_KIND_RECORD,
    TC_LOG_CLOSED,
    TC_LOG_MAGIC,
    TC_LOG_OPEN,
    TC_LOG_VERSION,
    TC_READER_SLOTS,
)
from feed.log.observer cimport topic_of

from feed.errors import CallerError, LogError, LogMissing
from feed.log.observer import Alive, start_time

cdef enum:
    SPINS_PER_LOOK = 64       # turns of a spinning wait between two looks at the clock


class LogTick(NamedTuple):
    """One frame of the log, for people and tests; times in ns since 1970."""

    kind: int
    topic_id: int
    seq: int
    topic_seq: int
    ts_in: int
    committed: int
    flags: int
    record: bytes


cdef class LogReader:
    """A reader; make it with :meth:`open`. One thread uses it at a time."""

    @staticmethod
    def open(directory: Path, *, name: str = "", start: str | int = "live") -> LogReader:
        """Attach to the log in `directory`.

        :param name: at most 31 bytes, for people, for `log.gating` and for start="resume".
        :param start: "live" (what comes next), "begin" (the oldest frame there is), "resume" (where the last reader of
            this name reported to be, else live), or a position.
        :raises LogMissing: there is no log, or its feed ended.
        """
        cdef LogReader self = LogReader.__new__(LogReader)
        self._directory = Path(directory)
        self._name = name
        self._map()
        resumed = self._take_slot(name)
        try:
            if start == "live" or (start == "resume" and resumed is None):
                self._join_live()
            elif start == "begin":
                self.overtaken(0)
            elif start == "resume":
                self._resume_at(resumed)
            else:
                self._join_at(start)
        except BaseException:
            self.close()
            raise
        self.report()
        return self

    def close(self) -> None:
        if self.slot != NULL:
            tc_note32(&self.slot.pid, 0)
            self.slot = NULL
            self.header = NULL
            self._maps = None

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- reading ----------------------------------------------------------------------------------------------------

    cdef int next(self) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef uint32_t length
        while True:
            frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
            length = tc_committed(frame)
            if length == 0:
                # The word may lie in a segment that is in use again.
                if not self.intact(self.at):
                    if self.overtaken(self.seq) == READ_LOST:
                        return READ_LOST
                    continue
                if not self.closed():
                    return READ_NONE
                # The last frames and the end may both have come since the length was read.
                if tc_committed(frame) == 0:
                    return READ_CLOSED
                continue
            if length <= FRAME_MAX and length <= self._room():
                if length == 120:
                    memcpy(self.scratch, frame, 120)
                else:
                    memcpy(self.scratch, frame, length)
            else:
                memcpy(self.scratch, frame, TC_FRAME_HEADER)
            if not self.intact(self.at):
                if self.overtaken(self.seq) == READ_LOST:
                    return READ_LOST
                continue
            self.at += length
            if self.frame().kind == TC_KIND_PADDING:
                continue
            self.seq = self.frame().seq + (self.frame().kind == TC_KIND_RECORD)
            return READ_FRAME

    cdef const tc_log_frame* frame(self) noexcept nogil:
        return <const tc_log_frame*>self.scratch

    cdef const tc_log_frame* peek(self) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef uint32_t length
        while True:
            frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
            # Where an overwritten length led us there may be anything, even less than a header before the mapping's end.
            if self._room() < TC_FRAME_HEADER:
                return NULL
            length = tc_committed(frame)
            if length < TC_FRAME_HEADER or length > self._room() or length & 7:
                return NULL
            if frame.kind != TC_KIND_PADDING:
                self.peeked = length
                return frame if length <= FRAME_MAX else NULL
            if not self.intact(self.at):
                return NULL
            self.at += length

    cdef void advance(self, const tc_log_frame* frame) noexcept nogil:
        self.at += self.peeked
        self.seq = frame.seq + (frame.kind == TC_KIND_RECORD)

    cdef bint intact(self, uint64_t position) noexcept nogil:
        return position >= tc_low_after_copy(&self.header.low)

    cdef int overtaken(self, uint64_t seq) noexcept nogil:
        cdef const tc_log_frame* frame
        while True:
            self.at = tc_low(&self.header.low)
            # Of a log that is younger than one lap, `low` is 0 and there may be no frame yet; as in _join_live, next_seq
            # is that of the first frame then.
            self.seq = tc_read_published(&self.header.next_seq)
            frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
            if tc_committed(frame) != 0:
                self.seq = frame.seq
            if self.intact(self.at):
                break
        self.lost_first = seq
        self.lost_last = self.seq - 1
        return READ_LOST if self.seq > seq else READ_NONE

    cdef bint seek_seq(self, uint64_t seq) noexcept nogil:
        cdef uint64_t low, first, last, middle
        cdef const tc_log_frame* frame
        while True:
            low = tc_low(&self.header.low)
            # Segments begin with a whole frame. Of those that begin at or below `seq`, the last one holds it.
            first = 0
            last = (tc_read_published(&self.header.tail) - low) // self.segment_bytes
            while first < last:
                middle = (first + last + 1) // 2
                frame = <const tc_log_frame*>(self.data + ((low + middle * self.segment_bytes) & (self.capacity - 1)))
                if tc_committed(frame) != 0 and frame.seq <= seq:
                    first = middle
                else:
                    last = middle - 1
            self.at = low + first * self.segment_bytes
            frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
            self.seq = frame.seq if tc_committed(frame) != 0 else tc_read_published(&self.header.next_seq)
            if not self.intact(self.at):
                continue
            if self.seq > seq:
                return False
            while True:
                frame = self.peek()
                if frame == NULL or frame.seq >= seq:
                    break
                self.advance(frame)
            # Whatever was read on the way counts only if it still stands.
            if self.intact(low + first * self.segment_bytes):
                return True

    cdef uint64_t _room(self) noexcept nogil:
        """Bytes from here to the end of the segment: no frame is longer, whatever a torn length says."""
        return self.segment_bytes - (self.at & (self.segment_bytes - 1))

    # --- waiting ----------------------------------------------------------------------------------------------------

    cdef bint ready(self) noexcept nogil:
        cdef const tc_log_frame* frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
        return tc_committed(frame) != 0 or not self.intact(self.at) or self.closed()

    cdef bint spin(self, uint64_t timeout_ns) noexcept nogil:
        cdef const tc_log_frame* frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
        cdef uint64_t deadline = 0
        cdef int i
        while True:
            for i in range(SPINS_PER_LOOK):
                if tc_committed(frame) != 0:
                    return True
                tc_pause()
            if deadline == 0:
                deadline = mono_ns() + timeout_ns
            elif mono_ns() > deadline:
                return self.ready()

    cdef bint park(self, uint64_t timeout_ns) noexcept nogil:
        """Say so, look again, sleep: the other half of this is LogWriter.flush()."""
        cdef uint32_t rung = tc_rings(&self.header.doorbell)
        tc_note32(&self.slot.parked, 1)
        tc_say_waiting(&self.readers.waiters)
        if not self.ready():
            tc_futex_wait(&self.header.doorbell, rung, timeout_ns)
        tc_note32(&self.slot.parked, 0)
        return self.ready()

    cdef bint closed(self) noexcept nogil:
        return tc_read_published32(&self.header.state) != TC_LOG_OPEN

    cdef void report(self) noexcept nogil:
        tc_report(&self.slot.position, self.at)

    # --- the Python face --------------------------------------------------------------------------------------------

    def read(self) -> LogTick | None:
        """The next frame, or None when nothing is waiting.

        :raises LogError: overtaken; `lost_first` to `lost_last` say what is gone, and the next call goes on behind it.
        """
        cdef int what = self.next()
        cdef const tc_log_frame* frame = self.frame()
        if what == READ_LOST:
            raise LogError("overtaken by the writer", found=f"lost seq {self.lost_first} to {self.lost_last}", where=str(self._directory))
        if what != READ_FRAME:
            return None
        self.report()
        return LogTick(
            frame.kind,
            frame.topic_id,
            frame.seq,
            frame.topic_seq,
            frame.ts_in,
            frame.ts_in + frame.committed_delta,
            frame.flags,
            (<const char*>&frame.record[0])[: frame.length - TC_FRAME_HEADER],
        )

    def wait(self, timeout_ns: int, spin: bool = False) -> bool:
        """Until something is waiting, at most `timeout_ns`; true if so. The GIL is released."""
        cdef uint64_t timeout = timeout_ns
        cdef bint spinning = spin
        cdef bint something
        with nogil:
            something = self.spin(timeout) if spinning else self.park(timeout)
        return something

    def seek(self, seq: int) -> bool:
        """Stand at record `seq`, or at the end where it is still to come; false: it was overwritten, and this stands at the
        oldest frame.
        """
        cdef uint64_t wanted = max(1, seq)
        cdef bint held
        with nogil:
            held = self.seek_seq(wanted)
        self.report()
        return held

    def topic(self, topic_id: int) -> tuple[str, str]:
        """(schema, symbol) of a topic id."""
        return topic_of(self.topic_entries, tc_read_published32(&self.header.topic_count), topic_id)

    def topic_seq(self, topic_id: int) -> int:
        """The last topic_seq that was given in this topic, 0 before the first."""
        cdef uint32_t i = topic_id
        if i >= tc_read_published32(&self.header.topic_count):
            raise CallerError("no such topic id", expected=f"below {self.header.topic_count}", found=topic_id)
        return tc_read_published(&self.topic_seqs[i])

    @property
    def topic_count(self) -> int:
        return tc_read_published32(&self.header.topic_count)

    @property
    def epoch(self) -> int:
        """When this numbering began, ns since 1970."""
        return self.header.epoch

    @property
    def position(self) -> int:
        """Where this reader stands, in bytes since the epoch began."""
        return self.at

    @property
    def next_seq(self) -> int:
        """seq of the next record to be written to the log."""
        return tc_read_published(&self.header.next_seq)

    @property
    def tail(self) -> int:
        return tc_read_published(&self.header.tail)

    @property
    def tail_ns(self) -> int:
        """When the last batch was committed."""
        return tc_read_published(&self.header.tail_ns)

    @property
    def alive_ns(self) -> int:
        """Wall time of the sequencer's last sign of life, 0 before the first."""
        return tc_read_published(&self.header.alive_ns)

    @property
    def low(self) -> int:
        """The oldest position that can still be read."""
        return tc_low(&self.header.low)

    @property
    def log_bytes(self) -> int:
        return self.capacity

    @property
    def lag_bytes(self) -> int:
        """How far behind the tail; 0 when a batch is being read before it is published."""
        return max(0, self.tail - self.position)

    @property
    def evicted(self) -> bool:
        """Was this a gating reader that the writer no longer waits for?"""
        return tc_noted32(&self.slot.gating) == TC_GATE_EVICTED

    @property
    def state(self) -> str:
        return {TC_LOG_OPEN: "open", TC_LOG_CLOSED: "closed"}.get(tc_read_published32(&self.header.state), "replaced")

    @property
    def writer_pid(self) -> int:
        return self.header.writer_pid

    # --- opening ----------------------------------------------------------------------------------------------------

    def _map(self) -> None:
        views = []
        try:
            for name, mode, prot in (
                ("log", os.O_RDONLY, mmap.PROT_READ),
                ("topics", os.O_RDONLY, mmap.PROT_READ),
                ("segments", os.O_RDONLY, mmap.PROT_READ),
                ("readers", os.O_RDWR, mmap.PROT_READ | mmap.PROT_WRITE),
            ):
                fd = os.open(self._directory / name, mode | os.O_CLOEXEC)
                try:
                    populate = mmap.MAP_POPULATE if name == "segments" else 0
                    views.append(mmap.mmap(fd, 0, flags=mmap.MAP_SHARED | populate, prot=prot))
                finally:
                    os.close(fd)
        except PermissionError as e:
            raise LogError(
                "may not open the feed's log", found=e.strerror, where=e.filename,
                remedy="Run the bot as the feed's user, or set log.group to a group that the bot's user is in",
            ) from e
        except (FileNotFoundError, ValueError) as e:
            raise LogMissing("no feed has its log here", where=str(self._directory), remedy="Start it with: feed run") from e
        self._maps = views
        cdef const uint8_t[::1] log = views[0]
        cdef const uint8_t[::1] topics = views[1]
        cdef const uint8_t[::1] segments = views[2]
        cdef uint8_t[::1] readers = views[3]
        self.header = <const tc_log_header*>&log[0]
        if tc_read_published(&self.header.magic) != TC_LOG_MAGIC or self.closed():
            raise LogMissing("the feed has ended or is only starting", where=str(self._directory))
        if self.header.version != TC_LOG_VERSION:
            raise LogError(
                "the log has another version", expected=TC_LOG_VERSION, found=self.header.version, where=str(self._directory),
                remedy="Use the same tickcast for feed and bots",
            )
        self.topic_seqs = <const uint64_t*>&topics[0]
        self.topic_entries = <const tc_topic_entry*>(&topics[0] + 8 * <size_t>self.header.max_topics)
        self.data = &segments[0]
        self.readers = <tc_readers*>&readers[0]
        self.segment_bytes = self.header.segment_bytes
        self.capacity = self.segment_bytes * self.header.segments

    def _take_slot(self, name: str) -> int | None:
        """Take a slot; gives the position that the last reader of this name reported.

        A dead reader's slot is what its successor resumes from, so those that nobody can name go first, then those never
        used, then the one whose process is oldest.
        """
        cdef tc_reader_slot* slot
        cdef tc_reader_slot* mine = NULL
        cdef tc_reader_slot* nameless = NULL
        cdef tc_reader_slot* oldest = NULL
        cdef tc_reader_slot* chosen
        cdef uint32_t i
        cdef uint32_t used
        wanted = name.encode()[:31].ljust(32, b"\0")
        resumed = None
        alive = Alive()
        with (self._directory / "readers").open("rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            used = min(self.readers.used, <uint32_t>TC_READER_SLOTS)
            for i in range(used):
                slot = &self.readers.slots[i]
                if alive.holds(slot.pid, slot.start_time):
                    continue
                if name and strncmp(slot.name, <const char*>wanted, 32) == 0:
                    mine = slot
                    resumed = slot.position
                elif slot.name[0] == 0:
                    nameless = slot
                elif oldest == NULL or slot.start_time < oldest.start_time:
                    oldest = slot
            if mine == NULL and nameless == NULL and used < TC_READER_SLOTS:
                nameless = &self.readers.slots[used]
                tc_note32(&self.readers.used, used + 1)
            chosen = mine if mine != NULL else nameless if nameless != NULL else oldest
            if chosen == NULL:
                raise LogError("too many readers", expected=f"at most {TC_READER_SLOTS} on one host", where=str(self._directory))
            # A gate that has not said where it stands must not hold the writer up.
            tc_report(&chosen.position, tc_read_published(&self.header.tail) if resumed is None else resumed)
            memcpy(chosen.name, <const char*>wanted, 32)
            tc_note32(&chosen.parked, 0)
            tc_note32(&chosen.gating, TC_GATE_NONE)
            chosen.start_time = start_time(os.getpid())
            tc_note32(&chosen.pid, os.getpid())
        self.slot = chosen
        return resumed

    def _join_live(self) -> None:
        """Stand at the tail and know the seq there.

        next_seq is stored before the tail and after the frames that it counts: while no frame is committed at the tail
        that was read first, next_seq is that of the tail.
        """
        while True:
            self.at = tc_read_published(&self.header.tail)
            self.seq = tc_read_published(&self.header.next_seq)
            frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
            if tc_committed(frame) != 0:
                self.seq = frame.seq
            if self.intact(self.at):
                return

    def _join_at(self, position: object) -> None:
        if not isinstance(position, int) or position < 0 or position > self.tail:
            raise CallerError("no such position in this log", expected=f"{self.low} to {self.tail}, live, begin or resume", found=position)
        self._join_live()
        if <uint64_t>position < self.at:
            self._stand_at(position)

    def _resume_at(self, position: int) -> None:
        """Where a reader of this name was, which may lie behind frames whose batch the writer has yet to publish."""
        self._join_live()
        if <uint64_t>position < self.at:
            self._stand_at(position)
        while self.at < <uint64_t>position and self.next() == READ_FRAME:
            pass

    cdef void _stand_at(self, uint64_t position) noexcept nogil:
        cdef const tc_log_frame* frame = <const tc_log_frame*>(self.data + (position & (self.capacity - 1)))
        self.at = position
        self.seq = frame.seq
        if not self.intact(position):
            self.overtaken(0)
