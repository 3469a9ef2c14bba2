"""How to test a bot: on a real feed that loses, delays, dies and comes back when the test says so.

    pytest test_mean.py            (pip install pytest)

`feed` is new for each test; `run` starts the bot as `bots run` would; `wait_idle` returns when the bot has had all that
was published, or was told that it is missing.
"""

from __future__ import annotations

import pytest

from bots import Bot, Trade
from bots.testing import Fact, LocalFeed

pytest_plugins = ["bots.testing"]


class Mean(Bot):  # yours is imported
    def __init__(self) -> None:
        self.prices: list[float] = []

    def on_trade(self, t: Trade) -> None:
        self.prices.append(t.price)

    def mean(self) -> float:
        return sum(self.prices) / len(self.prices)


def test_it_knows_the_mean(feed: LocalFeed) -> None:
    bot = Mean()
    feed.run(bot, "AAPL")
    feed.publish("trade", "AAPL", price=10.0, size=100)
    feed.publish("trade", "AAPL", price=40.0, side="B")
    feed.wait_idle()
    assert bot.mean() == 25.0


def test_disorder_on_the_way_changes_nothing(feed: LocalFeed) -> None:
    bot = Mean()
    feed.run(bot, "AAPL")
    feed.duplicate(1)
    feed.reorder(2)
    for price in (1.0, 2.0, 3.0, 4.0):
        feed.publish("trade", "AAPL", price=price)
    feed.wait_idle()
    assert bot.prices == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_it_outlives_the_feed(feed: LocalFeed, transport: str) -> None:
    sub = feed.subscriber("AAPL", transport=transport)  # or take the ticks yourself
    feed.publish("trade", "AAPL", price=1.0)
    assert [Fact.of(tick) for tick in feed.take(sub)] == feed.log
    feed.restart()  # as after kill -9
    feed.run(bot := Mean(), "AAPL", transport=transport)
    feed.publish("trade", "AAPL", price=2.0)
    feed.wait_idle()
    assert bot.prices == [2.0]
