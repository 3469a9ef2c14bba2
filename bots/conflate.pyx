# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Conflation: a bot that is behind gets the newest state of each topic, and every event.

    not behind              runs pass untouched
    behind                  what is waiting is drained, states are folded, then all that is left is handed out

Behind is a bot whose oldest waiting run was sent more than `behind_ns` ago. A drain ends where nothing more is waiting,
where no more may be kept, and before anything that states must not overtake:

    a question or news of the link      asked or told once all that was kept is out
    heartbeat                           likewise: it says that everything before it was handed over
    another epoch                       likewise: old and new numbers cannot be compared
    snapshot, replayed                  likewise, and as they are: somebody asked for exactly these, whatever their age

    run of a state                      replaces the kept one of its topic where it continues it; of several records the last
    begins before or behind that        a run of its own: the order behind us drops a duplicate, and tells a hole exactly
    run of an event                     kept as it is
    count 0 (news of the numbering)     kept as it is; no later state of its topic moves before it

Kept runs go out in the order in which they came, a state at the place of its newest record; so over a link in stream
order, as StreamHold is, they are in the order of seq. `folded` of a state counts the ticks that it replaces, those included that the feed
had folded already. No input or output; the clock is read once in 1 to 16 runs.
"""

from typing import NamedTuple

from libc.stdint cimport UINT32_MAX
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from bots.links.link cimport (
    LINK_CLOSED,
    LINK_LOST,
    LINK_NONE,
    LINK_RUN,
    LINK_SKIPPED,
    LINK_TOPIC,
    NO_TOPIC,
)
from feed.clock cimport wall_ns
from feed.wire.frames cimport (
    TC_FLAG_CONFLATED,
    TC_FLAG_LOSS,
    TC_FLAG_REPLAYED,
    TC_FLAG_SNAPSHOT,
    TC_WIRE_STEP,
    tc_wire_step,
    tc_wire_trailer,
)

from feed.errors import CallerError
from feed.wire.records import BY_ID

cdef enum:
    LOOK_EVERY = 16             # runs between two looks at the clock, where the last ones found us in time
    DRAIN_RUNS = 1 << 20        # of one drain: what is waiting, but for a feed that is faster than this loop
    SKIPPED_RUNS = 1024         # so much of it for a LINK_SKIPPED
    KEPT_MAX = 1 << 15          # runs
    BYTES_MAX = 4 << 20         # of their records

_WHAT = {
    LINK_NONE: "none", LINK_RUN: "run", LINK_SKIPPED: "skipped", LINK_TOPIC: "topic", LINK_LOST: "lost", LINK_CLOSED: "closed"
}


class Run(NamedTuple):
    """What a link gave, for tests; `what` is run, none, skipped, topic, lost or closed."""

    what: str
    topic: int | None
    flags: int
    ticks: int
    folded: int
    epoch: int
    seqs: list
    topic_seq: int
    ts_ins: list
    ts_sent: int
    records: bytes


cdef class Conflate(Link):
    """The runs of `source`; states of `schemas` (ids) folded while the bot is more than `behind_ns` behind.

    Memory is bounded: what would not fit any more stays in the link. Age is taken by the wall clock: on a host whose
    clock is ahead of the feed's, a bot seems more behind than it is.

    :raises CallerError: events (trades, orders, ...) are never conflated.
    """

    def __init__(self, Link source not None, schemas, behind_ns: int) -> None:
        self.source = source
        self.transport = source.transport
        self.behind_ns = behind_ns
        self.unlooked = self.pause = 1
        self.parked_what = LINK_NONE
        for schema_id in schemas:
            if schema_id not in BY_ID or not BY_ID[schema_id].conflatable:
                raise CallerError(
                    "not a state, and only states can be conflated",
                    expected=", ".join(schema.word for schema in BY_ID.values() if schema.conflatable),
                    found=BY_ID[schema_id].word if schema_id in BY_ID else schema_id,
                )
            self.states |= <uint64_t>1 << <int>schema_id

    def __dealloc__(self):
        free(self.kept)
        free(self.bytes)
        free(self.open)

    cdef int next(self, run_t* out) noexcept nogil:
        cdef int what
        if self.holding:
            return self._hand_out(out)
        what = self.source.next(out)
        if what == LINK_RUN:
            self.unlooked -= 1
            if self.unlooked == 0:
                return self._look(out)
        return what

    cdef int _look(self, run_t* out) noexcept nogil:
        cdef uint64_t now
        self.unlooked = 1
        if out.count == 0 or out.flags & (TC_FLAG_SNAPSHOT | TC_FLAG_REPLAYED):
            return LINK_RUN         # its age says nothing
        now = wall_ns()
        if now <= out.ts_sent or now - out.ts_sent <= self.behind_ns:
            self.pause = min(2 * self.pause, <uint32_t>LOOK_EVERY)
            self.unlooked = self.pause
            return LINK_RUN
        self.pause = 1
        self.drains += 1
        self._drain(out)
        return self._hand_out(out)

    # --- taking in ----------------------------------------------------------------------------------------------------

    cdef void _drain(self, const run_t* first) noexcept nogil:
        cdef run_t run = first[0]
        cdef uint64_t epoch = run.epoch
        cdef uint32_t runs = 0
        cdef int what
        self.kept_count = self.first = self.last = 0
        self.used = 0
        self.holding = True
        while True:
            if (
                run.topic == NO_TOPIC
                or run.epoch != epoch
                or run.flags & (TC_FLAG_SNAPSHOT | TC_FLAG_REPLAYED)
                or self._keep(&run) < 0
            ):
                self.parked = run
                self.parked_what = LINK_RUN
                return
            runs += 1
            what = self.source.next(&run)
            while what == LINK_SKIPPED and runs < DRAIN_RUNS:
                runs += SKIPPED_RUNS
                what = self.source.next(&run)
            if what != LINK_RUN or runs >= DRAIN_RUNS:
                self.parked = run
                self.parked_what = what
                return

    cdef int _keep(self, const run_t* run) noexcept nogil:
        """Copy or fold a run; -1: there is no room."""
        cdef size_t records = <size_t>run.count * run.record_bytes
        cdef size_t trailer = run.count * <size_t>TC_WIRE_STEP if run.trailer != NULL else 0
        cdef kept_t* kept
        if run.schema < 64 and self.states >> run.schema & 1:
            if run.count:
                return self._keep_state(run)
            if run.topic < self.open_room:
                self.open[run.topic] = 0
        kept = self._append(run, records + trailer)
        if kept == NULL:
            return -1
        if records:
            memcpy(self.bytes + kept.at, run.records, records)
        if trailer:
            memcpy(self.bytes + kept.at + records, run.trailer, trailer)
        return 0

    cdef int _keep_state(self, const run_t* run) noexcept nogil:
        """The last record of a run of a state, for all before it that it replaces."""
        cdef run_t newest = run[0]
        cdef uint64_t begins = run.topic_seq        # the first tick that it stands for
        cdef uint64_t replaced = run.count - 1
        cdef tc_wire_trailer step
        cdef kept_t* kept
        cdef uint32_t index, room
        cdef uint32_t* grown
        if run.topic >= self.open_room:
            room = max(run.topic + 1, 2 * self.open_room, <uint32_t>64)
            grown = <uint32_t*>realloc(self.open, room * sizeof(uint32_t))
            if grown == NULL:
                return -1
            memset(grown + self.open_room, 0, (room - self.open_room) * sizeof(uint32_t))
            self.open = grown
            self.open_room = room
        if run.flags & TC_FLAG_CONFLATED:
            begins -= min(begins, <uint64_t>run.folded)
        else:
            newest.folded = 0
        if run.count > 1:
            step = tc_wire_step(run.trailer, run.count - 1)
            newest.seq += step.seq_delta
            newest.ts_in += step.ts_in_delta
            newest.topic_seq += replaced
            newest.records += <size_t>replaced * run.record_bytes
            newest.trailer = NULL
            newest.count = 1
        index = self.open[run.topic]
        if index:
            kept = &self.kept[index - 1]
            if kept.due != begins or <uint64_t>kept.run.folded + 1 + newest.folded + replaced > UINT32_MAX:
                index = 0
        if index:
            replaced += 1
            newest.folded += kept.run.folded
            # Only before the first of them can there be a hole, and that is what the flag explains.
            newest.flags = newest.flags & ~<uint16_t>TC_FLAG_LOSS | kept.run.flags & TC_FLAG_LOSS
            # Its place is now the last.
            if kept.after:
                self.kept[kept.after - 1].before = kept.before
                if kept.before:
                    self.kept[kept.before - 1].after = kept.after
                else:
                    self.first = kept.after
                kept.before = self.last
                kept.after = 0
                self.kept[self.last - 1].after = index
                self.last = index
        else:
            kept = self._append(&newest, run.record_bytes)
            if kept == NULL:
                return -1
            self.open[run.topic] = self.last
        newest.folded = <uint32_t>min(newest.folded + replaced, <uint64_t>UINT32_MAX)
        if newest.folded:
            newest.flags |= TC_FLAG_CONFLATED
        self.folded += replaced
        kept.run = newest
        kept.due = newest.topic_seq + 1
        memcpy(self.bytes + kept.at, newest.records, run.record_bytes)
        return 0

    cdef kept_t* _append(self, const run_t* run, size_t nbytes) noexcept nogil:
        """Room for a run and `nbytes` of it, as the last; NULL: there is none."""
        cdef uint32_t kept_room = self.kept_room
        cdef size_t room = self.room
        cdef kept_t* kept
        cdef uint8_t* grown
        if self.kept_count == kept_room:
            if kept_room == KEPT_MAX:
                return NULL
            kept_room = max(2 * kept_room, <uint32_t>64)
            kept = <kept_t*>realloc(self.kept, kept_room * sizeof(kept_t))
            if kept == NULL:
                return NULL
            self.kept = kept
            self.kept_room = kept_room
        if nbytes > room - self.used:
            if nbytes > BYTES_MAX - self.used:
                return NULL
            room = min(max(2 * room, self.used + nbytes, <size_t>4096), <size_t>BYTES_MAX)
            grown = <uint8_t*>realloc(self.bytes, room)
            if grown == NULL:
                return NULL
            self.bytes = grown
            self.room = room
        kept = &self.kept[self.kept_count]
        kept.run = run[0]
        kept.at = self.used
        kept.before = self.last
        kept.after = 0
        self.used += nbytes
        self.kept_count += 1
        if self.last:
            self.kept[self.last - 1].after = self.kept_count
        else:
            self.first = self.kept_count
        self.last = self.kept_count
        return kept

    # --- handing out --------------------------------------------------------------------------------------------------

    cdef int _hand_out(self, run_t* out) noexcept nogil:
        cdef kept_t* kept
        cdef int what
        if self.first:
            kept = &self.kept[self.first - 1]
            out[0] = kept.run
            out.records = self.bytes + kept.at
            if kept.run.trailer != NULL:
                out.trailer = out.records + <size_t>out.count * out.record_bytes
            if out.topic < self.open_room and self.open[out.topic] == self.first:
                self.open[out.topic] = 0
            self.first = kept.after
            self.holding = self.first != 0 or self.parked_what != LINK_NONE
            return LINK_RUN
        what = self.parked_what
        out[0] = self.parked
        self.parked_what = LINK_NONE
        self.holding = False
        # It may begin the next drain, unless it is too long to be kept at all.
        return self._look(out) if what == LINK_RUN and self.kept_count else what

    # --- the Python face, for tests -----------------------------------------------------------------------------------

    def read(self) -> Run:
        """What next() gives, copied."""
        cdef run_t run
        cdef int what
        memset(&run, 0, sizeof(run))
        what = self.next(&run)
        if what != LINK_RUN:
            return Run(_WHAT[what], run.topic if what == LINK_TOPIC else None, 0, 0, 0, 0, [], 0, [], 0, b"")
        seqs, ts_ins = [], []
        for i in range(run.count):
            seqs.append(run.seq + (tc_wire_step(run.trailer, i).seq_delta if run.trailer != NULL else 0))
            ts_ins.append(run.ts_in + (tc_wire_step(run.trailer, i).ts_in_delta if run.trailer != NULL else 0))
        return Run(
            "run",
            None if run.topic == NO_TOPIC else run.topic,
            run.flags,
            run.count,
            run.folded,
            run.epoch,
            seqs or [run.seq],
            run.topic_seq,
            ts_ins,
            run.ts_sent,
            (<const char*>run.records)[: <size_t>run.count * run.record_bytes] if run.count else b"",
        )
