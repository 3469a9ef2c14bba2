"""Between sources and the log, in real feeds: rules, instruments, quotes across venues, captures, a bar."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from feed.push import Pusher
from feed.wire.records import BY_WORD
from tests.e2e import processes
from tests.e2e.processes import wait_for
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[source.push]
kind = "push"
capture = "{folder}/kept"
[source.push.validate]
off_tick = "drop"
crossed = "flag"
[source.symbols]
kind = "symbology"
files = ["{folder}/instruments.toml"]
watch = "0s"
[best]
symbols = ["BTC-USD"]
"""
INSTRUMENTS = """
[venue.COINBASE]
separator = "-"
class = "spot"
tick = "0.01"
[[instrument]]
venue = "COINBASE"
name = "BTC-USD"
[[instrument]]
venue = "COINBASE"
name = "ETH-USD"
"""


def test_ticks_are_held_against_rules_consolidated_kept_and_played_again(tmp_path: Path) -> None:
    (tmp_path / "feed.toml").write_text(FILE.format(folder=tmp_path))
    (tmp_path / "instruments.toml").write_text(INSTRUMENTS)
    with processes.stage() as stage:
        feed = stage.up(stage.feed("run", tmp_path / "feed.toml"))
        with Pusher(stage.address, name="desk") as push:
            push.quote("BTC-USD.COINBASE", bid_px="100.00", ask_px="101.00", bid_sz=1, ask_sz=1, publisher_id=1)
            push.quote("BTC-USD.KRAKEN", bid_px="100.005", ask_px="100.5", bid_sz=1, ask_sz=1, publisher_id=2)
            push.quote("BTC-USD.COINBASE", bid_px="100.001", ask_px="101.00", bid_sz=9, ask_sz=9, publisher_id=1)
            push.quote("BTC-USD.COINBASE", bid_px="102.00", ask_px="101.00", bid_sz=3, ask_sz=3, publisher_id=1)
            push.flush()
        wait_for(lambda: "quote.BTC-USD.BEST" in stage.log(), "a quote across venues")
        log = stage.log()
        best = np.frombuffer(b"".join(record for *_, record in log["quote.BTC-USD.BEST"]), BY_WORD["quote"].dtype)
        last = best[-1]  # the crossed one is doubtful and does not count
        assert (last["bid_px"], last["bid_ct"], last["ask_px"], last["ask_ct"]) == (
            100_005_000_000,
            2,
            100_500_000_000,
            2,
        )
        assert len(log["quote.BTC-USD.COINBASE"]) == 2, "one of three was off its tick"
        wait_for(
            lambda: stage.stat()["sources"]["push"]["rejected"] == {"off_tick": 1}, "what was dropped to be counted"
        )
        told = json.loads(stage.run("feed", "symbols", "BTC*", "--json", *config(stage, tmp_path)))
        assert [(row["symbol"], row["tick"], row["schemas"]) for row in told] == [
            ("BTC-USD.BEST", "", ["quote"]),
            ("BTC-USD.COINBASE", "0.01", ["definition", "quote"]),
            ("BTC-USD.KRAKEN", "", ["quote"]),
        ]
        pushed = {name: [record for *_, record in ticks] for name, ticks in log.items() if name.startswith("quote.")}
        assert feed.end() == 0
    (kept,) = (tmp_path / "kept").iterdir()
    with processes.stage() as stage:
        stage.up(stage.feed("replay", kept, "--set", "feed.linger=true", "--speed", "max"))
        wait_for(lambda: len(stage.log().get("quote.BTC-USD.COINBASE", [])) >= 3, "the capture")  # its last tick
        again = {name: [record for *_, record in ticks] for name, ticks in stage.log().items()}
        assert again["quote.BTC-USD.KRAKEN"] == pushed["quote.BTC-USD.KRAKEN"]
        coinbase = again["quote.BTC-USD.COINBASE"]
        assert [coinbase[0], coinbase[2]] == pushed["quote.BTC-USD.COINBASE"]  # without rules here


def config(stage: processes.Stage, folder: Path) -> list[str]:
    return ["--config", str(folder / "feed.toml"), "--set", f"log.root={stage.directory.parent}"]


def test_a_replay_on_a_terminal_shows_how_far_it_is(data_dir: Path) -> None:
    file = next((data_dir / "nautilus-databento").rglob("*mbo*.dbn.zst"))
    with processes.stage() as stage, Terminal(stage, stage.feed_args("replay", file, "--speed", "max")) as screen:
        assert screen.wait() == 0
        assert "ticks, " in screen.shown
        assert "%" in screen.shown
