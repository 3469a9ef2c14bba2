"""bots.watch over a log in shared memory: what it makes of ticks, gaps and a feed that comes and goes."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bots import Gap, Subscriber, watch
from bots.watch import Watch
from feed.log.writer import LogWriter
from feed.wire.records import BY_WORD, UNDEF_PRICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bots.screen import Picture, Row


class FakeScreen:
    """Keeps the last picture, does `at_first` at the first one that is live, and stops when `until` holds."""

    def __init__(self) -> None:
        self.live = False
        self.last: Picture
        self.at_first: Callable[[], None] | None = None
        self.until: Callable[[Picture], bool] = lambda _: False
        self.stop: Callable[[], None]

    def show(self, picture: Picture) -> None:
        self.last = copy.deepcopy(picture)
        if picture.state == "live" and self.at_first is not None:
            self.at_first()
            self.at_first = None
        if self.until(picture):
            self.stop()

    def row(self, symbol: str) -> Row:
        return next(row for row in self.last.rows if row.symbol == symbol)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    with LogWriter.open(tmp_path, log_bytes=1 << 20) as writer:
        yield writer


@pytest.fixture
def screen() -> FakeScreen:
    return FakeScreen()


def watching(screen: FakeScreen, at: Path) -> Watch:
    subscriber = Subscriber("*", log=at)
    screen.stop = subscriber.stop
    return Watch(subscriber, screen, "tcp://127.0.0.1:5550")  # type: ignore[arg-type]


def record(schema: str, **fields: Any) -> bytes:
    one = np.zeros(1, BY_WORD[schema].dtype)
    for name, value in fields.items():
        one[name] = value
    return one.tobytes()


def test_each_symbol_has_the_last_of_everything(writer: LogWriter, screen: FakeScreen, tmp_path: Path) -> None:
    def ticks() -> None:
        quote, trade = writer.topic("quote", "AAPL"), writer.topic("trade", "AAPL")
        for bid in (189_950_000_000, 189_960_000_000):
            writer.publish(quote, record("quote", bid_px=bid, ask_px=UNDEF_PRICE, bid_sz=3, ask_sz=0))
        writer.publish(trade, record("trade", price=189_955_000_000, size=7))
        writer.publish(writer.topic("bar1m", "MSFT"), record("bar1m", close=400_000_000_000, volume=90))
        writer.publish(writer.topic("status", "MSFT"), record("status"))

    screen.at_first = ticks
    screen.until = lambda picture: sum(row.ticks for row in picture.rows) == 5
    watching(screen, tmp_path).run(None)
    row = screen.row("AAPL")
    assert (row.bid_px, row.bid_sz, row.ask_px, row.ask_sz) == (189.96, 3, None, 0)
    assert (row.last_px, row.last_sz, row.ticks, row.gaps, row.lost) == (189.955, 7, 3, 0, 0)
    assert row.age_ns is not None
    assert row.p50_ns is not None
    assert row.p99_ns is not None
    assert row.p50_ns <= row.p99_ns
    other = screen.row("MSFT")
    assert (other.last_px, other.last_sz, other.ticks, other.bid_px) == (400.0, 90, 2, None)
    assert (screen.last.transport, screen.last.state, screen.last.hidden) == ("shm", "live", 0)


def test_more_symbols_than_there_is_room_for_are_counted(
    writer: LogWriter, screen: FakeScreen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ROWS_MAX", 2)

    def ticks() -> None:
        for _ in range(3):
            for symbol in "ABCD":
                writer.publish(writer.topic("trade", symbol), record("trade"))

    screen.at_first = ticks
    screen.until = lambda picture: picture.hidden == 2 and sum(row.ticks for row in picture.rows) == 6
    watching(screen, tmp_path).run(None)
    assert [row.symbol for row in screen.last.rows] == ["A", "B"]


def test_gaps_are_counted_by_symbol_and_a_new_epoch_is_none(
    writer: LogWriter, screen: FakeScreen, tmp_path: Path
) -> None:
    made = watching(screen, tmp_path)

    def gaps() -> None:
        assert made._subscriber.on_gap is not None
        for gap in (
            Gap("trade.AAPL", 5, 9, "slow", 1), Gap("quote.AAPL", 1, 1, "slow", 1), Gap("*", 0, 0, "epoch", 2)
        ):  # fmt: skip
            made._subscriber.on_gap(gap)

    screen.at_first = gaps
    screen.until = lambda picture: bool(picture.rows)
    made.run(None)
    assert [(row.symbol, row.gaps, row.lost) for row in screen.last.rows] == [("AAPL", 2, 6)]


def test_without_a_feed_it_waits_as_long_as_it_was_told_and_says_why(screen: FakeScreen, tmp_path: Path) -> None:
    made = watching(screen, tmp_path / "nothing")
    logger = logging.getLogger("bots")
    logger.addHandler(made)
    try:
        made.run(0.3)
    finally:
        logger.removeHandler(made)
    assert screen.last.state == "waiting"
    assert screen.last.rows == []
    assert "waiting" in screen.last.said
