"""feed.sources.captured: what a live source put in comes once more, to the byte, at any pace."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from feed import config, supervisor
from feed.config import BinanceConfig, CaptureConfig, KrakenConfig
from feed.errors import ConfigError, SourceError
from feed.sources.binance import BinanceSource
from feed.sources.capture import Capture
from feed.sources.captured import Captured
from feed.sources.kraken import KrakenSource
from tests.fakevenue.binance import FakeBinance
from tests.fakevenue.kraken import FakeKraken, markets
from tests.sources.pushers import Entrance, Hand
from tests.sources.tape import Tape
from tests.sources.venue_turns import Turned

if TYPE_CHECKING:
    from pathlib import Path

    from feed.metrics.counters import Counters


NAMES = ["BTC/USD", "ETH/USD"]


def played(path: Path, tape: Tape, counters: Counters, limit: int = 1024, **settings: object) -> Captured:
    source = Captured("kept", CaptureConfig(files=[str(path)], **settings), tape.sink, counters)  # type: ignore[arg-type]
    while not source.finished:
        if not source.poll(limit):
            source.park(1_000_000)
    return source


@pytest.fixture
def kept(tape: Tape, counters: Counters, tmp_path: Path) -> tuple[Path, list[tuple[str, str, bytes]]]:
    """A capture of pushers that misbehave, and what the feed had of them."""
    entrance = Entrance(tape.sink.directory, tape.sink, counters, topics=8, capture=str(tmp_path / "kept"))
    one, two = Hand(entrance, b"one"), Hand(entrance, b"two")
    entrance.poll()
    for hand in (one, two):
        hand.hear()
    for hand in (one, two, one):
        hand.push(3)
        entrance.poll()
    one.push(2)
    one.send(one.last - 1, 4)  # two of them once more, with two behind
    one.last += 2
    entrance.router.arrived.append((b"stranger", [b"nonsense"]))
    entrance.router.arrived.append((b"stranger", [b"two", b"frames"]))
    two.push(1)
    entrance.poll()
    entrance.close()
    (path,) = (tmp_path / "kept").iterdir()
    return path, [(each.schema, each.symbol, each.record) for each in tape.take()]


@pytest.mark.parametrize("limit", [1, 2, 1024])
def test_what_was_pushed_comes_again_to_the_byte(
    kept: tuple[Path, list[tuple[str, str, bytes]]], tape: Tape, counters: Counters, limit: int
) -> None:
    path, had = kept
    assert len(had) == 14
    source = played(path, tape, counters, limit, speed="max")
    assert [(each.schema, each.symbol, each.record) for each in tape.take()] == had
    assert source.error is None
    assert "100.0 %" in source.progress()
    source.close()


def test_a_capture_has_its_own_pace(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    entrance = Entrance(tape.sink.directory, tape.sink, counters, capture=str(tmp_path / "kept"))
    hand = Hand(entrance, b"one")
    entrance.poll()
    hand.hear()
    for i in range(3):
        entrance.source._clock = iter([10**18 + i * 10**9] * 9).__next__
        hand.push(1)
        entrance.poll()
    entrance.close()
    (path,) = (tmp_path / "kept").iterdir()
    tape.take()
    played(path, tape, counters, speed="100").close()
    first, second, third = (each.ts_in for each in tape.take())
    assert second - first == third - second == 10**7


def test_it_goes_on_again_and_again_until_told(
    kept: tuple[Path, list[tuple[str, str, bytes]]], tape: Tape, counters: Counters
) -> None:
    path, had = kept
    source = Captured("kept", CaptureConfig(files=[str(path)] * 2, speed="max", loop=True), tape.sink, counters)
    n = 0
    while n < 5 * len(had):
        n += source.poll(5 * len(had) - n)
    source.close()
    assert [(each.schema, each.symbol, each.record) for each in tape.take()] == had * 5


def test_a_capture_that_breaks_off_gives_what_is_whole(
    kept: tuple[Path, list[tuple[str, str, bytes]]], tape: Tape, counters: Counters
) -> None:
    path, had = kept
    os.truncate(path, path.stat().st_size - 12)
    source = played(path, tape, counters, speed="max")
    assert isinstance(source.error, SourceError)
    taken = [(each.schema, each.symbol, each.record) for each in tape.take()]
    assert taken == had[: len(taken)]
    source.close()


def test_what_it_can_not_play_is_said(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.kept\.files"):
        played(tmp_path / "nothing", tape, counters)
    for settings in ({"kind": "sim"}, {"kind": "of another age"}):
        capture = Capture(tmp_path, "x", settings, counters)
        capture.close()
        with pytest.raises(SourceError, match=str(capture.path)):
            played(capture.path, tape, counters)


def test_files_that_feed_replay_is_given_are_told_apart_by_name(tmp_path: Path, counters: Counters, tape: Tape) -> None:
    path, other = tmp_path / f"x{config.CAPTURE_SUFFIX}", tmp_path / "x.dbn"
    assert config.played([path], None, {}) == {"kind": "capture", "files": [str(path)]}
    assert config.played([other], None, {})["kind"] == "replay"
    with pytest.raises(ConfigError, match="captures"):
        config.played([path, other], None, {})
    capture = Capture(tmp_path, "x", json.loads(config.to_json(config.load()))["source"]["sim"], counters)
    capture.close()
    settings = config.load(base={"source": {"kept": config.played([capture.path], None, {})}})
    (make,) = supervisor._sources(settings, counters)
    with pytest.raises(SourceError, match="keeps"):
        make(tape.sink)


@pytest.mark.parametrize(
    ("config", "source", "fake", "faults"),
    [
        (KrakenConfig, KrakenSource, FakeKraken, ["checksum", "gap", "disconnect"]),
        (BinanceConfig, BinanceSource, FakeBinance, ["gap", "disconnect"]),
    ],
    ids=["kraken", "binance"],
)
def test_what_a_venue_said_comes_again_to_the_byte_its_faults_included(
    tape: Tape, tmp_path: Path, config: Any, source: Any, fake: Any, faults: list[str]
) -> None:
    with fake(markets([name.replace("/", "") if fake is FakeBinance else name for name in NAMES]), per_s=200) as venue:
        settings = config(
            symbols=[name.replace("/", "-") for name in NAMES],
            websocket=venue.websocket_url,
            reconnect="20ms",
            size_decimals=8,
            capture=str(tmp_path / "kept"),
            **({} if fake is FakeKraken else {"rest": venue.rest_url}),
        )
        turned = Turned(tape, tmp_path, lambda name, sink, counters: source(name, settings, sink, counters))
        for i, fault in enumerate(faults, 1):
            turned.turn(lambda i=i: len(turned.taken) > 150 * i)
            venue.misbehave(fault)
        turned.turn(lambda: len(turned.taken) > 150 * (len(faults) + 2))
        assert turned.counted()
        counted = turned.counted()
        turned.source.close()
    had = [(each.schema, each.symbol, each.record) for each in turned.taken + tape.take()]
    (path,) = (tmp_path / "kept").iterdir()
    played(path, tape, turned.counters, speed="max").close()
    assert [(each.schema, each.symbol, each.record) for each in tape.take()] == had
    assert counted
    turned.counters.close()
