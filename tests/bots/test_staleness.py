"""Silence and its four reasons: a simulated feed, publisher, network and control, and what a bot makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.staleness import FeedWatch, Stale, Verdict, symbol_state
from bots.status import StatusAction, StatusReason, Trading

if TYPE_CHECKING:
    from collections.abc import Iterator

MS = 1_000_000
SECOND = 1000 * MS
STEP = 5 * MS
NEVER = 1 << 60
FOR_EVER = 1 << 62
GAVE_NO_SIGN = "control says that its sequencer gave no sign of life for 0.7 s"
HUNG_UP = "the publisher hung up, but control says that the feed lives"

# --- one by one -------------------------------------------------------------------------------------------------------


def judged(watch: FeedWatch, at_ns: int) -> tuple[str, str]:
    verdict = watch.judge(at_ns)
    return verdict.state, verdict.why


def test_live_as_long_as_heartbeats_come_and_nobody_is_asked() -> None:
    watch = FeedWatch(SECOND, 0)
    for at in range(0, 20 * SECOND, SECOND):
        watch.heard(at)
        assert watch.judge(at + SECOND) == Verdict("live", "", SECOND, False)


@pytest.mark.parametrize(
    ("facts", "state", "why"),
    [
        ([], "network cut", "nothing heard for 1.6 s, and control does not answer"),
        ([("answered", 1100, 1400)], "feed dead", "control says that its sequencer gave no sign of life for 1.4 s"),
        ([("answered", 1100, None)], "feed dead", "control says that no sequencer runs"),
        ([("answered", 1100, 50)], "network cut", "no heartbeat comes, but control says that the feed lives"),
        ([("answered", 900, 5000)], "network cut", "nothing heard for 1.6 s, and control does not answer"),
        ([("answered", 1010, 200)], "network cut", "nothing heard for 1.6 s, and control does not answer"),
        ([("answered", 1590, 499)], "network cut", "no heartbeat comes, but control says that the feed lives"),
        ([("hung_up", 500)], "feed dead", "the publisher hung up, and control does not answer"),
        ([("hung_up", 500), ("answered", 510, 700)], "feed dead", GAVE_NO_SIGN),
        ([("hung_up", 500), ("answered", 600, 20)], "network cut", HUNG_UP),
        ([("hung_up", 1400)], "live", ""),
        ([("hung_up", 1400), ("answered", 1450, 100)], "live", ""),
        ([("spoke", 1550)], "feed dead", "its publisher speaks, but gives no heartbeat"),
        ([("spoke", 1450)], "network cut", "nothing heard for 1.6 s, and control does not answer"),
        ([("ended",)], "feed dead", "the feed ended"),
    ],
)  # fmt: skip
def test_after_a_silence_of_1600_ms(facts: list[tuple[str, int]], state: str, why: str) -> None:
    watch = FeedWatch(SECOND, 0)
    for name, *given_ms in facts:
        getattr(watch, name)(*(ms if ms is None else ms * MS for ms in given_ms))
    assert judged(watch, 1600 * MS) == (state, why)
    assert watch.judge(1600 * MS).ask == (facts != [("ended",)])
    watch.heard(1650 * MS)
    assert watch.judge(1700 * MS) == Verdict("live", "", 50 * MS, False)


def test_without_a_control_address_there_is_nobody_to_be_asked() -> None:
    watch = FeedWatch(SECOND, 0, asks=False)
    assert judged(watch, 1600 * MS) == ("network cut", "nothing heard for 1.6 s")
    assert not watch.judge(1600 * MS).ask
    watch.hung_up(1600 * MS)
    assert judged(watch, 1601 * MS) == ("feed dead", "the publisher hung up")


def test_on_the_same_host_there_is_no_network() -> None:
    watch = FeedWatch(SECOND, 0, local=True)
    assert judged(watch, 1400 * MS) == ("live", "")
    assert judged(watch, 1600 * MS) == ("feed dead", "its sequencer gave no sign of life for 1.6 s")
    watch.heard(1700 * MS)
    watch.heard(1600 * MS)  # an older sign takes nothing back
    assert watch.judge(1700 * MS).silent_ns == 0
    watch.hung_up(1750 * MS)
    assert judged(watch, 1760 * MS) == ("feed dead", "the feed's process is gone")
    assert not watch.judge(1760 * MS).ask


def test_what_a_bot_is_told() -> None:
    watch = FeedWatch(SECOND, 0)
    now = 1_700_000_000 * SECOND
    assert watch.judge(SECOND).stale(now) is None
    cut = watch.judge(2 * SECOND).stale(now)
    assert cut == Stale("network", "nothing heard for 2.0 s, and control does not answer", now - 2 * SECOND)
    watch.ended()
    assert watch.judge(2 * SECOND).stale(now) == Stale("feed", "the feed ended", now - 2 * SECOND)


# --- any course of events ---------------------------------------------------------------------------------------------


class Course(NamedTuple):
    """What happens: everything is well from 0 on; at `fault_ns` `fault` happens, and at `mended_ns` it is over."""

    heartbeat_ns: int
    beat_ns: int
    look_ns: int
    look_phase_ns: int
    delay_ns: int
    fault: str
    fault_ns: int
    mended_ns: int
    asks: bool
    chatter_ns: int
    """How often the publisher sends an empty frame of some quiet topic."""

    def holds(self, now: int) -> bool:
        return self.fault_ns <= now < self.mended_ns


FAULTS = {
    "none": "live",
    "sequencer": "feed dead",  # it stops; publisher and control go on
    "everything": "feed dead",  # all processes are killed: connections are closed, nobody answers
    "publisher": "network cut",  # killed: its connection is closed, control answers
    "link": "network cut",  # what the publisher sends is lost, control answers
    "network": "network cut",  # all is lost
}

COURSES = st.builds(
    Course,
    heartbeat_ns=st.sampled_from([50, 100, 250, 500, 600, 800, 1000, 2000, 5000]).map(lambda ms: ms * MS),
    beat_ns=st.sampled_from([50 * MS, 100 * MS]),
    look_ns=st.sampled_from([10 * MS, 100 * MS]),
    look_phase_ns=st.sampled_from([0, 5 * MS, 35 * MS, 70 * MS]),
    delay_ns=st.sampled_from([0, 5 * MS, 30 * MS]),
    fault=st.sampled_from(list(FAULTS)),
    fault_ns=st.integers(0, 6 * SECOND // STEP).map(lambda n: n * STEP),
    mended_ns=st.just(FOR_EVER) | st.integers(1, 10 * SECOND // STEP).map(lambda n: 6 * SECOND + n * STEP),
    asks=st.booleans(),
    chatter_ns=st.sampled_from([NEVER, 300 * MS, 7 * SECOND]),
)


class World:
    """Plays a course step by step and gives the bot's verdicts."""

    def __init__(self, course: Course, *, local: bool) -> None:
        self.course = course
        self.local = local
        self.watch = FeedWatch(course.heartbeat_ns, 0, local=local, asks=course.asks)
        self.patience_ns = patience(course)
        self.alive_ns = self.heartbeat_due_ns = self.chatter_due_ns = 0
        self.asked_ns: int | None = None
        self.under_way: list[tuple[int, str, tuple[int, ...]]] = []

    def play(self, until_ns: int) -> Iterator[tuple[int, Verdict]]:
        for now in range(0, until_ns, STEP):
            fault = self.course.fault if self.course.holds(now) else "none"
            if fault not in {"sequencer", "everything"} and now >= self.alive_ns + self.course.beat_ns:
                self.alive_ns = now
            if self.local:
                self._show(now, fault)
            else:
                self._publish(now, fault)
                self._answer(now, fault)
                self._deliver(now)
            if (now - self.course.look_phase_ns) % self.course.look_ns == 0:
                verdict = self.watch.judge(now)
                if verdict.ask and self.asked_ns is None:
                    self.asked_ns = now
                yield now, verdict

    def _show(self, now: int, fault: str) -> None:
        """Shared memory."""
        if fault == "everything":
            self.watch.hung_up(now)
        elif self.alive_ns == now:
            self.watch.heard(now)

    def _publish(self, now: int, fault: str) -> None:
        if fault in {"everything", "publisher"}:
            if now == self.course.fault_ns:
                self._send(now, fault, "hung_up")
            return
        if now >= self.heartbeat_due_ns and now - self.alive_ns <= self.patience_ns:
            self.heartbeat_due_ns = now + self.course.heartbeat_ns
            self._send(now, fault, "heard")
        if now >= self.chatter_due_ns:
            self.chatter_due_ns = now + self.course.chatter_ns
            self._send(now, fault, "spoke")

    def _answer(self, now: int, fault: str) -> None:
        """Control; the bot asks anew after a second."""
        if self.asked_ns is None:
            return
        if now == self.asked_ns + 2 * self.course.delay_ns + STEP and fault not in {"everything", "network"}:
            self.watch.answered(self.asked_ns, now - self.alive_ns)
            self.asked_ns = None
        elif now > self.asked_ns + SECOND:
            self.asked_ns = None

    def _send(self, now: int, fault: str, what: str) -> None:
        if fault not in {"link", "network"}:
            self.under_way.append((now + self.course.delay_ns, what, (now + self.course.delay_ns,)))

    def _deliver(self, now: int) -> None:
        while self.under_way and self.under_way[0][0] <= now:
            _, what, facts = self.under_way.pop(0)
            getattr(self.watch, what)(*facts)


def patience(course: Course) -> int:
    return max(course.heartbeat_ns // 2, 300 * MS)


def expected(course: Course) -> set[str]:
    """The verdicts that are right while the fault lasts."""
    if course.asks or course.fault not in {"sequencer", "publisher"}:
        return {FAULTS[course.fault]}
    # With nobody to be asked, whoever hangs up is dead, and of a dead sequencer only empty frames can tell.
    return {"feed dead"} if course.fault == "publisher" else {"feed dead", "network cut"}


def within(course: Course) -> int:
    """How long it may take to know, at the most."""
    # The publisher bears with a dead sequencer for a while; then control, if asked, knows as soon as it is asked.
    times = 2 if course.fault == "sequencer" and not course.asks else 1
    return course.heartbeat_ns + times * patience(course)


@settings(max_examples=300, deadline=None)
@given(COURSES)
def test_each_fault_is_known_for_what_it_is_within_two_heartbeats_and_never_taken_for_another(course: Course) -> None:
    slack = 2 * course.look_ns + course.beat_ns + 4 * course.delay_ns + 2 * STEP
    known = course.fault_ns + within(course) + slack
    assert within(course) <= max(2 * course.heartbeat_ns, course.heartbeat_ns + 600 * MS)
    for now, verdict in World(course, local=False).play(known + 2 * SECOND):
        if now <= course.fault_ns:
            assert verdict.state == "live", now
        elif now < min(known, course.mended_ns):
            assert verdict.state in expected(course) | {"live"}, (now, verdict)
        elif now < course.mended_ns:
            assert verdict.state in expected(course), (now, verdict)
            assert bool(verdict.why) == (verdict.state != "live")
        elif now > course.mended_ns + course.heartbeat_ns + slack:
            assert verdict.state == "live", (now, verdict)


@settings(max_examples=300, deadline=None)
@given(COURSES)
def test_on_the_same_host_only_the_sequencer_counts(course: Course) -> None:
    slack = 2 * course.look_ns + course.beat_ns + 2 * STEP
    known = course.fault_ns + course.heartbeat_ns + patience(course) + slack
    dead = course.fault in {"sequencer", "everything"}
    for now, verdict in World(course, local=True).play(known + SECOND):
        if now < course.fault_ns or not dead or now > course.mended_ns + slack:
            assert verdict.state == "live", now
        elif known <= now < course.mended_ns:
            assert verdict.state == "feed dead", now
        else:
            assert verdict.state in {"live", "feed dead"}, now


# --- symbols ----------------------------------------------------------------------------------------------------------

HALTED, CLOSED, OPEN = Trading(), Trading(), Trading()
HALTED.take(StatusAction.HALT, StatusReason.NEWS_PENDING, "N", 50 * SECOND)
CLOSED.take(StatusAction.CLOSE, StatusReason.SCHEDULED, "N", 50 * SECOND)
OPEN.take(StatusAction.TRADING, StatusReason.SCHEDULED, "Y", 50 * SECOND)


@pytest.mark.parametrize(
    ("stale", "trading", "last_tick_s", "state", "why", "since_s"),
    [
        (None, None, 0, "quiet", "no tick yet", 0),
        (None, OPEN, 99, "live", "", 99),
        (None, OPEN, 98, "live", "", 98),
        (None, None, 101, "live", "", 101),
        (None, OPEN, 97, "quiet", "no tick for 3.0 s", 97),
        (None, CLOSED, 60, "quiet", "no tick for 40.0 s (close: scheduled)", 60),
        (None, HALTED, 99, "halted", "halt: news pending", 50),
        (None, HALTED, 0, "halted", "halt: news pending", 50),
        (Stale("network", "cut", 96 * SECOND), HALTED, 99, "stale", "cut", 96),
        (Stale("feed", "dead", 96 * SECOND), None, 0, "stale", "dead", 96),
    ],
)
def test_a_symbol_at_second_100(
    stale: Stale | None, trading: Trading | None, last_tick_s: int, state: str, why: str, since_s: int
) -> None:
    found = symbol_state(stale, trading, last_tick_s * SECOND, 100 * SECOND, SECOND)
    assert (found.state, found.why, found.since_ns) == (state, why, since_s * SECOND)
