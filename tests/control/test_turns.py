"""Whose turn it is, with time as a number."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from feed.control.turns import ALLOWANCE_BYTES_MIN, BOTS_MAX, Turns
from feed.errors import ControlRefused

S = 1_000_000_000
RATE = 8 << 20


def always(_: object) -> bool:
    return True


def take(turns: Turns[str], now_ns: int = 0) -> tuple[bytes, str] | None:
    return turns.take(now_ns, always)


def test_bots_take_turns_however_much_one_asks() -> None:
    turns: Turns[str] = Turns(RATE, 100)
    for kind in "abcd":
        turns.put(b"greedy", kind, f"greedy {kind}", 0)
    turns.put(b"one", "a", "one", 0)
    turns.put(b"two", "a", "two", 0)
    order = [taken[1] for taken in iter(lambda: take(turns), None)]
    assert order == ["greedy a", "one", "two", "greedy b", "greedy c", "greedy d"]


def test_whoever_asks_again_no_longer_waits_for_the_first_answer() -> None:
    turns: Turns[str] = Turns(RATE, 100)
    assert turns.put(b"bot", "replay", "first", 0) is None
    assert turns.put(b"bot", "snapshot", "other", 0) is None
    assert turns.put(b"bot", "replay", "second", 0) == "first"
    assert len(turns) == 2
    assert [take(turns), take(turns), take(turns)] == [(b"bot", "other"), (b"bot", "second"), None]


def test_an_allowance_that_is_used_up_grows_again() -> None:
    turns: Turns[str] = Turns(RATE, 100)
    turns.put(b"bot", "a", "1", 0)
    assert take(turns) == (b"bot", "1")
    turns.charge(b"bot", RATE // 4 + RATE // 2)  # half a second's worth too much
    turns.put(b"bot", "a", "2", 0)
    turns.put(b"other", "a", "3", 0)
    assert turns.wait_ns(0) == 0
    assert take(turns) == (b"other", "3")
    assert take(turns) is None
    assert turns.wait_ns(0) == pytest.approx(S // 2, abs=2)
    assert take(turns, S // 2 - 1) is None
    assert turns.wait_ns(S // 4) == pytest.approx(S // 4, abs=2)
    assert take(turns, S // 2 + 1) == (b"bot", "2")
    assert turns.wait_ns(S) is None


def test_a_quiet_bot_is_given_a_quarter_of_a_second_at_once_and_no_more() -> None:
    turns: Turns[str] = Turns(RATE, 100)
    turns.put(b"bot", "a", "1", 0)
    take(turns)
    given = 0
    while (taken := turns.put(b"bot", "a", "x", 1000 * S) is None and take(turns, 1000 * S)) is not None:
        assert taken
        turns.charge(b"bot", 100_000)
        given += 100_000
    assert RATE // 4 <= given < RATE // 4 + 100_000
    assert Turns(1, 1)._allowance_max == ALLOWANCE_BYTES_MIN


def test_what_is_not_ready_is_passed_over() -> None:
    turns: Turns[str] = Turns(RATE, 100)
    turns.put(b"bot", "a", "later", 0)
    turns.put(b"bot", "b", "now", 0)
    assert turns.take(0, lambda job: job == "now") == (b"bot", "now")
    assert turns.take(0, lambda job: job == "now") is None
    assert take(turns) == (b"bot", "later")


def test_there_is_only_so_much_room() -> None:
    turns: Turns[str] = Turns(RATE, 3)
    for i in range(3):
        turns.put(b"%d" % i, "a", "x", 0)
    with pytest.raises(ControlRefused, match="at most 3") as refused:
        turns.put(b"new", "a", "x", 0)
    assert refused.value.limit == "waiting"
    assert turns.put(b"1", "a", "again", 0) == "x"  # in its own place
    turns.drop(b"0")
    turns.put(b"new", "a", "x", 0)
    assert len(turns) == 3


def test_bots_that_asked_long_ago_are_forgotten() -> None:
    turns: Turns[str] = Turns(RATE, 100)
    for i in range(2 * BOTS_MAX):
        turns.put(b"%d" % i, "a", "x", 0)
        assert take(turns) == (b"%d" % i, "x")
    assert len(turns._bots) <= BOTS_MAX
    turns.charge(b"0", 5)  # nobody any more


class TurnsMachine(RuleBasedStateMachine):
    """Nobody waits for ever, nothing is lost or doubled, nobody is given more than the allowance and an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: Turns[int] = Turns(RATE, 6)
        self.now = 0
        self.number = 0
        self.waiting: dict[tuple[bytes, str], int] = {}
        self.given: dict[bytes, int] = {}

    @rule(bot=st.sampled_from([b"a", b"b", b"c", b"d"]), kind=st.sampled_from(["replay", "snapshot"]))
    def put(self, bot: bytes, kind: str) -> None:
        self.number += 1
        full = len(self.waiting) == 6 and (bot, kind) not in self.waiting
        try:
            before = self.turns.put(bot, kind, self.number, self.now)
        except ControlRefused:
            assert full
            return
        assert not full
        assert before == self.waiting.get((bot, kind))
        self.waiting[bot, kind] = self.number

    @rule(nbytes=st.integers(0, 4 << 20))
    def take(self, nbytes: int) -> None:
        self.serve(nbytes)

    def serve(self, nbytes: int) -> None:
        taken = self.turns.take(self.now, always)
        if taken is None:
            return
        bot, job = taken
        ((key, _),) = [item for item in self.waiting.items() if item[1] == job]
        assert key[0] == bot
        del self.waiting[key]
        self.turns.charge(bot, nbytes)
        self.given[bot] = self.given.get(bot, 0) + nbytes
        assert self.given[bot] <= RATE // 4 + self.now * RATE / S + (4 << 20)

    @rule(ns=st.integers(0, 2 * S))
    def wait(self, ns: int) -> None:
        self.now += ns

    @rule(bot=st.sampled_from([b"a", b"b"]))
    def leave(self, bot: bytes) -> None:
        self.turns.drop(bot)
        self.given.pop(bot, None)
        self.waiting = {key: job for key, job in self.waiting.items() if key[0] != bot}
        self.given = {key: value for key, value in self.given.items() if key != bot}

    @invariant()
    def counts(self) -> None:
        assert len(self.turns) == len(self.waiting)
        assert (self.turns.wait_ns(self.now) is None) == (not self.waiting)

    def teardown(self) -> None:
        while self.waiting:
            wait = self.turns.wait_ns(self.now)
            assert wait is not None
            self.now += wait + 2
            before = len(self.waiting)
            self.serve(0)
            assert len(self.waiting) == before - 1


TestTurns = TurnsMachine.TestCase
