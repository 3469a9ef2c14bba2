"""Late join: a bot that wants the state of many symbols first comes while everything flows."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from feed.bench.children import Children
from feed.bench.recovery.daemon import Daemon
from feed.bench.recovery.recorder import Recorder, sdk_lost
from feed.bench.recovery.result import JOIN_MS, Row
from feed.log.reader import LogReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.bench.recovery.plan import Options

__all__ = ["measure"]

_OTHER_BYTES = 64 << 20
_STATES_S = 120.0
_SCHEMAS = ("quote", "trade")


def measure(options: Options, progress: Callable[[str], None]) -> list[Row]:
    """From open() until the bot has the state of every symbol and is live, by transport.

    The bot has quotes and trades of all symbols; quotes have a state. Each round is a new process.
    """
    size = options.join
    what = f"{size.symbols:,} symbols, {size.rate:,.0f} ticks/s flow"
    ms: dict[str, list[float]] = {"shm": [], "tcp": []}
    details: dict[str, list[dict[str, float]]] = {"shm": [], "tcp": []}
    ticks, lost = dict.fromkeys(ms, 0), dict.fromkeys(ms, 0)
    settings = {"source.sim.kind": "sim", "source.sim.symbols": size.symbols, "source.sim.rate": size.rate}
    with Children(options.log_bytes + _OTHER_BYTES) as children, Daemon(children, options.log_bytes, settings) as feed:
        progress(f"join: waits until each of {size.symbols:,} symbols has a quote")
        with LogReader.open(feed.directory, name="bench") as reader:
            feed.until(lambda: _states(reader) == size.symbols, "to have every symbol", _STATES_S)
        for i in range(options.rounds):
            for transport, found in ms.items():
                progress(f"join over {transport}, {i + 1} of {options.rounds}: {what}")
                bot = Recorder(
                    children, feed, f"join{i}-{transport}", transport,
                    schemas=_SCHEMAS, start="snapshot", states=size.symbols,
                )  # fmt: skip
                opened = bot.hear()
                joined = bot.hear()
                taken, figures = bot.end()
                found.append(max(joined["stated_ms"], joined["live_ms"]))
                details[transport].append({**opened, **joined})
                ticks[transport] += len(taken)
                lost[transport] += max(taken.lost(), sdk_lost(figures))
    return [
        Row(
            measure="join",
            what=what,
            transport=transport,
            engine="log" if transport == "shm" else "libzmq",
            bots=1,
            rate_hz=size.rate,
            rounds=options.rounds,
            ticks=ticks[transport],
            lost=lost[transport],
            ms=round(median(ms[transport]), 2),
            bounds={"ms": JOIN_MS},
            detail={"ms": ms[transport], "rounds": details[transport]},
        )
        for transport in ms
    ]


def _states(reader: LogReader) -> int:
    """How many quote topics have a tick."""
    return sum(reader.topic(i)[0] == "quote" and reader.topic_seq(i) > 0 for i in range(reader.topic_count))
