# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""What a link brings, put in order: runs are taken, judged, and kept back or let through record by record.

    link.next() ──▶ order.judge() ──▶ step(): a record is at hand, or a code
                       │    ▲
                       ▼    │
                      recovery

step() never needs the GIL and raises nothing. Everything that needs Python (a new topic, a hole, a link that closed)
comes out of it as a code, waits in `pending` until event() has dealt with it, and only then does the stream go on.
One thread uses it; stop() alone may come from another. How records leave it is bots/delivery.pyx.

Over 500 lines, for a step, an event and another link work on one state.
"""

import sys
from collections import deque

from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memset

from bots.conflate cimport Conflate
from bots.links.link cimport LINK_CLOSED, LINK_LOST, LINK_NONE, LINK_RUN, LINK_SKIPPED, LINK_TOPIC, NO_TOPIC
from bots.order cimport HELD, IS_DROPPED, IS_EPOCH, IS_FLUSH, IS_HELD, IS_HOLE, UNKNOWN
from bots.position cimport Position
from bots.progress cimport IN_HAND_TICK, Progress
from bots.recovery cimport MEND_CLOSE, MEND_NONE, Recovery
from bots.share cimport GATE_MEND, GATE_OPEN, GATE_SHUT, GIVES, GIVES_HALT, GIVES_NOT, Share, ShareTopics
from bots.stream cimport StreamHold
from feed.clock cimport cycles, mono_ns, wall_ns
from feed.wire.frames cimport TC_FLAG_CONFLATED, TC_FLAG_REPLAYED, TC_FLAG_SNAPSHOT

from bots.order import CAUSES, TopicOrder
from bots.recovery import KEPT_BYTES

IN_STREAM_ORDER = ("shm", "history")

cdef uint64_t STRIDE_NS = 500_000           # longest sleep between two strides, but while live runs end each sleep
cdef uint64_t LIVELY_NS = 5_000_000         # it is this: setting a nearer timer costs more than the stride
cdef uint64_t MEND_NS = 100_000             # shortest sleep between two looks at what is asked for
cdef uint64_t SLICE_NS = 100_000_000        # longest sleep between two looks at signals, the link's health and stop()

cdef enum:
    STRIDE = 16             # runs that were missing, between two looks at a link that has none or after as many live ones,
    STRIDE_MAX = 4096       # growing to that while none comes;
    STRIDES_KEPT = 8        # and so much longer where it is what was kept: that came live, and only waited
    PASSED_OVER = 4096      # records of others between two looks at signals and the clock


cdef class Main:
    """The link that waits while another is read, and all that belongs to it."""


cdef class Arrivals:
    """`hooks` is told what is not a tick, always in the thread that delivers:

    wanted(schema_id, symbol) -> bool, newest(schema_id) -> bool: does only its newest matter?
    fills(topic, first, last, cause) -> bool: is a hole to be asked for?   gap(topic, first, last, cause): it is one for good
    leaves() -> bool: a new epoch shows, and was it left?   epoch(old, new), overrun(first, last), closed()
    taken(): what lay_aside() let in has ended, or all that was wanted of it has come (a bot that shares a stream)
    look(now_ns, idle) about ten times a second; `idle`: nothing was waiting just now
    mend() -> in how many ns again, while something is to be asked for
    """

    def __cinit__(self):
        memset(&self.run, 0, sizeof(self.run))

    def __init__(
        self, hooks, stream: bool = False, spin: bool = False, *, patience_ns: int = 10_000_000_000,
        latest: frozenset = frozenset(), behind_ns: int = 100_000_000, kept_bytes: int = KEPT_BYTES,
        seed: int | None = None, share: Share | None = None,
    ) -> None:
        self.hooks = hooks
        self.share = share
        self.pause_ns = SLICE_NS
        self.stride = STRIDE
        self.latest = latest
        self.behind_ns = behind_ns
        self.stream = stream
        self.spin = spin
        self.began_cycles, self.began_ns = cycles(), mono_ns()
        self.carried = {}
        self.untold = deque()
        self.names = Names()
        self.met = set()
        self.order = TopicOrder()
        self.source = self.link = Link()
        self.recovery = Recovery(self._meet, patience_ns, kept_bytes, seed)
        self.recovery.attach(self.link, self.order)

    # --- the link ---------------------------------------------------------------------------------------------------

    def attach(self, Link link not None, epoch: int = 0, cause: str = "slow") -> None:
        """Go on with `link`. Topics go on where they stood; the old link stays the caller's to close.

        :param epoch: the link's, where it is known for sure; another than before is told to hooks.epoch().
        :param cause: what a hole on this link means.
        """
        cdef TopicOrder old
        if self.main is not None:
            self.take_up().close()
        old = self.order
        before = self.order.epoch
        joins = self.recovery.part() and epoch in (0, before)
        self.folded_before = self.folded
        self.carried.update(self._numbering())
        if epoch and before and epoch != before:
            self._tell(self._owed())
        self.order = TopicOrder(cause)
        if epoch and before and epoch != before:
            self.order.begin(epoch, reborn=True)
        else:
            self.order.begin(epoch or before, reborn=old.reborn)
        self.order.duplicates, self.order.outdated = old.duplicates, old.outdated
        owes = any(last >= due for due, last, _ in self.carried.values())
        self.order.guarded = owes or self.progress is not None or self.share is not None
        if self.progress is not None:
            self.progress.another_link()
        self.names = Names()
        self.met = set()
        link.forget()
        self.source = link
        self.link = StreamHold(link) if self.stream and link.transport not in IN_STREAM_ORDER else link
        if self.latest and not self.stream:
            self.link = Conflate(self.link, self.latest, self.behind_ns)
        self.recovery.attach(link, self.order)
        self.has_parked = False
        self.mended = False
        self.run.count = 0
        self.at = 0
        self.pending = 0
        if self.order.epoch != before and before:
            self._begin_epoch(before)
        if self.share is not None and link.transport == "none":
            self.share.detach()
        elif self.share is not None:
            self.share.attach(self.order.epoch, link.passed(), link.transport in IN_STREAM_ORDER)
        if joins:
            self.recovery.join()
        if self.carried:
            self._suspect_all()
        if link.transport != "history":     # which brings it by itself
            self._suspect_owed()

    cdef int _suspect_owed(self) except -1:
        """What is known to be missing is asked for, whether this link ever has something of its topic or not."""
        for key, (due, last, _) in list(self.carried.items()):
            if due <= last:
                try:
                    topic = self.source.index_of_key(*key)
                except LookupError:
                    continue
                if topic not in self.met:
                    self._resolve(topic)
        return 0

    cdef dict _numbering(self):
        """Where each topic stands, as in `carried`. What was judged and has not gone out is due."""
        cdef uint32_t topic, i
        cdef dict lasts = {}
        for i in range(self.order.suspect_count):
            lasts[self.order.suspects[i].topic] = self.order.suspects[i].last
        if self.pending == STEP_VERDICT and self.verdict.what & IS_HOLE:
            topic = self.verdict.topic
            lasts[topic] = self.order.topics[topic].next - 1
            self.order.topics[topic].next = self.verdict.first
        elif self.at < self.run.count:
            topic = self.run.topic
            lasts[topic] = self.order.topics[topic].next - 1
            self.order.topics[topic].next = self.run.topic_seq + self.at
        known = {}
        for topic, symbol in enumerate(self.names.symbols):
            due = self.order.due(topic) if symbol is not None else 0
            if due:
                last = max(lasts.get(topic, 0), self.recovery.seen(topic))
                known[self.source.topic(topic)] = due, last, self.order.topics[topic].seq
        return known

    cdef list _owed(self):
        """The epoch is over: gaps of what is known of in topics that this link has not brought yet."""
        gaps = [(key, due, last, "epoch") for key, (due, last, _) in self.carried.items() if due <= last]
        self.carried = {}
        return gaps

    cdef int _begin_epoch(self, uint64_t before) except -1:
        """All numbers begin anew, in `order` already; nothing that is known of the old ones holds any more."""
        self.seq = 1
        self.highest = 0
        self.carried = {}
        if self.progress is not None:
            self.progress.another_epoch(self.order.epoch)
            self.order.guarded = True
        if self.share is not None:
            self.share.begin(self.order.epoch)
            self.order.guarded = True
        if self.main is None:
            self.hooks.epoch(before, self.order.epoch)
        return 0

    def lay_aside(self, Link link not None) -> None:
        """Deliver what `link` brings, until take_up(); the present link waits where it stands."""
        cdef TopicOrder order = TopicOrder("expired")
        self.main = Main()
        self.main.source, self.main.link, self.main.order = self.source, self.link, self.order
        self.main.names, self.main.met, self.main.carried = self.names, self.met, self.carried
        self.main.topics = self.share.topics
        self.main.run, self.main.at, self.main.pending = self.run, self.at, self.pending
        self.main.parked, self.main.has_parked = self.parked, self.has_parked
        order.duplicates, order.outdated = self.order.duplicates, self.order.outdated
        self.order = order
        self.names = Names()
        self.met = set()
        self.carried = {}
        self.source = self.link = link
        self.recovery.attach(link, order)
        self.share.read_aside(ShareTopics())
        self.has_parked = False
        self.run.count = 0
        self.at = 0
        self.pending = 0

    def take_up(self) -> Link:
        """Go on with the link that waits, at the very record; gives the other one, for the caller to close."""
        cdef Main main = self.main
        link = self.source
        main.order.duplicates, main.order.outdated = self.order.duplicates, self.order.outdated
        if self.order.epoch == main.order.epoch:
            # What has come now need not be missed there.
            for (schema_id, symbol), (due, *_) in self._numbering().items():
                topic = self._of_main(schema_id, symbol)
                if 0 < main.order.due(topic) < due:
                    main.order.start(topic, due, True)
        self.main = None
        self.source, self.link, self.order = main.source, main.link, main.order
        self.names, self.met, self.carried = main.names, main.met, main.carried
        self.run, self.at, self.pending = main.run, main.at, main.pending
        self.parked, self.has_parked = main.parked, main.has_parked
        self.recovery.attach(self.source, self.order)
        self.share.read_main(main.topics)
        return link

    def _of_main(self, schema_id: int, symbol: str) -> int:
        """The index that a topic has on the link that waits; NO_TOPIC: none."""
        try:
            return self.main.source.index_of_key(schema_id, symbol)
        except LookupError:
            return NO_TOPIC

    def detach(self) -> Link:
        """Be attached to nothing; gives the link, for the caller to close."""
        link = self.source
        self.attach(Link())
        return link

    @property
    def epoch(self) -> int:
        return self.order.epoch if self.main is None else self.main.order.epoch

    @property
    def proved(self) -> int:
        """A seq below which nothing is missing, not even what was lost on the way and no later frame has shown yet."""
        cdef uint64_t seq = self.seq
        cdef uint32_t i
        for _, _, low in self.carried.values():
            seq = min(seq, low or seq)
        lossless = self.source.transport in IN_STREAM_ORDER
        if lossless:
            # A link that reads again what lies below `seq` proves no more than it has brought.
            brought = self.run.seq if self.at < self.run.count else self.source.passed(self.order.epoch)
            if not brought and self.progress is not None:
                brought = max(1, self.progress.position.proved)
            seq = min(seq, brought or seq)
        for i in range(self.order.size):
            if self.order.topics[i].seq and not (lossless and self.order.topics[i].state != HELD):
                seq = min(seq, self.order.topics[i].seq)
        return seq

    @property
    def frames(self) -> int:
        """Heard on this link in all: while it grows, the other side lives."""
        return self.source.frames if self.main is None else self.main.source.frames

    @property
    def attached(self) -> bool:
        return self.source.transport != "none"

    @property
    def gil_ns(self) -> int:
        """Awake, for something was there, and waiting for the GIL: so long in all; it only rises."""
        cdef double counted = <double>max(cycles() - self.began_cycles, <uint64_t>1)
        cdef double ns = <double>self.gil_cycles * <double>(mono_ns() - self.began_ns) / counted
        self.gil_told_ns = max(self.gil_told_ns, <uint64_t>ns)
        return self.gil_told_ns

    @property
    def transport(self) -> str:
        return self.source.transport

    @property
    def busy(self) -> bool:
        """A thread waits in a link: it is not to be closed now."""
        return self.source.busy

    @property
    def malformed(self) -> int:
        return self.source.malformed

    @property
    def folded(self) -> int:
        """Ticks that newer ones of their topic stand for, folded here."""
        cdef uint64_t folded = self.order.covered
        if isinstance(self.link, Conflate):
            folded += (<Conflate>self.link).folded
        return folded + self.folded_before

    @property
    def duplicates(self) -> int:
        return self.order.duplicates

    @property
    def outdated(self) -> int:
        return self.order.outdated

    def last_sent(self, symbol: str) -> int:
        """When the feed sent the last tick of a symbol, ns since 1970; 0: none came over this link."""
        return max((self.order.last_sent(i) for i, each in enumerate(self.names.symbols) if each == symbol), default=0)

    def stop(self) -> None:
        """End every wait and every loop within 100 ms. May be called from another thread or a signal handler."""
        self.stopped = True

    # --- one step -----------------------------------------------------------------------------------------------------

    cdef int step(self) noexcept nogil:
        """LINK_RUN: record `at` of `run` is to be delivered. Else nothing is at hand, or event() is to be called."""
        cdef int what, gate = GATE_OPEN
        cdef uint32_t passed = 0
        if self.progress is not None and self.progress.in_hand == IN_HAND_TICK:
            self.progress.commit()
        if self.pending:
            return self.pending
        if self.at < self.run.count:
            what = LINK_RUN if self.share is None else self._shared()
            if what == LINK_RUN and self.stream:
                self._place()
            if what != LINK_SKIPPED:
                return what
        self.dry = False
        while True:
            if self.share is not None:
                gate = self.share.gate(self.recovery.hold_count != 0, self.recovery.ready)
                if gate == GATE_SHUT:
                    self.look_at = self.due_at = 0
                    return LINK_NONE
            # What was missing and what comes live take turns, for neither may hold up the other; what comes live has the first.
            self.mended = self.recovery.ready and (
                self.ahead or self.lived >= STRIDE or self.has_parked or gate == GATE_MEND
            )
            if self.mended:
                if self.lived >= STRIDE:
                    self.ahead = STRIDE
                self.lived = 0
                if self.ahead:
                    self.ahead -= 1
                what = self.recovery.give(&self.run, &self.verdict)
                if what == MEND_NONE:
                    if self.recovery.hold_count == 0:
                        self.look_at = self.due_at = 0      # whoever waited for that is live now
                    continue
                if what == MEND_CLOSE:
                    self.run.count = 0
                    self.at = 0
                    self.pending = STEP_CLOSE
                    return STEP_CLOSE
            elif gate == GATE_MEND:
                return LINK_NONE
            elif self.has_parked:
                self.has_parked = False
                self.run = self.parked
                self.order.judge(&self.run, &self.verdict)
                what = LINK_RUN
            else:
                what = self.link.next(&self.run)
                if what == LINK_RUN:
                    self.lived += 1
                    if self.progress is not None:
                        self._begins()
                    self.order.judge(&self.run, &self.verdict)
                    # Not by what is of another epoch, was passed over, or has a hole before it; nor by a state that
                    # stands for others: what came between them may go out behind it.
                    if (
                        self.run.seq > self.seq
                        and self.verdict.what == 0
                        and self.recovery.hold_count == 0
                        and not self.run.flags & TC_FLAG_CONFLATED
                    ):
                        self.seq = self.run.seq
                    if self.share is not None and self.run.epoch == self.order.epoch:
                        self.share.note(&self.run)
            if what == LINK_RUN or self.mended:
                self.at = self.verdict.skip
                if (self.run.folded or self.verdict.folded) and not self.verdict.what & (IS_HELD | IS_FLUSH):
                    self.run.folded = self.verdict.folded
                    if self.run.folded:
                        self.run.flags |= TC_FLAG_CONFLATED
                if self.verdict.what:
                    if self.verdict.what & IS_HELD:
                        self.recovery.keep(&self.run)
                        self.at = self.run.count
                        continue
                    if self.verdict.what & IS_DROPPED:
                        self.at = self.run.count
                    if self.verdict.what & (IS_HOLE | IS_EPOCH | IS_FLUSH):
                        self.pending = STEP_VERDICT
                        return STEP_VERDICT
                if self.at < self.run.count:
                    if self.share is not None:
                        self.share.tally(&self.run, self.run.count - self.at)
                        what = self._shared()
                        passed += 1
                        if what == LINK_SKIPPED and passed < PASSED_OVER:
                            continue
                        if what != LINK_RUN:
                            return what
                    if self.stream:
                        self._place()
                    return LINK_RUN
                continue
            self.run.count = 0
            self.at = 0
            if what == LINK_NONE and self.recovery.ready:
                # What was missing goes out in short strides, so that what comes live meanwhile is never far behind.
                if self.strode and not self.recovery.joining:
                    return LINK_NONE
                self.strode = True
                self.ahead = self.stride if self.recovery.answering else STRIDES_KEPT * self.stride
                continue
            if what == LINK_NONE:
                if self.order.suspect_count and self.order.settle(&self.verdict):
                    self.run.seq = 0    # no run came behind the hole
                    self.pending = STEP_VERDICT
                    return STEP_VERDICT
                self.dry = True
                return LINK_NONE
            if what != LINK_SKIPPED:
                self.pending = what
            return what

    cdef int _shared(self) noexcept nogil:
        """The record at hand of a stream that is shared: LINK_RUN, or LINK_SKIPPED if it is passed over."""
        cdef int what = self.share.gives(&self.run)
        if what == GIVES or what == GIVES_NOT:
            self.share.note(&self.run)      # again, if it was at hand when the share was another
        if what == GIVES:
            return LINK_RUN
        if what == GIVES_NOT:
            self.at = self.run.count
            return LINK_SKIPPED
        self.look_at = self.due_at = 0
        return LINK_NONE if what == GIVES_HALT else STEP_TAKEN

    cdef void _place(self) noexcept nogil:
        """In stream order what comes behind its place, having waited for something or been overtaken, is flagged."""
        if self.run.flags & (TC_FLAG_REPLAYED | TC_FLAG_SNAPSHOT):
            return
        if self.run.seq < self.highest:
            self.run.flags |= TC_FLAG_REPLAYED
        else:
            self.highest = self.run.seq

    cdef int event(self, int what) except -1:
        """Deal with what step() gave; nothing for LINK_NONE and LINK_SKIPPED."""
        self.pending = 0
        if what == LINK_TOPIC:
            self._resolve(self.run.topic)
        elif what == STEP_VERDICT:
            self._judged()
        elif what == STEP_CLOSE:
            if self.progress is not None:
                self._begin_all()
            self._tell_gaps(self.recovery.close_answer())
            self.due_at = 0
        elif what == LINK_LOST:
            self._overrun()
        elif what == STEP_TAKEN or (what == LINK_CLOSED and self.main is not None):
            self.hooks.taken()
        elif what == LINK_CLOSED:
            self.hooks.closed()
        return 0

    cdef int _resolve(self, uint32_t topic) except -1:
        schema_id, symbol = key = self.source.topic(topic)
        self.met.add(topic)
        wanted = bool(self.hooks.wanted(schema_id, symbol))
        if wanted:
            self.names.put(topic, sys.intern(symbol))
            due, last, seq = self.carried.pop(key, (0, 0, 0))
            if due:
                self.order.start(topic, due, True)
                self.order.topics[topic].seq = seq
                self.order.suspect(topic, last)
            else:
                self.order.start(topic, *self.source.baseline(topic))
            if self.hooks.newest(schema_id):
                self.order.newest(topic)
            if self.recovery.joining and not due:
                self.recovery.new(topic)
            if self.progress is not None:
                self.progress.meet(topic, schema_id, symbol, self.order.due(topic))
            if self.main is not None:
                there = self._of_main(schema_id, symbol)
                self.share.topics.put_again(topic, symbol, self.main.topics.first(there), self.main.order.due(there))
            elif self.share is not None:
                self.share.topics.put(topic, symbol, bool(due))
        self.source.want(topic, wanted)
        return 0

    cdef int _judged(self) except -1:
        """The order found a hole or a new epoch; `run` is what came behind it and has not been delivered yet."""
        cdef verdict_t verdict = self.verdict
        cdef uint64_t first = verdict.first
        cdef uint32_t folded = 0
        if verdict.what & IS_FLUSH:
            self.parked = self.run
            self.run.count = 0
            self.at = 0
            if self.hooks.leaves():
                return 0    # a durable bot: first all of the old epoch, from history
            # Nothing of the old epoch can come any more, but what was kept of it goes out before the new one begins.
            self.has_parked = True
            self.order.guarded = False
            gaps = self.recovery.abandon("epoch")
            while self.order.settle(&verdict):
                gaps.append((verdict.topic, verdict.first, verdict.last, "epoch"))
            self._tell_gaps(gaps)
            return self._tell(self._owed())
        if verdict.what & IS_EPOCH:
            self._tell_gaps(self.recovery.abandon("epoch"))
            self._begin_epoch(0)
        if not verdict.what & IS_HOLE:
            if self.share is not None and self.at < self.run.count:
                self.share.tally(&self.run, self.run.count - self.at)
            return 0
        topic = self.source.topic(verdict.topic)
        cause = CAUSES[verdict.cause]
        # In an answer a hole is what the feed itself no longer has; between what was kept it is as good as any.
        if self.mended and self.recovery.answering:
            return self._goes_on(topic, first, verdict.last, self.recovery.answered())
        if not self.hooks.fills(topic, first, verdict.last, cause):
            return self._goes_on(topic, first, verdict.last, cause)
        if self.order.topics[verdict.topic].newest:
            folded = <uint32_t>(verdict.last - first)
        self.recovery.hole(verdict.topic, first, verdict.last, verdict.seq_from, self.run.seq, folded)
        if self.at < self.run.count:
            self.recovery.keep_first(&self.run)
        self.run.count = 0
        self.at = 0
        self.due_at = 0
        return 0

    cdef int _goes_on(self, tuple topic, uint64_t first, uint64_t last, str cause) except -1:
        """A hole is a gap, and the run at hand goes out behind it."""
        if self.share is not None:
            self.share.lose(last - first + 1)
            self.share.tally(&self.run, self.run.count - self.at)
        return self._tell([(topic, first, last, cause)])

    def overdue(self, now_ns: int) -> None:
        """Tell the gaps of what has been waited for too long. `now_ns` is any clock that only rises: recovery's time."""
        self._tell_gaps(self.recovery.overdue(now_ns))

    # --- what a durable bot has dealt with ------------------------------------------------------------------------------

    def remember(self, Position position not None) -> None:
        """Keep `position` as ticks are dealt with, and go on where it stands."""
        self.progress = Progress(position)
        self.order.begin(position.epoch)
        self.order.guarded = True
        self.carried = {key: (due, 0, max(1, position.proved)) for key, due in position.dues().items()}
        self.seq = position.seq

    def forget(self) -> None:
        """The position is to be closed: nothing more is kept, and what is in the bot's hands comes again."""
        self.progress = None
        if self.share is not None:
            self.share.position = None

    cdef int _begin_all(self) except -1:
        """Topics begin where a state said so: what the snapshot had of it has been handed out."""
        cdef uint32_t topic
        for topic in range(len(self.names.symbols)):
            if self.names.symbols[topic] is not None:
                self.progress.begins(topic, self.order.due(topic))
        return 0

    cdef void _begins(self) noexcept nogil:
        """Does the topic of this run begin here?"""
        cdef uint32_t topic = self.run.topic
        if topic != NO_TOPIC and self.order.topics[topic].state == UNKNOWN and self.order.epoch in (0, self.run.epoch):
            self.progress.begins(topic, self.run.topic_seq)

    cdef int _tell_gaps(self, list gaps) except -1:
        if self.share is not None:
            for _, first, last, _ in gaps:
                self.share.lose(last - first + 1)
        return self._tell([(self.source.topic(topic), first, last, cause) for topic, first, last, cause in gaps])

    cdef int _tell(self, list gaps) except -1:
        # What hooks.gap() raises must not cost the others: they are told next time.
        epoch = self._kept_epoch()
        self.untold.extend([(epoch, *gap) for gap in gaps])
        while self.untold:
            epoch, topic, first, last, cause = self.untold.popleft()
            self.hooks.gap(topic, first, last, cause)
            if epoch and epoch == self._kept_epoch():   # which hooks.gap() may have changed
                self.progress.give_up(topic, last + 1)
        return 0

    cdef uint64_t _kept_epoch(self) noexcept:
        """The epoch of which it is kept what was dealt with; 0: of none."""
        return self.progress.position.header.epoch if self.progress is not None else 0

    def _meet(self, topic: int) -> bool:
        """A topic that an answer has: is it wanted? The link may not have met it yet."""
        if topic not in self.met:
            self._resolve(topic)
        return self.names.get(topic) is not None

    cdef int _overrun(self) except -1:
        self.hooks.overrun(self.source.lost_first, self.source.lost_last)
        return self._suspect_all()

    cdef int _suspect_all(self) except -1:
        """What the feed has given in each topic by now either comes with what is waiting, or is lost."""
        cdef uint32_t topic
        for topic in self.source.unknown():
            self._resolve(topic)
        for topic in range(len(self.names.symbols)):
            if self.names.symbols[topic] is not None:
                self.order.suspect(topic, self.source.last_topic_seq(topic))
                self.recovery.saw(topic, self.source.last_topic_seq(topic))
        return 0

    # --- waiting ----------------------------------------------------------------------------------------------------

    cdef bint idle(self, uint64_t deadline_ns) except -1:
        """Nothing is waiting: look around, then sleep a slice. False once `deadline_ns` (monotonic) has passed."""
        cdef uint64_t now, rest
        cdef bint woken, strode = self.strode
        self.strode = False
        if deadline_ns != NEVER and mono_ns() >= deadline_ns:
            return False
        now = wall_ns()
        self.look(now, True)
        rest = self.due_at - now if self.due_at > now else 0
        if strode:
            rest = min(rest, LIVELY_NS if self.stride == STRIDE else STRIDE_NS)
        if self.stopped:
            return True
        if self.progress is not None and self.recovery.hold_count == 0:
            self.seq = max(self.seq, self.source.passed(self.order.epoch))
            self.progress.stands(self.seq)
        self.ran_dry()
        if deadline_ns != NEVER:
            now = mono_ns()
            rest = min(rest, deadline_ns - now if deadline_ns > now else 0)
        cdef Link source = self.source
        cdef bint stood = self.share is not None and self.share.stood
        source.busy = True
        cdef uint64_t awake
        with nogil:
            if stood:
                woken = Link.wait(source, rest, False)      # whatever is waiting there
            else:
                woken = source.wait(rest, self.spin)
            awake = cycles()
        self.gil_cycles += cycles() - awake
        source.busy = False
        if woken:
            self.stride = STRIDE
        elif strode and rest >= STRIDE_NS:
            self.stride = min(4 * self.stride, <uint32_t>STRIDE_MAX)
        PyErr_CheckSignals()
        return True

    cdef int ran_dry(self) except -1:
        """Nothing is waiting, and nothing is in the bot's hands: what shares the stream stands there."""
        if self.share is not None and self.at >= self.run.count:
            if self.source.transport in IN_STREAM_ORDER:
                self.share.passed(self.source.passed())
            self.share.came_back(self.recovery.hold_count != 0)
        return 0

    cdef int look(self, uint64_t now, bint idle) except -1:
        """hooks.look() and hooks.mend(), if they are due. `now` is wall time; should it have stepped back, they are."""
        cdef bint back = now + SLICE_NS < self.due_at
        if now < self.due_at and not back:
            return 0
        if self.progress is not None and (now >= self.prove_at or back):
            self.prove_at = now + SLICE_NS
            self.progress.prove(self.proved)
        if now >= self.look_at or back:
            self.look_at = now + min(SLICE_NS, self.pause_ns)
            self.hooks.look(now, idle)
        self.due_at = self.look_at
        if self.mending:
            self.due_at = min(self.due_at, now + max(<uint64_t>self.hooks.mend(), MEND_NS))
        return 0

    @property
    def mending(self) -> bool:
        """Is an answer awaited, or about to be?"""
        return self.recovery.hold_count != 0 or self.recovery.joining
