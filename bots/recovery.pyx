# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Recovery: topics that wait for what is missing, what to ask for, what goes out when. No input or output; time
comes in by ask(), accept() and overdue(): a hole is as old as the first overdue() that found it.

                    ┌──────────── ask() ────────▶ the control address
    hole ─▶ hold    │                                  │
             │   WAITS_FILL ◀── accept(answer) ────────┘
             │      │ give(): ticks of the answer, flagged replayed, until the hole is closed,
             │      │         or given up: a gap with its cause
    live ─▶ keep()  ▼
             │   WAITS_NOT ── give(): what was kept ──▶ live again
             │      ▲
    new topic,      │ give(): its last state, flagged snapshot
    joining ─▶ WAITS_STATE

A topic that waits stands still; all others go on. One request is under way at a time and asks for every hole there is; an
answer is bounded and says where to go on. What is kept is bounded too: beyond the limit live runs are dropped, the
numbering shows the hole when the topic gets there, and they are asked for like any other.

Every hole ends in one of two ways: its ticks were delivered, or its exact range came out as a gap.
"""

import random

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from bots.links.link cimport LINK_RUN, LINK_SKIPPED, LINK_TOPIC
from bots.order cimport IS_DROPPED, LOOSE, UNKNOWN
from feed.wire.frames cimport TC_FLAG_CONFLATED, TC_FLAG_SNAPSHOT, TC_WIRE_STEP

from bots.links.history import HistoryLink as _HistoryLink
from feed.wire.frames import FLAG_REPLAYED, FLAG_SNAPSHOT
from feed.wire.records import BY_ID

cdef enum:
    WAITS_FILL = 0      # for the ticks of its hole
    WAITS_STATE = 1     # for its state, having just been met
    WAITS_STATED = 2    # its state goes out with the answer at hand
    WAITS_NOT = 3       # what it kept may go out

TOPICS_PER_REQUEST = 1000
FILL_BYTES = 64 << 10   # of one answer: live ticks are not to be late for the sake of missing ones,
FILL_NS = 2_500_000     # and so long nothing is asked for after as much as that;
HURRY_NS = 1_000_000_000    # but for each second that it goes on, twice as much and a quarter of the pause: it has to end
HURRY_MAX = 4
NEAR = 1_000_000        # of the stream: a request does not ask for holes further apart than that
TRY_NS = 300_000_000    # how long the first answer is awaited; doubled with each try, up to
TRY_MAX_NS = 2_000_000_000
KEPT_BYTES = 64 << 20
REST_NS = 10_000_000


class Answer:
    """The data of an answer, as blocks for a HistoryLink, and what its words say."""

    ended = True

    def __init__(self, asked: tuple, epoch: int, pieces: list, words: dict) -> None:
        self.asked = asked
        self.words = words
        self._blocks = [(epoch, piece, None) for piece in pieces]

    def next_block(self):
        return self._blocks.pop(0) if self._blocks else None

    def topic(self, topic_id: int):
        raise KeyError(topic_id)

    def close(self) -> None:
        self._blocks = []


cdef class Recovery:
    """`patience_ns`: how long a hole may stay without progress until it is given up as a gap; `kept_bytes`: of all that waits
    together; `meet(topic)` is told of a topic that an answer has and says whether it is wanted.
    """

    def __cinit__(self):
        self.kept_limit = KEPT_BYTES

    def __init__(
        self, meet, patience_ns: int = 10_000_000_000, kept_bytes: int = KEPT_BYTES, seed: int | None = None
    ) -> None:
        self.meet = meet
        self.patience_ns = patience_ns
        self.kept_limit = kept_bytes
        self.rng = random.Random(seed)

    def __dealloc__(self):
        self._forget()
        free(self.holds)
        free(self.slots)
        free(self.topic_of)

    def attach(self, Link link not None, TopicOrder order not None) -> None:
        """Begin with another link and its order. What was kept is let go of: it lies behind what is due, and is missing now."""
        self._forget()
        self.link = link
        self.order = order
        self.request = self.answer = self.fill = None
        self.ready = False
        self.joining = False
        self.tries = 0
        self.ask_at_ns = self.full_since_ns = 0

    @property
    def holes(self) -> int:
        """Topics that wait."""
        return self.hold_count

    # --- what comes in ------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Ask for the state of the topics; those that are new() wait for it."""
        self.joining = True
        self.joining_ns = 0
        self.cursor = 0

    def new(self, topic: int) -> None:
        """A topic was met while joining: it waits for its state."""
        cdef uint32_t i = topic
        cdef hold_t* hold
        if self._hold(i) != NULL:
            return
        self._open(i, WAITS_STATE)
        hold = self._hold(i)
        hold.state_before = self.order.topics[i].state
        hold.next_before = self.order.topics[i].next
        self.order.hold(i, hold.next_before)

    def hole(self, topic: int, first: int, last: int, seq_from: int, seq_to: int, folded: int = 0) -> None:
        """`first` to `last` (topic_seqs) of a topic are missing, in the stream at or above `seq_from`, below `seq_to`, 0: not known.

        :param folded: only `last` is wanted, and stands for so many before it.
        """
        cdef uint32_t i = topic
        cdef hold_t* hold = self._hold(i)
        if hold == NULL:
            self._open(i, WAITS_FILL)
            hold = self._hold(i)
        elif hold.what == WAITS_NOT:
            self.going -= 1
        hold.what = WAITS_FILL
        hold.last = last
        hold.seq_from = seq_from
        hold.seq_to = seq_to
        hold.since_ns = 0
        hold.folded = folded
        self.saw(i, last)
        self.order.hold(i, first)
        self.order.topics[i].seq = seq_from

    cdef uint64_t seen(self, uint32_t topic) noexcept nogil:
        cdef hold_t* hold = self._hold(topic)
        return hold.seen if hold != NULL else 0

    cdef void saw(self, uint32_t topic, uint64_t last) noexcept nogil:
        cdef hold_t* hold = self._hold(topic)
        if hold != NULL:
            hold.seen = max(hold.seen, last)

    cdef void keep(self, const run_t* run) noexcept nogil:
        cdef hold_t* hold = self._hold(run.topic)
        cdef kept_t* kept
        cdef bint supersedes
        if hold == NULL:
            return
        if hold.begins == 0:
            hold.begins = run.topic_seq - min(<uint64_t>run.folded, run.topic_seq - 1)
        self.saw(run.topic, run.topic_seq + run.count - 1)
        # Of a state only the newest matters: here it is, whatever was asked for.
        supersedes = (
            hold.what == WAITS_FILL
            and run.count != 0
            and self.order.topics[run.topic].newest
            and run.topic_seq >= self.order.topics[run.topic].next
        )
        if supersedes:
            self._clear(hold)
        kept = self._copy(run)
        if kept == NULL:
            self.overflowed += 1
            return
        if hold.tail != NULL:
            hold.tail.next = kept
        else:
            hold.head = kept
        hold.tail = kept
        if supersedes:
            self._let_go(hold)

    cdef void keep_first(self, const run_t* run) noexcept nogil:
        cdef hold_t* hold = self._hold(run.topic)
        cdef kept_t* kept
        if hold == NULL:
            return
        self.saw(run.topic, run.topic_seq + run.count - 1)
        kept = self._copy(run)
        if kept == NULL:
            self.overflowed += 1
            return
        kept.next = hold.head
        hold.head = kept
        if hold.tail == NULL:
            hold.tail = kept

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, now_ns: int) -> tuple[str, dict] | None:
        """The request to send now: its name and fields. None: nothing is to be asked, or an answer is awaited."""
        if self.request is not None:
            if now_ns < self.ask_at_ns:
                return None
            self.tries += 1
            self.request = None
        if self.answer is not None or now_ns < self.ask_at_ns:
            return None
        self.request = ("snapshot", {"from": self.cursor}) if self.joining else self._holes_to_ask_for(now_ns)
        if self.request is None:
            self.full_since_ns = 0
            return None
        patience = min(TRY_NS << min(self.tries, 8), TRY_MAX_NS)
        self.ask_at_ns = now_ns + int(patience * self.rng.uniform(0.75, 1.25))
        return self.request

    def rest_ns(self, now_ns: int) -> int:
        """How long ask() has nothing to ask for, unless a hole is met; at most REST_NS."""
        cdef uint64_t now = now_ns
        return min(self.ask_at_ns - now, REST_NS) if self.answer is None and self.ask_at_ns > now else REST_NS

    def _hurry(self, now_ns: int) -> int:
        """How long it has gone on that answers were full: 0 to HURRY_MAX."""
        return min((now_ns - self.full_since_ns) // HURRY_NS, HURRY_MAX) if self.full_since_ns else 0

    def _holes_to_ask_for(self, now_ns: int) -> tuple[str, dict] | None:
        cdef uint32_t i
        cdef hold_t* hold
        wanted = []
        for i in range(self.hold_count):
            hold = &self.holds[i]
            if hold.what == WAITS_FILL:
                first = hold.last if hold.folded else self.order.topics[hold.topic].next
                wanted.append((max(hold.seq_from, 1), hold.seq_to, hold.topic, first, hold.last))
        if not wanted:
            return None
        wanted.sort()
        start = wanted[0][0]
        wanted = [each for each in wanted[:TOPICS_PER_REQUEST] if each[0] <= start + NEAR]
        topics = []
        for _, _, topic, first, last in wanted:
            schema_id, symbol = self.link.topic(topic)
            topics.append([BY_ID[schema_id].word, symbol, first, last])
        fields = {"epoch": self.order.epoch, "from": start, "topics": topics, "bytes": FILL_BYTES << self._hurry(now_ns)}
        if all(each[1] for each in wanted):
            fields["to"] = max(each[1] for each in wanted) - 1
        return "replay", fields

    def accept(self, words: dict, pieces: list, now_ns: int) -> None:
        """The answer to the last request: `words` as the control protocol has them, `pieces` runs of log frames.

        One that is not as the protocol says counts as a refusal.
        """
        asked, self.request = self.request, None
        if asked is None:
            return
        snapshot = asked[0] == "snapshot"
        self.refused = not _sound(words, snapshot) or not (snapshot or words["epoch"] == self.order.epoch)
        if self.refused:
            self.tries += 1
            self.ask_at_ns = now_ns + int(min(TRY_NS << min(self.tries, 8), TRY_MAX_NS) * self.rng.uniform(0.5, 1.0))
            return
        self.tries = 0
        self.ask_at_ns = 0
        if not snapshot:
            nbytes = sum(map(len, pieces))
            self.ask_at_ns = now_ns + (FILL_NS * nbytes // FILL_BYTES >> 3 * self._hurry(now_ns))
            if nbytes < FILL_BYTES // 2:
                self.full_since_ns = 0
            elif self.full_since_ns == 0:
                self.full_since_ns = now_ns
        if self.order.epoch == 0:
            self.order.epoch = words["epoch"]   # the states are of it, whatever comes next
        if words["epoch"] != self.order.epoch:
            self._end_joining()
            return
        self.answer = Answer(asked, words["epoch"], pieces, words)
        self.fill = _HistoryLink(self.answer, "fill", 0, FLAG_SNAPSHOT if snapshot else FLAG_REPLAYED)
        self.ready = True

    # --- what goes out ------------------------------------------------------------------------------------------------

    cdef int give(self, run_t* run, verdict_t* verdict) noexcept nogil:
        cdef int what
        if self.gone != NULL:
            self.kept_bytes -= self.gone.nbytes
            free(self.gone)
            self.gone = NULL
        if self.fill is not None:
            what = self._give_answer(run, verdict)
            if what != MEND_NONE:
                return what
        if self.going:
            what = self._give_kept(run, verdict)
            if what != MEND_NONE:
                return what
        self.ready = False
        return MEND_NONE

    cdef int _give_answer(self, run_t* run, verdict_t* verdict) noexcept nogil:
        cdef hold_t* hold
        cdef int what
        while True:
            what = self.fill.next(run)
            if what == LINK_TOPIC:
                with gil:
                    self._map(run.topic)
                continue
            if what == LINK_SKIPPED:
                continue
            if what != LINK_RUN:
                return MEND_CLOSE
            run.topic = self.topic_of[run.topic]
            hold = self._hold(run.topic)
            if hold == NULL:
                continue
            if run.flags & TC_FLAG_SNAPSHOT:
                if self._state(hold, run):
                    verdict.what = verdict.skip = verdict.folded = 0
                    self.answering = True
                    return MEND_RUN
                continue
            if hold.what != WAITS_FILL or run.topic_seq > hold.last:
                continue
            if hold.folded:
                if run.topic_seq != hold.last:
                    continue
                run.flags |= TC_FLAG_CONFLATED
                run.folded = hold.folded
            self.order.mend(run, verdict)
            if verdict.what & IS_DROPPED:
                continue
            self.filled += run.count - verdict.skip
            if self.order.topics[run.topic].next > hold.last:
                self._let_go(hold)
            self.answering = True
            return MEND_RUN

    cdef bint _state(self, hold_t* hold, const run_t* run) noexcept nogil:
        """A frame of a snapshot: is it to be delivered? First comes which topic_seq the state includes, then the state."""
        if hold.what == WAITS_STATE and run.count == 0:
            hold.what = WAITS_STATED
            self.order.topics[hold.topic].next = run.topic_seq
            self.order.topics[hold.topic].seq = run.seq
            return False
        return hold.what == WAITS_STATED and run.count != 0

    cdef int _give_kept(self, run_t* run, verdict_t* verdict) noexcept nogil:
        cdef hold_t* hold
        cdef kept_t* kept
        cdef uint32_t looked = 0
        self.answering = False
        while looked < self.hold_count:
            self.turn += 1
            if self.turn >= self.hold_count:
                self.turn = 0
            looked += 1
            hold = &self.holds[self.turn]
            if hold.what != WAITS_NOT:
                continue
            while hold.head != NULL:
                kept = hold.head
                hold.head = kept.next
                if hold.head == NULL:
                    hold.tail = NULL
                run[0] = kept.run
                self.order.mend(run, verdict)
                if not verdict.what & IS_DROPPED:
                    self.gone = kept
                    self.turn -= 1      # this topic again: one after the other they go live
                    return MEND_RUN
                self.kept_bytes -= kept.nbytes
                free(kept)
            if hold.seen >= self.order.topics[hold.topic].next:
                # There was no room for the last ones.
                memset(run, 0, sizeof(run[0]))
                run.topic = hold.topic
                run.topic_seq = hold.seen + 1
                self.order.mend(run, verdict)
                self.turn -= 1
                return MEND_RUN
            self.order.release(hold.topic)
            self.going -= 1
            self._drop(self.turn)
            looked = 0
        return MEND_NONE

    def close_answer(self) -> list[tuple[int, int, int, str]]:
        """All of the answer has gone out: gaps (topic, first, last, cause) of what it could not give."""
        cdef uint32_t i
        cdef hold_t* hold
        words, asked = self.answer.words, self.answer.asked
        self.answer = self.fill = None
        if asked[0] == "snapshot":
            self.joining_ns = 0
            for i in range(self.hold_count):
                if self.holds[i].what == WAITS_STATED:
                    self._let_go(&self.holds[i])
            self.cursor = words.get("next")
            if self.cursor is None:
                self._end_joining()
            return []
        ranges = {(word, symbol): last for word, symbol, _, last in asked[1]["topics"]}
        gaps = []
        progress = False
        for i in range(self.hold_count):
            hold = &self.holds[i]
            if hold.what != WAITS_FILL:
                continue
            schema_id, symbol = self.link.topic(hold.topic)
            if ranges.get((BY_ID[schema_id].word, symbol)) != hold.last:
                continue
            if words["next"] > hold.seq_from:
                hold.seq_from = words["next"]
                progress = True
            if words["end"] or (hold.seq_to and words["next"] >= hold.seq_to):
                gaps += self._give_up(hold, _why(words))
        if progress:    # also those whose turn to be asked for has not come are as good as being fetched
            for i in range(self.hold_count):
                self.holds[i].since_ns = 0
        return gaps

    cdef str answered(self):
        """What the answer at hand says of what it does not have."""
        return _why(self.answer.words)

    def overdue(self, now_ns: int) -> list[tuple[int, int, int, str]]:
        """Gaps of holes that have waited too long. What an answer that is here has, is not late."""
        cdef uint32_t i
        cdef hold_t* hold
        gaps = []
        if self.answer is not None:
            return gaps
        if self.joining_ns == 0:
            self.joining_ns = now_ns
        elif self.joining and now_ns > self.joining_ns + self.patience_ns:
            self._end_joining()
        for i in range(self.hold_count):
            hold = &self.holds[i]
            if hold.since_ns == 0:
                hold.since_ns = now_ns
            elif now_ns > hold.since_ns + self.patience_ns:
                if hold.what == WAITS_FILL:
                    gaps += self._give_up(hold, "refused" if self.refused else "timeout")
        return gaps

    def abandon(self, cause: str) -> list[tuple[int, int, int, str]]:
        """Nothing more is to be had: gaps of all holes; what was kept goes out."""
        cdef uint32_t i
        gaps = []
        self.request = self.answer = self.fill = None
        self._end_joining()
        for i in range(self.hold_count):
            if self.holds[i].what == WAITS_FILL:
                gaps += self._give_up(&self.holds[i], cause)
        return gaps

    def part(self) -> bool:
        """The link is left: topics that wait for their state begin where they would have. Were states awaited?"""
        joining = self.joining
        self._end_joining()
        return joining

    def _end_joining(self) -> None:
        """Topics whose state did not come go on as if they had not waited."""
        cdef uint32_t i
        cdef hold_t* hold
        self.joining = False
        for i in reversed(range(self.hold_count)):
            hold = &self.holds[i]
            if hold.what == WAITS_STATED:
                self._let_go(hold)
            elif hold.what == WAITS_STATE and hold.begins == 0:
                self.order.release(hold.topic)
                self.order.topics[hold.topic].state = hold.state_before
                self._drop(i)
            elif hold.what == WAITS_STATE:
                if hold.state_before == UNKNOWN or (hold.state_before == LOOSE and hold.begins < hold.next_before):
                    self.order.topics[hold.topic].next = hold.begins
                self._let_go(hold)

    cdef list _give_up(self, hold_t* hold, str cause):
        first, last = self.order.topics[hold.topic].next, hold.last
        self.order.topics[hold.topic].next = last + 1
        self._let_go(hold)
        return [(hold.topic, first, last, cause)] if first <= last else []

    # --- holds ----------------------------------------------------------------------------------------------------------

    cdef int _open(self, uint32_t topic, uint32_t what) except -1:
        cdef uint32_t room
        if topic >= self.slot_room:
            room = max(2 * self.slot_room, topic + 1, <uint32_t>256)
            self.slots = <uint32_t*>_grown(self.slots, room * sizeof(uint32_t))
            memset(self.slots + self.slot_room, 0, (room - self.slot_room) * sizeof(uint32_t))
            self.slot_room = room
        if self.hold_count == self.hold_room:
            room = max(2 * self.hold_room, <uint32_t>64)
            self.holds = <hold_t*>_grown(self.holds, room * sizeof(hold_t))
            self.hold_room = room
        memset(&self.holds[self.hold_count], 0, sizeof(hold_t))
        self.holds[self.hold_count].topic = topic
        self.holds[self.hold_count].what = what
        self.hold_count += 1
        self.slots[topic] = self.hold_count
        return 0

    cdef hold_t* _hold(self, uint32_t topic) noexcept nogil:
        if topic >= self.slot_room or self.slots[topic] == 0:
            return NULL
        return &self.holds[self.slots[topic] - 1]

    cdef void _let_go(self, hold_t* hold) noexcept nogil:
        self.going += hold.what != WAITS_NOT
        hold.what = WAITS_NOT
        self.ready = True

    cdef void _drop(self, uint32_t index) noexcept nogil:
        self.slots[self.holds[index].topic] = 0
        self.hold_count -= 1
        if index != self.hold_count:
            self.holds[index] = self.holds[self.hold_count]
            self.slots[self.holds[index].topic] = index + 1

    cdef void _clear(self, hold_t* hold) noexcept nogil:
        cdef kept_t* kept
        while hold.head != NULL:
            kept = hold.head
            hold.head = kept.next
            self.kept_bytes -= kept.nbytes
            free(kept)
        hold.tail = NULL

    cdef void _forget(self) noexcept nogil:
        free(self.gone)
        self.gone = NULL
        while self.hold_count:
            self._clear(&self.holds[self.hold_count - 1])
            self._drop(self.hold_count - 1)
        self.kept_bytes = 0
        self.going = 0

    cdef kept_t* _copy(self, const run_t* run) noexcept nogil:
        cdef size_t records = <size_t>run.count * run.record_bytes
        cdef size_t trailer = run.count * <size_t>TC_WIRE_STEP if run.trailer != NULL else 0
        cdef size_t nbytes = sizeof(kept_t) + records + trailer
        cdef kept_t* kept
        cdef uint8_t* data
        if self.kept_bytes + nbytes > self.kept_limit:
            return NULL
        kept = <kept_t*>malloc(nbytes)
        if kept == NULL:
            return NULL
        data = <uint8_t*>kept + sizeof(kept_t)
        kept.next = NULL
        kept.nbytes = nbytes
        kept.run = run[0]
        if records:
            memcpy(data, run.records, records)
        if trailer:
            memcpy(data + records, run.trailer, trailer)
        kept.run.records = data
        kept.run.trailer = data + records if trailer else NULL
        self.kept_bytes += nbytes
        return kept

    cdef int _map(self, uint32_t theirs) except -1:
        """A topic of the answer: which of the link's is it?"""
        cdef uint32_t room
        schema_id, symbol = self.fill.topic(theirs)
        if theirs >= self.topic_room:
            room = max(2 * self.topic_room, theirs + 1, <uint32_t>256)
            self.topic_of = <uint32_t*>_grown(self.topic_of, room * sizeof(uint32_t))
            self.topic_room = room
        try:
            ours = self.link.index_of_key(schema_id, symbol)
        except LookupError:
            self.fill.want(theirs, False)
            return 0
        self.topic_of[theirs] = ours
        self.fill.want(theirs, self.meet(ours))
        return 0


cdef str _why(words):
    """What the feed says of the range that it does not have."""
    return words["missing"][0][2] if words["missing"] else "expired"


cdef bint _sound(words, bint snapshot):
    """Is an answer as the control protocol has it, and no error?"""
    if "error" in words or not isinstance(words.get("epoch"), int):
        return False
    if snapshot:
        return isinstance(words.get("next"), (int, type(None)))
    missing = words.get("missing")
    return (
        isinstance(words.get("next"), int)
        and isinstance(words.get("end"), bool)
        and isinstance(missing, list)
        and all(isinstance(each, list) and len(each) == 3 and isinstance(each[2], str) for each in missing)
    )


cdef void* _grown(void* memory, size_t nbytes) except NULL:
    cdef void* grown = realloc(memory, nbytes)
    if grown == NULL:
        raise MemoryError
    return grown
