# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Between sources that run in threads of their own and the sequencer: one ring each, drained in the order of arrival.

A ring has one producer and one consumer, so each position is stored by one side only. Topics have ids of the ring's own;
the announcement of one travels through the ring like a record, and the sequencer learns the log's id for it on the way.
"""

from libc.stdint cimport UINT64_MAX
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from feed.clock cimport wall_ns
from feed.log.fences cimport (
    tc_futex_wait,
    tc_futex_wake,
    tc_publish,
    tc_read_published,
    tc_ring,
    tc_rings,
    tc_say_waiting,
    tc_somebody_waits,
)
from feed.log.layout cimport TC_KIND_PADDING, TC_KIND_RECORD, TC_KIND_TOPIC, tc_topic_entry

from feed.clock import now_ns, sleep_until_ns
from feed.errors import CallerError
from feed.wire.records import BY_ID, BY_WORD
from feed.wire.topics import check_symbol

cdef enum:
    CLOCK_EVERY = 64      # appends that share a clock read
    RINGS_MAX = 64

cdef enum:
    TAKEN_ALL = 0
    TAKEN_LIMIT = 1
    MET_TOPIC = 2         # + index of the ring


cdef struct ring_entry:
    uint32_t length       # whole entry, a multiple of 8
    uint32_t topic
    uint64_t ts_in
    uint32_t nbytes
    uint16_t kind
    uint16_t flags


cdef class Ring(Sink):
    """The producer's end; make it with :meth:`Intake.ring`."""

    def __dealloc__(self) -> None:
        free(self.state.data)
        free(self.state.topics)

    def topic(self, schema: str, symbol: str) -> int:
        key = (schema, symbol)
        known = self._topic_ids.get(key)
        if known is not None:
            return known
        if schema not in BY_WORD:
            raise CallerError("no such schema", expected=", ".join(BY_WORD), found=schema)
        check_symbol(symbol)
        self._intake.reserve(key)
        cdef tc_topic_entry entry
        memset(&entry, 0, sizeof(entry))
        text = symbol.encode("ascii")
        entry.schema = BY_WORD[schema].id
        entry.symbol_length = len(text)
        memcpy(entry.symbol, <const char*>text, len(text))
        cdef uint32_t topic_id = len(self._topic_ids)
        while not self._put(TC_KIND_TOPIC, topic_id, &entry, sizeof(entry), wall_ns(), 0):
            sleep_until_ns(now_ns() + 100_000)
        self.flush()
        self._topic_ids[key] = topic_id
        return topic_id

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        if ts_in == 0:
            if self.stamped == 0:
                self.now = wall_ns()
                self.stamped = CLOCK_EVERY
            self.stamped -= 1
            ts_in = self.now
        return self._put(TC_KIND_RECORD, topic, record, nbytes, ts_in, flags)

    cdef void flush(self) noexcept nogil:
        self.stamped = 0
        if self.state.published == self.state.head:
            return
        tc_publish(&self.state.published, self.state.head)
        if tc_somebody_waits(&self.state.bell.waiters):
            tc_ring(&self.state.bell.waiters, &self.state.bell.doorbell)
            tc_futex_wake(&self.state.bell.doorbell)

    cdef int _put(self, uint16_t kind, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        """One entry; 0 when the ring is full, and then what it holds is made visible."""
        cdef uint32_t length = (sizeof(ring_entry) + nbytes + 7) & ~<uint32_t>7
        cdef uint64_t rest = self.state.capacity - (self.state.head & (self.state.capacity - 1))
        cdef uint64_t needed = length if length + sizeof(ring_entry) <= rest else rest + length
        cdef ring_entry* entry
        if self.state.head + needed - tc_read_published(&self.state.taken) > self.state.capacity:
            self.flush()
            return 0
        entry = <ring_entry*>(self.state.data + (self.state.head & (self.state.capacity - 1)))
        if needed != length:
            entry.length = <uint32_t>rest
            entry.kind = TC_KIND_PADDING
            entry.ts_in = ts_in
            self.state.head += rest
            entry = <ring_entry*>self.state.data
        entry.length = length
        entry.topic = topic
        entry.ts_in = ts_in
        entry.nbytes = nbytes
        entry.kind = kind
        entry.flags = flags
        memcpy(<uint8_t*>entry + sizeof(ring_entry), record, nbytes)
        self.state.head += length
        return 1


cdef class Intake:
    """The consumer's end of all rings: takes what came first, first, and appends it to the log, or to `into` in front of
    it."""

    def __cinit__(self, writer: LogWriter, into: Sink | None = None) -> None:
        self.writer = writer
        self.into = writer if into is None else into
        self._rings = []
        self._topics = set(writer.topics())

    def ring(self, capacity: int = 1 << 20) -> Ring:
        """A new ring of `capacity` bytes, a power of two from 64 KiB, for one source's thread."""
        if capacity < 1 << 16 or capacity & (capacity - 1):
            raise CallerError("a ring's size is a power of two from 64 KiB", found=capacity)
        if self.count == RINGS_MAX:
            raise CallerError("too many sources", expected=f"at most {RINGS_MAX}")
        cdef Ring ring = Ring.__new__(Ring)
        ring.state.data = <uint8_t*>malloc(capacity)
        if ring.state.data == NULL:
            raise MemoryError
        ring.state.capacity = capacity
        ring.state.bell = &self.bell
        ring._topic_ids = {}
        ring._intake = self
        self.rings[self.count] = &ring.state
        self.count += 1
        self._rings.append(ring)
        return ring

    cdef int reserve(self, tuple topic) except -1:
        """Keep room in the log for a topic that a ring announces: its source is told at once that there is none, as by the
        log itself. With the GIL held throughout, so that two sources cannot be given the last place both."""
        if topic not in self._topics:
            if len(self._topics) >= self.writer.header.max_topics:
                raise self.writer.full(*topic)
            self._topics.add(topic)
        return 0

    def poll(self, limit: int) -> int:
        """Append at most `limit` records to the log and wake its readers once; says how many."""
        cdef uint32_t most = limit
        cdef uint32_t taken = 0
        cdef int met
        while True:
            with nogil:
                met = self._take(most, &taken)
                if met < MET_TOPIC:
                    self.into.flush()
                    break
            self._learn(met - MET_TOPIC)
        return taken

    def park(self, timeout_ns: int) -> None:
        """Sleep until a ring holds something, at most `timeout_ns`. The GIL is released."""
        cdef uint64_t timeout = timeout_ns
        cdef uint32_t rung
        with nogil:
            rung = tc_rings(&self.bell.doorbell)
            tc_say_waiting(&self.bell.waiters)
            if not self._waiting():
                tc_futex_wait(&self.bell.doorbell, rung, timeout)

    cdef bint _waiting(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.count):
            if tc_read_published(&self.rings[i].published) != self.rings[i].taken:
                return True
        return False

    cdef int _take(self, uint32_t limit, uint32_t* taken) noexcept nogil:
        """Until all rings are empty, `limit` records are taken, or a topic is met that needs Python."""
        cdef uint32_t i
        cdef int first
        cdef uint64_t first_ts
        cdef ring_state* ring
        cdef ring_entry* entry
        while taken[0] < limit:
            first = -1
            first_ts = UINT64_MAX
            for i in range(self.count):
                ring = self.rings[i]
                if tc_read_published(&ring.published) == ring.taken:
                    continue
                entry = <ring_entry*>(ring.data + (ring.taken & (ring.capacity - 1)))
                if first < 0 or entry.ts_in < first_ts:
                    first = <int>i
                    first_ts = entry.ts_in
            if first < 0:
                return TAKEN_ALL
            ring = self.rings[first]
            entry = <ring_entry*>(ring.data + (ring.taken & (ring.capacity - 1)))
            if entry.kind == TC_KIND_TOPIC:
                return MET_TOPIC + first
            if entry.kind == TC_KIND_RECORD:
                self.into.append(ring.topics[entry.topic], <uint8_t*>entry + sizeof(ring_entry), entry.nbytes, entry.ts_in, entry.flags)
                taken[0] += 1
            tc_publish(&ring.taken, ring.taken + entry.length)
        return TAKEN_LIMIT

    def _learn(self, index: int) -> None:
        """The entry at the head of ring `index` announces its next topic id."""
        cdef ring_state* ring = self.rings[index]
        cdef ring_entry* entry = <ring_entry*>(ring.data + (ring.taken & (ring.capacity - 1)))
        cdef tc_topic_entry* told = <tc_topic_entry*>(<uint8_t*>entry + sizeof(ring_entry))
        cdef uint32_t* larger
        if entry.topic >= ring.topics_room:
            larger = <uint32_t*>realloc(ring.topics, 2 * (<size_t>entry.topic + 64) * sizeof(uint32_t))
            if larger == NULL:
                raise MemoryError
            ring.topics = larger
            ring.topics_room = 2 * (entry.topic + 64)
        symbol = told.symbol[: told.symbol_length].decode("ascii")
        ring.topics[entry.topic] = self.into.topic(BY_ID[told.schema].word, symbol)
        tc_publish(&ring.taken, ring.taken + entry.length)
