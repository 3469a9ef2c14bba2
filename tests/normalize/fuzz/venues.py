"""Noise for the normalisers of crypto venues. By hand: python -m tests.normalize.fuzz.venues kraken --messages 1000000

Streams of sound messages of a plain book, of which some are damaged: bytes changed, left out, doubled, cut, mixed up.
Whatever comes, nothing is raised, memory stays bounded, every message is dealt with or counted, and a book that is not
marked is the plain one in its best ten levels; at Kraken but for the place of a number's dot, which its checksum does
not cover.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections import Counter
from typing import TYPE_CHECKING

from feed.normalize.coinbase import GAP, Coinbase
from feed.normalize.coinbase_messages import Channel, Subscriptions
from feed.normalize.kraken import Kraken
from feed.normalize.kraken_messages import Answer, Instruments, Status
from feed.normalize.venue import NO_TOPIC
from feed.normalize.venue_books import MALFORMED
from tests.normalize import coinbase_words, kraken_capture
from tests.normalize.plain_levels import Plain

if TYPE_CHECKING:
    from collections.abc import Sequence

SUITE_MESSAGES = 10_000
"""So many are tried in the suite."""

_BITS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b".",
    b"-",
    b"e9",
    b"null",
    b"1e400",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\x00",
    b"9" * 40,
)


def damaged(message: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """The message with one to four things done to it."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(message) + 1)
        match chance.randrange(7):
            case 0:
                message = message[:at] + bytes([chance.randrange(256)]) + message[at + 1 :]
            case 1:
                message = message[:at] + chance.choice(b"0123456789").to_bytes(1, "little") + message[at + 1 :]
            case 2:
                message = message[:at] + message[at + chance.randint(1, 20) :]
            case 3:
                message = message[:at] + chance.choice(_BITS) + message[at:]
            case 4:
                message = message[:at]
            case 5:
                message = message[:at] + message[max(0, at - chance.randint(1, 40)) :]
            case 6:
                message = message[:at] + chance.choice(others)[at:]
    return message


class Books:
    """Plain books that move, and what changed."""

    def __init__(self, chance: random.Random, symbols: Sequence[str]) -> None:
        self._chance = chance
        self.symbols = symbols
        self.plain = {symbol: Plain() for symbol in symbols}
        for plain in self.plain.values():
            for away in range(1, 20):
                plain.put(0, f"{1000 - away}.0", self._size())
                plain.put(1, f"{1000 + away}.0", self._size())

    def move(self, symbol: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        plain = self.plain[symbol]
        made: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
        for _ in range(self._chance.randint(1, 3)):
            side = self._chance.randrange(2)
            away = self._chance.randint(1, 19)
            price = f"{1000 - away if side == 0 else 1000 + away}.0"
            size = "0.00000000" if len(plain.sides[side]) > 12 and self._chance.random() < 0.3 else self._size()
            plain.put(side, price, size)
            made[side].append((price, size))
        return made

    def levels(self, symbol: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        plain = self.plain[symbol]
        bids, asks = ([(plain.texts[p], plain.sides[side][p]) for p in plain.prices(side)] for side in (0, 1))
        return bids, asks

    def _size(self) -> str:
        return f"{self._chance.randint(0, 50)}.{self._chance.randint(1, 10**8 - 1):08d}"


def fuzz_kraken(messages: int, seed: int) -> Counter[str]:
    """What was counted, by reason."""
    chance = random.Random(seed)
    books = Books(chance, ("BTC/USD", "ETH/USD"))
    kraken = Kraken(None, 1)
    indices = {symbol: kraken.symbol(symbol, [NO_TOPIC] * 4, n, 8, 25) for n, symbol in enumerate(books.symbols)}
    counted: Counter[str] = Counter()
    others = [
        b'{"channel":"heartbeat"}',
        b'{"method":"subscribe","result":{"channel":"book","symbol":"BTC/USD"},"success":true}',
        b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":5.1,"qty":0.1,'
        b'"trade_id":7,"timestamp":"2023-10-06T17:35:55.440295Z"}]}',
        b'[1,{"a":[["1.0","1.0","1.0"]],"c":"1"},"book-10","ETH/USD"]',
    ]
    begun = time.monotonic()
    for n in range(messages):
        symbol = chance.choice(books.symbols)
        plain, index = books.plain[symbol], indices[symbol]
        message = kraken_capture.book_message(symbol, "update", *books.move(symbol), plain.crc32())
        hurt = chance.random() < 0.7
        given = damaged(chance.choice([message, message, *others]), [message, *others], chance) if hurt else message
        hear = kraken.apply_v1 if given[:1] == b"[" and n % 2 else kraken.apply
        answer = hear(given, n)
        assert answer is None or answer == MALFORMED or isinstance(answer, (Answer, Instruments, Status)), answer
        wrong = dict(kraken.take_wrong())
        for each, why in wrong.items():
            counted[why] += 1
            assert not kraken.is_live(each)
            assert kraken.is_doubtful(each)
        moved = False
        if not hurt and kraken.is_live(index):
            assert kraken.book(index).crc32 == plain.crc32(), n
            moved = any(kraken.book(index).levels(side)[:10] != plain.levels(side)[:10] for side in (0, 1))
            counted["moved_dot"] += moved
        if not kraken.is_live(index) or answer == MALFORMED or moved:
            kraken.apply(kraken_capture.book_message(symbol, "snapshot", *books.levels(symbol), plain.crc32()), n)
            assert kraken.is_live(index)
            assert not kraken.is_doubtful(index)
        counted.update(dict(kraken.take_rejected()))
    counted["messages"] = messages
    counted["per_s"] = int(messages / (time.monotonic() - begun))
    assert all(kraken.book(index).memory_bytes < 1 << 20 for index in indices.values())
    return counted


def fuzz_coinbase(messages: int, seed: int) -> Counter[str]:
    """What was counted, by reason. Without checksums damage is believed that reads well and has the next number."""
    chance = random.Random(seed)
    books = Books(chance, ("BTC-USD", "ETH-USD"))
    coinbase = Coinbase(None, 1)
    indices = {symbol: coinbase.symbol(symbol, [NO_TOPIC] * 4, n, 8) for n, symbol in enumerate(books.symbols)}
    sound = dict.fromkeys(books.symbols, False)
    counted: Counter[str] = Counter()
    begun = time.monotonic()
    for n in range(messages):
        symbol = chance.choice(books.symbols)
        plain, index = books.plain[symbol], indices[symbol]
        number = coinbase.expected
        update = coinbase_words.book_message(number, "update", *books.move(symbol), symbol)
        others = [
            update,
            coinbase_words.message("heartbeats", number, [{"heartbeat_counter": n}]),
            coinbase_words.message("subscriptions", number, [{"subscriptions": {"level2": ["BTC-USD"]}}]),
            coinbase_words.message("ticker", number, []),
            coinbase_words.trade_message(number, "update", n, product=symbol),
        ]
        hurt = chance.random() < 0.7
        answer = coinbase.apply(damaged(chance.choice([update, *others]), others, chance) if hurt else update, n)
        assert answer in (None, GAP, MALFORMED) or isinstance(answer, (Channel, Subscriptions)), answer
        for each, why in coinbase.take_wrong():
            counted[why] += 1
            assert not coinbase.is_live(each)
            assert coinbase.is_doubtful(each)
        if hurt:
            sound = dict.fromkeys(books.symbols, False)
        elif sound[symbol]:
            for side in (0, 1):
                assert coinbase.book(index).levels(side)[:10] == plain.levels(side)[:10], n
        if isinstance(answer, str):  # the source makes the connection anew
            counted[answer] += 1
            coinbase.expected = 0
            for each in indices.values():
                coinbase.forget(each, n)
        if not sound[symbol]:
            snapshot = coinbase_words.book_message(coinbase.expected, "snapshot", *books.levels(symbol), symbol)
            assert coinbase.apply(snapshot, n) is None
            assert coinbase.is_live(index)
            assert not coinbase.is_doubtful(index)
            sound[symbol] = True
        counted.update(dict(coinbase.take_rejected()))
    counted["messages"] = messages
    counted["per_s"] = int(messages / (time.monotonic() - begun))
    assert all(coinbase.book(index).memory_bytes < 1 << 20 for index in indices.values())
    return counted


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("venue", choices=["kraken", "coinbase"])
    arguments.add_argument("--messages", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    found = {"kraken": fuzz_kraken, "coinbase": fuzz_coinbase}[given.venue](given.messages, given.seed)
    print(dict(found), f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB at most")


if __name__ == "__main__":
    main()
