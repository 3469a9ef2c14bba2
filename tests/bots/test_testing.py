"""The kit that users test their bots with: a feed in a fixture, and every fault it can be asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
import zmq

from bots import Bot, Gap, Quote, Subscriber, Tick, Trade
from bots.testing import Fact, LocalFeed
from feed.errors import CallerError, ConfigError, SymbolError
from feed.wire.records import BY_WORD

pytest_plugins = ["bots.testing"]

EXAMPLES = Path(__file__).parents[2] / "bots" / "examples"
TRANSPORTS = ("tcp", "ipc", "shm")


class Collector(Bot):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.missing: list[Gap] = []
        self.told: list[str] = []

    def on_start(self) -> None:
        self.told.append("start")

    def on_live(self) -> None:
        self.told.append("live")

    def on_stale(self, *_: object) -> None:
        self.told.append("stale")

    def on_stop(self) -> None:
        self.told.append("stop")

    def on_trade(self, t: Trade) -> None:
        self.ticks.append(t)

    def on_quote(self, q: Quote) -> None:
        self.ticks.append(q)

    def on_gap(self, gap: Gap) -> None:
        self.missing.append(gap)

    @property
    def facts(self) -> list[Fact]:
        return [Fact.of(tick) for tick in self.ticks]

    def accounts_for(self, log: list[Fact]) -> bool:
        """Was it given every tick of `log` once and in order, but for those that it was told to be missing?"""
        gone = {(gap.topic, n) for gap in self.missing for n in range(gap.first, gap.last + 1)}
        return self.facts == [fact for fact in log if (fact.topic, fact.topic_seq) not in gone]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


# --- what is published ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_subscriber_gets_what_is_published(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", ["trade", "quote"], transport=transport)
    assert sub.transport == transport
    feed.publish("trade", "AAPL", price=189.95, size=100, side="B")
    feed.publish("trade", "MSFT", price=1)
    feed.publish("quote", "AAPL", bid_px=189.95, ask_px=189.97)
    trade, quote = feed.take(sub, 2)
    assert isinstance(trade, Trade)
    assert (trade.price, trade.size, trade.side, trade.topic_seq) == (189.95, 100, "B", 1)
    assert isinstance(quote, Quote)
    assert (quote.bid_px, quote.ask_px, quote.seq) == (189.95, 189.97, 3)
    assert [Fact.of(trade), Fact.of(quote)] == [feed.log[0], feed.log[2]]


@pytest.mark.parametrize("schema", BY_WORD)
def test_every_schema_can_be_published(feed: LocalFeed, schema: str) -> None:
    sub = feed.subscriber(transport="shm")
    fact = feed.publish(schema, "ESZ6")
    assert fact[:3] == (f"{schema}.ESZ6", 1, 1)
    assert [Fact.of(tick) for tick in feed.take(sub)] == [fact]


def test_an_instrument_has_one_number_and_ticks_have_rising_ones(feed: LocalFeed) -> None:
    sub = feed.subscriber(transport="shm")
    for symbol in ("A", "B", "A"):
        feed.publish("trade", symbol)
    ticks = feed.take(sub, 3)
    assert [tick.instrument_id for tick in ticks] == [1, 2, 1]
    assert [tick.sequence for tick in ticks if isinstance(tick, Trade)] == [1, 2, 3]


def test_records_pass_as_they_are(feed: LocalFeed) -> None:
    n = 3000  # more than a block, fewer than the log holds
    made = np.zeros(n, dtype=BY_WORD["quote"].dtype)
    made["sequence"] = np.arange(n)
    sub = feed.subscriber(["A", "B"], transport="shm")
    facts = feed.publish_records("quote", ["A", "B"] * (n // 2), made)
    facts += feed.publish_records("trade", "A", bytes(range(48)))
    assert feed.log == facts
    assert [Fact.of(tick) for tick in feed.take(sub, n + 1)] == facts
    assert (facts[-2].topic, facts[-2].topic_seq) == ("quote.B", n // 2)


def test_what_can_not_be_published_is_refused(feed: LocalFeed) -> None:
    with pytest.raises(CallerError, match="Did you mean 'price'"):
        feed.publish("trade", "AAPL", prise=1.0)
    with pytest.raises(SymbolError):
        feed.publish("trade", "A|B")
    with pytest.raises(SymbolError):
        feed.publish("trades", "AAPL")
    with pytest.raises(CallerError, match="48 bytes each"):
        feed.publish_records("trade", "A", bytes(47))
    with pytest.raises(CallerError, match="48 bytes each"):
        feed.publish_records("trade", "A", np.zeros(6, dtype=BY_WORD["quote"].dtype))
    with pytest.raises(CallerError, match="symbols do not fit"):
        feed.publish_records("trade", ["A", "B"], bytes(48))
    assert feed.log == []


def test_many_threads_may_publish(feed: LocalFeed) -> None:
    sub = feed.subscriber(transport="shm")
    threads = [
        threading.Thread(target=lambda name=name: [feed.publish("trade", name) for _ in range(200)]) for name in "ABC"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Fact.of(tick) for tick in feed.take(sub, 600)] == feed.log


# --- bots that run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_bot_has_had_everything_once_it_is_idle(feed: LocalFeed, transport: str) -> None:
    bot = Collector()
    early = feed.subscriber(transport=transport)
    feed.publish("trade", "AAPL")  # before its time
    feed.take(early)  # its publisher is past it
    sub = feed.run(bot, "AAPL", transport=transport)
    assert bot.subscriber is sub
    assert bot.told == ["start", "live"]
    for n in range(200):
        feed.publish("trade", "AAPL" if n % 2 else "MSFT", price=n)
    feed.publish("book", "AAPL")  # it has no on_book
    feed.wait_idle()
    assert bot.facts == [fact for fact in feed.log[1:] if fact.topic == "trade.AAPL"]
    feed.close()
    assert bot.told == ["start", "live", "stop"]


def test_what_a_bot_raises_is_told(feed: LocalFeed) -> None:
    class Clumsy(Collector):
        def on_trade(self, t: Trade) -> None:
            raise ZeroDivisionError(t.symbol)

    feed.run(Clumsy())
    feed.publish("trade", "AAPL")
    with pytest.raises(ZeroDivisionError, match="AAPL") as caught:
        feed.wait_idle()
    assert "topic_seq 1" in caught.value.__notes__[0]


def test_what_a_bot_raises_before_it_is_live_is_told(feed: LocalFeed) -> None:
    class Clumsy(Collector):
        def on_start(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        feed.run(Clumsy())


def test_an_error_that_nobody_asked_for_fails_the_test_at_the_end() -> None:
    class Clumsy(Collector):
        def on_trade(self, t: Trade) -> None:
            raise ZeroDivisionError

    local = LocalFeed().open()
    sub = local.run(Clumsy())
    local.publish("trade", "AAPL")
    until(lambda: not any(thread.name == sub.name for thread in threading.enumerate()))
    with pytest.raises(ZeroDivisionError):
        local.__exit__(None, None, None)


def test_waiting_says_what_is_missing(feed: LocalFeed) -> None:
    free = threading.Event()

    class Slow(Collector):
        def on_trade(self, t: Trade) -> None:
            free.wait(60)

    def missing() -> str:
        with pytest.raises(CallerError) as caught:
            feed.wait_idle(0.2)
        return str(caught.value)

    feed.run(Slow(), name="tortoise")
    feed.publish("trade", "AAPL")
    until(lambda: "Slow (tortoise) has 0 of 1 ticks of trade.AAPL" in missing())  # first it is on its way
    free.set()
    feed.wait_idle()


def test_too_few_ticks_are_an_error(feed: LocalFeed) -> None:
    sub = feed.subscriber("AAPL", transport="shm")
    feed.publish("trade", "AAPL")
    feed.wait_idle()
    with pytest.raises(CallerError, match=r"expected 2, found 1: .*Trade trade\.AAPL"):
        feed.take(sub, 2, timeout=0.2)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_lost_ticks_come_again(feed: LocalFeed, transport: str) -> None:
    bot = Collector()
    sub = feed.run(bot, transport=transport)
    for symbol in ("AAPL", "MSFT"):
        feed.publish("trade", symbol)
    feed.lose(2)
    for symbol in ("AAPL", "MSFT", "AAPL", "MSFT"):
        feed.publish("trade", symbol)
    feed.wait_idle()
    assert [(drop.topic, drop.topic_seq) for drop in feed.dropped(sub)] == [("trade.AAPL", 2), ("trade.MSFT", 2)]
    assert in_order_per_topic(bot, feed)
    assert bot.missing == []


def in_order_per_topic(bot: Collector, local: LocalFeed) -> bool:
    """Once and in order within each topic, but for what was told to be missing."""
    for topic in {fact.topic for fact in local.log}:
        gone = {n for gap in bot.missing if gap.topic == topic for n in range(gap.first, gap.last + 1)}
        wanted = [fact for fact in local.log if fact.topic == topic and fact.topic_seq not in gone]
        if [fact for fact in bot.facts if fact.topic == topic] != wanted:
            return False
    return True


def test_a_fault_can_be_one_topics_and_one_bots(feed: LocalFeed) -> None:
    one, other = Collector(), Collector()
    first, second = feed.run(one), feed.run(other)
    topics = [("trade", "AAPLW"), ("trade", "AAPL"), ("trade", "ESZ6"), ("quote", "AAPL")]
    for schema, symbol in topics:
        feed.publish(schema, symbol)
    feed.lose(1, "trade.AAPL", bot=first)
    feed.lose(1, "quote", bot=second)
    feed.lose(1, "trade.ES*", bot=second)
    for schema, symbol in topics:
        feed.publish(schema, symbol)
    feed.wait_idle()
    assert [drop.topic for drop in feed.dropped(first)] == ["trade.AAPL"]
    assert [drop.topic for drop in feed.dropped(second)] == ["trade.ESZ6", "quote.AAPL"]
    assert in_order_per_topic(one, feed)
    assert in_order_per_topic(other, feed)


def test_what_was_published_before_a_fault_is_safe_from_it(feed: LocalFeed) -> None:
    bot = Collector()
    sub = feed.run(bot)
    for n in range(500):
        feed.publish("trade", "AAPL", price=n)
    feed.lose(1)
    feed.publish("trade", "AAPL")
    feed.wait_idle()
    assert [drop.topic_seq for drop in feed.dropped(sub)] == [501]


def test_duplicates_and_disorder_do_not_reach_the_bot(feed: LocalFeed) -> None:
    bot = Collector()
    sub = feed.run(bot, "AAPL")
    feed.duplicate(3)
    for _ in range(5):
        feed.publish("trade", "AAPL")
    feed.reorder(2)
    for _ in range(5):
        feed.publish("trade", "AAPL")
    feed.wait_idle()
    assert sub.stats()["duplicates"] >= 3
    assert in_order_per_topic(bot, feed)


def test_a_delay_is_waited_for(feed: LocalFeed) -> None:
    bot = Collector()
    feed.run(bot, "AAPL")
    feed.delay(0.2)
    began = time.monotonic()
    feed.publish("trade", "AAPL")
    feed.wait_idle()
    assert time.monotonic() - began >= 0.2
    feed.delay(0)
    feed.publish("trade", "AAPL")
    feed.wait_idle()
    assert bot.facts == feed.log


def test_a_cut_connection_is_come_back_from(feed: LocalFeed) -> None:
    bot = Collector()
    feed.run(bot, "AAPL")
    feed.publish("trade", "AAPL")
    feed.cut(0.2)
    for _ in range(3):
        feed.publish("trade", "AAPL")
    feed.wait_idle()
    assert bot.facts == feed.log


def test_a_silent_network_makes_a_bot_stale_and_loses_nothing(feed: LocalFeed) -> None:
    bot = Collector()
    feed.run(bot, "AAPL")
    feed.hold()
    feed.publish("trade", "AAPL")
    until(lambda: bot.told[-1] == "stale")
    with pytest.raises(CallerError, match=r"it is held: release\(\) it"):
        feed.wait_idle(0.1)
    feed.release()
    feed.wait_idle()
    assert bot.facts == feed.log
    until(lambda: bot.told[-1] == "live")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_killed_feed_goes_on_with_its_numbers(feed: LocalFeed, transport: str) -> None:
    bot = Collector()
    sub = feed.run(bot, "AAPL", transport=transport)
    for _ in range(3):
        feed.publish("trade", "AAPL")
    feed.wait_idle()
    epoch, address = feed.epoch, feed.address
    feed.restart()
    assert (feed.epoch, feed.address) == (epoch, address)
    assert feed.publish("trade", "AAPL")[:3] == ("trade.AAPL", 4, 4)
    feed.wait_idle()
    assert bot.facts == feed.log
    assert sub.stats()["epoch"] == epoch


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_lost_log_begins_a_new_epoch_and_bots_are_told(feed: LocalFeed, transport: str) -> None:
    bot = Collector()
    feed.run(bot, "AAPL", transport=transport)
    feed.publish("trade", "AAPL")
    feed.wait_idle()
    epoch = feed.epoch
    feed.wipe()
    assert feed.epoch > epoch
    assert feed.log == []
    assert feed.publish("trade", "AAPL")[:3] == ("trade.AAPL", 1, 1)
    feed.wait_idle()
    assert "epoch" in {gap.cause for gap in bot.missing}


def test_a_paused_bot_over_shared_memory_is_overrun(feed: LocalFeed) -> None:
    sub = feed.subscriber("AAPL", transport="shm")
    lost = feed.publish("trade", "AAPL")
    filler = feed.overrun(sub)
    assert {fact.topic for fact in filler} == {"trade.FILLER"}
    after = feed.publish("trade", "AAPL")
    assert Fact.of(feed.take(sub)[0]) == after
    assert [(gap.topic, gap.first, gap.last) for gap in feed.gaps(sub)] == [("trade.AAPL", 1, 1)]
    assert lost.topic_seq == 1
    with pytest.raises(CallerError, match="only a bot over shm"):
        feed.overrun(feed.subscriber())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_durable_bot_goes_on_where_it_was(feed: LocalFeed, transport: str) -> None:
    first, second = Collector(), Collector()
    sub = feed.run(first, "AAPL", transport=transport, durable="me")
    for _ in range(3):
        feed.publish("trade", "AAPL")
    feed.wait_idle()
    feed.stop(sub)
    for _ in range(3):
        feed.publish("trade", "AAPL")
    feed.run(second, "AAPL", transport=transport, durable="me")
    feed.publish("trade", "AAPL")
    feed.wait_idle()
    assert first.facts + second.facts == feed.log
    assert first.missing + second.missing == []


@pytest.mark.parametrize("feed", [{"log.bytes": "1MiB", "archive": True}], indirect=True)
def test_what_the_log_no_longer_has_comes_from_the_archive(feed: LocalFeed) -> None:
    sub = feed.subscriber("AAPL", transport="shm")
    feed.publish("trade", "AAPL")
    feed.overrun(sub)
    feed.publish("trade", "AAPL")
    assert [tick.topic_seq for tick in feed.take(sub, 2)] == [1, 2]
    assert feed.gaps(sub) == []


# --- the feed itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feed", [{"log.bytes": "1MiB", "publish.tcp.batch": 64}], indirect=True)
def test_settings_can_be_given(feed: LocalFeed) -> None:
    assert feed.config.log.bytes == "1MiB"
    assert feed.config.publish["tcp"].batch == 64
    with pytest.raises(ConfigError, match="nonsense"):
        LocalFeed({"log.nonsense": 1})


def test_other_bots_find_it_at_its_address(feed: LocalFeed) -> None:
    with Subscriber("AAPL", feed=feed.address, transport="tcp", timeout=20) as sub:
        feed.lose(1)
        feed.publish("trade", "AAPL")
        kept = feed.publish("trade", "AAPL")
        feed.wait_idle()
        while (tick := sub.recv(20)) is not None and Fact.of(tick) != kept:
            pass
        assert tick is not None
        assert sub.recv(0.2) is None


def test_nothing_is_left() -> None:
    before = os.environ.get("TICKCAST_LOG_ROOT")
    threads = set(threading.enumerate())
    with LocalFeed() as local:
        assert os.environ["TICKCAST_LOG_ROOT"] == str(local.root / "log")
        local.run(Collector())
        local.subscriber(transport="ipc")
        local.publish("trade", "AAPL")
        root = local.root
    assert os.environ.get("TICKCAST_LOG_ROOT") == before
    assert not root.exists()
    assert set(threading.enumerate()) <= threads


def test_the_directory_names_the_relays(feed: LocalFeed) -> None:
    """So that every bot goes through them, however it was started."""
    context = zmq.Context()
    with context.socket(zmq.REQ) as asking:
        asking.rcvtimeo = 20_000
        asking.linger = 0
        asking.connect(feed.address)
        asking.send(b'{"id": 1, "request": "directory"}')
        told = orjson.loads(asking.recv())
    context.term()
    real = {(feed.config.directory / "endpoints" / name).read_text() for name in ("tcp", "ipc")}
    assert len(real | {each["endpoint"] for each in told["transports"]}) == 4


# --- as a user has it -------------------------------------------------------------------------------------------------


def test_the_example_runs_as_it_says(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "test_mean.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_mean.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_readme_runs_as_it_says(tmp_path: Path) -> None:
    readme = (EXAMPLES.parents[1] / "README.md").read_text()
    program = readme.split("<!-- example test -->\n```python\n")[1].split("```\n<!-- end -->")[0]
    (tmp_path / "test_mine.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_mine.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_a_plugin_too(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["bots.testing"]\n')
    (tmp_path / "test_it.py").write_text('def test_it(feed):\n    assert feed.publish("trade", "A").seq == 1\n')
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
