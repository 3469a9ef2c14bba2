# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Several DBN streams in one order of time, onto a sink, each record when it is due.

Between streams the time decides (ts_recv, or ts_event of records without one), at equal times their order. Within a
stream nothing is reordered: a record that is older than the one before it comes right after it. When a record is due:
schedule.pxd.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc

from feed.log.through cimport TOOK
from feed.normalize.dbn cimport (
    TC_DBN_IS_IMPOSSIBLE,
    TC_DBN_IS_MAPPING,
    TC_DBN_IS_PARTIAL,
    TC_DBN_IS_RECORD,
    TC_DBN_IS_UNKNOWN,
    TC_DBN_IS_UNSUPPORTED,
    TOPIC_REFUSED,
    TOPIC_UNKNOWN,
    DbnStream,
    dbn_advance,
    dbn_find,
    dbn_instrument,
)
from feed.normalize.schedule cimport schedule_again, schedule_due, schedule_speed, schedule_start
from feed.wire.records cimport TC_UNDEF_TIMESTAMP

from enum import IntEnum


class Want(IntEnum):
    """What a merge needs to go on."""

    NOTHING = WANT_NOTHING
    BYTES = WANT_BYTES
    TOPIC = WANT_TOPIC
    MAPPING = WANT_MAPPING
    REPAIR = WANT_REPAIR
    ROOM = WANT_ROOM


cdef class Merge:
    """Streams merged by time.

    :param speed: how many times faster than recorded; infinite is as fast as possible, and then the sink stamps ts_in.
    :param schemas: ids of the schemas to let through; others are left away without being counted.
    """

    def __cinit__(self, speed: float, schemas):
        schedule_speed(&self.times, speed)
        for schema_id in schemas:
            self.wanted[<size_t>schema_id] = True

    def __dealloc__(self):
        free(self.heap)

    def begin(self, streams, pause_ns: int = 0) -> None:
        """Merge these, each a :class:`DbnStream`. A second pass is due `pause_ns` after the last record of the first."""
        cdef DbnStream stream
        free(self.heap)
        self.count = 0
        self.heap = <dbn_stream**>malloc(max(1, len(streams)) * sizeof(dbn_stream*))
        if self.heap is NULL:
            raise MemoryError
        self._streams = list(streams)    # keeps what `heap` points to
        for stream in self._streams:
            self.heap[self.count] = &stream.s
            self._rise(self.count)
            self.count += 1
        schedule_again(&self.times, pause_ns)

    def pour(self, Sink sink, limit: int, now_ns: int) -> int:
        """Append up to `limit` records that are due at `now_ns`; `want` then says why it was not more."""
        cdef int64_t n, most = limit
        cdef uint64_t now = now_ns
        with nogil:
            n = self.run(sink, most, now)
        return n

    def flush(self, Sink sink) -> None:
        """Make what was appended visible."""
        with nogil:
            sink.flush()

    @property
    def next(self) -> int:
        """Order of the stream that comes next: the one that `want` is about."""
        if not self.count:
            raise IndexError("no stream is left")
        return self.heap[0].order

    def drop_next(self) -> None:
        """The stream that comes next has ended."""
        if not self.count:
            raise IndexError("no stream is left")
        self.count -= 1
        self.heap[0] = self.heap[self.count]
        self._settle()

    @property
    def left(self) -> int:
        """Streams that have not ended."""
        return self.count

    @property
    def due_ns(self) -> int:
        """When the next record is due, ns since 1970; 0: at once, or not known."""
        if not self.times.paced or not self.times.started or not self.count:
            return 0
        return schedule_due(&self.times, self.heap[0].key)

    @property
    def at_ns(self) -> int:
        """Time of the recording that has been reached, ns since 1970; 0: none."""
        return self.last_ts

    def take_ticks(self) -> list[tuple[int, int]]:
        """(schema id, records appended since the last call), schemas without any left away."""
        taken = []
        cdef int i
        for i in range(TC_SCHEMA_END):
            if self.ticks[i]:
                taken.append((i, self.ticks[i]))
                self.ticks[i] = 0
        return taken

    def take_rejected(self) -> list[tuple[str, int]]:
        """(reason, records skipped since the last call), reasons without any left away."""
        taken = []
        cdef int i
        for i in range(256):
            if self.unsupported[i]:
                taken.append((f"unsupported_rtype_{i}", self.unsupported[i]))
                self.unsupported[i] = 0
        if self.unknown:
            taken.append(("unknown_rtype", self.unknown))
        if self.wrong_length:
            taken.append(("wrong_length", self.wrong_length))
        if self.refused:
            taken.append(("topic_refused", self.refused))
        self.unknown = self.wrong_length = self.refused = 0
        return taken

    # --- the loop ---------------------------------------------------------------------------------------------------

    cdef int64_t run(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil:
        cdef int64_t n = 0
        cdef uint64_t due = 0
        cdef uint32_t topic
        cdef int took
        cdef dbn_stream* s
        cdef dbn_instrument* instrument
        self.want = WANT_NOTHING
        while n < limit and self.count:
            s = self.heap[0]
            if self.times.paced and self.times.started:
                due = schedule_due(&self.times, s.key)
                if due > now_ns:
                    break
            if not s.ready:
                if not self._decode(s):
                    break
                continue
            if not self.times.started:
                schedule_start(&self.times, s.key, now_ns)
                continue
            instrument = dbn_find(s, s.head.instrument_id)
            topic = TOPIC_UNKNOWN
            if instrument is not NULL and instrument.from_ns <= s.head.ts < instrument.to_ns:
                topic = instrument.topics[s.head.schema]
            if topic == TOPIC_UNKNOWN:
                self.want = WANT_TOPIC
                break
            if topic == TOPIC_REFUSED:
                self.refused += 1
            else:
                took = sink.append(topic, s.head.record, s.head.record_bytes, due if self.times.paced else 0, 0)
                if not took:
                    self.want = WANT_ROOM
                    break
                self.ticks[s.head.schema] += took == TOOK
                n += 1
            self.times.last_due = due if self.times.paced else now_ns
            self.last_ts = s.key
            s.ready = False
        return n

    cdef bint _decode(self, dbn_stream* s) noexcept nogil:
        """Make the next record of this stream, the first of the heap, its head. False: not without what `want` says."""
        cdef int kind
        while True:
            kind = dbn_advance(s)
            if kind == TC_DBN_IS_RECORD:
                if not self.wanted[s.head.schema]:
                    continue
                if s.head.ts == TC_UNDEF_TIMESTAMP:
                    s.head.ts = s.key
                s.ready = True
                if s.head.ts > s.key:
                    s.key = s.head.ts
                    self._settle()
                return True
            if kind == TC_DBN_IS_PARTIAL:
                self.want = WANT_BYTES
                return False
            if kind == TC_DBN_IS_MAPPING:
                self.want = WANT_MAPPING
                return False
            if kind == TC_DBN_IS_IMPOSSIBLE:
                self.want = WANT_REPAIR
                return False
            if kind == TC_DBN_IS_UNSUPPORTED:
                self.unsupported[s.head.rtype] += 1
            elif kind == TC_DBN_IS_UNKNOWN:
                self.unknown += 1
            else:
                self.wrong_length += 1

    # --- the heap ---------------------------------------------------------------------------------------------------

    cdef void _rise(self, int i) noexcept nogil:
        cdef dbn_stream* s = self.heap[i]
        cdef int parent
        while i > 0:
            parent = (i - 1) // 2
            if not _before(s, self.heap[parent]):
                break
            self.heap[i] = self.heap[parent]
            i = parent
        self.heap[i] = s

    cdef void _settle(self) noexcept nogil:
        """Put the first stream where its key belongs."""
        cdef dbn_stream* s = self.heap[0]
        cdef int i = 0, child
        while True:
            child = 2 * i + 1
            if child >= self.count:
                break
            if child + 1 < self.count and _before(self.heap[child + 1], self.heap[child]):
                child += 1
            if not _before(self.heap[child], s):
                break
            self.heap[i] = self.heap[child]
            i = child
        self.heap[i] = s


cdef inline bint _before(const dbn_stream* a, const dbn_stream* b) noexcept nogil:
    return a.key < b.key or (a.key == b.key and a.order < b.order)
