"""A durable bot may be killed at any point of its life, and the power may fail: nothing is lost.

A kill -9 leaves the position's file as it is, so its bytes are copied at every step of a life, also where the core is
in the middle of something and calls its hooks. Another life goes on from each copy: from the archive, then live. What
it has to make up for is what the lives before it were given and told.

What the bot was told to be missing is as good as dealt with, though the archive may have it.

Power loss leaves any page of the file as it was at any time before.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from bots.delivery import Delivery
from bots.links.frames import Script
from bots.links.history import HistoryLink
from bots.mending import Mender
from bots.position import Position
from feed.wire.frames import FLAG_REPLAYED
from feed.wire.records import BY_ID
from tests.property.account import Account, Given, Told
from tests.property.model import FRESH_NS, OLD_NS, TOPICS, Archive, Control, Feed, Frame, Key

if TYPE_CHECKING:
    from random import Random

MS = 1_000_000
PAGE = 4096
STATES = frozenset(schema.id for schema in BY_ID.values() if schema.conflatable)
MANY: tuple[Key, ...] = tuple(("trade", f"S{i:03}") for i in range(95))
"""Topics whose entries take three pages."""


class Image(NamedTuple):
    """What a kill leaves: the file's bytes, and how much the bot had been given and told by then."""

    data: bytes
    file: int
    given: int
    told: int
    in_hand: frozenset[tuple[int, Key, int]]


class Past(NamedTuple):
    """What lives before had been given and told when the last of them was killed."""

    given: list[Given]
    told: list[Told]
    in_hand: frozenset[tuple[int, Key, int]]


@dataclass
class Life:
    """One process of the bot, from `image` on; None: its first."""

    feed: Feed
    folder: Path
    image: bytes | None
    latest: bool = False
    many: int = 0
    records: bool = False
    account: Account = field(default_factory=Account)
    images: list[Image] = field(default_factory=list)
    in_hand: frozenset[tuple[int, Key, int]] = frozenset()

    def __post_init__(self) -> None:
        self.path = self.folder / "bot.pos"
        if self.image is not None:
            self.path.write_bytes(self.image)
        self.position = Position(self.path)
        self.control = Control()
        self.now = MS
        self.script: Script | None = None
        self.files = 0
        self.inode = self.path.stat().st_ino
        self.delivery = Delivery(
            self, latest=STATES if self.latest else frozenset(), behind_ns=MS, patience_ns=1000 * MS, seed=1
        )
        self.delivery.remember(self.position)
        self.mender = Mender(self.delivery.recovery, self.control, ["*"], None)  # type: ignore[arg-type]
        if self.position.epoch:
            over = self.position.epoch != self.feed.epoch
            self.catch_up(self.position.epoch, self.position.proved if over else self.position.seq)
        else:
            self.go_live()
            self.position.begin(self.feed.epoch, self.feed.next_seq)
        self.picture()

    # --- links ------------------------------------------------------------------------------------------------------

    def go_live(self) -> None:
        self.script = Script()
        self.delivery.attach(self.script, self.feed.epoch)
        for key in self.feed.last:
            self.script.put(self.feed.empty(key).data)

    def catch_up(self, epoch: int, seq: int) -> None:
        self.script = None
        blocks = Archive(self.feed.history(epoch, seq), self.feed.epoch)
        self.history = HistoryLink(blocks, "history", seq, FLAG_REPLAYED, epoch)
        self.delivery.attach(self.history, epoch, "expired")

    def hear(self, frame: Frame) -> None:
        if self.script is not None:
            self.script.put(frame.data)

    # --- hooks ------------------------------------------------------------------------------------------------------

    def wanted(self, schema_id: int, symbol: str) -> bool:
        self.picture()
        return True

    def newest(self, schema_id: int) -> bool:
        self.picture()
        return self.latest and schema_id in STATES

    def fills(self, topic: tuple[int, str], first: int, last: int, cause: str) -> bool:
        self.picture()
        return True

    def gap(self, topic: tuple[int, str], first: int, last: int, cause: str) -> None:
        self.picture()
        self.account.gap(Told(self.delivery.epoch, (BY_ID[topic[0]].word, topic[1]), first, last, cause))

    def epoch(self, old: int, new: int) -> None:
        self.picture()

    def leaves(self) -> bool:
        """A new epoch shows: first the rest of the old one."""
        if self.script is None:
            return False
        at = self.delivery.epoch, self.delivery.proved
        self.delivery.detach()
        self.script = None
        self.picture()
        self.catch_up(*at)
        return True

    def closed(self) -> None:
        """The history has ended; should the epoch have ended since, there is more of it."""
        self.picture()
        epoch = self.delivery.epoch
        if self.history.reached == epoch != self.feed.epoch:
            self.catch_up(epoch, self.delivery.proved)
        else:
            self.delivery.detach()
            self.go_live()

    def overrun(self, first: int, last: int) -> None:
        self.picture()

    def late(self, topic: str, age_ns: int) -> None:
        raise AssertionError("nobody said stop")

    def status(self, symbol: str, action: int, reason: int, is_trading: str, ts_event: int) -> None:
        self.picture()

    def look(self, now_ns: int, idle: bool) -> None:
        self.picture()

    def mend(self) -> int:
        self.picture()
        return 10 * MS

    # --- living -----------------------------------------------------------------------------------------------------

    def picture(self) -> None:
        if self.records and hasattr(self, "path"):
            inode = self.path.stat().st_ino
            self.files += inode != self.inode
            self.inode = inode
            given, told = len(self.account.given), len(self.account.told)
            image = Image(self.path.read_bytes(), self.files, given, told, self.in_hand)
            if not self.images or image != self.images[-1]:
                self.images.append(image)

    def take(self, most: int) -> None:
        """At most so many ticks, or so many batches."""
        for _ in range(most):
            if self.many == 0:
                tick = self.delivery.poll()
                if tick is None:
                    break
                key = tick.schema, tick.symbol
                got = [Given(tick.publisher_id, key, tick.topic_seq, tick.seq, tick.flags, tick.folded)]
            else:
                batch = self.delivery.recv_many(self.many, 0.0)
                if batch is None:
                    break
                epochs = batch.records["publisher_id"]
                columns = zip(
                    epochs.tolist(), batch.symbols, batch.topic_seq.tolist(), batch.seq.tolist(), batch.flags.tolist(),
                    batch.folded.tolist(), strict=True,
                )  # fmt: skip
                got = [Given(a, (batch.schema, b), c, d, e, f) for a, b, c, d, e, f in columns]
            for each in got:
                self.account.tick(each)
            # A call of recv_many may take in several batches, `many` ticks in all, and they are dealt with as a whole.
            last = self.account.given[-max(1, self.many) :]
            self.in_hand = frozenset((each.epoch, each.key, each.topic_seq) for each in last)
            self.picture()
        else:
            return
        self.in_hand = frozenset()  # it came for more
        self.picture()

    def take_all(self) -> None:
        """Until two looks in a row give nothing: what was missing goes out in strides."""
        given = -1
        while given != len(self.account.given):
            given = len(self.account.given)
            self.take(1000)

    def look_around(self, ms: int) -> None:
        self.now += ms * MS
        for _ in range(2):
            self.mender.look(self.now)
            self.delivery.overdue(self.now)
            for ask in self.control.asks[:]:
                self.control.asks.remove(ask)
                self.control.reply(ask.number, *self.feed.replay(ask.fields, 100, 1000))
            self.picture()

    def wait_in_vain(self) -> None:
        """Control does not answer, and the bot has no more patience."""
        for _ in range(2):
            self.mender.look(self.now)
            self.delivery.overdue(self.now)
            self.picture()
            self.now += 1001 * MS

    def end(self) -> None:
        """To the end of all that there is."""
        for _ in range(100):
            self.take(1000)
            self.look_around(100)
            if self.script is not None:
                for key in self.feed.last:
                    self.script.put(self.feed.empty(key).data)
                self.script.put(self.feed.heartbeat().data)
            if self.script is not None and not self.delivery.recovery.holes and self.delivery.poll() is None:
                break
        self.take(1000)
        assert not self.delivery.recovery.holes

    def until(self, image: Image) -> Past:
        given, told = self.account.given[: image.given], self.account.told[: image.told]
        return Past(given, told, image.in_hand)

    def close(self) -> None:
        self.delivery.detach()
        self.position.close()


class Step(NamedTuple):
    """What happens next in the feed, and what the bot does about it."""

    kind: str
    topics: list[int]
    fates: int
    batch: int
    take: int
    old: bool


STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(["publish"] * 6 + ["look"] * 3 + ["heartbeat", "epoch", "idle", "silence"]),
        topics=st.lists(st.integers(0, len(TOPICS) - 1), min_size=1, max_size=6),
        fates=st.integers(0, 3**6 - 1),
        batch=st.sampled_from([1, 4]),
        take=st.sampled_from([0, 1, 2, 1000]),
        old=st.booleans(),
    ),
    min_size=2,
    max_size=14,
)


def act(step: Step, life: Life, late: list[Frame]) -> None:
    feed = life.feed
    if step.kind == "publish":
        fates = step.fates
        keys = [TOPICS[topic] for topic in step.topics]
        for frame in feed.publish(keys, step.batch, False, OLD_NS if step.old else FRESH_NS):
            if fates % 3 == 0:
                life.hear(frame)
            elif fates % 3 == 1:
                late.append(frame)
            fates //= 3
    elif step.kind == "heartbeat":
        while late:
            life.hear(late.pop(step.fates % len(late)))
        life.hear(feed.heartbeat())
    elif step.kind == "epoch" and len(feed.logs) < 3:
        feed.begin(feed.epoch + 1, archived=True)
        late.clear()
        life.hear(feed.heartbeat())
    elif step.kind == "idle":
        life.take_all()
        if life.many == 0:
            assert life.delivery.recv(0.0003) is None
        else:
            assert life.delivery.recv_many(life.many, 0.0003) is None
        life.picture()
    elif step.kind == "look":
        life.look_around(50)
    elif step.kind == "silence":
        life.wait_in_vain()
    life.take(step.take)


def go_on(past: Past, image: bytes, feed: Feed, latest: bool, *, exactly: bool = True) -> None:
    """Another life from `image` to the end, and what must hold of both."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(feed, Path(folder), image, latest)
        life.end()
        life.close()
    ends: dict[tuple[int, Key], int] = {}
    for each in past.given:
        ends[each.epoch, each.key] = max(ends.get((each.epoch, each.key), 0), each.topic_seq)
    for gap in past.told:
        ends[gap.epoch, gap.key] = max(ends.get((gap.epoch, gap.key), 0), gap.last)
    before = {(each.epoch, each.key, each.topic_seq) for each in past.given}
    for at, end_before in ends.items():
        end = end_before
        last = sum(tick.key == at[1] for tick in feed.logs[at[0]])
        if at in life.account.begins:
            assert life.account.begins[at] <= end + 1, f"{at}: {end} was the last, then {life.account.begins[at]}"
            end = life.account.due[at] - 1
        if at[0] == feed.epoch or at[0] in feed.known_epochs:
            assert end == last, f"{at} ends with {end} of {last}"
    told = {(gap.epoch, gap.key, n) for gap in past.told for n in range(gap.first, gap.last + 1)}
    again = {(gap.epoch, gap.key, n) for gap in life.account.told for n in range(gap.first, gap.last + 1)}
    assert not exactly or not told & again, "told again"
    for each in life.account.given:
        assert not exactly or (each.epoch, each.key, each.topic_seq) not in told, f"{each} was told to be missing"
        if (each.epoch, each.key, each.topic_seq) in before:
            assert each.flags & FLAG_REPLAYED or not exactly, f"{each} was given before"
            assert (each.epoch, each.key, each.topic_seq) in past.in_hand or not exactly, f"{each} was done with"


@settings(max_examples=60, deadline=None, report_multiple_bugs=False)
@given(steps=STEPS, latest=st.booleans(), many=st.sampled_from([0, 0, 2, 100]))
def test_killed_at_any_point(steps: list[Step], latest: bool, many: int) -> None:
    feed = Feed()
    late: list[Frame] = []
    with tempfile.TemporaryDirectory() as folder:
        life = Life(feed, Path(folder), None, latest, many, records=True)
        for step in steps:
            act(step, life, late)
        life.close()
    for image in life.images[:: 1 + len(life.images) // 30]:
        go_on(life.until(image), image.data, feed, latest)


@settings(max_examples=80, deadline=None, report_multiple_bugs=False)
@given(
    lives=st.lists(st.tuples(STEPS, st.integers(0, 999)), min_size=2, max_size=5),
    latest=st.booleans(),
    many=st.sampled_from([0, 0, 2, 100]),
)
def test_killed_again_and_again(lives: list[tuple[list[Step], int]], latest: bool, many: int) -> None:
    feed = Feed()
    late: list[Frame] = []
    past = Past([], [], frozenset())
    data = None
    for steps, kill in lives:
        late.clear()
        with tempfile.TemporaryDirectory() as folder:
            life = Life(feed, Path(folder), data, latest, many, records=True)
            for step in steps:
                act(step, life, late)
            life.close()
        image = life.images[kill % len(life.images)]
        data = image.data
        killed = life.until(image)
        past = Past(past.given + killed.given, past.told + killed.told, past.in_hand | killed.in_hand)
    assert data is not None
    go_on(past, data, feed, latest)


def test_who_has_had_nothing_yet_stands_where_it_began(tmp_path: Path) -> None:
    life = Life(Feed(), tmp_path, None)
    life.take(1)
    assert (life.position.seq, life.position.proved) == (1, 1)
    life.close()


# --- the power fails --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, report_multiple_bugs=False)
@given(
    bursts=st.lists(st.lists(st.integers(0, len(MANY) - 1), min_size=1, max_size=60), min_size=1, max_size=6),
    many=st.sampled_from([0, 50]),
    epoch_at=st.integers(0, 8),
    chance=st.randoms(use_true_random=False),
)
def test_any_pages_old(bursts: list[list[int]], many: int, epoch_at: int, chance: Random) -> None:
    """Of what was dealt with much may come again then, but nothing is lost."""
    feed = Feed()
    with tempfile.TemporaryDirectory() as folder:
        life = Life(feed, Path(folder), None, many=many, records=True)
        for n, burst in enumerate(bursts):
            if n == epoch_at:
                feed.begin(feed.epoch + 1, archived=True)
            for frame in feed.publish([MANY[i] for i in burst], 4, False):
                life.hear(frame)
            life.take(chance.choice([0, 3, 1000]))
        life.close()
    for _ in range(8):
        image = chance.choice(life.images)
        versions = [each.data for each in life.images if each.file == image.file]
        versions = versions[: versions.index(image.data) + 1]
        pages = [chance.choice(versions)[at : at + PAGE] for at in range(0, len(image.data), PAGE)]
        go_on(life.until(image), b"".join(pages), feed, latest=False, exactly=False)
