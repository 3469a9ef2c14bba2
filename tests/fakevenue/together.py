"""Nasdaq ITCH, Binance and the simulator in one daemon, to bots on both transports: every tick to each of them.

python -m tests.fakevenue.together --itch 01302020.NASDAQ_ITCH50 --seconds 60 --bots 12
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.processes import stage, wait_for
from tests.fakevenue.binance import FakeBinance, markets

if TYPE_CHECKING:
    from tests.e2e.processes import Stage

__all__ = ["together"]

SIM_PER_S = 2000
VENUE_PER_S = 300.0


def together(on: Stage, itch: Path, seconds: float, bots: int, speed: str = "max") -> dict[str, Any]:
    """Runs so long; gives what `feed stat` says at the end. AssertionError: a bot lacks a tick, or was told of a
    gap."""
    with FakeBinance(markets(["BTCUSDT", "ETHUSDT"]), keep=False, per_s=VENUE_PER_S) as venue:
        venue.pause()
        config = on.temporary / "together.toml"
        config.write_text(
            f"""
[source.sim]
kind = "sim"
rate = {SIM_PER_S}
ticks = {int(SIM_PER_S * seconds)}
[source.nasdaq]
kind = "itch"
files = ["{itch}"]
date = "2020-01-30"
speed = "{speed}"
[source.binance]
kind = "binance"
symbols = ["BTC-USDT", "ETH-USDT"]
websocket = "{venue.websocket_url}"
rest = "{venue.rest_url}"
[publish.tcp]
kind = "zmq"
"""
        )
        on.up(on.feed("run", config, feed__wait_bots=bots, log__bytes="256MiB"))
        each = [on.bot(f"bot{i}", ("shm", "tcp")[i % 2], "*") for i in range(bots)]
        wait_for(lambda: on.stat()["sources"].get("binance", {}).get("connections") == 1, "the venue's connection")
        venue.go_on()
        time.sleep(seconds)
        venue.pause()
        wait_for(
            lambda: sum(on.stat()["sources"]["sim"]["ticks"].values()) == int(SIM_PER_S * seconds), "the simulator"
        )
        expected = on.log()
        for bot in each:
            bot.reaches(sum(len(ticks) for ticks in expected.values()))
            assert bot.collected.ticks == expected, bot.name
            assert bot.collected.gaps == [], bot.name
        return on.stat()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--itch", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--bots", type=int, default=12)
    given = parser.parse_args()
    with stage() as on:
        told = together(on, given.itch.resolve(), given.seconds, given.bots)
    for name, source in told["sources"].items():
        print(name, source)
    print({bot["bot"]: (bot["ticks"], bot["gaps"], bot["lost"]) for bot in told["bots"]})


if __name__ == "__main__":
    main()
