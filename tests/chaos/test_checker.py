"""The checker finds every error that is planted, and nothing in what is right."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.checker import Subject, Verdict, check, excerpt
from tests.chaos.journal import CAUSE_WORDS, DTYPE, GAP, LIVE, STALE, STOP, TICK, Life
from tests.chaos.truth import TopicTruth, Truth

TOPICS = ["trade.A", "quote.A", "trade.B"]
N = 300
EPOCH = 77
REPLAYED, SNAPSHOT, CONFLATED = 2, 1, 4


def crc(seq: int) -> int:
    return zlib.crc32(str(seq).encode())


def published(n: int = N) -> tuple[Truth, list[tuple[str, int, int]]]:
    """Ticks on TOPICS in turn by chance, and the truth about them."""
    chance = random.Random(5)
    ticks: list[tuple[str, int, int]] = []
    of: dict[str, list[int]] = {}
    for seq in range(1, n + 1):
        topic = chance.choice(TOPICS)
        of.setdefault(topic, []).append(seq)
        ticks.append((topic, len(of[topic]), seq))
    truth = Truth(epoch=EPOCH, until=n + 1)
    for topic, seqs in of.items():
        truth.topics[topic] = TopicTruth(1, np.array(seqs, np.uint64), np.array([crc(seq) for seq in seqs], np.uint32))
    return truth, ticks


TRUTH, TICKS = published()
LAST = TRUTH.topics["trade.A"].last


class Told:
    """Entries of a life, to be made wrong."""

    def __init__(self, live_seq: int | None = 1) -> None:
        self.rows: list[tuple[int, int, int, int, int, int, int, int]] = []
        if live_seq is not None:
            self.live(EPOCH, live_seq)

    def tick(self, topic: str, topic_seq: int, seq: int, flags: int = 0, folded: int = 0) -> None:
        self.rows.append((topic_seq, seq, TOPICS.index(topic), crc(seq), folded, flags, 0, TICK))

    def gap(self, topic: str, first: int, last: int, cause: str = "expired") -> None:
        self.rows.append((first, last, TOPICS.index(topic), 0, 0, 0, CAUSE_WORDS.index(cause), GAP))

    def live(self, epoch: int, next_seq: int) -> None:
        self.rows.append((epoch, next_seq, 0, 0, 0, 0, 0, LIVE))

    def change(self, topic: str, topic_seq: int, **fields: int) -> None:
        """Make a tick of it that it was not."""
        at = self.place(topic, topic_seq)
        row = dict(zip(DTYPE.names or (), self.rows[at], strict=True))
        self.rows[at] = tuple({**row, **fields}.values())  # type: ignore[assignment]

    def ticks(self, first: int = 1, last: int = N, flags: int = 0) -> Told:
        """The ticks of seqs `first` to `last`."""
        for topic, topic_seq, seq in TICKS[first - 1 : last]:
            self.tick(topic, topic_seq, seq, flags)
        return self

    def place(self, topic: str, topic_seq: int) -> int:
        wanted = topic_seq, TOPICS.index(topic), TICK
        return next(i for i, row in enumerate(self.rows) if (row[0], row[2], row[-1]) == wanted)

    @property
    def life(self) -> Life:
        return Life(TOPICS, np.array(self.rows, DTYPE))


def tick_of(topic: str, topic_seq: int) -> tuple[str, int, int]:
    return topic, topic_seq, int(TRUTH.topics[topic].seqs[topic_seq - 1])


def judge(kind: str, *lives: Told, truth: Truth = TRUTH, **more: object) -> Verdict:
    return check(truth, Subject("bot", kind, [told.life for told in lives], **more))  # type: ignore[arg-type]


def wrong(verdict: Verdict) -> list[tuple[str, str, int, int]]:
    return [(each.what, each.topic, each.first, each.last) for each in verdict.violations]


# --- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "durable", "group"])
def test_everything_once_and_in_order_is_right(kind: str) -> None:
    verdict = judge(kind, Told().ticks())
    assert verdict.violations == []
    assert verdict.ticks == N


def test_topics_may_overtake_each_other() -> None:
    told = Told().ticks()
    told.rows[1:] = sorted(told.rows[1:], key=lambda row: row[2])
    assert judge("plain", told).violations == []


def test_what_is_missing_and_told_is_right() -> None:
    told = Told().ticks()
    for topic_seq in (5, 6, 7):
        del told.rows[told.place("trade.A", topic_seq)]
    told.gap("trade.A", 5, 7)
    verdict = judge("plain", told)
    assert verdict.violations == []
    assert verdict.gaps == {"expired": 3}


def test_what_is_folded_is_not_missing() -> None:
    told = Told().ticks()
    for topic_seq in (5, 6):
        del told.rows[told.place("quote.A", topic_seq)]
    told.change("quote.A", 7, flags=CONFLATED, folded=2)
    verdict = judge("plain", told)
    assert verdict.violations == []
    assert verdict.folded == 2


def test_a_tick_behind_the_end_may_stand_for_some_before_it() -> None:
    told = Told().ticks()
    last = TRUTH.topics["quote.A"].last
    del told.rows[told.place("quote.A", last)]
    told.tick("quote.A", last + 5, N + 20, CONFLATED, folded=5)
    assert judge("plain", told).violations == []


def test_nothing_is_owed_before_it_was_live_or_after_the_end_of_the_truth() -> None:
    told = Told(live_seq=101).ticks(90)
    told.tick("trade.A", 10_000, N + 1)
    assert judge("plain", told).violations == []


def test_a_killed_plain_bot_is_owed_what_lies_between_its_first_and_last() -> None:
    killed, anew = Told().ticks(1, 100), Told(live_seq=201).ticks(201)
    assert judge("plain", killed, anew).violations == []
    assert judge("plain", killed, Told(live_seq=None), anew).violations == []


def test_a_durable_bot_may_have_the_one_in_hand_again() -> None:
    again = Told(live_seq=101)
    again.tick(*TICKS[99], flags=REPLAYED)
    verdict = judge("durable", Told().ticks(1, 100), again.ticks(101, 150, REPLAYED).ticks(151))
    assert verdict.violations == []
    assert (verdict.repeated, verdict.replayed) == (1, 51)


def test_members_of_a_group_share_and_may_repeat_what_is_flagged() -> None:
    one, other = Told(), Told(live_seq=50)
    for topic, topic_seq, seq in TICKS:
        (one if topic == "trade.A" and seq < 150 else other).tick(topic, topic_seq, seq)
    repeated = [each for each in TICKS if each[0] == "trade.A" and 140 <= each[2] < 150]
    for each in repeated:
        other.tick(*each, flags=REPLAYED)
    assert judge("group", one, other).violations == []


def test_states_of_a_snapshot_are_no_ticks() -> None:
    told = Told()
    told.tick("quote.A", 3, TICKS[3][2], flags=SNAPSHOT)
    assert judge("plain", told.ticks()).violations == []


def test_who_wants_less_is_owed_less() -> None:
    told = Told()
    for topic, topic_seq, seq in TICKS:
        if topic == "trade.A":
            told.tick(topic, topic_seq, seq)
    assert judge("plain", told, symbols=["A"], schemas=["trade"]).violations == []


def test_other_entries_say_nothing_about_ticks() -> None:
    told = Told().ticks()
    told.rows.insert(5, (0, 0, 0, 0, 0, 0, 0, STALE))
    told.rows.append((0, 0, 0, 0, 0, 0, 0, STOP))
    assert judge("plain", told).violations == []


# --- planted errors ---------------------------------------------------------------------------------------------------


def take_away(told: Told) -> None:
    del told.rows[told.place("trade.A", 7)]


def take_away_the_last(told: Told) -> None:
    del told.rows[told.place("trade.A", TRUTH.topics["trade.A"].last)]


def double(told: Told) -> None:
    at = told.place("trade.A", 7)
    told.rows.insert(at, told.rows[at])


def swap(told: Told) -> None:
    one, other = told.place("trade.A", 7), told.place("trade.A", 8)
    told.rows[one], told.rows[other] = told.rows[other], told.rows[one]


def spoil(told: Told) -> None:
    told.change("trade.A", 7, crc=0)


def misplace(told: Told) -> None:
    told.change("trade.A", 7, last=told.rows[told.place("trade.A", 7)][1] + 1)


def invent(told: Told) -> None:
    told.tick("trade.A", TRUTH.topics["trade.A"].last + 1, 5)


def tell_a_gap_too_wide(told: Told) -> None:
    take_away(told)
    told.gap("trade.A", 7, 8)


def tell_a_gap_too_narrow(told: Told) -> None:
    take_away(told)
    del told.rows[told.place("trade.A", 8)]
    told.gap("trade.A", 7, 7)


def tell_a_gap_of_another_topic(told: Told) -> None:
    take_away(told)
    told.gap("trade.B", 7, 7)


def tell_a_gap_twice(told: Told) -> None:
    take_away(told)
    told.gap("trade.A", 7, 7)
    told.gap("trade.A", 7, 7)


def tell_a_gap_from_nowhere(told: Told) -> None:
    told.gap("trade.A", 0, 0)


def fold_too_much(told: Told) -> None:
    told.change("quote.A", 7, folded=1)


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (take_away, [("missing, and not told", "trade.A", 7, 7)]),
        (take_away_the_last, [("missing, and not told", "trade.A", LAST, LAST)]),
        (double, [("came twice", "trade.A", 7, 7)]),
        (swap, [("out of order", "trade.A", 7, 7)]),
        (spoil, [("not as it was published", "trade.A", 7, 7)]),
        (misplace, [("not as it was published", "trade.A", 7, 7)]),
        (invent, [("never published", "trade.A", LAST + 1, LAST + 1)]),
        (tell_a_gap_too_wide, [("told to be missing or folded, and more than that", "trade.A", 8, 8)]),
        (tell_a_gap_too_narrow, [("missing, and not told", "trade.A", 8, 8)]),
        (
            tell_a_gap_of_another_topic,
            [
                ("missing, and not told", "trade.A", 7, 7),
                ("told to be missing or folded, and more than that", "trade.B", 7, 7),
            ],
        ),
        (tell_a_gap_twice, [("told to be missing or folded, and more than that", "trade.A", 7, 7)]),
        (tell_a_gap_from_nowhere, [("a gap of ticks that there are not", "trade.A", 0, 0)]),
        (fold_too_much, [("told to be missing or folded, and more than that", "quote.A", 6, 6)]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["plain", "durable"])
def test_planted_errors_are_found(kind: str, plant: Callable[[Told], None], found: list[object]) -> None:
    told = Told().ticks()
    plant(told)
    assert wrong(judge(kind, told)) == found


def test_a_topic_that_was_never_published_is_found() -> None:
    truth = replace(TRUTH, topics={name: each for name, each in TRUTH.topics.items() if name != "trade.B"})
    (found,) = judge("plain", Told().ticks(), truth=truth).violations
    assert found[2:] == ("trade.B", "never published", 1, TRUTH.topics["trade.B"].last)


def test_what_was_not_subscribed_to_is_found() -> None:
    found = judge("plain", Told().ticks(), symbols=["A"]).violations
    assert [(each.topic, each.what) for each in found] == [("trade.B", "not subscribed to")]


def test_a_hole_in_a_life_that_was_killed_is_found() -> None:
    killed = Told().ticks(1, 100)
    take_away(killed)
    verdict = judge("plain", killed, Told(live_seq=201).ticks(201))
    assert [(each.life, *each[2:]) for each in verdict.violations] == [(1, "trade.A", "missing, and not told", 7, 7)]


def test_a_plain_bot_is_owed_everything_from_when_it_is_live_again() -> None:
    verdict = judge("plain", Told().ticks(1, 100), Told(live_seq=150).ticks(160))
    assert {each.what for each in verdict.violations} == {"missing, and not told"}
    assert sum(each.last - each.first + 1 for each in verdict.violations) == 10


def test_a_durable_bot_is_owed_what_came_between_its_lives() -> None:
    verdict = judge("durable", Told().ticks(1, 100), Told(live_seq=111).ticks(111))
    assert {each.what for each in verdict.violations} == {"missing, and not told"}
    assert sum(each.last - each.first + 1 for each in verdict.violations) == 10


def test_a_durable_bot_must_not_have_two_again_nor_one_unflagged() -> None:
    verdict = judge("durable", Told().ticks(1, 100), Told().ticks(99, 100, REPLAYED).ticks(101))
    assert [each.what for each in verdict.violations] == [
        "2 ticks came again after a restart, but only one can have been in hand"
    ]
    verdict = judge("durable", Told().ticks(1, 100), Told().ticks(100))
    assert [each.what for each in verdict.violations] == ["came again after a restart, unflagged"]


def test_a_group_must_not_have_two_unflagged_nor_none() -> None:
    one, other = Told().ticks(1, 200), Told().ticks(200)
    assert [each.what for each in judge("group", one, other).violations] == ["came more than once, unflagged"]
    one, other = Told().ticks(1, 100), Told().ticks(102)
    assert [each.what for each in judge("group", one, other).violations] == ["missing, and not told"]


def test_a_member_may_have_flagged_what_another_one_was_told_to_be_missing() -> None:
    told, had = Told().ticks(1, 100), Told()
    at = told.place("trade.A", 7)
    del told.rows[at]
    told.gap("trade.A", 7, 7)
    had.tick(*tick_of("trade.A", 7), flags=REPLAYED)
    assert judge("group", told, had.ticks(101)).violations == []
    had.change("trade.A", 7, flags=0)
    assert wrong(judge("group", told, had)) == [("told to be missing or folded, and more than that", "trade.A", 7, 7)]


def test_two_members_may_be_told_the_same_but_none_of_them_twice() -> None:
    one, other = Told().ticks(), Told()
    take_away(one)
    one.gap("trade.A", 7, 7)
    other.gap("trade.A", 6, 8)
    assert judge("group", one, other).violations != []  # 6 and 8 came unflagged
    other.rows.pop()
    other.gap("trade.A", 7, 7)
    assert judge("group", one, other).violations == []
    other.gap("trade.A", 7, 7)
    assert wrong(judge("group", one, other)) == [("told to be missing twice", "trade.A", 7, 7)]


def test_a_member_has_in_order_what_is_not_flagged() -> None:
    told = Told().ticks()
    swap(told)
    assert wrong(judge("group", told)) == [("out of order, unflagged", "trade.A", 7, 7)]
    told.change("trade.A", 7, flags=REPLAYED)
    assert judge("group", told).violations == []


def test_what_comes_more_than_once_in_a_group_is_counted() -> None:
    verdict = judge("group", Told().ticks(1, 100), Told().ticks(81, 100, REPLAYED).ticks(101))
    assert (verdict.violations, verdict.repeated) == ([], 20)


def test_another_epoch_is_found() -> None:
    told = Told().ticks()
    told.live(EPOCH + 1, 5)
    assert [each.what for each in judge("plain", told).violations] == [f"live in epoch {EPOCH + 1}, not {EPOCH}"]


@given(st.lists(st.integers(0, N - 1), max_size=20, unique=True), st.integers(1, N), st.booleans())
def test_exactly_what_was_taken_away_is_found(taken: list[int], live_seq: int, told: bool) -> None:
    life = Told(live_seq)
    expected = set()
    for i, (topic, topic_seq, seq) in enumerate(TICKS):
        if i not in taken:
            life.tick(topic, topic_seq, seq)
        elif told:
            life.gap(topic, topic_seq, topic_seq, "timeout")
        elif seq >= live_seq:
            expected.add((topic, topic_seq))
    verdict = judge("plain", life)
    assert {(each.topic, n) for each in verdict.violations for n in range(each.first, each.last + 1)} == expected
    assert {each.what for each in verdict.violations} <= {"missing, and not told"}


def test_a_violation_in_words() -> None:
    told = Told().ticks()
    take_away(told)
    assert [str(each) for each in judge("plain", told).violations] == ["bot, life 1: trade.A 7: missing, and not told"]


def test_an_excerpt_shows_what_stands_around_a_violation() -> None:
    told = Told().ticks()
    take_away(told)
    told.gap("trade.A", 7, 8, "timeout")
    subject = Subject("bot", "plain", [told.life])
    (violation,) = check(TRUTH, subject).violations
    lines = excerpt(subject, violation, around=1)
    seqs = TRUTH.topics["trade.A"].seqs
    assert [line.partition(": ")[2] for line in lines] == [
        f"tick 6, seq {seqs[5]}",
        f"tick 8, seq {seqs[7]}",
        f"tick 9, seq {seqs[8]}",
        f"tick {LAST}, seq {seqs[-1]}",
        "gap 7 to 8 (timeout)",
    ]
