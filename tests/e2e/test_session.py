"""The main job: a recorded session through the daemon, byte for byte what databento-dbn makes of the same file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import databento_dbn
import zstandard

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.processes import Stage

RECORDINGS = "nautilus-databento/tests/test_data/databento/historical_bars_catalog/databento"
QUOTES, TRADES = 2288, 120


def decoded(path: Path) -> list[bytes]:
    """The records of a DBN file as the library of its inventor decodes them, upgraded to version 3."""
    decoder = databento_dbn.DBNDecoder(upgrade_policy=databento_dbn.VersionUpgradePolicy.UPGRADE_TO_V3)
    with path.open("rb") as file:
        decoder.write(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read())
    return [bytes(record) for record in decoder.decode() if not isinstance(record, databento_dbn.Metadata)]


def test_every_record_reaches_every_bot_twice_running(stage: Stage, data_dir: Path) -> None:
    (mbp_1,) = (data_dir / RECORDINGS).glob("futures_mbp-1*.dbn.zst")
    (trades,) = (data_dir / RECORDINGS).glob("futures_trades*.dbn.zst")
    expected = {"quote.ESU4": decoded(mbp_1), "trade.ESU4": decoded(trades)}
    assert [len(records) for records in expected.values()] == [QUOTES, TRADES]
    bots = [stage.bot(transport, transport, "ESU4", "quote,trade") for transport in ("shm", "tcp")]
    for times in (1, 2):
        feed = stage.feed("replay", mbp_1, trades, "--speed", "max", feed__wait_bots=2)
        assert feed.wait() == 0, feed.said
        for bot in bots:
            bot.reaches(times * (QUOTES + TRADES))
    for bot in bots:
        assert bot.process.end() == 0, bot.process.said
        got = bot.collected
        twice = {name: 2 * records for name, records in expected.items()}
        assert {name: [record for _, _, record in ticks] for name, ticks in got.ticks.items()} == twice
        for name, records in expected.items():
            assert got.topic_seqs(name) == 2 * list(range(1, len(records) + 1))
        assert sorted(got.seqs) == sorted(2 * list(range(1, QUOTES + TRADES + 1)))
        assert got.gaps == [("*", 0, 0, "epoch")]  # that the second feed is not the first one
    assert stage.left() == []
