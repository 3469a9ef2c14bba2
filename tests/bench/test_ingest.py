"""feed bench ingest: the same messages for all who take part, decoded to the end, and figures that say so."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from feed.bench.ingest import decoding
from feed.bench.ingest.messages import instruments, messages, read, write
from feed.bench.ingest.plan import Options
from feed.bench.ingest.run import run
from feed.bench.ingest.show import show
from feed.cli import app
from feed.errors import ConfigError, HostError, SourceError
from feed.metrics.counters import Counters
from feed.sources.capture import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KRAKEN = "cryptofeed/sample_data/KRAKEN.ws.50.0"
BINANCE = "hftbacktest/examples/spot/btcusdt_20240808.gz"
ITCH = "runk-itch/test/locate-13-10k.bin"


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    counters = Counters.open(tmp_path, create=True)
    yield counters
    counters.close()


def test_a_real_capture_of_kraken_is_decoded_with_all_checksums(data_dir: Path, tmp_path: Path) -> None:
    made = messages("kraken", data_dir / KRAKEN)
    assert len(made) == 4269 + 10
    assert "BTC/CHF" in instruments("kraken", made)
    write(tmp_path / "made", made)
    assert read(tmp_path / "made") == made
    measured = decoding.main("kraken", tmp_path / "made", 5000)
    assert measured["messages"] == 2 * len(made)
    assert measured["records"] > 2000
    assert measured["refused"] == {"impossible_price": 2}


def test_a_real_capture_of_binance_is_decoded_without_a_gap(data_dir: Path, tmp_path: Path) -> None:
    made = messages("binance", data_dir / BINANCE)
    assert len(made) == 3451 + 1
    assert instruments("binance", made) == ["BTCUSDT"]
    write(tmp_path / "made", made[:500])
    measured = decoding.main("binance", tmp_path / "made", 0)
    assert (measured["messages"], measured["refused"]) == (500, {})
    assert 400 < measured["records"] < 500


def test_of_itch_every_message_counts(data_dir: Path) -> None:
    results = run(Options(kind="itch", file=data_dir / ITCH, alternations=1), lambda _: None)
    (ours,) = results
    assert (ours.ticks, ours.peer, ours.detail["messages"]) == (10_000, None, 10_000)
    assert ours.ticks_per_s > 0
    assert ours.detail["memory_mib"] > 10


def test_the_command_says_it_in_json_and_for_people(data_dir: Path) -> None:
    said = CliRunner().invoke(
        app, ["bench", "ingest", "--kind", "itch", "--file", str(data_dir / ITCH), "--alternations", "1", "--json"]
    )
    assert said.exit_code == 0, said.output
    (row,) = json.loads(said.stdout.splitlines()[-1])
    assert (row["bench"], row["transport"], row["ticks"]) == ("ingest", "itch", 10_000)
    assert show(run(Options(kind="itch", file=data_dir / ITCH, alternations=1), lambda _: None))


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"kind": "itch", "vs": "cryptofeed"}, "--vs"),
        ({"kind": "coinbase", "vs": "cryptofeed"}, "--vs"),
        ({"kind": "kraken", "alternations": 0}, "--alternations"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path: Path, options: dict[str, object], option: str) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(ConfigError, match=option):
        run(Options(file=tmp_path / "x", **options), lambda _: None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--file"):
        run(Options(kind="itch", file=tmp_path / "nothing"), lambda _: None)


def test_a_peer_that_is_not_there_is_said_with_what_to_do(data_dir: Path, tmp_path: Path) -> None:
    options = Options(kind="itch", file=data_dir / ITCH, alternations=1, vs="itch-book", peer_python="/nowhere/python")
    with pytest.raises(HostError, match="peer-python"):
        run(options, lambda _: None)
    (tmp_path / "text").write_text("1: {}\n2 nonsense\n")
    with pytest.raises(SourceError, match="binance"):
        run(Options(kind="binance", file=tmp_path / "text", peer_python=sys.executable), lambda _: None)


def test_coinbase_is_decoded_from_a_capture_of_its_own(tmp_path: Path, counters: Counters) -> None:
    levels = '{"side":"bid","event_time":"2026-01-01T00:00:00Z","price_level":"100.5","new_quantity":"1.5"}'
    message = (
        '{"channel":"l2_data","client_id":"","timestamp":"2026-01-01T00:00:00.5Z","sequence_num":%d,'
        '"events":[{"type":"%s","product_id":"BTC-USD","updates":[%s]}]}'
    )
    capture = Capture(tmp_path, "cb", {"kind": "coinbase"}, counters)
    for number, kind in enumerate(["snapshot", "update", "update"]):
        capture.keep("line 0", (message % (number, kind, levels)).encode(), 10**18 + number)
    capture.close()
    made = messages("coinbase", capture.path)
    assert (len(made), instruments("coinbase", made)) == (3, ["BTC-USD"])
    write(tmp_path / "made", made)
    measured = decoding.main("coinbase", tmp_path / "made", 6)
    assert (measured["messages"], measured["refused"]) == (6, {})
    assert measured["records"] >= 2
