"""Gap fill: one topic's ticks went by a bot and are fetched while everything else flows on.

The bot itself gives up its subscription to the topic and takes it up again once enough went by: what follows is what a
run of lost frames would bring about, the other topics are not touched, and no proxy stands in the way of what is timed.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from feed.bench.children import Children
from feed.bench.recovery.daemon import Daemon
from feed.bench.recovery.recorder import Recorder, sdk_lost
from feed.bench.recovery.result import FILL_MS, RATIO_P50, RATIO_P99, Row
from feed.bench.recovery.ticks import middle, quantiles, ratio
from feed.clock import now_ns
from feed.log.reader import LogReader
from feed.normalize.activity import symbol_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.bench.recovery.plan import Options
    from feed.bench.recovery.ticks import Taken

__all__ = ["measure"]

_OTHER_BYTES = 256 << 20
"""The bot's notes: 40 bytes for each tick of some minutes."""

_WARM_S = 1.5
_REST_S = 0.5
_MISS_S = 120.0
_EFFECT_S = 0.1
"""Until the publisher has heard that a subscription was given up."""

Window = tuple[int, int]


def measure(options: Options, progress: Callable[[str], None]) -> list[Row]:
    """From the subscription taken up again until the last missing tick is there; how late all others came meanwhile.

    Each fill has a quiet run as long as itself, before or behind it in turn.
    """
    size = options.fill
    what = f"{size.ticks:,} ticks of a topic missing, {size.rate:,.0f} ticks/s flow"
    symbols = symbol_names(size.symbols)
    topic = f"quote.{symbols[0]}"
    fills: list[Window] = []
    quiets: list[Window] = []
    settings = {
        "source.sim.kind": "sim",
        "source.sim.symbols": size.symbols,
        "source.sim.rate": size.rate,
        "source.sim.zipf": size.zipf,
        "source.sim.halts_per_million": 0.0,
    }
    with (
        Children(options.log_bytes + _OTHER_BYTES) as children,
        Daemon(children, options.log_bytes, settings) as feed,
        LogReader.open(feed.directory, name="bench") as reader,
    ):
        bot = Recorder(children, feed, "fill", "tcp", symbols=tuple(symbols), schemas=("quote", "trade")).opened()
        time.sleep(_WARM_S)
        for i in range(options.rounds):
            progress(f"fill over tcp, {i + 1} of {options.rounds}: {what}")
            if i % 2:
                quiets.append(_quiet(fills[-1]))
            fills.append(_fill(bot, feed, reader, topic, size.ticks))
            bot.until_well()
            time.sleep(_REST_S)
            if i % 2 == 0:
                quiets.append(_quiet(fills[-1]))
        taken, figures = bot.end()
    pairs = [[_late(taken, each, topic) for each in pair] for pair in zip(fills, quiets, strict=True)]
    return [
        Row(
            measure="fill",
            what=what,
            transport="tcp",
            engine="libzmq",
            bots=1,
            rate_hz=size.rate,
            rounds=options.rounds,
            ticks=len(taken),
            lost=max(taken.lost(), sdk_lost(figures)),
            ms=round(median((last - first) / 1e6 for first, last in fills), 2),
            p50_us=middle([fill for fill, _ in pairs], "p50_us"),
            p99_us=middle([fill for fill, _ in pairs], "p99_us"),
            ratio_p50=ratio(pairs, "p50_us"),
            ratio_p99=ratio(pairs, "p99_us"),
            bounds={"ms": FILL_MS, "ratio_p50": RATIO_P50, "ratio_p99": RATIO_P99},
            detail={
                "missed_by": "the bot's subscription to the topic was given up, and taken up again",
                "topic": topic,
                "filled": figures["filled"],
                "ms": [(last - first) / 1e6 for first, last in fills],
                "during": [fill for fill, _ in pairs],
                "quiet": [quiet for _, quiet in pairs],
            },
        )
    ]


def _fill(bot: Recorder, feed: Daemon, reader: LogReader, topic: str, ticks: int) -> Window:
    """Let `ticks` of the topic go by, then have them filled: when that began and when it was over."""
    number = next(i for i in range(reader.topic_count) if ".".join(reader.topic(i)) == topic)
    bot.tell("miss", topic)
    time.sleep(_EFFECT_S)
    before = reader.topic_seq(number)
    feed.until(lambda: reader.topic_seq(number) - before >= ticks, f"to go by with {ticks:,} ticks", _MISS_S)
    bot.tell("fill", topic)
    filled = bot.hear()
    return filled["first_ns"], filled["last_ns"]


def _quiet(fill: Window) -> Window:
    """As long as a fill, and nothing happens."""
    first = now_ns()
    time.sleep((fill[1] - fill[0]) / 1e9)
    return first, now_ns()


def _late(taken: Taken, window: Window, topic: str) -> dict[str, float]:
    """Quantiles of the other topics in a window, µs: from ts_in, and of the wire alone."""
    of = {since: quantiles(taken.late_us(*window, without=topic, since=since)) for since in ("ts_in", "ts_sent")}
    return {**of["ts_in"], **{f"wire_{name}": us for name, us in of["ts_sent"].items() if name != "ticks"}}
