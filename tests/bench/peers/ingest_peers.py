"""The peers of `feed bench ingest`: itch-book and cryptofeed on the same messages, as their own users would call them.

python ingest_peers.py itch-book itch FILE 0
python ingest_peers.py cryptofeed kraken|binance MESSAGES LEAST   (MESSAGES: u64 ns, u32 length, bytes, as written by
feed/bench/ingest/messages.py); says one JSON object. Needs nothing of tickcast, so that any interpreter will do; what
it measures is loaded before the clock runs.
"""

from __future__ import annotations

import asyncio
import datetime
import importlib
import importlib.metadata
import json
import resource
import struct
import sys
import time
from pathlib import Path
from typing import Any


def itch_book(path: str) -> dict[str, Any]:
    module = importlib.import_module("itch_book")
    records, began, cpu = 0, time.perf_counter(), time.process_time()
    file = module.open(path, date=datetime.date(2020, 1, 30), price_type="fixed")
    for batch in file.batches(tables=("bbo", "trades")):
        records += len(batch.bbo["seq"]) + len(batch.trades["seq"])
    took = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    return {"messages": 0, "records": records, **took}


def cryptofeed(kind: str, path: str, least: int) -> dict[str, Any]:
    made, data, at = [], Path(path).read_bytes(), 0
    while at < len(data):
        ns, n = struct.unpack_from("<QI", data, at)
        made.append((data[at + 12 : at + 12 + n].decode(), ns / 1e9))
        at += 12 + n
    return asyncio.run(_handled(kind, made, max(1, -(-least // len(made)))))


async def _handled(kind: str, made: list[tuple[str, float]], passes: int) -> dict[str, Any]:
    exchanges = importlib.import_module("cryptofeed.exchanges")
    book = importlib.import_module("cryptofeed.defines").L2_BOOK
    more: dict[str, Any]
    if kind == "kraken":
        exchange = exchanges.Kraken
        names = list(dict.fromkeys(each["symbol"] for text, _ in made for each in json.loads(text)["data"]))
        ours = {name: name.replace("/", "-") for name in names}
        more = {"checksum_validation": True, "max_depth": 1000}
    else:
        futures = any('"pu":' in text for text, _ in made[:1000])
        exchange = exchanges.BinanceFutures if futures else exchanges.Binance
        (name,) = {json.loads(text)["stream"].split("@")[0].upper() for text, _ in made if '"stream"' in text}
        ours = {name: "BTC-USDT-PERP" if futures else "BTC-USDT"}
        more = {"max_depth": 0}
    kinds = dict.fromkeys(ours.values(), "perpetual" if ours and "PERP" in next(iter(ours.values())) else "spot")
    symbols = importlib.import_module("cryptofeed.symbols").Symbols
    symbols.set(exchange.id, {symbol: name for name, symbol in ours.items()}, {"instrument_type": kinds})
    snapshots = [text for text, _ in made if text.startswith('{"lastUpdateId"')]
    updates = [each for each in made if not each[0].startswith('{"lastUpdateId"')]
    records = 0

    async def told(_: Any, received: float) -> None:
        nonlocal records
        records += 1

    class Http:
        async def read(self, *_: Any, **more: Any) -> str:
            return snapshots[0]

    class Connection:
        uuid = "peer"

    seconds = cpu_s = 0.0
    for _ in range(passes):
        feed = exchange(symbols=list(ours.values()), channels=[book], callbacks={book: told}, **more)
        feed.http_conn = Http()
        connection = Connection()
        began, cpu = time.perf_counter(), time.process_time()
        for text, received in updates:
            await feed.message_handler(text, connection, received)
        seconds += time.perf_counter() - began
        cpu_s += time.process_time() - cpu
    return {"messages": passes * len(updates), "records": records, "seconds": seconds, "cpu_s": cpu_s}


if __name__ == "__main__":
    peer, kind, path, least = sys.argv[1:]
    if peer == "cryptofeed" and int(importlib.metadata.version(peer).split(".")[0]) < 3:
        sys.exit("cryptofeed 3 or later is needed, which needs Python 3.12 or later: name one with --peer-python")
    measured = itch_book(path) if peer == "itch-book" else cryptofeed(kind, path, int(least))
    version = importlib.metadata.version(peer)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**measured, "rss_bytes": rss, "version": version}))
