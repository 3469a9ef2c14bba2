# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The pump: tails the log and sends what somebody subscribed to, without the GIL.

One turn takes what is waiting (bounded), plans frames, builds and sends them in order, then tells of the numbering: a
heartbeat, empty frames on quiet topics, and at once what new subscribers are owed. While the socket has no room nothing
else happens: the frame in hand goes first.

Heartbeats say that the feed lives, not that this publisher does: there are none while the sequencer shows no sign of
life, and they go on with its next one.

A position in the log is reported only when all before it was handed over, so a publisher that dies sends some frames
twice rather than one never.
"""

from libc.string cimport memset
from posix.time cimport nanosleep, timespec

from feed.clock cimport mono_ns, wall_ns
from feed.log.fences cimport tc_read_published
from feed.log.life cimport tc_patience_ns
from feed.metrics.counters cimport tc_counter_add
from feed.publish.batch cimport (
    BUILD_DONE,
    BUILD_OVERWRITTEN,
    GATHER_DRY,
    GATHER_LOST,
    GATHER_TOPICS,
)
from feed.publish.interest cimport OWED_LATER, OWED_NONE, Topic
from feed.publish.outlet cimport NO_TOPIC
from feed.wire.frames cimport TC_FLAG_LOSS, tc_wire_header, tc_wire_put_head, tc_wire_size

cdef enum:
    PARK_NS = 5_000_000         # subscriptions ring no doorbell: this is how long one may go unheard
    STAMPS = 3                  # clock reads that the frames of one batch share,
    STAMP_FRAMES = 16           # but no more frames than this share one: a few µs
    HEARD = 256                 # subscriptions taken in by one turn
    OWED = 256                  # empty frames sent by one turn to new subscribers


cdef class Pump:
    """Between one reader of the log and one outlet; used by one thread.

    `batch`: records in a frame at most, 1 turns batching off. `spin_ns`: how long a poll looks out for the next tick before
    it says that there was nothing to do. `everyone`: nobody can subscribe here, so everything is for everybody.
    """

    def __init__(
        self,
        LogReader reader not None,
        Outlet outlet not None,
        *,
        batch: int,
        heartbeat_ns: int,
        Counter overrun not None,
        Counter misfit not None,
        spin_ns: int = 0,
        everyone: bool = False,
    ) -> None:
        self.outlet = outlet
        self.batch = Batch(batch)
        self.interest = Interest(heartbeat_ns)
        self.heartbeat_ns = heartbeat_ns
        self.patience_ns = tc_patience_ns(heartbeat_ns)
        self.spin_ns = spin_ns
        self._overrun = overrun
        self._misfit = misfit
        self.attach(reader)
        if everyone:
            self.interest.hear(b"\1")

    def attach(self, LogReader reader not None) -> None:
        """Begin with `reader`, of this log or of a new one; who is subscribed stays so and is owed the new numbering."""
        self.batch.abandon()
        self.reader = reader
        self.life = Life(reader)
        self.reported = reader.at
        self.overtaken = self.learn = False
        self.interest.attach(reader, mono_ns())
        self._renumber()
        if reader.lost_last:        # overrun while no publisher was there to resume in time
            self.interest.lose()

    def poll(self) -> int:
        """One turn; how much it did, 0 if there was nothing to do. Raises HostError if the socket failed."""
        cdef uint64_t now
        cdef int work
        cdef bint heard
        with nogil:
            if self.spin_ns and not self.outlet.pending and not self.deaf:
                self.reader.spin(self.spin_ns)
            now = mono_ns()
            work = self._pump(now)
            heard = self.outlet.listen() if self.deaf else self.outlet.hear(now)
        if self.learn or self.stale:
            work += 1
            self.learn = False
            self.interest.learn(self.reader, self.stale)
            if self.stale:
                self._renumber()
        if heard:
            work += self._listen()
        else:
            self.deaf = False
        if self.settled and not self.outlet.pending and self.batch.at == self.batch.frames:
            work += self._greet(now)
            self.outlet.flush()
        self.outlet.check()
        return work

    def park(self, timeout_ns: int) -> None:
        """Sleep until there is something to send or room for it, at most `timeout_ns` or 5 ms.

        What ended the sleep is sent at once: on the way back through the loop it would age by a microsecond or two.
        """
        cdef uint64_t timeout = min(timeout_ns, PARK_NS)
        cdef timespec rest
        with nogil:
            if self.outlet.pending:
                self.outlet.wait(timeout)
            elif self.reader.closed():      # always ready: nothing will ring
                rest.tv_sec = 0
                rest.tv_nsec = timeout
                nanosleep(&rest, NULL)
            elif self.reader.park(timeout):
                self._pump(mono_ns())

    @property
    def drained(self) -> bool:
        """Is everything that the log holds handed over?"""
        if self.outlet.pending or self.batch.at < self.batch.frames:
            return False
        return self.reader.peek() == NULL and self.reader.intact(self.reader.at)

    @property
    def log_ended(self) -> bool:
        """Has this log been ended or replaced, and is all that it held handed over?"""
        return self.reader.closed() and self.drained

    # --- ticks ------------------------------------------------------------------------------------------------------

    cdef int _pump(self, uint64_t now) noexcept nogil:
        cdef int outcome, work = 0
        if self.outlet.pending and not self.outlet.again():
            return 0
        if self.batch.at == self.batch.frames:
            outcome = self.batch.gather(self.reader, self.interest, now)
            work = self.batch.passed
            self.learn = outcome == GATHER_TOPICS
            self.overtaken = outcome == GATHER_LOST
            self._settle(outcome == GATHER_DRY)
            if self.batch.misfits:
                tc_counter_add(self._misfit.slot, self.batch.misfits)
                self.batch.misfits = 0
        if not self._emit():
            return work
        self.outlet.flush()
        if self.outlet.pending:
            return work
        if self.overtaken:
            self._lost(0)
        if self.reader.at != self.reported:
            self.reported = self.reader.at
            self.reader.report()
        self._tell(now)
        self.outlet.flush()
        return work

    cdef bint _emit(self) noexcept nogil:
        """Build and send what is planned. False if it has to stop before the end."""
        cdef int built
        cdef uint32_t every = min((self.batch.frames - self.batch.at + STAMPS - 1) // STAMPS, <uint32_t>STAMP_FRAMES)
        cdef uint32_t left = 0
        cdef uint64_t now = 0
        while self.batch.at < self.batch.frames:
            built = self.batch.build(self.reader, self.interest, self.outlet)
            if built == BUILD_OVERWRITTEN:
                self._lost(self.batch.abandon())
                return True
            if built != BUILD_DONE:
                return False
            if left == 0:
                now = wall_ns()
                left = every
            left -= 1
            self.frames += 1
            if not self.outlet.send(now):
                return False
        return True

    cdef void _lost(self, uint64_t records) noexcept nogil:
        """Go on where the log still holds: `records` of the plan are gone, and what was overwritten before it was read."""
        self.overtaken = False
        if not self.reader.intact(self.reader.at):
            self.reader.overtaken(self.reader.seq)
            if self.reader.lost_last >= self.reader.lost_first:
                records += self.reader.lost_last - self.reader.lost_first + 1
        tc_counter_add(self._overrun.slot, records)
        self.outlet.lost()
        self.interest.lose()
        self.settled = False
        self.stale = True           # topics may have been lost as well: learning them takes the GIL

    # --- the numbering ----------------------------------------------------------------------------------------------

    cdef void _renumber(self) noexcept nogil:
        """Take the topics' next_seq from the log, whose end is ahead of us: they hold when we get there."""
        self.interest.renumber(self.reader)
        self.settled = self.stale = False
        self.ahead = 0
        self.ahead_tail = tc_read_published(&self.reader.header.tail)

    cdef void _settle(self, bint dry) noexcept nogil:
        """What was committed then lies below the first tail that was published after it, and below the end of the log."""
        cdef uint64_t tail
        if self.settled or self.stale:
            return
        if self.ahead == 0:
            tail = tc_read_published(&self.reader.header.tail)
            if tail != self.ahead_tail:
                self.ahead = tail
        self.settled = dry or (self.ahead != 0 and self.reader.at >= self.ahead)

    cdef void _tell(self, uint64_t now) noexcept nogil:
        """Heartbeat and quiet topics."""
        cdef int64_t topic_id
        if now >= self.heartbeat_due_ns and self._feed_lives(now):
            self.heartbeat_due_ns = now + self.heartbeat_ns
            if self.interest.heartbeat:
                self._empty(NO_TOPIC, <const uint8_t*>b"heartbeat|", 10, 0, False)
        if not self.settled:
            return
        self.interest.turn(now)
        while not self.outlet.pending:
            topic_id = self.interest.overdue(now)
            if topic_id == OWED_NONE:
                return
            self.interest.rest(<uint32_t>topic_id, now)
            self._empty_topic(<uint32_t>topic_id)

    cdef bint _feed_lives(self, uint64_t now) noexcept nogil:
        return self.life.silent_ns(now) <= self.patience_ns

    cdef void _empty_topic(self, uint32_t topic_id) noexcept nogil:
        cdef Topic* topic = &self.interest.topics[topic_id]
        self._empty(topic_id, topic.text, topic.length, topic.next_seq, topic.loss)
        topic.loss = 0

    cdef void _empty(
        self, uint32_t topic_id, const uint8_t* topic, uint32_t topic_length, uint64_t topic_seq, bint loss
    ) noexcept nogil:
        """A frame without records: everything below the reader's seq has been handed over."""
        cdef tc_wire_header header
        cdef uint8_t* to
        self.outlet.topic = topic_id
        to = self.outlet.make(tc_wire_size(topic_length, 0, 0), topic_length, 0, 0)
        if to == NULL:
            return
        memset(&header, 0, sizeof(header))
        header.flags = TC_FLAG_LOSS if loss else 0
        header.epoch = self.reader.header.epoch
        header.seq = self.reader.seq
        header.topic_seq = topic_seq
        tc_wire_put_head(to, topic, topic_length, &header)
        self.empties += 1
        self.outlet.send(wall_ns())

    # --- subscribers ------------------------------------------------------------------------------------------------

    cdef int _listen(self) except -1:
        """Take in subscriptions, the first of which is in the outlet already; how many."""
        cdef int i
        self.deaf = False
        for i in range(1, HEARD + 1):
            self.interest.hear(self.outlet.heard())
            if i == HEARD:
                self.deaf = True
            elif not self.outlet.listen():
                break
        return i

    cdef int _greet(self, uint64_t now) except -1:
        """What new subscribers are owed: an empty frame on each topic, and a heartbeat when all of these are on their way."""
        cdef int64_t topic_id
        cdef int sent = 0
        while sent < OWED and not self.outlet.pending:
            topic_id = self.interest.owed()
            if topic_id == OWED_LATER:
                return sent + 1
            if topic_id == OWED_NONE:
                if self.interest.greet and not self.deaf and self._feed_lives(now):
                    self.interest.greet = False
                    self._empty(NO_TOPIC, <const uint8_t*>b"heartbeat|", 10, 0, False)
                break
            if self.interest.topics[topic_id].wanted:
                self.interest.topics[topic_id].quiet = 0
                self.interest.due_ns[topic_id] = now + self.heartbeat_ns
                self._empty_topic(<uint32_t>topic_id)
                sent += 1
        return sent
