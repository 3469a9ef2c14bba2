"""Order by topic against a model that keeps sets of numbers instead of counters."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bots.order import CAUSES, TopicOrder

CONFLATED, LOSS = 4, 8
TOPICS = st.integers(0, 3)


class Model:
    """One topic: every number up to `past` has been dealt with; None while nobody knows where it stands."""

    def __init__(self, past: int | None) -> None:
        self.past = past
        self.reborn = past == 0

    def take(self, first: int, count: int, flags: int, folded: int, cause: str) -> tuple[list[int], set[int], str]:
        """(numbers to deliver, numbers missing, why)."""
        numbers = list(range(first, first + count))
        missing: set[int] = set()
        if self.past is not None:
            numbers = [n for n in numbers if n > self.past]
            missing = set(range(self.past + 1, first))
            if flags & CONFLATED:
                missing -= set(range(first - folded, first))
            why = "epoch" if self.reborn else "overrun" if flags & LOSS else cause
            if first > self.past:
                self.reborn = False
        else:
            why = cause
        self.past = max(self.past or 0, first + count - 1)
        return numbers, missing, why


class OrderMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.order = TopicOrder("slow")
        self.epoch = 0
        self.models: dict[int, Model] = {}
        self.doubts: dict[int, int] = {}
        self.duplicates = 0

    def model(self, topic: int) -> Model:
        return self.models.setdefault(topic, Model(None))

    @rule(
        topic=TOPICS,
        shift=st.integers(-6, 6),
        first=st.integers(1, 40),
        count=st.integers(0, 5),
        flags=st.sampled_from([0, 0, CONFLATED, LOSS]),
        folded=st.integers(0, 8),
    )
    def run(self, topic: int, shift: int, first: int, count: int, flags: int, folded: int) -> None:
        self.epoch = self.epoch or 100
        model = self.model(topic)
        if model.past is not None:
            first = max(1, model.past + 1 + shift)
        folded = min(folded, first - 1) if flags & CONFLATED else 0
        numbers, missing, why = model.take(first, count, flags, folded, "slow")
        skip, hole, new = self.order.take(topic, self.epoch, first, count, flags, folded)
        assert not new
        assert ([] if skip is None else list(range(first + skip, first + count))) == numbers
        assert hole == ((min(missing), max(missing), why) if missing else None)
        self.duplicates += count - len(numbers)

    @rule(topic=TOPICS, first=st.integers(1, 9), count=st.integers(0, 5), later=st.integers(1, 3))
    @precondition(lambda self: self.epoch)
    def new_epoch(self, topic: int, first: int, count: int, later: int) -> None:
        self.settle()  # a new epoch waits until nothing is in doubt any more
        self.epoch += later
        self.models = {t: Model(0) for t in range(4)}
        self.doubts = {}
        numbers, missing, why = self.model(topic).take(first, count, 0, 0, "slow")
        skip, hole, new = self.order.take(topic, self.epoch, first, count)
        assert new
        assert why == "epoch" or not missing
        assert ([] if skip is None else list(range(first + skip, first + count))) == numbers
        assert hole == ((min(missing), max(missing), "epoch") if missing else None)

    @rule(topic=TOPICS, first=st.integers(1, 50), count=st.integers(0, 5))
    @precondition(lambda self: self.epoch)
    def old_epoch(self, topic: int, first: int, count: int) -> None:
        outdated = self.order.outdated
        assert self.order.take(topic, self.epoch - 1, first, count) == (None, None, False)
        assert self.order.outdated == outdated + max(count, 1)

    @rule()
    @precondition(lambda self: self.epoch)
    def heartbeat(self) -> None:
        assert self.order.take(None, self.epoch, 0, 0) == (0, None, False)

    @rule(topic=TOPICS, ahead=st.integers(-2, 4))
    def doubt(self, topic: int, ahead: int) -> None:
        model = self.model(topic)
        if model.past is not None:
            last = max(0, model.past + ahead)
            self.order.doubt(topic, last)
            self.doubts[topic] = max(self.doubts.get(topic, 0), last)

    @rule()
    def settle(self) -> None:
        missing: dict[int, set[int]] = {}
        causes = set()
        for topic, first, last, cause in self.order.losses():
            missing.setdefault(topic, set()).update(range(first, last + 1))
            causes.add((topic, cause))
        expected = {}
        for topic, last in self.doubts.items():
            model = self.model(topic)
            assert model.past is not None
            lost = set(range(model.past + 1, last + 1))
            if lost:
                expected[topic] = lost
                assert (topic, "epoch" if model.reborn else "slow") in causes
                model.past = last
                model.reborn = False
        assert missing == expected
        self.doubts = {}

    @invariant()
    def stands_where_the_model_does(self) -> None:
        for topic, model in self.models.items():
            assert self.order.due(topic) == (0 if model.past is None else model.past + 1)
        assert self.order.epoch == self.epoch
        assert self.order.duplicates <= self.duplicates


OrderMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOrder = OrderMachine.TestCase


def test_a_place_that_is_not_sure_gives_way_to_the_first_record() -> None:
    order = TopicOrder("overrun")
    order.start(0, 10, sure=False)
    assert order.due(0) == 0
    assert order.take(0, 1, 7, 2) == (0, None, False)
    assert order.due(0) == 9


def test_behind_a_place_that_is_not_sure_there_is_a_hole() -> None:
    order = TopicOrder("overrun")
    order.start(0, 10, sure=False)
    assert order.take(0, 1, 12, 1) == (0, (10, 11, "overrun"), False)


def test_a_loss_counts_from_a_place_that_is_not_sure() -> None:
    order = TopicOrder("overrun")
    order.start(0, 10, sure=False)
    order.doubt(0, 9)
    assert order.losses() == []
    order.doubt(0, 11)
    assert order.losses() == [(0, 10, 11, "overrun")]


def test_topics_of_an_epoch_that_we_saw_begin_start_at_1() -> None:
    order = TopicOrder("overrun")
    order.begin(5, reborn=True)
    order.start(3, 8, sure=False)
    assert order.due(3) == 1
    assert order.take(3, 5, 3, 1) == (0, (1, 2, "epoch"), False)


def test_only_known_causes() -> None:
    assert CAUSES == ("slow", "overrun", "epoch", "expired")
    with pytest.raises(ValueError, match="not in tuple"):
        TopicOrder("tired")
