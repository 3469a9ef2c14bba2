"""The promise, against any feed, network and control address that Hypothesis can think of:

    every tick of the bot's topics, in order, once; or exactly what did not come, and why.

A rule machine on the sans-IO core: a Delivery with its recovery over a scripted link, a Mender on a control address
that the test answers, and a clock that the test moves. `make test` runs 1,000 examples; the long run is

    TICKCAST_EXAMPLES=10000 pytest tests/property/test_recovery_machine.py --timeout 0
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bots.delivery import Delivery
from bots.links.frames import Script
from bots.mending import Mender
from feed.wire.frames import FLAG_REPLAYED, FLAG_SNAPSHOT
from feed.wire.records import BY_ID
from tests.property.account import Account, Given, Told
from tests.property.model import FRESH_NS, OLD_NS, TOPICS, UNWANTED, Ask, Control, Feed, Frame, Key

if TYPE_CHECKING:
    from bots.batch import Batch
    from bots.ticks import Tick

EXAMPLES = int(os.environ.get("TICKCAST_EXAMPLES", "1000"))
MS = 1_000_000
PATIENCE_NS = 1000 * MS
TRY_LEAST_NS = 225 * MS
"""How long recovery waits for its first answer at least."""

TINY, AMPLE = 600, 64 << 20
"""Bytes that may be kept: some three frames, or as many as come."""

STATES = frozenset(schema.id for schema in BY_ID.values() if schema.conflatable)
GO, LOSE, TWICE, LATE = range(4)
TAKES = st.sampled_from([0, 1, 3, 1000, 1000])
"""How much the bot takes then: nothing, some, or all."""


class RecoveryMachine(RuleBasedStateMachine):
    """The machine is the bot's hooks, too."""

    # --- the bot ----------------------------------------------------------------------------------------------------

    @initialize(
        stream=st.booleans(),
        latest=st.booleans(),
        many=st.sampled_from([0, 0, 3, 100]),
        kept_bytes=st.sampled_from([AMPLE, AMPLE, TINY]),
        asks=st.sampled_from([True, True, True, False]),
        joins=st.booleans(),
        knows=st.booleans(),
        began=st.lists(st.integers(0, len(TOPICS) - 1), max_size=6),
    )
    def begin(
        self,
        stream: bool,
        latest: bool,
        many: int,
        kept_bytes: int,
        asks: bool,
        joins: bool,
        knows: bool,
        began: list[int],
    ) -> None:
        self.stream, self.latest, self.many, self.kept_bytes = stream, latest and not stream, many, kept_bytes
        self.control = Control()
        self.feed = Feed()
        for topic in began:
            self.feed.tick(TOPICS[topic])
        self.account = Account()
        self.now = 1
        self.asked_at: dict[int, int] = {}
        self.hasty = True  # a request may be dropped for another: the link is new
        self.failed: set[str] = set()  # what may have made a gap
        self.late_frames: list[Frame] = []
        self.sent: list[Frame] = []
        self.heard_frames = 0
        self.arrived: set[tuple[int, Key, int]] = set()
        self.answered: set[tuple[int, Key, int]] = set()
        self.starts: dict[tuple[int, Key], set[int]] = {}
        self.evidence: dict[tuple[int, Key], int] = {}
        self.highest: dict[int, int] = {}
        self.births: set[int] = set()
        self.unsure: set[int] = set()  # epochs of which frames were dropped that had been read and not judged
        self.epoch_told = 0
        self.fillable = asks
        self.delivery = Delivery(
            self, stream, patience_ns=PATIENCE_NS, latest=STATES if self.latest else frozenset(), behind_ns=MS,
            kept_bytes=kept_bytes, seed=1,
        )  # fmt: skip
        self.mender = Mender(self.delivery.recovery, self.control, ["*"], None)  # type: ignore[arg-type]
        self.joined = joins and asks
        self.attach(self.feed.epoch if knows else 0)
        if self.joined:
            self.delivery.recovery.join()

    def wanted(self, schema_id: int, symbol: str) -> bool:
        return (BY_ID[schema_id].word, symbol) != UNWANTED

    def newest(self, schema_id: int) -> bool:
        return self.latest and schema_id in STATES

    def fills(self, topic: tuple[int, str], first: int, last: int, cause: str) -> bool:
        return self.fillable

    def gap(self, topic: tuple[int, str], first: int, last: int, cause: str) -> None:
        key = BY_ID[topic[0]].word, topic[1]
        told = Told(self.delivery.epoch, key, first, last, cause)
        self.account.gap(told)
        assert last <= sum(tick.key == key for tick in self.feed.logs[told.epoch]), f"{told} was never sent"
        if cause == "expired":
            oldest = self.feed.oldest(told.epoch)
            there = [t for t in self.feed.logs[told.epoch] if t.key == key and first <= t.topic_seq <= last]
            assert all(tick.seq < oldest for tick in there), f"{told}, and the feed has some of them"
        else:
            why = {"epoch"} if len(self.feed.logs) > 1 else set()
            assert cause in self.failed | why, f"{told}, but why?"

    def late(self, topic: str, age_ns: int) -> None:
        raise AssertionError("nobody said stop")

    def epoch(self, old: int, new: int) -> None:
        self.epoch_told = new

    def leaves(self) -> bool:
        return False

    def overrun(self, first: int, last: int) -> None:
        raise AssertionError("nothing was overrun")

    def closed(self) -> None:
        raise AssertionError("nothing was closed")

    def status(self, symbol: str, action: int, reason: int, is_trading: str, ts_event: int) -> None:
        """Of no interest here."""

    def look(self, now_ns: int = 0, idle: bool = False) -> None:
        """The bot's own clock is not asked here."""

    def mend(self) -> int:
        return 10 * MS

    # --- the link -----------------------------------------------------------------------------------------------------

    def attach(self, epoch: int) -> None:
        self.script = Script()
        self.sent = []
        self.heard_frames = 0
        self.late_frames = []
        self.hasty = True
        self.delivery.attach(self.script, epoch)
        self.present = epoch or self.present
        if epoch and self.epoch_told == epoch:
            self.born(epoch)

    def born(self, epoch: int) -> None:
        """The bot was there when this epoch began."""
        for key in TOPICS:
            self.starts[epoch, key] = {1}
        self.births.add(epoch)

    def carry(self, frame: Frame, fate: int) -> None:
        if fate == LATE:
            self.late_frames.append(frame)
        elif fate != LOSE:
            for _ in range(1 + (fate == TWICE)):
                self.script.put(frame.data)
                self.sent.append(frame)
        if fate != GO and not self.fillable:
            self.failed.add("slow")

    def hear(self) -> None:
        """What the frames that the bot has read by now prove."""
        heard = self.sent[self.heard_frames : self.script.frames]
        self.heard_frames += len(heard)
        for frame in heard:
            if frame.epoch < self.present or frame.key == UNWANTED:
                continue
            if frame.epoch > self.present:
                if self.present:
                    self.born(frame.epoch)
                self.present = frame.epoch
            if frame.key is None:
                continue
            at = frame.epoch, frame.key
            self.arrived |= {(tick.epoch, tick.key, tick.topic_seq) for tick in frame.ticks}
            if at not in self.evidence and frame.epoch not in self.births:
                self.starts.setdefault(at, set()).add(frame.begins)
            self.evidence[at] = max(self.evidence.get(at, 0), frame.ends)

    present = 0
    """The epoch of the last frame that was read and was not of an older one."""

    # --- what comes ---------------------------------------------------------------------------------------------------

    @rule(
        topics=st.lists(st.integers(0, len(TOPICS)), min_size=1, max_size=8),
        fates=st.integers(0, 4**8 - 1),
        batch=st.sampled_from([1, 2, 8]),
        conflate=st.booleans(),
        old=st.booleans(),
        take=TAKES,
    )
    def publish(self, topics: list[int], fates: int, batch: int, conflate: bool, old: bool, take: int) -> None:
        keys = [(*TOPICS, UNWANTED)[topic] for topic in topics]
        for frame in self.feed.publish(keys, batch, conflate, OLD_NS if old else FRESH_NS):
            self.carry(frame, fates % 4)
            fates //= 4
        self.take(take)

    @rule(topic=st.integers(0, len(TOPICS)), fate=st.sampled_from([GO, GO, LOSE, LATE]), take=TAKES)
    def news(self, topic: int, fate: int, take: int) -> None:
        """An empty frame of a topic, or a heartbeat."""
        self.carry(self.feed.empty(TOPICS[topic]) if topic < len(TOPICS) else self.feed.heartbeat(), fate)
        self.take(take)

    @rule(which=st.integers(0, 7), take=TAKES)
    @precondition(lambda self: self.late_frames)
    def arrive(self, which: int, take: int) -> None:
        self.carry(self.late_frames.pop(which % len(self.late_frames)), GO)
        self.take(take)

    # --- what the bot does --------------------------------------------------------------------------------------------

    def take(self, most: int) -> None:
        """The bot takes some of what waits, or all."""
        if most == 0:
            return
        if self.many:
            for _ in range(most):
                batch = self.delivery.recv_many(self.many, 0.0)
                if batch is None:
                    break
                self.batch(batch)
            else:
                most = 0
        else:
            for _ in range(most):
                tick = self.delivery.poll()
                if tick is None:
                    break
                self.tick(tick)
            else:
                most = 0
        self.hear()
        if most:
            self.nobody_waits_for_another()

    def tick(self, tick: Tick) -> None:
        key = tick.schema, tick.symbol
        self.given(
            Given(tick.publisher_id, key, tick.topic_seq, tick.seq, tick.flags, tick.folded),
            tick.ts_event, tick.instrument_id,
        )  # fmt: skip

    def batch(self, batch: Batch) -> None:
        records = batch.records
        for i, symbol in enumerate(batch.symbols):
            given = Given(
                int(records["publisher_id"][i]), (batch.schema, symbol), int(batch.topic_seq[i]), int(batch.seq[i]),
                int(batch.flags[i]), int(batch.folded[i]),
            )  # fmt: skip
            self.given(given, int(records["ts_event"][i]), int(records["instrument_id"][i]))

    def given(self, given: Given, seq: int, topic_seq: int) -> None:
        assert (seq, topic_seq) == (given.seq, given.topic_seq), "the numbers are another record's"
        self.account.tick(given)
        at = given.epoch, given.key, given.topic_seq
        if given.flags & FLAG_SNAPSHOT:
            assert self.joined
        elif given.flags & FLAG_REPLAYED:
            assert at in self.answered or self.stream, f"{given} was not asked for"
        else:
            self.hear()
            assert at in self.arrived, f"{given} did not come live"
            if self.stream:
                assert given.seq > self.highest.get(given.epoch, 0), f"{given} is out of the stream's order"
                self.highest[given.epoch] = given.seq

    def nobody_waits_for_another(self) -> None:
        """All that came was taken: only topics that are held may be behind."""
        if self.stream:
            return
        behind = [at for at, last in self.evidence.items() if at[0] == self.present and self.behind(at, last)]
        assert len(behind) <= self.delivery.recovery.holes, behind

    def behind(self, at: tuple[int, Key], last: int) -> bool:
        return at in self.account.due and self.account.due[at] <= last

    def time_passes(self, ms: int, connected: bool = True) -> None:
        self.now += ms * MS
        self.control.connected = connected
        if ms * MS > PATIENCE_NS or not connected:
            self.failed.add("timeout")
        before = self.control.asked
        unanswered = self.control.unanswered
        self.mender.look(self.now)
        self.present = self.present or self.delivery.epoch  # a snapshot tells it, too
        self.delivery.overdue(self.now)
        assert len(self.control.waiting) <= 1, "one request is under way at a time"
        if self.control.asked > before:
            if unanswered and not self.hasty:
                assert self.now - self.asked_at[max(unanswered)] >= TRY_LEAST_NS, "the answer was not waited for"
            self.asked_at[self.control.asked] = self.now
            self.hasty = False

    # --- the control address ------------------------------------------------------------------------------------------

    @rule(
        ms=st.sampled_from([0, 1, 100, 400, 1500]),
        connected=st.sampled_from([True, True, True, False]),
        which=st.integers(0, 3),
        most=st.sampled_from([1, 2, 3, 100]),
        look=st.sampled_from([3, 1000, 1000]),
        fate=st.sampled_from(["answer"] * 8 + ["not yet", "not yet", "lose", "refuse", "older", "twice"]),
        take=TAKES,
    )
    def look_around(self, ms: int, connected: bool, which: int, most: int, look: int, fate: str, take: int) -> None:
        """Time passes, the bot asks, and the feed answers, or not."""
        self.time_passes(ms, connected)
        if self.control.asks and fate != "not yet":
            self.answer(which, most, look, fate)
            self.time_passes(1, connected)
        self.take(take)

    def answer(self, which: int, most: int, look: int, fate: str) -> None:
        ask = self.control.asks.pop(which % len(self.control.asks))
        if fate == "lose":
            self.failed.add("timeout")
        elif fate == "refuse":
            self.failed |= {"refused", "timeout"}
            self.control.reply(ask.number, {"error": "too much"}, [])
        elif fate == "older":
            self.failed |= {"refused", "timeout"}
            self.control.reply(ask.number, {"epoch": 3, "next": 1, "end": True, "missing": []}, [])
        else:
            self.reply(ask, most, look)
            if fate == "twice":
                self.control.asks.append(ask)

    def reply(self, ask: Ask, most: int, look: int) -> None:
        if ask.name == "snapshot":
            words, pieces = self.feed.snapshot(ask.fields, most)
            if self.control.reply(ask.number, words, pieces):
                for key, last in self.feed.last.items():
                    self.starts.setdefault((self.feed.epoch, key), set()).add(last + 1)
        else:
            words, pieces = self.feed.replay(ask.fields, most, look)
            if self.control.reply(ask.number, words, pieces):
                epoch = words["epoch"]
                for word, symbol, first, last in ask.fields["topics"]:
                    self.answered |= {(epoch, (word, symbol), n) for n in range(first, last + 1)}

    # --- what changes -------------------------------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(["nothing", "nothing", "forget", "epoch", "link", "both"]),
        seq=st.integers(1, 60),
        archived=st.booleans(),
        later=st.integers(1, 3),
        known=st.booleans(),
        fates=st.integers(0, 4**6 - 1),
    )
    def change(self, what: str, seq: int, archived: bool, later: int, known: bool, fates: int) -> None:
        """The log forgets; the feed begins a new epoch; the bot is given another link; or both."""
        if what == "forget":
            self.feed.forget(seq)
        if what in {"epoch", "both"} and len(self.feed.logs) < 4:
            self.feed.begin(self.feed.epoch + later, archived)
        if what in {"link", "both"}:
            self.relink(known, fates)

    def relink(self, known: bool, fates: int) -> None:
        """Another link, on which topics have other indices."""
        if self.many:
            self.take(
                1000
            )  # the core is given another link where it looks around: never between a batch and what ended it
        # The first frame of a new epoch stands aside until what was kept of the old one has gone out: then it is read,
        # and not judged. That the epoch ended is told, and says that more may be missing.
        if self.stream or self.latest or self.present != self.delivery.epoch:
            self.unsure.add(self.present)
        self.attach(self.feed.epoch if known else 0)
        for i, key in enumerate(reversed(TOPICS)):
            self.carry(self.feed.empty(key), (fates // 4**i) % 4)

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "delivery"):
            assert self.delivery.recovery.kept_bytes <= self.kept_bytes

    def teardown(self) -> None:
        if sys.exc_info()[0] is None and hasattr(self, "delivery"):
            self.settle()

    def settle(self) -> None:
        """The network is well from now on, and in the end everything is accounted for."""
        for key in TOPICS:
            for frame in self.feed.publish([key], 1, False):
                self.carry(frame, GO)
        for turn in range(200):
            if turn % 10 == 0:
                for key in TOPICS:
                    if key in self.feed.last:
                        self.carry(self.feed.empty(key), GO)
                self.carry(self.feed.heartbeat(), GO)
            self.take(1000)
            self.time_passes(50)
            for ask in self.control.asks[:]:
                self.control.asks.remove(ask)
                self.reply(ask, 100, 1000)
            if not self.delivery.recovery.holes and not self.delivery.recovery.joining and turn > 2:
                break
        self.take(1000)
        assert not self.delivery.recovery.holes
        assert self.delivery.recovery.kept_bytes == 0
        for key, last in self.feed.last.items():
            assert key == UNWANTED or self.evidence[self.feed.epoch, key] == last
        for at, last in self.evidence.items():
            begins = self.account.begins.get(at)
            due = self.account.due.get(at)
            starts = self.starts[at]
            if begins is None or due is None:
                assert last < max(starts) or at[0] in self.unsure, f"nothing of {at} came, and {last} was known of"
                continue
            assert begins in starts or (at[0] in self.unsure and begins > min(starts)), f"{at} begins with {begins}"
            if at[0] == self.feed.epoch or at[0] not in self.unsure:
                assert due == last + 1, f"{at} ends before {due}, and {last} was known of"


RecoveryMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRecovery = RecoveryMachine.TestCase
