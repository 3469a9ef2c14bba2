"""Bots that share a stream: nothing lost, nothing twice but what is flagged, whatever comes and goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.bots.group_world import EPOCH, LEASE_NS, SYMBOLS, World

if TYPE_CHECKING:
    from tests.bots.group_world import Tick

MS = 1_000_000
BOTS_MAX = 4


class Sharing(RuleBasedStateMachine):
    """Members come, go and die, control forgets, answers and frames are lost, everybody may be slow.

    One member lives all the time, or control and bots could forget everything at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.world = World(self.patch)
        self.all: list[World.Bot] = []
        self.clean = True  # nobody died, and nobody could be taken for dead

    def teardown(self) -> None:
        try:
            self.settle()
            self.check_everything()
        finally:
            self.patch.undo()

    @initialize(share=st.sampled_from(["symbol", "turn"]), lossy=st.booleans())
    def begin(self, share: str, lossy: bool) -> None:
        self.share = share
        self.join(lossy)
        self.settle()
        assert self.all[0].group.share.me == 0

    def join(self, lossy: bool) -> None:
        bot = World.Bot(self.world, self.share, lossy, True)
        bot.enter()
        self.all.append(bot)

    # --- what happens -----------------------------------------------------------------------------------------------

    @rule(topics=st.lists(st.integers(0, len(SYMBOLS) - 1), min_size=1, max_size=12))
    def publish(self, topics: list[int]) -> None:
        for topic in topics:
            self.world.publish(topic)

    @rule(which=st.integers(0, BOTS_MAX - 1), ticks=st.integers(1, 20), ms=st.integers(0, 40))
    def turn(self, which: int, ticks: int, ms: int) -> None:
        self.world.now_ns += ms * MS
        self.world.bots[which % len(self.world.bots)].turn(ticks)

    @rule(rounds=st.integers(1, 30), ms=st.integers(1, 60))
    def turn_all(self, rounds: int, ms: int) -> None:
        for _ in range(rounds):
            self.world.now_ns += ms * MS
            for bot in self.world.bots:
                bot.turn(3, 1)

    @rule()
    def beat(self) -> None:
        self.world.beat()

    @rule(ms=st.integers(100, 3000))
    def sleep(self, ms: int) -> None:
        """Nobody does anything: leases may be over."""
        self.world.now_ns += ms * MS
        self.clean = False

    @precondition(lambda self: len(self.world.bots) < BOTS_MAX and self.world.control is not None)
    @rule(lossy=st.booleans())
    def come(self, lossy: bool) -> None:
        self.join(lossy)

    @precondition(lambda self: len(self.world.bots) > 1)
    @rule(which=st.integers(1, BOTS_MAX - 1))
    def leave(self, which: int) -> None:
        bot = self.world.bots[1 + which % (len(self.world.bots) - 1)]
        # Of a bot to which frames did not come, what it has dealt with is not known for sure.
        self.clean &= self.world.control is not None and not bot.lost
        bot.stop(leaves=True)

    @precondition(lambda self: len(self.world.bots) > 1)
    @rule(which=st.integers(1, BOTS_MAX - 1))
    def die(self, which: int) -> None:
        self.clean = False
        self.world.bots[1 + which % (len(self.world.bots) - 1)].stop(leaves=False)

    @rule()
    def control_dies(self) -> None:
        self.clean = False
        self.world.control = None

    @rule()
    def control_starts(self) -> None:
        self.clean = False
        self.world.start_control()

    @rule(which=st.integers(0, BOTS_MAX - 1), n=st.integers(1, 4))
    def lose_answers(self, which: int, n: int) -> None:
        self.world.bots[which % len(self.world.bots)].client.lost = n

    @rule(which=st.integers(0, BOTS_MAX - 1), n=st.integers(1, 4))
    def lose_frames(self, which: int, n: int) -> None:
        self.world.bots[which % len(self.world.bots)].loses = n

    # --- what holds -------------------------------------------------------------------------------------------------

    @invariant()
    def order_is_kept(self) -> None:
        for bot in self.all:
            last: dict[int, int] = {}
            for seq, replayed in bot.dealt:
                topic = self.tick(seq).topic_id
                assert replayed or seq > last.get(topic, 0), (bot.name, seq)
                last[topic] = seq
            assert not bot.gaps

    @invariant()
    def once(self) -> None:
        for seq, times in self.times().items():
            assert times.count(False) <= 1, f"{seq} came {times} (flags)"
            assert len(times) == 1 or not self.clean, f"{seq} came {len(times)} times, and nobody died"

    def tick(self, seq: int) -> Tick:
        return self.world.stream[seq - 1]

    def times(self) -> dict[int, list[bool]]:
        found: dict[int, list[bool]] = {}
        for bot in self.all:
            for seq, replayed in [*bot.dealt, *([bot.in_hand] if bot.in_hand is not None else [])]:
                found.setdefault(seq, []).append(replayed)
        return found

    def settle(self) -> None:
        """Nothing happens any more but what has to."""
        world = self.world
        if world.control is None:
            world.start_control()
        for bot in world.bots:
            bot.client.lost = bot.loses = 0
        for i in range(600):
            world.now_ns += 15 * MS
            if i % 30 == 0:
                world.beat()
            for bot in world.bots:
                bot.turn(20, 1)
            if i > 2 * LEASE_NS // (15 * MS) and all(self.done(bot) for bot in world.bots):
                return
        raise AssertionError(f"it does not settle: {[(bot.name, bot.group.share.place) for bot in world.bots]}")

    def done(self, bot: World.Bot) -> bool:
        share = bot.group.share
        everybody = bot.group.figures()["members"] == sorted(each.group.share.member for each in self.world.bots)
        assert self.world.control is not None
        known = self.world.control._groups["g"].members
        proved = share.member in known and known[share.member].place[1] == self.world.next_seq
        return everybody and proved and not share.taking and share.place[1] == self.world.next_seq

    def check_everything(self) -> None:
        self.once()
        dealt = {seq for bot in self.all for seq, _ in bot.dealt}
        missing = [tick.seq for tick in self.world.stream if tick.seq not in dealt]
        assert not missing, f"nobody dealt with {missing}"


TestSharing = Sharing.TestCase
TestSharing.settings = settings(
    max_examples=int(os.environ.get("N", "60")),
    phases=[Phase.generate] if "N" in os.environ else list(Phase),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_first_one_passes_over_nothing_until_it_knows_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    for topic in range(len(SYMBOLS)):
        world.publish(topic)
    bot = World.Bot(world, "symbol", lossy=False, durable=False)
    bot.left = EPOCH, 1
    bot.enter()
    for _ in range(100):
        world.now_ns += 50 * MS
        bot.turn(3)
    assert [seq for seq, _ in bot.dealt] == list(range(1, world.next_seq))
