"""Damaged messages of Binance through the normaliser: it must neither crash nor hang nor grow, and count what it meets.

python -m tests.normalize.binance_mutated 1000000
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections import Counter
from typing import NamedTuple

import orjson

from feed.normalize.binance import HELD_MAX, NEEDS_SNAPSHOT, PUBLISHERS, Binance
from tests.fakevenue.market import ASK, BID, Market

__all__ = ["Outcome", "run"]

SNAPSHOT_EVERY = 50


class Outcome(NamedTuple):
    messages: int
    records: int
    rejected: Counter[str]
    causes: Counter[str]
    seconds: float


def run(n: int, *, seed: int = 1, futures: bool = False, damaged: float = 0.3) -> Outcome:
    """`n` messages of one symbol, this share of them damaged; a snapshot, sound or not, now and then."""
    chance = random.Random(seed)
    binance = Binance(None, PUBLISHERS["usdm" if futures else "spot"])
    index = binance.add([0, 1, 2, 3], 1, 5)
    binance.name(index, "BTCUSDT")
    market = Market("BTCUSDT", seed=seed)
    last = 100
    causes: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    began = time.monotonic()
    for i in range(n):
        changes = market.move(1 + chance.randrange(4))
        first, previous, last = last + 1, last, last + max(1, len(changes))
        match chance.randrange(4):
            case 0 | 1:
                told = {"e": "depthUpdate", "E": i, "s": "BTCUSDT", "U": first, "u": last, "pu": previous}
                told["b"] = [_level(market, c.price, c.size) for c in changes if c.side == BID]
                told["a"] = [_level(market, c.price, c.size) for c in changes if c.side == ASK]
            case 2:
                told = {"u": last, "s": "BTCUSDT", "b": "1.5", "B": "2", "a": "1.6", "A": "3"}
                last = previous
            case _:
                told = {"e": "trade", "E": i, "s": "BTCUSDT", "t": i, "p": "1.5", "q": "0.1", "T": i, "m": True}
                last = previous
        payload = orjson.dumps({"stream": "btcusdt@x", "data": told})
        if chance.random() < damaged:
            payload = _damage(payload, chance)
        if binance.apply(payload, i) == NEEDS_SNAPSHOT and binance.cause:
            causes[binance.cause] += 1
        if i % SNAPSHOT_EVERY == 0:
            bids = [_level(market, *level) for level in market.levels(BID, 1000)]
            asks = [_level(market, *level) for level in market.levels(ASK, 1000)]
            snapshot = orjson.dumps({"lastUpdateId": last, "bids": bids, "asks": asks})
            if chance.random() < damaged / 2:
                snapshot = _damage(snapshot, chance)
            binance.snapshot(index, snapshot, i)
            rejected.update(dict(binance.take_rejected()))
            binance.take_ticks()
    rejected.update(dict(binance.take_rejected()))
    return Outcome(n, binance.done, rejected, causes, time.monotonic() - began)


def _level(market: Market, price: int, size: int) -> list[str]:
    return [market.price_text(price), market.size_text(size)]


def _damage(payload: bytes, chance: random.Random) -> bytes:
    """One to three of: bytes changed, left out, put in, doubled; a part cut off; numbers that are too long."""
    made = bytearray(payload)
    for _ in range(1 + chance.randrange(3)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(7):
            case 0 if made:
                made[min(at, len(made) - 1)] = chance.randrange(256)
            case 1:
                del made[at : at + 1 + chance.randrange(8)]
            case 2:
                made[at:at] = chance.choice([b'"', b"[", b"]", b"{", b"}", b",", b":", b"\\", b"\x00", b"-", b"e9"])
            case 3:
                made[at:at] = made[at : at + chance.randrange(40)]
            case 4:
                del made[at:]
            case 5:
                made[at:at] = b"9" * chance.randrange(60)
            case _:
                made[at:at] = chance.choice([b"null", b"[[[[", b'"u":1,', b'"b":[["1","2"]],', b"\xff\xfe", b"1e400"])
    return bytes(made)


if __name__ == "__main__":
    for futures in (False, True):
        outcome = run(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, futures=futures)
        print("futures" if futures else "spot", outcome._replace(seconds=round(outcome.seconds, 1)))
        print(
            f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB; {HELD_MAX} updates wait at most"
        )
