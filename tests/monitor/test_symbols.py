"""feed.monitor.symbols: rates of topics, as the log's table has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.monitor.symbols import RATE_NS, Symbols

if TYPE_CHECKING:
    from tests.monitor.conftest import FakeFeed

S = 1_000_000_000
QUOTE = bytes(80)


def test_the_busiest_first_and_those_of_a_text(fake_feed: FakeFeed) -> None:
    writer, symbols = fake_feed.writer, Symbols(fake_feed.directory)
    msft = writer.topic("quote", "MSFT")
    fake_feed.tick(50)
    symbols.put(10 * S)
    assert symbols.busiest() == {
        "total": 2,
        "busiest": [{"topic": "quote.AAPL", "per_s": 0.0}, {"topic": "quote.MSFT", "per_s": 0.0}],
    }
    fake_feed.tick(6)
    brk = writer.topic("trade", "BRK B")
    for topic, n in ((msft, 20), (brk, 1)):
        for _ in range(n):
            writer.publish(topic, QUOTE)
    symbols.put(12 * S)
    assert symbols.busiest(n=2) == {
        "total": 3,
        "busiest": [{"topic": "quote.MSFT", "per_s": 10.0}, {"topic": "quote.AAPL", "per_s": 3.0}],
    }
    assert [one["topic"] for one in symbols.busiest("brk")["busiest"]] == ["trade.BRK B"]
    assert [one["topic"] for one in symbols.busiest("QUOTE.", n=1)["busiest"]] == ["quote.MSFT"]
    assert symbols.busiest("nothing") == {"total": 3, "busiest": []}


def test_a_rate_is_of_the_last_seconds_only(fake_feed: FakeFeed) -> None:
    symbols = Symbols(fake_feed.directory)
    for second in range(1, 20):
        fake_feed.tick(7 if second < 10 else 2)
        symbols.put(second * S)
    assert symbols.busiest()["busiest"] == [{"topic": "quote.AAPL", "per_s": 2.0}]
    symbols.put(19 * S + RATE_NS)
    symbols.put(20 * S + RATE_NS)
    assert symbols.busiest()["busiest"] == [{"topic": "quote.AAPL", "per_s": 0.0}]


def test_a_log_that_ends_and_none_at_all(fake_feed: FakeFeed) -> None:
    symbols = Symbols(fake_feed.directory)
    assert symbols.busiest() == {"total": 0, "busiest": []}
    fake_feed.tick()
    symbols.put(S)
    assert symbols.busiest("aapl")["total"] == 1
    fake_feed.end_log()
    (fake_feed.directory / "log").unlink()
    symbols.put(2 * S)
    assert symbols.busiest() == symbols.busiest("aapl") == {"total": 0, "busiest": []}
