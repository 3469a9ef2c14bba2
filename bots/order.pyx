# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Order by (epoch, topic_seq): deliver, drop, or say what is missing. No input or output, no clock.

    run of an older epoch               dropped
    run of a newer epoch                IS_EPOCH; every topic is due at 1 again
    topic UNKNOWN                       delivered; the next one is due
    begins where it is due              delivered
    begins, and ends, before            dropped: duplicates
    begins before, ends behind          the rest is delivered
    begins behind                       IS_HOLE, then delivered; but a conflated run covers its `folded` predecessors,
                                        and one of a topic of which only the newest matters covers them all
    count 0 (news of the numbering)     as a run that holds nothing: only a hole can come of it
    topic HELD                          IS_HELD: not to be delivered now (recovery.pyx keeps it)

A hole is handed on at once and the order goes on behind it, unless whoever fills holes says hold().
"""

from libc.stdint cimport UINT32_MAX
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from bots.links.link cimport NO_TOPIC
from feed.wire.frames cimport TC_FLAG_LOSS

CAUSES = ("slow", "overrun", "epoch", "expired")
"""What a hole may come from, by number; a gap that could not be filled has a cause of its own (bots/gap.py)."""


cdef class TopicOrder:
    """Where each topic stands. `cause` is what a hole means on this link."""

    def __init__(self, cause: str = "slow") -> None:
        self.cause = CAUSES.index(cause)

    def __dealloc__(self):
        free(self.topics)
        free(self.suspects)

    # --- topics -----------------------------------------------------------------------------------------------------

    def start(self, topic: int, next_seq: int = 0, sure: bool = False) -> None:
        """Begin a topic at `next_seq`, 0: wherever its first frame is. In an epoch that we saw begin, that is at 1.

        :param sure: false: the first record may come below `next_seq`, but none above it without a loss.
        """
        cdef uint32_t i = topic
        self.reserve(i + 1)
        if self.reborn and not (next_seq and sure):
            self.topics[i].next = 1
            self.topics[i].state = REBORN
        else:
            self.topics[i].next = next_seq
            self.topics[i].state = (KNOWN if sure else LOOSE) if next_seq else UNKNOWN

    def due(self, topic: int) -> int:
        """The topic_seq that is due next, 0 where it is not known."""
        cdef uint32_t i = topic
        return self.topics[i].next if i < self.size and self.topics[i].state in (KNOWN, REBORN, HELD) else 0

    def last_sent(self, topic: int) -> int:
        """When the feed sent the last record of the topic, ns since 1970; 0: none came yet."""
        cdef uint32_t i = topic
        return self.topics[i].sent_ns if i < self.size else 0

    def newest(self, topic: int) -> None:
        """Of what is missing in this topic only the newest matters: a later run covers a hole."""
        cdef uint32_t i = topic
        self.reserve(i + 1)
        self.topics[i].newest = True

    def begin(self, epoch: int, reborn: bool = False) -> None:
        """Forget all topics and expect `epoch`; `reborn`: we were there when it began."""
        self.epoch = epoch
        self.reborn = reborn
        self.suspect_count = 0
        self.held = 0
        if self.size:
            memset(self.topics, 0, self.size * sizeof(topic_t))

    cdef int reserve(self, uint32_t topics) except -1:
        if topics <= self.size:
            return 0
        cdef uint32_t size = max(topics, 2 * self.size, <uint32_t>64)
        cdef topic_t* grown = <topic_t*>realloc(self.topics, size * sizeof(topic_t))
        if grown == NULL:
            raise MemoryError
        memset(grown + self.size, 0, (size - self.size) * sizeof(topic_t))
        self.topics = grown
        self.size = size
        return 0

    # --- runs -------------------------------------------------------------------------------------------------------

    cdef int judge(self, const run_t* run, verdict_t* out) noexcept nogil:
        cdef topic_t* topic
        out.what = 0
        out.skip = 0
        out.folded = 0
        if run.epoch == self.epoch and run.topic != NO_TOPIC:
            topic = &self.topics[run.topic]
            if topic.next == run.topic_seq and topic.state == KNOWN:
                topic.next += run.count
                topic.seq = run.seq
                if run.count:
                    topic.sent_ns = run.ts_sent
                return 0
        return self._judge_slow(run, out)

    cdef int _judge_slow(self, const run_t* run, verdict_t* out) noexcept nogil:
        cdef topic_t* topic
        cdef uint64_t behind = run.topic_seq + run.count
        cdef uint32_t i
        if run.epoch != self.epoch:
            if run.epoch < self.epoch:
                self.outdated += max(run.count, <uint32_t>1)
                out.what = IS_DROPPED
                return 0
            if self.epoch and (self.held or self.guarded or self.suspect_count):
                out.what = IS_FLUSH
                return 0
            if self.epoch != 0:
                out.what = IS_EPOCH
                self.reborn = True
                self.suspect_count = 0
                for i in range(self.size):
                    self.topics[i].next = 1
                    self.topics[i].seq = 0
                    self.topics[i].state = REBORN
            self.epoch = run.epoch
        if run.topic == NO_TOPIC:
            return 0
        topic = &self.topics[run.topic]
        if topic.state == HELD:
            out.what = IS_HELD
            return 0
        if topic.state == UNKNOWN or (topic.state == LOOSE and run.topic_seq < topic.next):
            out.folded = run.folded
            topic.next = behind
            topic.seq = run.seq
            topic.state = KNOWN
            if run.count:
                topic.sent_ns = run.ts_sent
            return 0
        self._place(topic, run, behind, out)
        if out.what & IS_DROPPED:
            self.duplicates += run.count
            return 0
        self.duplicates += out.skip
        topic.next = behind
        topic.seq = run.seq
        topic.state = KNOWN
        if run.count:
            topic.sent_ns = run.ts_sent
        return 0

    cdef void _place(self, const topic_t* topic, const run_t* run, uint64_t behind, verdict_t* out) noexcept nogil:
        """Where the run lies to what is due: a hole before it, or records to skip."""
        cdef uint64_t missing
        if run.topic_seq > topic.next:
            missing = run.topic_seq - topic.next
            if run.flags & TC_FLAG_CONFLATED:
                out.folded = <uint32_t>min(missing, <uint64_t>run.folded)
                missing -= out.folded
            if missing and topic.newest and run.count:
                out.folded = <uint32_t>min(missing + out.folded, <uint64_t>UINT32_MAX)
                self.covered += missing
            elif missing:
                out.what |= IS_HOLE
                out.topic = run.topic
                out.first = topic.next
                out.last = topic.next + missing - 1
                out.seq_from = topic.seq
                out.cause = self.cause
                if topic.state == REBORN:
                    out.cause = CAUSE_EPOCH
                elif run.flags & TC_FLAG_LOSS:
                    out.cause = CAUSE_OVERRUN
        elif run.topic_seq < topic.next:
            if behind <= topic.next:
                out.what |= IS_DROPPED
            else:
                out.skip = <uint32_t>(topic.next - run.topic_seq)

    # --- topics that wait for something ---------------------------------------------------------------------------------

    cdef void hold(self, uint32_t topic, uint64_t due) noexcept nogil:
        self.held += self.topics[topic].state != HELD
        self.topics[topic].state = HELD
        self.topics[topic].next = due

    cdef int mend(self, const run_t* run, verdict_t* out) noexcept nogil:
        cdef topic_t* topic = &self.topics[run.topic]
        out.what = 0
        out.skip = 0
        out.folded = 0
        self._place(topic, run, run.topic_seq + run.count, out)
        if not out.what & IS_DROPPED:
            topic.next = run.topic_seq + run.count
            topic.seq = max(topic.seq, run.seq)
        return 0

    cdef void release(self, uint32_t topic) noexcept nogil:
        self.held -= self.topics[topic].state == HELD
        self.topics[topic].state = KNOWN

    # --- what an overrun took from topics that are quiet now ----------------------------------------------------------

    cdef int suspect(self, uint32_t topic, uint64_t last) except -1:
        cdef suspect_t* grown
        cdef uint32_t room
        if topic >= self.size or self.topics[topic].state in (UNKNOWN, HELD) or last < self.topics[topic].next:
            return 0
        if self.suspect_count == self.suspect_room:
            room = max(2 * self.suspect_room, <uint32_t>64)
            grown = <suspect_t*>realloc(self.suspects, room * sizeof(suspect_t))
            if grown == NULL:
                raise MemoryError
            self.suspects = grown
            self.suspect_room = room
        self.suspects[self.suspect_count].topic = topic
        self.suspects[self.suspect_count].last = last
        self.suspect_count += 1
        return 0

    cdef bint settle(self, verdict_t* out) noexcept nogil:
        cdef suspect_t* suspect
        cdef topic_t* topic
        while self.suspect_count:
            self.suspect_count -= 1
            suspect = &self.suspects[self.suspect_count]
            topic = &self.topics[suspect.topic]
            if topic.state != HELD and suspect.last >= topic.next:
                out.what = IS_HOLE
                out.topic = suspect.topic
                out.first = topic.next
                out.last = suspect.last
                out.seq_from = topic.seq
                out.cause = CAUSE_EPOCH if topic.state == REBORN else self.cause
                topic.next = suspect.last + 1
                topic.state = KNOWN
                return True
        return False

    # --- the Python face, for tests -----------------------------------------------------------------------------------

    def take(
        self, topic: int | None, epoch: int, topic_seq: int, count: int, flags: int = 0, folded: int = 0
    ) -> tuple[int | None, tuple[int, int, str] | None, bool]:
        """Judge one run: (first record to deliver or None, hole (first, last, cause) or None, is it a new epoch).

        :param topic: None for a heartbeat.
        """
        cdef run_t run
        cdef verdict_t verdict
        memset(&run, 0, sizeof(run))
        run.topic = NO_TOPIC if topic is None else topic
        run.epoch = epoch
        run.topic_seq = topic_seq
        run.count = count
        run.flags = flags
        run.folded = folded
        if topic is not None:
            self.reserve(run.topic + 1)
        self.judge(&run, &verdict)
        hole = None
        if verdict.what & IS_HOLE:
            hole = (verdict.first, verdict.last, CAUSES[verdict.cause])
        return None if verdict.what & IS_DROPPED else verdict.skip, hole, bool(verdict.what & IS_EPOCH)

    def doubt(self, topic: int, last: int) -> None:
        """The feed has given `last` in this topic."""
        self.suspect(topic, last)

    def losses(self) -> list[tuple[int, int, int, str]]:
        """Nothing is waiting: (topic, first, last, cause) of every doubt that has not been met."""
        cdef verdict_t verdict
        found = []
        while self.settle(&verdict):
            found.append((verdict.topic, verdict.first, verdict.last, CAUSES[verdict.cause]))
        return found
