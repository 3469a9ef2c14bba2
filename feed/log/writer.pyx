# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The sequencer: the one writer of the tick log.

It gives each record its place in the stream (seq) and in its topic (topic_seq), stamps it, appends and commits it. A
committed frame never changes until its segment is used again, a full log later. The writer knows its readers only through
their slots: it waits for those named as gates and wakes those that sleep, and nothing else that a reader does can touch it.
"""

import mmap
import os
from pathlib import Path

from libc.stdint cimport INT32_MAX, UINT32_MAX, int64_t, uintptr_t
from libc.string cimport memcpy, memset, strncmp
from posix.signal cimport kill
from posix.time cimport nanosleep, timespec

from feed.clock cimport mono_ns, wall_ns
from feed.log.fences cimport (
    tc_clear_next,
    tc_commit,
    tc_committed,
    tc_futex_wake,
    tc_note32,
    tc_noted32,
    tc_publish,
    tc_publish32,
    tc_read_published,
    tc_ring,
    tc_somebody_waits,
    tc_void_below,
)
from feed.log.layout cimport (
    TC_FRAME_HEADER,
    TC_GATE_EVICTED,
    TC_GATE_ON,
    TC_KIND_PADDING,
    TC_KIND_RECORD,
    TC_KIND_TOPIC,
    TC_LOG_REPLACED,
    tc_log_frame,
    tc_reader_slot,
)
from feed.metrics.histogram cimport Histogram, tc_histogram_record, tc_histogram_record_n

from feed.errors import CallerError, LogSpace
from feed.log import lifetime
from feed.log.lifetime import SEGMENTS
from feed.wire.records import BY_ID, BY_WORD
from feed.wire.topics import check_symbol

cdef enum:
    CLOCK_EVERY = 64      # appends that share a clock read: bounds the age of a stamp to some microseconds
    GATE_PAUSE_NS = 20_000
    GATE_PAUSE_MAX_NS = 1_000_000
    WAKE_HERE = 2         # up to so many sleepers the writer wakes itself; the doorbell thread wakes more

RECORD_MAX = 4096 - 2 * TC_FRAME_HEADER
GATES_MAX = 16


cdef class LogWriter(Sink):
    """The writer; make it with :meth:`open`. Not for sharing between threads: sources of other threads use a Ring."""

    @staticmethod
    def open(
        directory: Path,
        *,
        log_bytes: int = 256 << 20,
        max_topics: int = 262_144,
        gating: tuple[str, ...] = (),
        gate_timeout_ns: int = 100_000_000,
        wake_us: int = 0,
        group: int = -1,
    ) -> LogWriter:
        """Take up the log in `directory` where the last writer left it, or begin a new one with a new epoch.

        A log of another geometry or another boot is replaced, and its readers are told.

        :param log_bytes: size of all segments, a power of two from 1 MiB.
        :param gating: names of readers to wait for before their data is overwritten, at most 16.
        :param gate_timeout_ns: how long to wait for them before they are evicted.
        :param wake_us: let sleepers sleep so much longer, to wake them for more at a time.
        :param group: group id that may read, -1 for the caller's own.
        :raises LogBusy: another process writes it.
        :raises LogSpace: shared memory is too small.
        """
        if log_bytes < 1 << 20 or log_bytes & (log_bytes - 1):
            raise CallerError("a log's size is a power of two from 1 MiB", found=log_bytes, where="log.bytes")
        if len(gating) > GATES_MAX:
            raise CallerError("too many gating readers", expected=f"at most {GATES_MAX}", found=len(gating), where="log.gating")
        cdef LogWriter self = LogWriter.__new__(LogWriter)
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = lifetime.hold(self._directory / "lock")
        try:
            self.resumed = lifetime.can_resume(self._directory, log_bytes, max_topics)
            if not self.resumed:
                lifetime.mark(self._directory, TC_LOG_REPLACED)
                lifetime.create(self._directory, log_bytes, max_topics, group)
            self._map(log_bytes, max_topics)
        except BaseException:
            os.close(self._lock)
            raise
        for i, name in enumerate(gating):
            padded = name.encode()[:31].ljust(32, b"\0")
            memcpy(self.gates[i], <const char*>padded, 32)
        self.gate_count = len(gating)
        self.gate_timeout_ns = gate_timeout_ns
        self.doorbell = Doorbell(<uintptr_t>&self.header.doorbell, wake_us)
        self.doorbell.start()
        self.header.writer_pid = os.getpid()
        if self.resumed:
            self._recover()
        else:
            self.seq = 1
            self._publish_tail()
        self.beat()
        # A writer that died between taking the claims and waking left sleepers behind.
        tc_ring(&self.readers.waiters, &self.header.doorbell)
        tc_futex_wake(&self.header.doorbell)
        return self

    def close(self, remove: bool = False) -> None:
        """Stop writing. With `remove`, tell the readers that it was the end and leave nothing in shared memory."""
        if self._lock is None:
            return
        self.flush()
        self.doorbell.stop()
        if remove:
            lifetime.end(self._directory)
        self.header = NULL
        self._maps = None
        os.close(self._lock)
        self._lock = None

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def beat(self) -> None:
        """Say that the sequencer lives, whether ticks come or not. Whoever turns it does so some 20 times a second; any
        thread may. Nothing once it is closed."""
        if self.header != NULL:
            tc_publish(&self.header.alive_ns, wall_ns())

    def measure(self, ingest: Histogram) -> None:
        """Record the stage from ts_in to commit of every record from now on."""
        self._ingest = ingest
        self.ingest = (<Histogram>ingest).h

    # --- topics -----------------------------------------------------------------------------------------------------

    def topics(self) -> list[tuple[str, str]]:
        """Schema and symbol of every topic, by id."""
        return list(self._topic_ids)

    def full(self, schema: str, symbol: str) -> LogSpace:
        """Count a topic for which there is no room; gives the error to raise."""
        self.refused_topics += 1
        return LogSpace(
            "the topic table is full",
            expected=f"at most {self.header.max_topics} topics",
            found=f"{schema}.{symbol}",
            where=str(self._directory),
            remedy="Raise log.max_topics",
        )

    def topic(self, schema: str, symbol: str) -> int:
        """The id of a topic; a new one is announced in the log before its first record.

        :raises SymbolError: the symbol or the schema word is none.
        :raises LogSpace: the table holds `log.max_topics` already (counted in `refused_topics`).
        """
        key = (schema, symbol)
        known = self._topic_ids.get(key)
        if known is not None:
            return known
        if schema not in BY_WORD:
            raise CallerError("no such schema", expected=", ".join(BY_WORD), found=schema)
        check_symbol(symbol)
        if self.topic_count >= self.header.max_topics:
            raise self.full(schema, symbol)
        cdef uint32_t topic_id = self.topic_count
        cdef tc_topic_entry* entry = &self.topic_entries[topic_id]
        text = symbol.encode("ascii")
        memset(entry, 0, sizeof(tc_topic_entry))
        entry.schema = BY_WORD[schema].id
        entry.symbol_length = len(text)
        entry.topic_id = topic_id
        memcpy(entry.symbol, <const char*>text, len(text))
        self.topic_seqs[topic_id] = 0
        self.topic_count += 1
        tc_publish32(&self.header.topic_count, self.topic_count)
        self._topic_ids[key] = topic_id
        self._announce(topic_id)
        return topic_id

    cdef void _announce(self, uint32_t topic_id) noexcept nogil:
        cdef uint64_t now = wall_ns()
        self._put(topic_id, TC_KIND_TOPIC, 0, 0, &self.topic_entries[topic_id], sizeof(tc_topic_entry), now, now)
        self.flush()

    # --- appending --------------------------------------------------------------------------------------------------

    def publish(self, topic_id: int, record: bytes, ts_in: int = 0, flags: int = 0) -> int:
        """Append one record, commit it and wake who waits; gives its seq. `ts_in` 0 stands for now."""
        cdef uint32_t topic = topic_id
        cdef const char* at = record
        if topic >= self.topic_count:
            raise CallerError("no such topic id", expected=f"below {self.topic_count}", found=topic_id)
        if <Py_ssize_t>len(record) > RECORD_MAX:
            raise CallerError("record too long", expected=f"at most {RECORD_MAX} bytes", found=len(record))
        self.append(topic, at, <uint32_t>len(record), ts_in, flags)
        self.flush()
        return self.seq - 1

    def publish_batch(
        self,
        const uint32_t[::1] topic_ids,
        const uint8_t[::1] records,
        uint32_t record_bytes,
        const uint64_t[::1] ts_in=None,
    ) -> int:
        """Append len(topic_ids) records of `record_bytes` each, laid end to end, and wake once; gives the first's seq.

        The GIL is released. `ts_in`: one time per record; None stands for now.
        """
        cdef Py_ssize_t n = topic_ids.shape[0]
        cdef Py_ssize_t i
        cdef uint64_t first = self.seq
        if record_bytes == 0 or record_bytes > RECORD_MAX or records.shape[0] != n * record_bytes:
            raise CallerError("records do not fit topic_ids", expected=f"{n} x record_bytes", found=records.shape[0])
        if ts_in is not None and ts_in.shape[0] != n:
            raise CallerError("ts_in does not fit topic_ids", expected=n, found=ts_in.shape[0])
        cdef uint32_t highest = 0
        for i in range(n):
            highest = max(highest, topic_ids[i])
        if n and highest >= self.topic_count:
            raise CallerError("no such topic id", expected=f"below {self.topic_count}", found=highest)
        cdef bint stamped = ts_in is not None
        with nogil:
            for i in range(n):
                self.append(topic_ids[i], &records[i * record_bytes], record_bytes, ts_in[i] if stamped else 0, 0)
            self.flush()
        return first

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        """Readers that spin see it at once, those that sleep after flush(). Always succeeds."""
        if self.stamped == 0:
            self.now = wall_ns()
            self.stamped = CLOCK_EVERY
        self.stamped -= 1
        cdef uint64_t topic_seq = self.topic_seqs[topic] + 1
        if ts_in == 0:
            ts_in = self.now
            self.unmeasured += 1
        elif self.ingest != NULL:
            tc_histogram_record(self.ingest, <int64_t>(self.now - ts_in))
        self._put(topic, TC_KIND_RECORD, flags, topic_seq, record, nbytes, ts_in, self.now)
        tc_publish(&self.topic_seqs[topic], topic_seq)
        self.seq += 1
        return 1

    cdef void flush(self) noexcept nogil:
        self.stamped = 0
        if self.header.tail == self.at:
            return
        self._publish_tail()
        if self.unmeasured:
            if self.ingest != NULL:
                tc_histogram_record_n(self.ingest, 0, self.unmeasured)
            self.unmeasured = 0
        if tc_somebody_waits(&self.readers.waiters):
            self._wake()

    cdef void _put(self, uint32_t topic, uint16_t kind, uint16_t flags, uint64_t topic_seq, const void* record, uint32_t nbytes, uint64_t ts_in, uint64_t now) noexcept nogil:
        """One frame. At every position at least a frame header's room is left in the segment, for padding."""
        cdef uint32_t length = (TC_FRAME_HEADER + nbytes + 7) & ~<uint32_t>7
        cdef uint64_t rest = self.segment_bytes - (self.at & (self.segment_bytes - 1))
        if length + TC_FRAME_HEADER > rest:
            self._turn(rest)
        cdef tc_log_frame* frame = <tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
        tc_clear_next(<tc_log_frame*>(<uint8_t*>frame + length))
        frame.topic_id = topic
        frame.seq = self.seq
        frame.topic_seq = topic_seq
        frame.ts_in = ts_in
        frame.committed_delta = 0 if now <= ts_in else UINT32_MAX if now - ts_in > UINT32_MAX else <uint32_t>(now - ts_in)
        frame.kind = kind
        frame.flags = flags
        # The usual sizes as constants: the compiler then copies in registers.
        if nbytes == 80:
            memcpy(&frame.record[0], record, 80)
        elif nbytes == 48:
            memcpy(&frame.record[0], record, 48)
        else:
            memcpy(&frame.record[0], record, nbytes)
        tc_commit(frame, length)
        self.at += length

    cdef void _turn(self, uint64_t rest) noexcept nogil:
        """Leave this segment and make the next one free: wait for the gates, void it, close this one with padding."""
        cdef uint64_t next_segment = self.at + rest
        cdef uint64_t low
        self._publish_tail()
        if next_segment >= self.capacity:
            low = next_segment - self.capacity + self.segment_bytes
            if self.gate_count:
                self._wait_for_gates(low)
            tc_void_below(&self.header.low, low)
        tc_clear_next(<tc_log_frame*>(self.data + (next_segment & (self.capacity - 1))))
        cdef tc_log_frame* padding = <tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
        padding.topic_id = 0
        padding.seq = self.seq
        padding.topic_seq = 0
        padding.ts_in = self.now
        padding.committed_delta = 0
        padding.kind = TC_KIND_PADDING
        padding.flags = 0
        tc_commit(padding, <uint32_t>rest)
        self.at = next_segment

    cdef void _publish_tail(self) noexcept nogil:
        """For joiners and for the writer after us: next_seq first, so that it is never behind the tail."""
        tc_publish(&self.header.next_seq, self.seq)
        tc_publish(&self.header.tail_ns, self.now)
        tc_publish(&self.header.tail, self.at)

    # --- waking -----------------------------------------------------------------------------------------------------

    cdef void _wake(self) noexcept nogil:
        """One system call: few sleepers are woken here, many by the doorbell thread."""
        cdef uint32_t i
        cdef uint32_t used = min(tc_noted32(&self.readers.used), <uint32_t>1024)
        cdef uint32_t parked = 0
        tc_ring(&self.readers.waiters, &self.header.doorbell)
        for i in range(used):
            parked += tc_noted32(&self.readers.slots[i].parked) != 0
        self.rings += 1
        if parked <= WAKE_HERE and self.doorbell.delay_ns == 0:
            tc_futex_wake(&self.header.doorbell)
        else:
            self.doorbell.ring()

    # --- gates ------------------------------------------------------------------------------------------------------

    cdef void _wait_for_gates(self, uint64_t low) noexcept nogil:
        """Wait until every gating reader has passed `low`; after the time-out evict those that have not."""
        cdef uint64_t deadline = 0
        cdef timespec pause
        pause.tv_sec = 0
        pause.tv_nsec = GATE_PAUSE_NS
        while self._slowest_gate(low, False):
            if deadline == 0:
                deadline = mono_ns() + self.gate_timeout_ns
                # They may be asleep on what this batch has not announced yet.
                if tc_somebody_waits(&self.readers.waiters):
                    self._wake()
            elif mono_ns() > deadline:
                self._slowest_gate(low, True)
                return
            nanosleep(&pause, NULL)
            # The gate has all but a segment of the log to work through: looking oftener would take the core it works on.
            pause.tv_nsec = min(2 * pause.tv_nsec, <long>GATE_PAUSE_MAX_NS)

    cdef int _slowest_gate(self, uint64_t low, bint evict) noexcept nogil:
        """How many living gates have not passed `low`; with `evict` each of them is a gate no more."""
        cdef uint32_t i, k
        cdef int behind = 0
        cdef tc_reader_slot* slot
        cdef uint32_t used = min(tc_noted32(&self.readers.used), <uint32_t>1024)
        for i in range(used):
            slot = &self.readers.slots[i]
            if tc_noted32(&slot.pid) == 0 or tc_noted32(&slot.gating) == TC_GATE_EVICTED:
                continue
            for k in range(self.gate_count):
                if strncmp(slot.name, self.gates[k], 32) == 0:
                    break
            else:
                continue
            tc_note32(&slot.gating, TC_GATE_ON)
            if tc_read_published(&slot.position) >= low or _dead(slot.pid):
                continue
            behind += 1
            if evict:
                tc_note32(&slot.gating, TC_GATE_EVICTED)
                self.evictions += 1
        return behind

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """When this numbering began, ns since 1970; 0 once closed."""
        return self.header.epoch if self.header != NULL else 0

    @property
    def next_seq(self) -> int:
        """seq of the next record."""
        return self.seq

    @property
    def position(self) -> int:
        """Where the next frame will be."""
        return self.at

    @property
    def directory(self) -> Path:
        return self._directory

    # --- opening ----------------------------------------------------------------------------------------------------

    def _map(self, log_bytes: int, max_topics: int) -> None:
        views = []
        for name, populate in (("log", 0), ("topics", 0), ("segments", mmap.MAP_POPULATE), ("readers", 0)):
            fd = os.open(self._directory / name, os.O_RDWR)
            try:
                views.append(mmap.mmap(fd, 0, flags=mmap.MAP_SHARED | populate))
            finally:
                os.close(fd)
        self._maps = views
        cdef uint8_t[::1] log = views[0]
        cdef uint8_t[::1] topics = views[1]
        cdef uint8_t[::1] segments = views[2]
        cdef uint8_t[::1] readers = views[3]
        self.header = <tc_log_header*>&log[0]
        self.topic_seqs = <uint64_t*>&topics[0]
        self.topic_entries = <tc_topic_entry*>(&topics[0] + 8 * <size_t>max_topics)
        self.data = &segments[0]
        self.readers = <tc_readers*>&readers[0]
        self.capacity = log_bytes
        self.segment_bytes = log_bytes // SEGMENTS
        self._topic_ids = {}

    def _recover(self) -> None:
        """Go on behind the last committed frame: what follows the published tail is read from the frames themselves."""
        cdef const tc_log_frame* frame
        cdef const tc_topic_entry* entry
        cdef uint32_t length
        self.at = self.header.tail
        self.seq = self.header.next_seq
        self.now = self.header.tail_ns
        self.topic_count = self.header.topic_count
        # next_seq is stored before the tail: it may already count frames that the scan below meets again.
        while True:
            frame = <const tc_log_frame*>(self.data + (self.at & (self.capacity - 1)))
            length = tc_committed(frame)
            if length == 0:
                break
            if frame.kind == TC_KIND_RECORD:
                self.topic_seqs[frame.topic_id] = max(self.topic_seqs[frame.topic_id], frame.topic_seq)
                self.seq = frame.seq + 1
            elif frame.kind == TC_KIND_TOPIC:
                entry = <const tc_topic_entry*>&frame.record[0]
                memcpy(&self.topic_entries[entry.topic_id], entry, sizeof(tc_topic_entry))
                self.topic_count = max(self.topic_count, entry.topic_id + 1)
            self.at += length
        for i in range(self.topic_count):
            symbol = self.topic_entries[i].symbol[: self.topic_entries[i].symbol_length].decode("ascii")
            self._topic_ids[BY_ID[self.topic_entries[i].schema].word, symbol] = i
        tc_publish32(&self.header.topic_count, self.topic_count)
        self._publish_tail()
        if self.topic_count and self.topic_seqs[self.topic_count - 1] == 0:
            self._announce(self.topic_count - 1)  # it may have been entered and not announced; twice does no harm


cdef bint _dead(uint32_t pid) noexcept nogil:
    return pid <= INT32_MAX and kill(<int>pid, 0) != 0 and errno_is_no_such_process()


cdef extern from *:
    """
    #include <errno.h>
    static inline int errno_is_no_such_process(void) { return errno == ESRCH; }
    """
    bint errno_is_no_such_process() noexcept nogil
