# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The ways out to the bot: what has arrived goes out as ticks, as batches or to callbacks, and is measured as it goes.

    arrivals.step() ──┬──▶ __next__, recv     one tick object
                      ├──▶ recv_many          numpy columns
                      └──▶ dispatch           callbacks
"""

from collections import deque

from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy, memset

from bots.arrivals cimport NEVER, Arrivals
from bots.batch cimport Batch, Block
from bots.links.link cimport LINK_NONE, LINK_RUN, LINK_SKIPPED, LINK_TOPIC
from bots.progress cimport IN_HAND_BATCHES
from bots.ticks cimport new_tick
from feed.clock cimport mono_ns, wall_ns
from feed.metrics.histogram cimport (
    tc_histogram_add,
    tc_histogram_batch,
    tc_histogram_begin,
    tc_histogram_end,
    tc_histogram_record,
)
from feed.wire.frames cimport TC_FLAG_REPLAYED, TC_FLAG_SNAPSHOT, tc_wire_step, tc_wire_trailer

from feed.wire.records import BY_ID, BY_WORD, SCHEMAS

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o) nogil

cdef enum:
    LOOK_EVERY = 1024       # ticks between two looks at signals and the clock where the bot's own code does not run
    BLOCKS_KEPT = 4         # per schema; a bot that keeps more batches than that pays for new memory

STATUS = BY_WORD["status"].id

assert max(schema.id for schema in SCHEMAS) < SCHEMAS_ROOM


cdef class Delivery(Arrivals):
    """`hooks` is told two things more:

    status(symbol, action, reason, is_trading, ts_event): a status record goes out
    late(topic, age_ns): a tick of a schema in `stop` is more than `behind_ns` old; raises
    """

    def __cinit__(self):
        memset(self.pool, 0, sizeof(self.pool))
        memset(self.filling, 0, sizeof(self.filling))

    def __init__(self, hooks, stream: bool = False, spin: bool = False, *, stop: frozenset = frozenset(), **how) -> None:
        Arrivals.__init__(self, hooks, stream, spin, **how)
        for schema_id in stop:
            self.stops |= 1 << <int>schema_id
        self.wire = Histogram()
        self.total = Histogram()
        self.handler = Histogram()
        self.samples = Samples()
        self.ready = deque()
        self.blocks = [[] for _ in range(SCHEMAS_ROOM)]
        self.open_blocks = []

    def __dealloc__(self):
        cdef int i, k
        for i in range(SCHEMAS_ROOM):
            for k in range(POOL):
                if self.pool[i][k] != NULL:
                    Py_DECREF(<object>self.pool[i][k])

    cdef int _came_back(self) except -1:
        """The bot comes for more."""
        if self.progress is not None and self.progress.in_hand == IN_HAND_BATCHES and not self.ready:
            self.progress.commit_batches()
        return 0

    def finish_off(self) -> None:
        """The bot has dealt with all that it was given, and will not come for more."""
        if self.share is not None and self.at >= self.run.count and not self.ready:
            self.share.came_back(self.recovery.hold_count != 0)

    # --- ticks ------------------------------------------------------------------------------------------------------

    def __iter__(self):
        return self

    def __next__(self) -> Tick:
        tick = self._next_tick(None)
        if tick is None:
            raise StopIteration
        return tick

    def recv(self, timeout: float | None = None) -> Tick | None:
        """The next tick; None after `timeout` seconds without one (None: no time-out) or after stop()."""
        return self._next_tick(timeout)

    def poll(self) -> Tick | None:
        """The next tick if one is waiting; never waits."""
        tick = self._next_tick(0)
        if tick is None:
            self.look(wall_ns(), True)
            self.ran_dry()
        return tick

    cdef Tick _next_tick(self, timeout):
        cdef int what
        cdef uint64_t now, deadline = 0     # looked at the clock for only once nothing is there
        cdef Tick tick
        self._came_back()
        if self.share is not None:
            self.share.batches = False
        while True:
            what = self.step()
            if what == LINK_RUN:
                tick = self._tick()
                now = wall_ns()
                self._measure(tick, now)
                if self.late:
                    self._refuse(tick)
                if now >= self.due_at:
                    self.look(now, False)
                return tick
            if self.stopped:
                return None
            if deadline == 0:
                deadline = _deadline(timeout)
            if what == LINK_NONE:
                if not self.idle(deadline):
                    return None
            elif what == LINK_SKIPPED:
                PyErr_CheckSignals()
                self.look(wall_ns(), False)
                if deadline != NEVER and mono_ns() >= deadline:
                    return None
            else:
                self.event(what)

    cdef Tick _tick(self):
        """The record at hand as a tick object, one that nobody else refers to; ts_bot is still to be set."""
        cdef uint16_t schema = self.run.schema
        cdef PyObject* mine = self.pool[schema][0]
        cdef Tick tick
        cdef tc_wire_trailer trailer
        if mine == NULL or Py_REFCNT(mine) != 1:
            mine = self.pool[schema][1]
            self.pool[schema][1] = self.pool[schema][0]
            self.pool[schema][0] = mine
            if mine == NULL or Py_REFCNT(mine) != 1:
                tick = new_tick(schema)
                Py_INCREF(tick)
                self.pool[schema][0] = <PyObject*>tick
                if mine != NULL:
                    Py_DECREF(<object>mine)
        tick = <Tick>self.pool[schema][0]
        if tick.record_bytes == 80:     # a constant lets the compiler copy in registers
            memcpy(tick.body, self.run.records + self.at * <size_t>80, 80)
        else:
            memcpy(tick.body, self.run.records + self.at * <size_t>tick.record_bytes, tick.record_bytes)
        tick.seq = self.run.seq
        tick.ts_in = self.run.ts_in
        if self.run.trailer != NULL:
            trailer = tc_wire_step(self.run.trailer, self.at)
            tick.seq += trailer.seq_delta
            tick.ts_in += trailer.ts_in_delta
        tick.topic_seq = self.run.topic_seq + self.at
        tick.folded = self.run.folded if self.at == 0 else 0
        tick.ts_sent = self.run.ts_sent
        tick.flags = self.run.flags
        tick.symbol = <str>PyList_GET_ITEM(self.names.symbols, self.run.topic)
        if self.progress is not None:
            if tick.seq <= self.progress.repeated:
                tick.flags |= TC_FLAG_REPLAYED
            self.progress.hand(self.run.topic, tick.topic_seq, tick.seq, self.seq)
        self.at += 1
        self.ticks += 1
        if tick.schema_id == STATUS:
            self.hooks.status(tick.symbol, tick.action, tick.reason, tick.is_trading, tick.ts_event)
        return tick

    cdef void _measure(self, Tick tick, uint64_t now) noexcept:
        cdef int64_t wire
        tick.ts_bot = now
        if tick.flags & (TC_FLAG_REPLAYED | TC_FLAG_SNAPSHOT):
            return      # how late a repetition comes says nothing of the way
        now -= <uint64_t>self.offset_ns
        wire = <int64_t>(now - tick.ts_sent)
        if tick.seq & self.samples.mask == 0:
            self.samples.put(tick.seq, now)
        self.last_lag_ns = wire if wire > 0 else 0
        self.late = wire > <int64_t>self.behind_ns and (self.stops >> tick.schema_id) & 1
        tc_histogram_record(self.wire.h, wire)
        tc_histogram_record(self.total.h, <int64_t>(now - tick.ts_in))

    cdef void _measure_columns(self, columns_t* columns, uint64_t now) noexcept:
        """As `measure`, for a batch; `now` by the feed's clock."""
        cdef uint32_t i
        cdef int64_t wire = <int64_t>self.last_lag_ns
        cdef uint64_t mask = self.samples.mask
        cdef tc_histogram_batch wires = tc_histogram_begin(self.wire.h)
        cdef tc_histogram_batch totals = tc_histogram_begin(self.total.h)
        for i in range(columns.count):
            if columns.flags[i] & (TC_FLAG_REPLAYED | TC_FLAG_SNAPSHOT):
                continue
            wire = <int64_t>(now - columns.ts_sent[i])
            tc_histogram_add(&wires, wire)
            tc_histogram_add(&totals, <int64_t>(now - columns.ts_in[i]))
            if columns.seq[i] & mask == 0:
                self.samples.put(columns.seq[i], now)
        tc_histogram_end(&wires)
        tc_histogram_end(&totals)
        self.last_lag_ns = wire if wire > 0 else 0

    cdef int _refuse(self, Tick tick) except -1:
        """Policy stop: rather nothing than this."""
        self.late = False
        self.hooks.late(tick.topic, self.last_lag_ns)
        return 0

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def dispatch(self, handlers: dict, batch_end: object | None = None) -> None:
        """Call `handlers[schema id](tick)` for each tick until stop(); `batch_end()` when nothing is waiting any more.

        Ticks of other schemas are passed over. `handler` measures from the start of a callback to the start of the next
        one where another tick is waiting, else to its end: one look at the clock per tick.
        """
        cdef list table = [handlers.get(schema_id) for schema_id in range(SCHEMAS_ROOM)]
        cdef int what
        cdef uint64_t now, started = 0
        cdef uint32_t passed = 0
        cdef bint unended = False
        cdef Tick tick = None
        self._came_back()
        if self.share is not None:
            self.share.batches = False
        while not self.stopped:
            what = self.step()
            if what == LINK_RUN:
                handler = <object>PyList_GET_ITEM(table, self.run.schema)
                if handler is None:
                    self.at += 1
                    passed += 1
                    if passed % LOOK_EVERY == 0:
                        PyErr_CheckSignals()
                        self.look(wall_ns(), False)
                    continue
                tick = None     # or it would count as one that the bot keeps
                self.current = None
                tick = self._tick()
                now = wall_ns()
                if started:
                    tc_histogram_record(self.handler.h, <int64_t>(now - started))
                started = now
                self._measure(tick, now)
                if self.late:
                    self._refuse(tick)
                self.current = tick
                unended = True
                handler(tick)
                if now >= self.due_at:
                    self.look(now, False)
                continue
            if started:
                tc_histogram_record(self.handler.h, <int64_t>(wall_ns() - started))
                started = 0
                tick = None
                self.current = None
            if what == LINK_NONE:
                if unended:
                    unended = False
                    if batch_end is not None:
                        batch_end()
                        continue
                self.idle(NEVER)
            elif what == LINK_SKIPPED:
                PyErr_CheckSignals()
                self.look(wall_ns(), False)
            else:
                self.event(what)
        if started:
            tc_histogram_record(self.handler.h, <int64_t>(wall_ns() - started))

    # --- batches ------------------------------------------------------------------------------------------------------

    def recv_many(self, n: int = 4096, timeout: float | None = None) -> Batch | None:
        """What is waiting, at most `n` ticks, at least one; None after `timeout` seconds without any or after stop().

        A batch has one schema. Several schemas that were waiting come as several batches, one per call; in stream order
        a batch ends where the schema changes.
        """
        cdef uint32_t most = n
        cdef uint32_t total = 0
        cdef int what
        cdef uint64_t deadline = _deadline(timeout)
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        self._came_back()
        if self.share is not None and not self.ready:
            self.share.batches = True
            if self.at >= self.run.count:
                self.share.came_back(self.recovery.hold_count != 0)
        while not self.ready:
            what = self._collect(most, &total)
            if what == COLLECT_BLOCK:
                self._open_block(self.run.schema, most)
            elif what == LINK_TOPIC:
                self.event(what)
            elif total:
                self._finish()
                total = 0
            elif self.stopped:
                return None
            elif what == LINK_NONE:
                if not self.idle(deadline):
                    return None
            elif what == LINK_SKIPPED:
                PyErr_CheckSignals()
                self.look(wall_ns(), False)
                if deadline != NEVER and mono_ns() >= deadline:
                    return None
            else:
                self.event(what)
        return self.ready.popleft()

    cdef int _collect(self, uint32_t n, uint32_t* total) noexcept nogil:
        """Copy records into the open blocks until `n` are there or something else is to be done."""
        cdef columns_t* to
        cdef const uint8_t* records
        cdef tc_wire_trailer trailer
        cdef uint32_t i, k, at
        cdef int what
        while total[0] < n:
            what = self.step()
            if what != LINK_RUN:
                return what
            to = self.filling[self.run.schema]
            if self.stream and total[0] and self.run.schema != self.first_schema:
                return COLLECT_FULL
            if to == NULL:
                self.first_schema = self.run.schema
                return COLLECT_BLOCK
            at = self.at
            k = min(self.run.count - at, n - total[0])
            records = self.run.records + at * <size_t>to.record_bytes
            if k == 1 and to.record_bytes == 80:
                memcpy(to.records + to.count * <size_t>80, records, 80)
            else:
                memcpy(to.records + to.count * <size_t>to.record_bytes, records, k * <size_t>to.record_bytes)
            for i in range(k):
                to.seq[to.count + i] = self.run.seq
                to.ts_in[to.count + i] = self.run.ts_in
                to.topic_seq[to.count + i] = self.run.topic_seq + at + i
                to.ts_sent[to.count + i] = self.run.ts_sent
                to.topics[to.count + i] = self.run.topic
                to.flags[to.count + i] = self.run.flags
                to.folded[to.count + i] = 0
            if at == 0:
                to.folded[to.count] = self.run.folded
            if self.run.trailer != NULL:
                for i in range(k):
                    trailer = tc_wire_step(self.run.trailer, at + i)
                    to.seq[to.count + i] += trailer.seq_delta
                    to.ts_in[to.count + i] += trailer.ts_in_delta
            to.count += k
            self.at = at + k
            total[0] += k
        return COLLECT_FULL

    cdef int _open_block(self, uint16_t schema_id, uint32_t room) except -1:
        cdef Block block
        cdef list kept = self.blocks[schema_id]
        for block in kept:
            if block.columns.room >= room and block.unused():
                break
        else:
            block = Block(schema_id, room)
            if len(kept) == BLOCKS_KEPT:
                del kept[0]
            kept.append(block)
        block.columns.count = 0
        self.filling[schema_id] = &block.columns
        self.open_blocks.append(block)
        return 0

    cdef int _finish(self) except -1:
        """Everything in the open blocks becomes batches."""
        cdef Block block
        cdef columns_t* columns
        cdef uint64_t now = wall_ns()
        cdef uint64_t feed_now = now - <uint64_t>self.offset_ns
        if self.progress is not None:
            self.progress.hand_batches(self.open_blocks, self.seq)
        for block in self.open_blocks:
            columns = &block.columns
            self.filling[columns.schema_id] = NULL
            if columns.count == 0:
                continue
            self._measure_columns(columns, feed_now)
            if (self.stops >> columns.schema_id) & 1 and self.last_lag_ns > self.behind_ns:
                self.hooks.late(BY_ID[columns.schema_id].word, self.last_lag_ns)
            self.ticks += columns.count
            batch = Batch.of(block, self.names, now)
            self.ready.append(batch)
            if columns.schema_id == STATUS:
                for symbol, record in zip(batch.symbols, batch.records):
                    self.hooks.status(
                        symbol, record["action"], record["reason"], record["is_trading"].decode(), record["ts_event"])
        self.open_blocks.clear()
        if not self.pending:
            self.look(now, False)
        return 0


cdef uint64_t _deadline(timeout) except? 0:
    """Monotonic ns of `timeout` seconds from now; NEVER for None and for more than 30 years."""
    return NEVER if timeout is None or timeout > 1e9 else mono_ns() + <uint64_t>(max(0.0, timeout) * 1e9)
