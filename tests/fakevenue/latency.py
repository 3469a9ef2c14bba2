"""From a venue's send to the record in the log: Binance's depth through a real websocket, at a steady rate.

    python -m tests.fakevenue.latency --rate 5000 --seconds 30

The venue is a process of its own, the feed another (`feed run`). A message's time is taken right before it is handed to
the socket, or, when the venue is more than one interval behind, is the time at which it was due. What is printed is per
slice of the run: a queue that grows shows as a latency that does. Only messages that change the best ten make a record.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from feed.clock import now_ns, set_timer_slack_ns, sleep_until_ns
from feed.log.reader import LogReader
from tests.e2e.processes import stage, wait_for
from tests.fakevenue.binance import FakeBinance, markets

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
WARM_UP_S = 2.0
SLICES = 6


class SteadyBinance(FakeBinance):
    """Sends when told to, at a steady pace, and remembers when which update went out: (u, wall ns), in an array that
    does not grow meanwhile, as that takes milliseconds."""

    def __init__(self, rate: float, seconds: float) -> None:
        super().__init__(markets(SYMBOLS), keep=False, per_s=0)
        self._each_ns = int(1e9 / rate)
        self._due_ns = 0
        self._sent = np.zeros((int(seconds * 1e9 / self._each_ns), 2), dtype=np.int64)
        self._count = 0

    @property
    def sent(self) -> dict[int, int]:
        return dict(self._sent[: self._count].tolist())

    async def tell(self, stream: str, message: Any) -> None:
        if "@depth" not in stream:
            return
        text = orjson.dumps(message)
        for session in list(self.sessions):
            if stream in session.subscribed:
                now = now_ns()
                late = now - self._due_ns > self._each_ns
                self._sent[self._count] = message["data"]["u"], self._due_ns if late else now
                self._count += 1
                await session.send(text)

    async def play(self) -> None:
        set_timer_slack_ns(1)
        self._due_ns = now_ns()
        moving = list(self.markets.values())
        for i in range(len(self._sent)):
            await self.move(moving[i % len(moving)])
            self._due_ns += self._each_ns
            sleep_until_ns(self._due_ns)
            await asyncio.sleep(0)


def play(pipe: Connection, rate: float, seconds: float) -> None:
    """The venue's process: says where it is, plays when told to, and gives what it sent when."""
    with SteadyBinance(rate, seconds) as venue:
        # every symbol has numbers of its own range, so that a number says which update it is
        for i, symbol in enumerate(venue.last):
            venue.last[symbol] = 1_000 + (i << 28)
        pipe.send((venue.websocket_url, venue.rest_url))
        pipe.recv()
        gc.collect()
        gc.freeze()  # a collection that looks at all that there is would be the venue's lateness
        asyncio.run_coroutine_threadsafe(venue.play(), venue._loop).result()
        pipe.send(venue.sent)
        pipe.recv()


def measure(rate: float, seconds: float) -> dict[int, tuple[int, int]]:
    """u → (sent, committed), wall ns, of every update that made a record."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    venue = context.Process(target=play, args=(there, rate, seconds + WARM_UP_S), daemon=True)
    venue.start()
    websocket, rest = here.recv()
    with tempfile.TemporaryDirectory() as folder, stage() as feed:
        config = Path(folder) / "feed.toml"
        symbols = [f"{symbol.removesuffix('USDT')}-USDT" for symbol in SYMBOLS]
        config.write_text(
            f'[source.binance]\nkind = "binance"\nsymbols = {symbols}\nschemas = ["book"]\n'
            f'websocket = "{websocket}"\nrest = "{rest}"\n[publish.tcp]\nkind = "zmq"\n'
        )
        process = feed.start(*feed.feed_args("run", config, monitor__endpoint="", log__bytes="256MiB"))
        wait_for((feed.directory / "endpoints" / "control").exists, lambda: process.said)
        reader = LogReader.open(feed.directory, start="begin")
        here.send("play")
        sent = here.recv()
        time.sleep(0.5)
        committed = _read(reader)
        reader.close()
        here.send("end")
        venue.join()
    return {u: (at, committed[u]) for u, at in sent.items() if u in committed}


def _read(reader: LogReader) -> dict[int, int]:
    """All that the log holds, at the end: whoever read it meanwhile would take a core from those who are measured."""
    committed = {}
    while (tick := reader.read()) is not None:
        if tick.kind == 0 and tick.record[1] == 10:
            committed[int.from_bytes(tick.record[44:48], "little")] = tick.committed
    if reader.lost_last:
        raise SystemExit("the log was too small for so many seconds: --seconds")
    return committed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    found = np.array(sorted(measure(given.rate, given.seconds).values()), dtype=np.int64)
    sent = found[:, 0]
    found = found[sent > sent[0] + int(WARM_UP_S * 1e9)]
    print(f"{len(found):,} records in {given.seconds:g} s at {given.rate:g} messages/s; sent to committed, us")
    for number, part in enumerate([*np.array_split(found, SLICES), found]):
        us = (part[:, 1] - part[:, 0]) / 1000
        p50, p90, p99, p999 = np.quantile(us, [0.5, 0.9, 0.99, 0.999])
        name = f"slice {number + 1}" if number < SLICES else "all"
        print(f"{name:8} p50 {p50:7.0f}  p90 {p90:7.0f}  p99 {p99:7.0f}  p99.9 {p999:7.0f}  max {us.max():8.0f}")


if __name__ == "__main__":
    main()
