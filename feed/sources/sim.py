"""The built-in simulator: a synthetic market (:mod:`feed.normalize.market`) at a given rate, or as fast as it goes.

The same seed gives the same records, topics and times after the start, to the byte, on every machine. A tick's ts_event
and ts_recv are the time it was due; ts_in is when it came, so that a simulator that falls behind shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.clock import now_ns
from feed.errors import ConfigError
from feed.normalize.activity import symbol_names, zipf_weights
from feed.normalize.market import RATES, Market
from feed.sources.pacing import Rate, sleep_until_due
from feed.sources.source import Tally
from feed.wire.records import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.config import SimConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Counters

__all__ = ["Sim"]


class Sim:
    """``config.symbols`` symbols with a Zipf activity profile of exponent ``config.zipf``; ends after ``config.ticks``.

    The market opens at `start_ns` (wall time), by default with the first poll; in a million ticks trading is halted
    ``config.halts_per_million`` times. `clock` gives wall time in ns.

    :raises ConfigError: a rate that is neither 0 nor within `feed.normalize.market.RATES`.
    """

    error = None

    def __init__(
        self,
        name: str,
        config: SimConfig,
        sink: Sink,
        counters: Counters,
        *,
        start_ns: int = 0,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        if config.rate and not RATES[0] <= config.rate <= RATES[1]:
            raise ConfigError(
                "a rate that can't be simulated",
                expected=f"0 (as fast as possible) or {RATES[0]:g} to {RATES[1]:g} ticks/s",
                found=config.rate,
                where=f"source.{name}.rate",
            )
        self.name = name
        self._config = config
        self._sink = sink
        self._clock = clock
        self._tally = Tally(counters, name)
        self._start_ns = start_ns
        self._market: Market | None = None
        self._done = 0
        self._rate = Rate(clock)

    @property
    def finished(self) -> bool:
        return self._market is not None and self._market.finished

    def poll(self, limit: int) -> int:
        if self._market is None:
            self._market = self._opened()
        n = self._market.pour(self._sink, limit, self._clock())
        if n:
            self._done += n
            for schema_id, ticks in self._market.take_ticks():
                self._tally.ticks(BY_ID[schema_id].word, ticks)
        return n

    def due_ns(self) -> int:
        return self._start_ns if self._market is None else self._market.due_ns

    def park(self, timeout_ns: int) -> None:
        full = self._market is not None and self._market.full
        sleep_until_due(self.due_ns(), self._clock(), timeout_ns, full=full)

    def progress(self) -> str:
        rate = self._rate.look(self._done)
        of = f" of {self._config.ticks:,}" if self._config.ticks else ""
        return f"{self._done:,}{of} ticks, {rate:,.0f}/s"

    def close(self) -> None:
        """Nothing to give back."""

    def _opened(self) -> Market:
        """The market before its first tick. Not made earlier: a ring takes many topics only while it is drained."""
        config, topic = self._config, self._sink.topic
        names = symbol_names(config.symbols)
        market = Market(
            config.seed,
            [(topic("quote", name), topic("trade", name), topic("status", name)) for name in names],
            zipf_weights(config.symbols, config.zipf),
            rate=config.rate,
            arrivals=config.arrivals,
            ticks=config.ticks,
            crossed=config.crossed,
            halts_per_million=self._config.halts_per_million,
        )
        market.start(self._start_ns or self._clock())
        return market
