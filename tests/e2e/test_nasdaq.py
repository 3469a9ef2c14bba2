"""Nasdaq live in a daemon, over MoldUDP64 and over SoupBinTCP at once, to a bot: all that a file of the same has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.e2e.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.processes import Stage

AAPL = "runk-itch/test/locate-13-10k.bin"
QUOTES, TRADES = 2792, 1089
BAD = 4
FEED = """
[source.mold]
kind = "itch-mold"
groups = ["{a}", "{b}"]
interface = "127.0.0.1"
request = "127.0.0.1:{request}"
give_up = "30s"
date = "2020-01-30"
schemas = ["quote"]
[source.soup]
kind = "itch-soup"
address = "127.0.0.1:{soup}"
reconnect = "5ms"
date = "2020-01-30"
schemas = ["trade"]
"""


def test_two_lines_that_lose_and_connections_that_are_cut_reach_a_bot_whole(stage: Stage, data_dir: Path) -> None:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    a, b = (f"239.{195 + worker}.77.{line}:{free_port()}" for line in (1, 2))
    request, soup = free_port(), free_port()
    config = stage.temporary / "feed.toml"
    config.write_text(FEED.format(a=a, b=b, request=request, soup=soup))
    feed = stage.start(*stage.feed_args("run", config), TICKCAST_SOUP_USER="user", TICKCAST_SOUP_PASSWORD="secret")
    stage.up(feed)
    bot = stage.bot("bot", "shm", "AAPL", "quote,trade", "--start", "begin")
    venue = stage.start(
        "tests.fakevenue.nasdaq", data_dir / AAPL, "--mold", a, b, "--request", request, "--soup", soup,
        "--rate", 20_000, "--lose", 0.01, "--double", 0.01, "--swap", 0.01, "--cut", 100, 5000, 9000,
    )  # fmt: skip
    bot.reaches(QUOTES + TRADES)
    got = bot.collected
    assert {name: len(ticks) for name, ticks in got.ticks.items()} == {"quote.AAPL": QUOTES, "trade.AAPL": TRADES}
    assert got.gaps == []
    assert not any(record[30] & BAD for ticks in got.ticks.values() for _, _, record in ticks)
    assert venue.end() == 0, venue.said
    assert bot.process.end() == 0, bot.process.said
    assert feed.end() == 0, feed.said
    assert "secret" not in feed.said
    assert stage.left() == []
