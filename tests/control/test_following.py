"""The log that control follows: the session's roll, a full reader table, books that are told of, over real sockets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from feed import clock
from feed.control import following
from feed.log.reader import LogReader
from feed.roll import Roll
from tests.control.conftest import Served
from tests.control.test_books import book, order

ROLL = "17:00 America/Chicago"


class Clock:
    """Wall time that a test can put forward; whatever else is asked for is the real clock's."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return clock.now_ns() + self.ahead_ns

    def monotonic_ns(self) -> int:
        return clock.monotonic_ns()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    fake = Clock()
    monkeypatch.setattr(following, "clock", fake)
    return fake  # type: ignore[return-value]


def roll_over(served: Served, now: Clock) -> None:
    """Until the next roll has been done."""
    roll = Roll.parse(ROLL)
    assert roll is not None
    served.asker.snapshot("NONE")
    state = served.control._following.state
    before = state.rolled_ns
    now.ahead_ns += roll.next_ns(now.now_ns()) - now.now_ns() + 1
    while state.rolled_ns == before:
        served.asker.ask("bots")
    served.asker.snapshot("NONE")


def test_books_begin_anew_when_the_session_does(serve: Callable[..., Served], now: Clock) -> None:
    served = serve(f"feed.roll={ROLL}")
    topic_id = served.writer.topic("order", "A")
    served.writer.publish(topic_id, order("A", order_id=1))
    assert len(book(served, "A")[1]) == 1
    roll_over(served, now)
    answer, resting = book(served, "A")
    assert (resting, answer.words["incomplete"]) == ({}, [])
    served.writer.publish(topic_id, order("A", order_id=2))
    for _ in range(2):  # and a control that comes back finds where the session began
        answer, resting = book(served, "A")
        assert (list(resting), answer.words["incomplete"]) == ([(1, 2)], [])
        served.stop()
        served.start()
    served.writer.publish(topic_id, order("C", order_id=1))  # so the session before had not ended for this order
    assert book(served, "A")[0].words["incomplete"] == ["order.A"]


def test_the_dead_are_told_of_no_more(serve: Callable[..., Served], now: Clock) -> None:
    served = serve(f"feed.roll={ROLL}")
    alive, dead = (served.writer.topic("trade", symbol) for symbol in ("ALIVE", "DEAD"))
    served.writer.publish(dead, bytes(48))
    for expected in (["ALIVE", "DEAD"], ["ALIVE"], ["ALIVE"]):
        served.writer.publish(alive, bytes(48))
        roll_over(served, now)
        assert served.asker.ask("symbols").words["symbols"] == expected
        assert served.asker.ask("directory").words["symbols"] == len(expected)
        assert len(served.asker.snapshot().frames) == len(expected)
    served.writer.publish(dead, bytes(48))
    served.asker.snapshot()
    assert served.asker.ask("symbols").words["symbols"] == ["ALIVE", "DEAD"]
    assert served.asker.ask("directory").words["symbols"] == 2


def test_a_roll_that_came_while_control_was_away_is_made_up_for(serve: Callable[..., Served], now: Clock) -> None:
    served = serve(f"feed.roll={ROLL}")
    served.writer.publish(served.writer.topic("order", "A"), order("A"))
    assert len(book(served, "A")[1]) == 1
    rolled_ns = served.control._following.state.rolled_ns
    served.stop()
    now.ahead_ns += 30 * 3600 * 10**9
    served.start()
    while served.control._following._state is None or served.control._following.state.rolled_ns == rolled_ns:
        served.asker.ask("bots")
    assert book(served, "A")[1] == {}


def test_a_book_that_is_given_up_is_logged(serve: Callable[..., Served], caplog: pytest.LogCaptureFixture) -> None:
    served = serve("control.book_orders=3")
    topic_id = served.writer.topic("order", "A")
    with caplog.at_level(logging.WARNING, logger="tickcast.control"):
        for i in range(1, 20):
            served.writer.publish(topic_id, order("A", order_id=i))
        assert book(served, "A")[0].words["incomplete"] == ["order.A"]
    (said,) = caplog.records
    assert "control.book_orders" in said.getMessage()


def test_without_a_place_among_the_readers_the_rest_is_served(serve: Callable[..., Served]) -> None:
    served = serve()
    served.stop()
    crowd = [LogReader.open(served.at, name=f"r{i}") for i in range(1024)]
    served.start()
    assert "too many readers" in served.asker.ask("snapshot").words["error"]
    assert served.asker.ask("directory").words["epoch"] == served.writer.epoch
    for reader in crowd:
        reader.close()
    while "error" in served.asker.ask("snapshot").words:
        pass
