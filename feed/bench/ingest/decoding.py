"""Ours: messages through the source's decoder and books into a log in shared memory, in a process of its own.

``python -m feed.bench.ingest.decoding KIND FILE MESSAGES``: FILE is an ITCH file, or what messages.py wrote; says one
JSON object. The clock runs while messages are decoded, not while they are read from the disk (ITCH files are read in
pieces between, as the feed does).
"""

from __future__ import annotations

import datetime
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from feed.bench.ingest.messages import instruments, read
from feed.config import ItchConfig
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from feed.normalize.binance import NEEDS_SNAPSHOT, PUBLISHERS, Binance
from feed.normalize.coinbase import Coinbase
from feed.normalize.kraken import Kraken
from feed.normalize.venue import NO_TOPIC, SCHEMAS
from feed.sources.itch import ItchDays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

LOG_BYTES = 64 << 20
DECIMALS = 8
"""Of sizes; a size that does not fit in 32 bits of that is the greatest."""

_SOME_DAY = datetime.date(2020, 1, 30)
"""Of ITCH files whose names say none."""


def main(kind: str, file: Path, least: int) -> dict[str, Any]:
    """Decode `file`, again until there were `least` messages, and say how that went."""
    with tempfile.TemporaryDirectory(prefix="tickcast-bench-", dir="/dev/shm") as root:
        directory = Path(root)
        (directory / "counters").mkdir()
        counters = Counters.open(directory / "counters", create=True)
        with LogWriter.open(directory / "log", log_bytes=LOG_BYTES, max_topics=1 << 17) as log:
            measured = _itch(file, log, counters) if kind == "itch" else _venue(kind, read(file), log, least)
        counters.close()
    return {**measured, "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "version": "0.1.0"}


def _itch(file: Path, log: LogWriter, counters: Counters) -> dict[str, Any]:
    config = ItchConfig(files=[str(file)], speed="max", schemas=["quote", "trade"], date=str(_SOME_DAY))
    source = ItchDays("itch", config, log, counters)
    began, cpu, records = time.perf_counter(), time.process_time(), 0
    while not source.finished:
        records += source.poll(1024)
    took = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    source.close()
    return {"messages": source.messages, "records": records, **took}


def _venue(kind: str, made: Sequence[tuple[int, bytes]], log: LogWriter, least: int) -> dict[str, Any]:
    names = instruments(kind, made)
    topics = [[log.topic(schema, name) if schema != "definition" else NO_TOPIC for schema in SCHEMAS] for name in names]
    passes = max(1, -(-least // len(made)))
    seconds = cpu_s = 0.0
    records = 0
    refused: dict[str, int] = {}
    for _ in range(passes):
        decoder, hear = _DECODERS[kind](log, made, names, topics)
        began, cpu = time.perf_counter(), time.process_time()
        for received_ns, payload in made:
            hear(payload, received_ns)
        decoder.flush()
        seconds += time.perf_counter() - began
        cpu_s += time.process_time() - cpu
        records += decoder.done
        for reason, n in decoder.take_rejected():
            refused[reason] = refused.get(reason, 0) + n
    measured = {"messages": passes * len(made), "records": records, "seconds": seconds, "cpu_s": cpu_s}
    return {**measured, "refused": refused}


def _binance(log: LogWriter, made: Sequence[tuple[int, bytes]], names: list[str], topics: list[list[int]]) -> Any:
    futures = any(b'"pu":' in payload for _, payload in made[:1000])
    decoder = Binance(log, PUBLISHERS["usdm" if futures else "spot"])
    for number, (name, each) in enumerate(zip(names, topics, strict=True), 1):
        decoder.name(decoder.add(each, number, DECIMALS), name)

    def hear(payload: bytes, received_ns: int) -> None:
        if payload.startswith(b'{"lastUpdateId"'):
            decoder.snapshot(0, payload, received_ns)
        elif decoder.apply(payload, received_ns) == NEEDS_SNAPSHOT and decoder.cause:
            raise RuntimeError(f"a book was lost: {decoder.cause}")

    return decoder, hear


def _kraken(log: LogWriter, made: Sequence[tuple[int, bytes]], names: list[str], topics: list[list[int]]) -> Any:
    decoder = Kraken(log, 1)
    for number, (name, each) in enumerate(zip(names, topics, strict=True), 1):
        decoder.symbol(name, each, number, DECIMALS, 1000)

    def hear(payload: bytes, received_ns: int) -> None:
        decoder.apply(payload, received_ns)
        if wrong := decoder.take_wrong():
            raise RuntimeError(f"a book was lost: {wrong}")

    return decoder, hear


def _coinbase(log: LogWriter, made: Sequence[tuple[int, bytes]], names: list[str], topics: list[list[int]]) -> Any:
    decoder = Coinbase(log, 1)
    for number, (name, each) in enumerate(zip(names, topics, strict=True), 1):
        decoder.symbol(name, each, number, DECIMALS)
    return decoder, decoder.apply


_DECODERS: dict[str, Callable[..., Any]] = {"binance": _binance, "coinbase": _coinbase, "kraken": _kraken}


if __name__ == "__main__":
    print(orjson.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))).decode())
