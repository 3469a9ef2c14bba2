"""What a bot's author is promised: every tick of their symbols, in order, once, or exactly what they did not get."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bots import StatusAction
from bots.testing import Fact, LocalFeed, feed
from feed.errors import ConfigError, StaleData
from feed.store.reader import StoreReader
from feed.wire.frames import FLAG_CONFLATED, FLAG_REPLAYED, FLAG_SNAPSHOT
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bots import Subscriber, Tick

__all__ = ["feed"]

TRANSPORTS = ("shm", "ipc", "tcp")
LONG_S = 0.3
"""Longer than a bot may wait for a tick that the test made come late."""

LATE_S = 2.0
"""Older than any tick is that comes at once, however busy the machine."""


@pytest.fixture
def kept() -> Iterator[LocalFeed]:
    """A feed with a small log and an archive."""
    with LocalFeed({"log.bytes": "1MiB"}, archive=True) as local:
        yield local


def facts(ticks: list[Tick]) -> list[Fact]:
    return [Fact.of(tick) for tick in ticks]


def until_archived(local: LocalFeed, seq: int) -> None:
    folder = local.config.archive_directory
    assert folder is not None
    with StoreReader(folder) as reader:
        deadline = time.monotonic() + 10
        while not any(epoch.last_seq >= seq for epoch in reader.epochs()) and time.monotonic() < deadline:
            time.sleep(0.01)


def until_live(sub: Subscriber) -> None:
    deadline = time.monotonic() + 10
    while not sub.live and time.monotonic() < deadline:
        assert sub.recv(0.01) is None
    assert sub.live


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_joins_late_begins_with_the_last_states(feed: LocalFeed, transport: str) -> None:
    for price in (10.0, 11.0, 12.0):
        feed.publish("quote", "AAPL", bid_px=price)
        feed.publish("trade", "AAPL", price=price)
    feed.publish("quote", "MSFT", bid_px=20.0)
    feed.publish("status", "AAPL", action=int(StatusAction.TRADING))
    sub = feed.subscriber(transport=transport, snapshot="state")
    states = feed.take(sub, 3)
    assert {tick.topic: (tick.topic_seq, tick.flags) for tick in states} == {
        "quote.AAPL": (3, FLAG_SNAPSHOT), "quote.MSFT": (1, FLAG_SNAPSHOT), "status.AAPL": (1, FLAG_SNAPSHOT),
    }  # fmt: skip
    assert sorted(facts(states)) == sorted(fact for fact in feed.log if fact in facts(states))
    after = [feed.publish("trade", "AAPL"), feed.publish("quote", "MSFT"), feed.publish("quote", "NEW")]
    assert facts(feed.take(sub, 3)) == after
    assert feed.gaps(sub) == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_may_begin_with_what_was(kept: LocalFeed, transport: str) -> None:
    kept.publish("trade", "AAPL")
    kept.wait_idle()
    middle = datetime.now(UTC)
    kept.publish("quote", "AAPL")
    third = kept.publish("trade", "AAPL")
    over = kept.subscriber("AAPL", transport="shm")
    kept.overrun(over)  # by now only the archive has them
    kept.publish("trade", "AAPL")
    kept.wait_idle()
    of_aapl = [fact for fact in kept.log if fact.topic.endswith("AAPL")]
    for start, wanted in (("begin", of_aapl), (middle, of_aapl[1:]), (third.seq, of_aapl[2:])):
        lives: list[str] = []
        sub = kept.subscriber(
            "AAPL", transport=transport, start=start, on_live=lambda lives=lives: lives.append("live")
        )
        ticks = kept.take(sub, len(wanted))
        assert facts(ticks) == wanted
        assert [tick.flags for tick in ticks[:-1]] == [FLAG_REPLAYED] * (len(wanted) - 1)
        until_live(sub)
        assert lives == ["live"]
        assert kept.gaps(sub) == []
    with pytest.raises(ConfigError, match="start"):
        kept.subscriber(start="yesterday")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_bot_that_was_behind_gets_the_newest_states_and_all_events(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", transport=transport, behind=0.05)
    for price in range(1, 11):
        feed.publish("quote", "AAPL", bid_px=float(price))
        feed.publish("trade", "AAPL", price=float(price))
    feed.wait_idle()
    time.sleep(0.1)
    ticks = feed.take(sub)
    while ticks[-1].seq < 20:
        ticks += feed.take(sub)
    quotes = [tick for tick in ticks if tick.schema == "quote"]
    assert [tick.topic_seq for tick in ticks if tick.schema == "trade"] == list(range(1, 11))
    assert len(quotes) <= 2  # the clock is not looked at for the very first one
    assert (quotes[-1].topic_seq, quotes[-1].flags) == (10, FLAG_CONFLATED)
    assert len(quotes) + quotes[-1].folded == 10
    assert sub.stats()["folded"] == quotes[-1].folded
    assert feed.gaps(sub) == []


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_lost_state_is_replaced_by_a_newer_one_or_asked_for(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", transport=transport)
    feed.publish("quote", "AAPL")
    feed.take(sub)
    feed.lose(3)
    for _ in range(4):
        feed.publish("quote", "AAPL")
    (newest,) = feed.take(sub)
    assert (newest.topic_seq, newest.folded, newest.flags) == (5, 3, FLAG_CONFLATED)
    feed.lose(2)
    feed.publish_records("quote", "AAPL", np.zeros(2, BY_WORD["quote"].dtype))  # no news tells of the first alone
    (last,) = feed.take(sub)  # nothing follows: the news of the numbering tells, and the last one is asked for
    assert (last.topic_seq, last.folded, last.flags) == (7, 1, FLAG_CONFLATED | FLAG_REPLAYED)
    assert feed.gaps(sub) == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_must_not_trade_on_stale_data_is_stopped(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", transport=transport, slow={"trade": "stop"}, behind=LATE_S)
    feed.publish("trade", "AAPL")
    assert feed.take(sub)[0].topic_seq == 1
    feed.publish("trade", "AAPL")
    feed.wait_idle()
    time.sleep(LATE_S)
    with pytest.raises(StaleData, match=r"trade\.AAPL is"):
        sub.recv(20)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_who_must_have_all_is_stopped_by_a_loss(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", transport=transport, slow="stop", behind=20)
    feed.publish("trade", "AAPL")
    feed.take(sub)
    feed.lose(1)
    feed.publish("trade", "AAPL")
    feed.publish("trade", "AAPL")
    with pytest.raises(StaleData, match=r"2 to 2 of trade\.AAPL did not come"):
        sub.recv(20)
    assert [(gap.first, gap.last) for gap in feed.gaps(sub)] == [(2, 2)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_durable_bot_finishes_the_old_epoch_first(kept: LocalFeed, transport: str) -> None:
    sub = kept.subscriber("AAPL", transport=transport, durable="me")
    kept.publish("trade", "AAPL")
    kept.take(sub)
    assert sub.recv(0.0) is None  # it came for more, so it is done with the first
    kept.stop(sub)
    for _ in range(3):
        kept.publish("trade", "AAPL")
    old = list(kept.log)
    until_archived(kept, old[-1].seq)
    kept.wipe()
    new = [kept.publish("trade", "AAPL") for _ in range(3)]
    again = kept.subscriber("AAPL", transport=transport, durable="me")
    assert facts(kept.take(again, 6)) == old[1:] + new
    assert [(gap.topic, gap.cause, gap.count) for gap in kept.gaps(again)] == [("*", "epoch", 0)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_batches_of_a_durable_bot_are_done_when_it_comes_for_more(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", ["trade"], transport=transport, durable="me")
    feed.publish_records("trade", "AAPL", np.zeros(5, BY_WORD["trade"].dtype))  # in one frame: each batch has two
    feed.wait_idle()
    first = sub.recv_many(2, 20.0)
    second = sub.recv_many(2, 20.0)  # with this it is done with the first, and not with this
    assert first is not None
    assert second is not None
    feed.stop(sub)
    again = feed.subscriber("AAPL", ["trade"], transport=transport, durable="me")
    ticks = feed.take(again, 3)
    assert [tick.topic_seq for tick in ticks] == [3, 4, 5]
    assert [bool(tick.flags & FLAG_REPLAYED) for tick in ticks[:2]] == [True, True]


@pytest.mark.parametrize("group", [None, "all"])
def test_a_durable_bot_may_leave_with_a_tick_in_hand(feed: LocalFeed, group: str | None) -> None:
    sub = feed.subscriber("AAPL", durable="me", group=group)
    if group is not None:
        until_live(sub)
    feed.publish("trade", "AAPL")
    feed.publish("trade", "AAPL")
    for tick in sub:
        assert tick.topic_seq == 1
        sub.close()
    assert sub.recv(0.0) is None
    assert sub.recv_many(2, 0.0) is None
    again = feed.subscriber("AAPL", durable="me", group=group)
    first, _ = feed.take(again, 2)
    assert (first.topic_seq, bool(first.flags & FLAG_REPLAYED)) == (1, True)


def test_a_durable_name_is_one_bots(feed: LocalFeed) -> None:
    feed.subscriber(durable="me")
    with pytest.raises(Exception, match="a bot of this durable name is running"):
        feed.subscriber(durable="me")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_quiet_symbol_a_halted_one_and_a_silent_feed_are_three_things(feed: LocalFeed, transport: str) -> None:
    told: list[str] = []
    sub = feed.subscriber(transport=transport, on_stale=lambda stale: told.append(stale.cause))
    assert sub.state("AAPL").state == "quiet"
    feed.publish("trade", "AAPL")
    feed.take(sub)
    assert sub.state("AAPL").state in {"live", "quiet"}  # by now a heartbeat may be over
    feed.publish("status", "AAPL", action=int(StatusAction.HALT), reason=30)
    feed.take(sub)
    assert (sub.state("AAPL").state, sub.state("MSFT").state) == ("halted", "quiet")
    if transport != "shm":
        feed.hold()
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            sub.recv(0.05)
        assert told == ["network"]
        assert sub.state("AAPL").state == "stale"
        feed.release()
        until_live(sub)
        assert sub.state("AAPL").state == "halted"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_bot_can_read_its_lag(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", transport=transport, slow="fill")
    for _ in range(50):
        feed.publish("trade", "AAPL")
    feed.wait_idle()
    time.sleep(LONG_S)
    for _ in range(10):
        assert sub.recv(20) is not None
    assert sub.stats()["lag_ticks"] >= (40 if transport == "shm" else 0)
    time.sleep(0.1)
    assert sub.recv(20) is not None
    assert sub.stats()["lag_ns"] > LONG_S * 1e9 / 2
    feed.take(sub, 39)
    assert sub.recv(0.2) is None
    assert (sub.stats()["lag_ns"], sub.stats()["lag_ticks"]) == (0, 0)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_asyncio_bots_are_promised_the_same(feed: LocalFeed, transport: str) -> None:
    for _ in range(3):
        feed.publish("trade", "AAPL")
    feed.wait_idle()
    sub = feed.subscriber("AAPL", transport=transport, start="begin")

    async def three_then_two() -> list[Fact]:
        got: list[Fact] = []
        async for tick in sub:
            got.append(Fact.of(tick))
            if len(got) == 3:
                if transport != "shm":
                    until_live(sub)
                    feed.lose(1)
                for _ in range(2):
                    feed.publish("trade", "AAPL")
            if len(got) == 5:
                return got
        return got

    assert asyncio.run(asyncio.wait_for(three_then_two(), 20)) == feed.log
    assert feed.gaps(sub) == []
