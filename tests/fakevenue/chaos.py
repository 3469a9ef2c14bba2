"""All crypto venues at once, on a bad day: cut, silent, with gaps, wrong checksums, damage, slow answers, refusals.

    python -m tests.fakevenue.chaos --seconds 60

One feed (`feed run`) listens to all of them. Afterwards each book and quote without a mark must be one that the venue
had, and the last one what it has; what is not so ends the run with an error.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from feed.log.reader import LogReader
from feed.metrics.counters import Counters
from feed.wire.records import BY_WORD
from tests.e2e.processes import Stage, stage, wait_for
from tests.fakevenue import binance, coinbase, kraken
from tests.fakevenue.venue import FAULTS
from tests.sources.venue_turns import BAD, same_books, state, told_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.fakevenue.market import Market
    from tests.fakevenue.venue import FakeVenue

__all__ = ["Day", "day"]

PER_S = 150.0
QUIET_S = 5.0
"""Without a fault at the end, while markets go on."""


class Exchange(NamedTuple):
    """`names`: our names, with the venue behind, and the venue's."""

    kind: str
    venue: FakeVenue
    names: dict[str, str]

    def markets(self) -> dict[str, Market]:
        return {ours: self.venue.markets[name] for ours, name in self.names.items()}

    def past(self) -> Mapping[str, Any]:
        past: Mapping[str, Any] = self.venue.past  # type: ignore[attr-defined]
        return {name: states.values() if isinstance(states, dict) else states for name, states in past.items()}

    def table(self) -> str:
        symbols = [ours.rpartition(".")[0] for ours in self.names]
        (lots,) = {market.size_decimals for market in self.venue.markets.values()}
        return (
            f'[source.{self.kind}]\nkind = "{self.kind}"\nsymbols = {symbols}\nstale_after = "2s"\nreconnect = "20ms"\n'
            f'websocket = "{self.venue.websocket_url}"\nsize_decimals = {lots}\n'
            + (f'rest = "{self.venue.rest_url}"\n' if self.venue.routes() else "")
        )


class Day:
    """What came of it: every record, as `same_books` wants them."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[bytes]] = {}
        self.counted: dict[str, Counter[str]] = {}
        self.marked: dict[str, int] = {}

    def of(self, schema: str, symbol: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(b"".join(self.records.get((schema, symbol), [])), BY_WORD[schema].dtype)

    def take(self, reader: LogReader) -> None:
        while (tick := reader.read()) is not None:
            if tick.kind == 0:
                self.records.setdefault(reader.topic(tick.topic_id), []).append(tick.record)

    def right(self, exchange: Exchange) -> bool:
        """Is the last of every book and quote what the venue has, and not marked?"""
        for symbol, market in exchange.markets().items():
            books, quotes = self.of("book", symbol), self.of("quote", symbol)
            (now,) = told_states(market, [market.state()])
            if not len(books) or not len(quotes) or (books[-1]["flags"] | quotes[-1]["flags"]) & BAD:
                return False
            if state(books[-1]["levels"]) != now or state([quotes[-1]]) != tuple(side[:1] for side in now):
                return False
        return True


def day(seconds: float, seed: int = 1, every_s: float = 0.3) -> Day:
    """AssertionError: something wrong was told without a mark, or is wrong afterwards."""
    chance = random.Random(seed)
    with contextlib.ExitStack() as open_:
        exchanges = list(_exchanges(open_))
        feed = open_.enter_context(stage())
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "feed.toml"
        config.write_text("\n".join([*(each.table() for each in exchanges), '[publish.tcp]\nkind = "zmq"\n']))
        process = feed.start(*feed.feed_args("run", config, monitor__endpoint="", log__bytes="256MiB"))
        wait_for((feed.directory / "endpoints" / "control").exists, lambda: process.said)
        reader = open_.enter_context(LogReader.open(feed.directory, start="begin"))
        made = Day()
        _turn(made, reader, 3.0)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            chance.choice(exchanges).venue.misbehave(chance.choice(FAULTS))
            _turn(made, reader, chance.uniform(0, 2 * every_s))
        _turn(made, reader, QUIET_S)
        wait_for(lambda: _none_marked(made, reader, exchanges), lambda: _wrong(made, exchanges, feed))
        for each in exchanges:
            each.venue.pause()
        wait_for(lambda: _all_right(made, reader, exchanges), lambda: _wrong(made, exchanges, feed))
        for each in exchanges:
            made.marked[each.kind] = same_books(made, each.markets(), each.past())  # type: ignore[arg-type]
        made.counted = _counted(feed)
    return made


def _exchanges(open_: contextlib.ExitStack) -> Iterator[Exchange]:
    spot, pairs, products = ["BTCUSDT", "ETHUSDT"], ["BTC/USD", "ETH/USD"], ["BTC-USD", "ETH-USD"]
    of_binance = open_.enter_context(binance.FakeBinance(binance.markets(spot), per_s=PER_S))
    yield Exchange("binance", of_binance, dict(zip(("BTC-USDT.BINANCE", "ETH-USDT.BINANCE"), spot, strict=True)))
    of_kraken = open_.enter_context(kraken.FakeKraken(kraken.markets(pairs), per_s=PER_S))
    yield Exchange("kraken", of_kraken, dict(zip(("BTC-USD.KRAKEN", "ETH-USD.KRAKEN"), pairs, strict=True)))
    of_coinbase = open_.enter_context(coinbase.FakeCoinbase(coinbase.markets(products), per_s=PER_S))
    yield Exchange("coinbase", of_coinbase, {f"{name}.COINBASE": name for name in products})


def _turn(made: Day, reader: LogReader, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        made.take(reader)
        time.sleep(0.02)


def _all_right(made: Day, reader: LogReader, exchanges: list[Exchange]) -> bool:
    made.take(reader)
    return all(made.right(each) for each in exchanges)


def _none_marked(made: Day, reader: LogReader, exchanges: list[Exchange]) -> bool:
    made.take(reader)
    symbols = [symbol for each in exchanges for symbol in each.names]
    last = [made.of(schema, symbol)[-1:] for symbol in symbols for schema in ("book", "quote")]
    return all(len(records) and not records["flags"][0] & BAD for records in last)


def _wrong(made: Day, exchanges: list[Exchange], feed: Stage) -> str:
    return f"{[each.kind for each in exchanges if not made.right(each)]} to be right; {_counted(feed)}"


def _counted(feed: Stage) -> dict[str, Counter[str]]:
    """{source: resynchronisations by cause and refusals by reason}"""
    found: dict[str, Counter[str]] = {}
    counters = Counters.open(feed.directory, writable=False)
    for row in counters.rows():
        for name, label in (("tickcast_source_resyncs_total", "cause"), ("tickcast_rejected_total", "reason")):
            if row.name == name and row.value:
                found.setdefault(row.labels["source"], Counter())[row.labels[label]] = int(row.value)
    counters.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    made = day(given.seconds, given.seed)
    for kind, counted in sorted(made.counted.items()):
        print(f"{kind}: {made.marked.get(kind, 0)} records marked; {dict(counted)}")
    records = Counter(f"{schema} {symbol}" for (schema, symbol), all_ in made.records.items() for _ in all_)
    print(dict(records), "all right")


if __name__ == "__main__":
    main()
