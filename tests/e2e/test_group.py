"""Bots that share a stream, as processes: whoever comes, leaves or dies, together they deal with every tick."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.e2e.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.e2e.processes import Bot, Collected, Stage

RATE = 1500
HURRIED = {"publish__tcp__heartbeat": "250ms", "publish__ipc__heartbeat": "250ms"}
"""A lease is two of them, and a second at least."""

LEASES = 3 * RATE
"""Ticks in a time in which whoever does not hold a lease by then has stopped."""

TAIL_BYTES = 1 << 16


@dataclass
class Team:
    """Bots of one group, which begins with the feed's first tick."""

    stage: Stage
    transport: str
    share: str = "symbol"
    bots: list[Bot] = field(default_factory=list)

    def join(self, transport: str = "", *more: str) -> Bot:
        transport = transport or self.transport
        name = f"{transport}-{len(self.bots) + 1}"
        ours = ("--group", "team", "--share", self.share, "--start", "begin", *more)
        self.bots.append(self.stage.bot(name, transport, "*", "quote,trade,status", *ours))
        return self.bots[-1]

    @property
    def next_seq(self) -> int:
        return int(self.stage.stat()["log"]["next_seq"])

    def deal(self, bots: Iterable[Bot], beyond: int = 0) -> int:
        """Wait until each has dealt with ticks that do not exist yet, `beyond` the next one; gives that one's seq."""
        seq = self.next_seq + beyond
        for bot in bots:
            wait_for(lambda bot=bot: last_seq(bot) >= seq, lambda bot=bot: f"{bot.name} at {seq}: {bot.process.said}")
        return seq

    def finish(self, bots: Iterable[Bot]) -> Dealt:
        """Wait until all that is there now has been dealt with, and end those bots."""
        until = self.next_seq
        expected = set(range(1, until))
        self.deal(bots)
        wait_for(
            lambda: expected <= {seq for bot in self.bots for seq in bot.collected.seqs},
            lambda: f"{sorted(expected - {seq for bot in self.bots for seq in bot.collected.seqs})[:20]}",
        )
        for bot in bots:
            assert bot.process.end() == 0, bot.process.said
        return Dealt({bot.name: bot.collected for bot in self.bots}, self.stage.log())


@dataclass
class Dealt:
    """What each of them has dealt with, by name, and what the log has."""

    by: dict[str, Collected]
    log: dict[str, list[tuple[int, int, bytes]]]

    def __post_init__(self) -> None:
        self.topic_of = {seq: name for name, ticks in self.log.items() for seq, _, _ in ticks}
        self.times = Counter(seq for got in self.by.values() for seq in got.seqs)

    @property
    def hurried(self) -> bool:
        """Was a lease over because the machine was busy?"""
        return any("stale" in got.states for got in self.by.values())

    def repeated(self) -> set[int]:
        return {seq for seq, times in self.times.items() if times > 1}

    def check(self) -> None:
        """Each tick as it was published, once unless flagged, in its symbol's order; and nothing missing."""
        once = Counter(
            seq for got in self.by.values() for seq, again in zip(got.seqs, got.replayed, strict=True) if not again
        )
        assert {seq: times for seq, times in once.items() if times > 1} == {}
        for name, got in self.by.items():
            assert got.gaps == [], name
            for topic, ticks in got.ticks.items():
                assert set(ticks) <= set(self.log[topic]), f"{topic} of {name}"
            highest: dict[str, int] = {}
            for seq, again in zip(got.seqs, got.replayed, strict=True):
                topic = self.topic_of[seq]
                assert again or seq > highest.get(topic, 0), f"{seq} of {topic} came to {name} out of order"
                highest[topic] = max(seq, highest.get(topic, 0))

    def who(self, first: int, behind: int, share: str) -> dict[str | int, set[str]]:
        """Who dealt with seqs from `first` to before `behind`: by symbol, or by turn of three."""
        found: dict[str | int, set[str]] = {}
        for name, got in self.by.items():
            for seq in got.seqs:
                if first <= seq < behind:
                    part = seq % 3 if share == "turn" else self.topic_of[seq].partition(".")[2]
                    found.setdefault(part, set()).add(name)
        return found


def last_seq(bot: Bot) -> int:
    """Of the last tick that it wrote down, cheaply."""
    if not bot.file.exists():
        return 0
    with bot.file.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        lines = file.read().split(b"\n")[1:-1]
    return next((int(line.split()[2]) for line in reversed(lines) if line.startswith(b"tick ")), 0)


@pytest.mark.parametrize(("transport", "share"), [("shm", "symbol"), ("tcp", "symbol"), ("shm", "turn")])
def test_all_ticks_are_divided_whoever_comes_and_leaves(stage: Stage, transport: str, share: str) -> None:
    stage.up(stage.feed(source__sim__rate=RATE))
    team = Team(stage, transport, share)
    team.deal([team.join(), team.join()])
    team.deal([team.join()])
    three = team.next_seq
    two = team.deal(team.bots, beyond=RATE // 2)
    assert team.bots[0].process.end() == 0, team.bots[0].process.said
    dealt = team.finish(team.bots[1:])
    dealt.check()
    if not dealt.hurried:
        assert dealt.repeated() == set()
        who = dealt.who(three, two, share)
        assert {part: names for part, names in who.items() if len(names) > 1} == {}
        assert set.union(*who.values()) == {bot.name for bot in team.bots}


@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_the_others_go_on_where_one_was_killed(stage: Stage, transport: str) -> None:
    stage.up(stage.feed(source__sim__rate=RATE, **HURRIED))
    team = Team(stage, transport)
    team.deal([team.join(), team.join(), team.join()])
    killed, *others = team.bots
    killed.process.kill()
    team.deal(others, beyond=LEASES)
    dealt = team.finish(others)
    dealt.check()
    if not dealt.hurried:
        assert dealt.repeated() <= set(dealt.by[killed.name].seqs)
    last = max(dealt.by[killed.name].seqs)
    its = {dealt.topic_of[seq] for seq in dealt.by[killed.name].seqs}
    assert any(seq > last and dealt.topic_of[seq] in its for bot in others for seq in dealt.by[bot.name].seqs)


def test_they_register_again_with_a_control_that_knows_nothing(stage: Stage) -> None:
    stage.up(stage.feed(source__sim__rate=RATE, **HURRIED))
    team = Team(stage, "tcp")
    team.deal([team.join(), team.join()])
    stage.kill_agent("control")
    team.deal(team.bots, beyond=LEASES)
    team.deal([team.join()])
    team.finish(team.bots).check()


def test_durable_ones_may_all_die_and_control_with_them(stage: Stage) -> None:
    stage.up(stage.feed(source__sim__rate=RATE, **HURRIED))
    team = Team(stage, "shm")
    who = [("shm", "--durable", "one"), ("tcp", "--durable", "two")]
    killed = [team.join(*each) for each in who]
    team.deal(killed)
    for bot in killed:
        bot.process.kill()
    stage.kill_agent("control")
    dealt = team.finish([team.join(*each) for each in who])
    dealt.check()
    assert dealt.repeated() <= {seq for bot in killed for seq in dealt.by[bot.name].seqs}
