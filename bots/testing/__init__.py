"""Test your own bot on a real feed that loses, doubles, delays, reorders, dies and comes back when you say so.

In a test file, or in conftest.py for all of them:

    pytest_plugins = ["bots.testing"]                    # or: from bots.testing import feed

    def test_the_mean_survives_a_lost_trade(feed: LocalFeed):
        bot = Mean()
        feed.run(bot, "AAPL")                            # in a thread, as `bots run` would
        feed.publish("trade", "AAPL", price=10.0)
        feed.lose(1)                                     # also: delay duplicate reorder cut hold restart wipe overrun
        feed.publish("trade", "AAPL", price=20.0)
        feed.wait_idle()                                 # the bot has had everything, or was told what is missing
        assert bot.mean == 15.0

Or without run(): `sub = feed.subscriber("AAPL")`, then `feed.take(sub, 2)` and `[Fact.of(t) for t in ...] == feed.log`.
bots/examples/test_mean.py is a whole file of tests. Needs pytest (and, for pytest: PYTEST_DONT_REWRITE, for nothing in
here asserts). Proxy and Line serve for tests of real processes too.
"""

from bots.testing.faults import Chances, Dropped
from bots.testing.fixture import feed
from bots.testing.given import Fact
from bots.testing.line import Line
from bots.testing.local import LocalFeed
from bots.testing.proxy import Proxy
from bots.testing.relay import Relay

__all__ = ["Chances", "Dropped", "Fact", "Line", "LocalFeed", "Proxy", "Relay", "feed"]
