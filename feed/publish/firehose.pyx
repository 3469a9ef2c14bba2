# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The firehose: the log's own bytes in exact stream order, in runs of whole frames, for recorders and relays.

A message is `*|`, the header (record_bytes 0, count = log frames) and the run. A new subscriber first gets the topics there
are, as topic frames in messages flagged as a snapshot; whoever else is subscribed gets them again then. An empty run says
like a heartbeat, which the endpoint has too, that all below its seq has been sent; there are none while the sequencer shows
no sign of life.
"""

from libc.string cimport memcpy, memset

from feed.clock cimport mono_ns, wall_ns
from feed.log.fences cimport tc_read_published32
from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, TC_KIND_TOPIC, tc_log_frame, tc_topic_entry
from feed.log.life cimport tc_patience_ns
from feed.metrics.counters cimport tc_counter_add
from feed.wire.frames cimport TC_FLAG_LOSS, TC_FLAG_SNAPSHOT, TC_WIRE_HEADER, tc_wire_header, tc_wire_put_head

from feed.wire.topics import FIREHOSE, HEARTBEAT

cdef enum:
    RUN_BYTES = 64 * 1024           # of a message, but for its last frame
    RUNS = 8                        # in one turn
    TABLE_TOPICS = 500              # of a message with topics
    HEARD = 64                      # subscriptions taken in by one turn


cdef class Firehose:
    """Between a reader of its own and an outlet of its own; used by one thread."""

    def __init__(
        self, LogReader reader not None, Outlet outlet not None, *, heartbeat_ns: int, Counter overrun not None
    ) -> None:
        self.outlet = outlet
        self.heartbeat_ns = heartbeat_ns
        self.patience_ns = tc_patience_ns(heartbeat_ns)
        self._overrun = overrun
        self._prefixes = set()
        self.attach(reader)

    def attach(self, LogReader reader not None) -> None:
        """Begin with `reader`, of this log or of a new one."""
        self.reader = reader
        self.life = Life(reader)
        self.loss = reader.lost_last != 0       # overrun while no publisher was there to resume in time
        self.table_at = 0
        self.table_end = tc_read_published32(&reader.header.topic_count) if self.wanted else 0

    def poll(self) -> int:
        """One turn; how much it did, 0 if there was nothing to do. Raises HostError if the socket failed."""
        cdef int work
        cdef bint heard
        cdef uint64_t now
        with nogil:
            now = mono_ns()
            work = self._pump(now)
            heard = self.outlet.listen() if self.deaf else self.outlet.hear(now)
        self.deaf = False
        if heard:
            work += self._listen()
        self.outlet.check()
        return work

    @property
    def pending(self) -> bool:
        """Does a run wait for room in the socket?"""
        return self.outlet.pending

    @property
    def drained(self) -> bool:
        """Is everything that the log holds handed over?"""
        return not self.outlet.pending and self.reader.peek() == NULL and self.reader.intact(self.reader.at)

    cdef int _pump(self, uint64_t now) noexcept nogil:
        cdef int work = 0
        if self.outlet.pending and not self.outlet.again():
            return 0
        if self.table_at < self.table_end:
            self._table()
            return 1
        while work < RUNS and not self.outlet.pending and not self.outlet.error and self._run():
            work += 1
        if self.outlet.pending or self.outlet.error:
            return work
        if self.reader.at != self.reported:
            self.reported = self.reader.at
            self.reader.report()
        if now >= self.heartbeat_due_ns and self.life.silent_ns(now) <= self.patience_ns:
            self.heartbeat_due_ns = now + self.heartbeat_ns
            if self.wanted and self._make(b"*|", 2, 0, 0, 0, self.reader.seq, 0, 0) != NULL:
                self.outlet.send(wall_ns())
            if self.heartbeat and not self.outlet.pending:
                if self._make(b"heartbeat|", 10, 0, 0, 0, self.reader.seq, 0, 0) != NULL:
                    self.outlet.send(wall_ns())
        return work

    cdef uint32_t _run(self) noexcept nogil:
        """Send what is waiting in one piece, or pass it by if nobody wants it; how many log frames."""
        cdef const tc_log_frame* frame
        cdef const tc_log_frame* first = NULL
        cdef uint64_t at, seq, start = 0, first_seq = 0, ts_in = 0
        cdef uint32_t length, nbytes = 0, frames = 0, records = 0
        cdef bint is_record, overtaken = False
        cdef uint8_t* to
        while nbytes < RUN_BYTES:
            frame = self.reader.peek()
            at = self.reader.at
            if frame == NULL:
                overtaken = not self.reader.intact(at)
                break
            if frames and (at != start + nbytes or at & (self.reader.capacity - 1) == 0):
                break                           # padding or the mapping's end lie between
            length = frame.length
            seq = frame.seq
            is_record = frame.kind == TC_KIND_RECORD
            if frames == 0:
                first = frame
                start = at
                first_seq = seq
                ts_in = frame.ts_in
            if not self.reader.intact(at):
                overtaken = True
                break
            self.reader.at = at + length
            self.reader.seq = seq + is_record
            nbytes += length
            frames += 1
            records += is_record
        if frames and self.wanted:
            to = self._make(b"*|", 2, nbytes, frames, records, first_seq, ts_in, TC_FLAG_LOSS if self.loss else 0)
            if to == NULL:
                return 0
            memcpy(to, first, nbytes)
            if not self.reader.intact(start):
                self.outlet.discard()
                self._lost(records)
                return frames
            self.loss = False
            self.outlet.send(wall_ns())
        if overtaken:
            self._lost(0)
        return frames

    cdef void _lost(self, uint64_t records) noexcept nogil:
        """Go on where the log still holds: `records` of the run are gone, and what was overwritten before it was read."""
        if not self.reader.intact(self.reader.at):
            self.reader.overtaken(self.reader.seq)
            if self.reader.lost_last >= self.reader.lost_first:
                records += self.reader.lost_last - self.reader.lost_first + 1
        if self.wanted:
            tc_counter_add(self._overrun.slot, records)
            self.loss = True

    cdef void _table(self) noexcept nogil:
        """A message of topic frames, as the log held them when the topics were new."""
        cdef uint32_t n = min(self.table_end - self.table_at, <uint32_t>TABLE_TOPICS)
        cdef uint32_t size = TC_FRAME_HEADER + sizeof(tc_topic_entry)
        cdef tc_log_frame frame
        cdef uint32_t i
        cdef uint8_t* to = self._make(b"*|", 2, <size_t>n * size, n, 0, self.reader.seq, 0, TC_FLAG_SNAPSHOT)
        if to == NULL:
            return
        memset(&frame, 0, TC_FRAME_HEADER)
        frame.length = size
        frame.seq = self.reader.seq
        frame.kind = TC_KIND_TOPIC
        for i in range(n):
            frame.topic_id = self.table_at + i
            memcpy(to, &frame, TC_FRAME_HEADER)
            memcpy(to + TC_FRAME_HEADER, &self.reader.topic_entries[self.table_at + i], sizeof(tc_topic_entry))
            to += size
        self.table_at += n
        self.outlet.send(wall_ns())

    cdef uint8_t* _make(self, const char* topic, uint32_t topic_length, size_t nbytes, uint32_t frames, uint32_t records, uint64_t seq, uint64_t ts_in, uint16_t flags) noexcept nogil:
        cdef tc_wire_header header
        cdef uint8_t* to = self.outlet.make(topic_length + TC_WIRE_HEADER + nbytes, topic_length, records, 0)
        if to == NULL:
            return NULL
        memset(&header, 0, sizeof(header))
        header.flags = flags
        header.count = <uint16_t>frames
        header.epoch = self.reader.header.epoch
        header.seq = seq
        header.ts_in = ts_in
        return tc_wire_put_head(to, <const uint8_t*>topic, topic_length, &header)

    cdef int _listen(self) except -1:
        """Take in subscriptions, the first of which is in the outlet already; how many."""
        cdef bytes event, prefix
        cdef int i
        for i in range(1, HEARD + 1):
            event = self.outlet.heard()
            prefix = event[1:]
            if event[:1] == b"\x01":
                self._prefixes.add(prefix)
                self.heartbeat_due_ns = 0       # at once, but behind the table: the subscription holds
                if FIREHOSE.startswith(prefix):
                    self.table_at = 0
                    self.table_end = tc_read_published32(&self.reader.header.topic_count)
            else:
                self._prefixes.discard(prefix)
            self.wanted = any(map(FIREHOSE.startswith, self._prefixes))
            self.heartbeat = any(map(HEARTBEAT.startswith, self._prefixes))
            if i == HEARD:
                self.deaf = True
            elif not self.outlet.listen():
                break
        return i
