# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Stream order over a link whose frames are in order by topic only: hold each record until nothing lower can come.

A frame's first record has its lowest seq, and the first seqs of frames only rise. So all records up to the highest seq
that any frame began with, heartbeats and other frames without records among them, are complete (feed/wire/README.md,
"What the numbers promise", 2). Snapshots and replays stand outside the stream and pass. No input or output, no clock.
"""

from libc.stdint cimport UINT64_MAX
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from bots.links.link cimport LINK_RUN
from feed.wire.frames cimport TC_FLAG_REPLAYED, TC_FLAG_SNAPSHOT, TC_WIRE_STEP, tc_wire_step

cdef enum:
    NONE = 0xFFFFFFFF


cdef class StreamHold(Link):
    """The runs of `source`, one record each, in order of seq."""

    def __init__(self, Link source not None) -> None:
        self.source = source
        self.transport = source.transport
        self.free_head = NONE

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.held_room):
            free(self.held[i].data)
        free(self.held)
        free(self.heap)

    cdef int next(self, run_t* out) noexcept nogil:
        cdef run_t run
        cdef int what
        if self.gone:
            self.held[self.gone - 1].next_free = self.free_head
            self.free_head = self.gone - 1
            self.gone = 0
        while True:
            if self.waiting and self.held[self.heap[0]].seq <= self.proved:
                self._let_out(out)
                return LINK_RUN
            if self.has_parked:
                run = self.parked
                self.has_parked = False
                self.epoch = run.epoch
                self.proved = 0
            else:
                what = self.source.next(&run)
                if what != LINK_RUN:
                    out[0] = run
                    return what
                if run.flags & (TC_FLAG_SNAPSHOT | TC_FLAG_REPLAYED) or run.epoch < self.epoch:
                    out[0] = run
                    return LINK_RUN
                if run.epoch > self.epoch:
                    # Nothing more can come of the old epoch: all that waits is complete.
                    self.parked = run
                    self.has_parked = True
                    self.proved = UINT64_MAX
                    continue
            if run.seq > self.proved:
                self.proved = run.seq
            if self.waiting == 0 and run.count <= 1:
                out[0] = run
                return LINK_RUN
            if self._put(&run) < 0:
                # Out of memory. Out of order is better than not at all.
                self.refused += 1
                out[0] = run
                return LINK_RUN

    cdef int _put(self, const run_t* run) noexcept nogil:
        """Copy a run and let it wait; -1: no memory."""
        cdef size_t records = <size_t>run.count * run.record_bytes
        cdef size_t trailer = run.count * <size_t>TC_WIRE_STEP if run.trailer != NULL else 0
        cdef uint32_t room, i, parent
        cdef uint32_t* heap
        cdef held_t* held
        cdef uint8_t* data
        if self.free_head == NONE:
            room = max(2 * self.held_room, <uint32_t>64)
            heap = <uint32_t*>realloc(self.heap, room * sizeof(uint32_t))
            if heap == NULL:
                return -1
            self.heap = heap
            held = <held_t*>realloc(self.held, room * sizeof(held_t))
            if held == NULL:
                return -1
            memset(held + self.held_room, 0, (room - self.held_room) * sizeof(held_t))
            for i in range(self.held_room, room):
                held[i].next_free = i + 1 if i + 1 < room else <uint32_t>NONE
            self.free_head = self.held_room
            self.held = held
            self.held_room = room
        held = &self.held[self.free_head]
        if held.room < records + trailer:
            data = <uint8_t*>realloc(held.data, records + trailer)
            if data == NULL:
                return -1
            held.data = data
            held.room = records + trailer
        held.run = run[0]
        if records:
            memcpy(held.data, run.records, records)
        if trailer:
            memcpy(held.data + records, run.trailer, trailer)
        held.run.records = held.data
        held.run.trailer = held.data + records if trailer else NULL
        held.seq = run.seq
        held.serial = self.serial
        held.at = 0
        self.serial += 1
        i = self.waiting
        self.heap[i] = self.free_head
        self.free_head = held.next_free
        self.waiting += 1
        while i:
            parent = (i - 1) // 2
            if not self._before(self.heap[i], self.heap[parent]):
                break
            self.heap[i], self.heap[parent] = self.heap[parent], self.heap[i]
            i = parent
        return 0

    cdef void _let_out(self, run_t* out) noexcept nogil:
        """The lowest record as a run of its own."""
        cdef uint32_t index = self.heap[0]
        cdef held_t* held = &self.held[index]
        out[0] = held.run
        if held.run.count:
            out.count = 1
            out.seq = held.seq
            out.topic_seq += held.at
            out.records += <size_t>held.at * held.run.record_bytes
            out.trailer = NULL
            if held.at:
                out.folded = 0
                out.ts_in += tc_wire_step(held.run.trailer, held.at).ts_in_delta
        held.at += 1
        if held.at < held.run.count:
            held.seq = held.run.seq + tc_wire_step(held.run.trailer, held.at).seq_delta
        else:
            self.gone = index + 1
            self.waiting -= 1
            self.heap[0] = self.heap[self.waiting]
        self._sink()

    cdef void _sink(self) noexcept nogil:
        cdef uint32_t i = 0
        cdef uint32_t child
        while True:
            child = 2 * i + 1
            if child >= self.waiting:
                return
            if child + 1 < self.waiting and self._before(self.heap[child + 1], self.heap[child]):
                child += 1
            if not self._before(self.heap[child], self.heap[i]):
                return
            self.heap[i], self.heap[child] = self.heap[child], self.heap[i]
            i = child

    cdef bint _before(self, uint32_t a, uint32_t b) noexcept nogil:
        cdef held_t* x = &self.held[a]
        cdef held_t* y = &self.held[b]
        return x.seq < y.seq or (x.seq == y.seq and x.serial < y.serial)
