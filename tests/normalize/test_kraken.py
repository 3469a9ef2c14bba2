"""Kraken's messages: checksums of a real capture, each digit of updates damaged, books and trades as records, noise."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest

from feed.normalize.kraken import CHECKSUM, Kraken
from feed.normalize.kraken_messages import Answer, Instruments, Status
from feed.normalize.venue import BOOK, NO_TOPIC, QUOTE
from feed.normalize.venue_books import BAD_LEVEL, MALFORMED
from tests.normalize.fuzz.venues import SUITE_MESSAGES, fuzz_kraken
from tests.normalize.kraken_capture import PAIRS, book_message, messages, updates
from tests.normalize.plain_levels import Plain
from tests.normalize.venue_play import BAD, LAST, SNAPSHOT, asked_topics, told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.normalize.kraken_capture import Levels
    from tests.normalize.venue_play import Told
    from tests.sources.tape import Tape

NS = 1_696_613_755_440_295_000  # 2023-10-06T17:35:55.440295Z
FIXTURES = "nautilus-adapter-fixtures/crates/adapters/kraken/test_data"
NONE = [NO_TOPIC] * 4


# --- the capture ------------------------------------------------------------------------------------------------------


def test_every_checksum_of_the_real_capture_is_right(data_dir: Path) -> None:
    kraken, plain = Kraken(None, 1), {pair: Plain() for pair in PAIRS}
    for pair in PAIRS:
        kraken.symbol(pair, NONE, 0, 8, depth=1000)
    for message in messages(data_dir):
        kraken.apply_v1(message, 1)
    assert kraken.checked == 4_269
    assert kraken.take_wrong() == []
    assert kraken.take_rejected() == [("impossible_price", 1)]  # one asks 9,999,999,997 CHF for a coin
    for update in updates(data_dir):
        book = plain[update.pair]
        for side, levels in enumerate((update.bids, update.asks)):
            for price, size in levels:
                book.put(side, price, size)
        book.cut(1000)
        assert update.checksum in {None, book.crc32()}
    for index, pair in enumerate(PAIRS):
        for side in (0, 1):
            representable = [level for level in plain[pair].levels(side) if level[0] < 2**63 - 1]
            assert kraken.book(index).levels(side)[: len(representable)] == representable


def test_every_digit_that_is_damaged_is_caught_and_costs_one_snapshot_of_one_symbol(data_dir: Path) -> None:
    plain = {pair: Plain() for pair in PAIRS}
    chance = random.Random(5)
    caught = harmless = 0
    for n, update in enumerate(updates(data_dir)):
        book = plain[update.pair]
        if not update.snapshot and n % 15 == 0:
            found = _damage(book, update.pair, update.bids, update.asks, update.checksum or 0, chance)
            caught, harmless = caught + found[0], harmless + found[1]
        for side, levels in enumerate((update.bids, update.asks)):
            for price, size in levels:
                book.put(side, price, size)
        book.cut(1000)
    assert caught > 1_000
    assert harmless < caught  # levels beyond the ten that are summed up, zeros before a number


def _damage(
    book: Plain, pair: str, bids: Levels, asks: Levels, checksum: int, chance: random.Random
) -> tuple[int, int]:
    """Damage each digit of one update: how many were caught, and how many made no difference to the ten best."""
    snapshot = book_message(pair, "snapshot", *_sides(book, 25), book.crc32())
    other = book_message(
        "BTC/USD", "snapshot", [("1.0", "1.0")], [("2.0", "1.0")], _sum([("1.0", "1.0")], [("2.0", "1.0")])
    )
    message = book_message(pair, "update", bids, asks, checksum)
    begin, end = message.index(b'"bids"'), message.index(b',"timestamp"')
    caught = harmless = 0
    for at in range(begin, end):
        if not 48 <= message[at] <= 57:
            continue
        digit = chance.choice([c for c in b"0123456789" if c != message[at]])
        damaged = message[:at] + bytes([digit]) + message[at + 1 :]
        kraken = Kraken(None, 1)
        index, there = kraken.symbol(pair, NONE, 0, 8, 25), kraken.symbol("BTC/USD", NONE, 0, 8, 25)
        assert kraken.apply(snapshot, 1) is None
        assert kraken.apply(other, 1) is None
        assert kraken.take_wrong() == []
        assert kraken.apply(damaged, 1) is None
        wrong = kraken.take_wrong()
        if wrong:
            assert [each for each, _ in wrong] == [index]
            assert not kraken.is_live(index)
            assert kraken.is_doubtful(index) == QUOTE | BOOK
            caught += 1
        else:
            assert _meaning(book, damaged) == checksum
            harmless += 1
        assert kraken.is_live(there)
        assert not kraken.is_doubtful(there)
        kraken.apply(message, 1)
        assert kraken.take_wrong() == []
        kraken.apply(snapshot, 1)
        kraken.apply(message, 1)
        assert kraken.is_live(index)
        assert not kraken.is_doubtful(index)
    return caught, harmless


def _sides(book: Plain, n: int) -> tuple[Levels, Levels]:
    bids, asks = ([(book.texts[p], book.sides[side][p]) for p in book.prices(side)[:n]] for side in (0, 1))
    return bids, asks


def _meaning(book: Plain, message: bytes) -> int:
    """The checksum that the book has after the message, if the message has the checksum that it had."""
    said = orjson.loads(message)["data"][0]
    after = Plain()
    after.texts = dict(book.texts)
    for side, levels in enumerate(_sides(book, 25)):
        for price, size in levels:
            after.put(side, price, size)
    texts = message.decode().partition('"bids":[')[2].partition('],"checksum"')[0].partition('],"asks":[')
    for side, text in enumerate((texts[0], texts[2])):
        for level in filter(None, text.split("{")):
            price, _, size = level.partition(",")
            after.put(side, price.partition(":")[2], size.partition(":")[2].rstrip("},"))
    after.cut(25)
    assert after.crc32() == said["checksum"]
    return int(said["checksum"])


def _sum(bids: Levels, asks: Levels) -> int:
    plain = Plain()
    for side, levels in enumerate((bids, asks)):
        for price, size in levels:
            plain.put(side, price, size)
    return plain.crc32()


# --- records ----------------------------------------------------------------------------------------------------------


class Live:
    """One symbol on a tape."""

    def __init__(self, tape: Tape, depth: int = 10) -> None:
        self.tape = tape
        self.kraken = Kraken(tape.sink, 7)
        self.index = self.kraken.symbol("BTC/USD", asked_topics(tape, "BTC-USD.KRAKEN"), 3, 8, depth)
        self.plain = Plain()
        self.depth = depth

    def say(self, kind: str, bids: Levels, asks: Levels, checksum: int | None = None) -> list[Told]:
        if kind == "snapshot":
            self.plain = Plain()
        for side, levels in enumerate((bids, asks)):
            for price, size in levels:
                self.plain.put(side, price, size)
        self.plain.cut(self.depth)
        total = self.plain.crc32() if checksum is None else checksum
        return self.hear(book_message("BTC/USD", kind, bids, asks, total))

    def hear(self, message: bytes) -> list[Told]:
        assert self.kraken.apply(message, NS + 1000) is None
        self.kraken.flush()
        return told(self.tape)


BIDS, ASKS = [("100.10", "1.50000000"), ("100.00", "2")], [("100.20", "0.00000001")]
TOP = (100_100_000_000, 150_000_000, 100_200_000_000, 1)


def test_a_snapshot_and_updates_are_quotes_and_books(tape: Tape) -> None:
    live = Live(tape)
    quote, book = live.say("snapshot", BIDS, ASKS)
    assert (quote.schema, quote.symbol, quote.flags, quote.ts_event) == ("quote", "BTC-USD.KRAKEN", LAST | SNAPSHOT, NS)
    assert quote.levels == (TOP,)
    assert book.levels == (TOP, (100_000_000_000, 200_000_000, 2**63 - 1, 0))
    assert [each.schema for each in live.say("update", [("99.9", "1")], [])] == ["book"]
    assert [each.schema for each in live.say("update", [("100.15", "1")], [])] == ["quote", "book"]
    assert live.say("update", [("100.15", "1")], []) == []
    (quote, _) = live.say("update", [("100.15", "0"), ("100.10", "0")], [])
    assert quote.flags == LAST
    assert quote.levels[0][:2] == (100_000_000_000, 200_000_000)
    assert live.kraken.take_rejected() == []


def test_what_lies_beyond_the_depth_is_cut_off(tape: Tape) -> None:
    live = Live(tape)
    live.say("snapshot", [(f"{price}.0", "1.0") for price in range(100, 90, -1)], ASKS)
    live.say("update", [("100.05", "1.0")], [])
    live.say("update", [("100.05", "0.0")], [])
    assert len(live.kraken.book(0).levels(0)) == 9
    assert live.kraken.take_wrong() == []


def test_a_wrong_checksum_marks_until_the_next_snapshot(tape: Tape) -> None:
    live = Live(tape)
    live.say("snapshot", BIDS, ASKS)
    marked = live.say("update", [("100.15", "1")], [], checksum=5)
    assert [(each.schema, each.flags & BAD, each.levels[0]) for each in marked] == [
        ("quote", BAD, TOP),
        ("book", BAD, TOP),
    ]
    assert live.kraken.take_wrong() == [(0, CHECKSUM)]
    assert live.say("update", [("100.16", "1")], []) == []
    again = live.say("snapshot", BIDS, ASKS)
    assert [(each.schema, each.flags & BAD) for each in again] == [("quote", 0), ("book", 0)]
    live.kraken.forget(0, NS)
    assert [each.flags & BAD for each in told(tape)] == [BAD, BAD]
    assert live.kraken.take_wrong() == []


def test_a_level_that_is_none_marks_too(tape: Tape) -> None:
    live = Live(tape)
    for bad in ('"price":"1.0","qty":1.0', '"price":1.0,"qty":null', '"price":-1.0,"qty":1.0', '"price":[],"qty":{}'):
        live.say("snapshot", BIDS, ASKS)
        message = book_message("BTC/USD", "update", [("1.0", "1.0")], [], 1).replace(
            b'"price":1.0,"qty":1.0', bad.encode()
        )
        assert [each.flags & BAD for each in live.hear(message)] == [BAD, BAD]
        assert live.kraken.take_wrong() == [(0, BAD_LEVEL)]


def test_what_can_not_be_read_costs_the_symbols_it_names_or_the_whole_connection(tape: Tape) -> None:
    live = Live(tape)
    live.say("snapshot", BIDS, ASKS)
    update = book_message("BTC/USD", "update", [("100.15", "1")], [], 1)
    assert [each.flags & BAD for each in live.hear(update[:-2])] == [BAD, BAD]
    assert live.kraken.take_wrong() == [(0, MALFORMED)]
    for noise in (b"", b"{", b"\xff", b'{"channel":"book","type":"update"}', b"[" * 100_000):
        assert live.kraken.apply(noise, NS) == MALFORMED
    assert live.kraken.apply(b'{"channel":"ticker","type":"update","data":[]}', NS) is None
    assert live.kraken.apply(b'{"channel":"heartbeat"}', NS) is None
    assert live.kraken.apply(update.replace(b"BTC/USD", b"ETH/USD"), NS) is None
    assert dict(live.kraken.take_rejected()) == {"malformed": 7, "unknown_symbol": 1}


def _trades(kind: str, *numbers: int) -> bytes:
    trade = (
        '{{"symbol":"BTC/USD","side":"buy","price":5.10,"qty":0.00027625,"ord_type":"limit","trade_id":{},'
        '"timestamp":"2023-10-06T17:35:55.440295Z"}}'
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(trade.format(n) for n in numbers)}]}}'.encode()


def test_trades_are_numbered(tape: Tape) -> None:
    live = Live(tape)
    assert live.hear(_trades("snapshot", 12, 10, 11)) == []  # of before we listened
    (first, *_) = both = live.hear(_trades("update", 13, 14))
    assert first == ("trade", "BTC-USD.KRAKEN", LAST, NS, ((5_100_000_000, 27_625, ord("B"), 13),))
    assert len(both) == 2
    assert live.hear(_trades("update", 14)) == []
    assert live.kraken.take_rejected() == [("duplicate", 1)]
    assert [each.levels[0][3] for each in live.hear(_trades("snapshot", 17, 16, 15, 14, 13))] == [15, 16, 17]
    assert live.kraken.take_rejected() == []
    assert [each.levels[0][3] for each in live.hear(_trades("update", 20))] == [20]
    assert live.kraken.take_rejected() == [("missed_trade", 2)]
    assert len(live.hear(_trades("update", 2**40))) == len(live.hear(_trades("update", 21))) == 1  # counted anew
    assert len(live.hear(_trades("update", 5000, 22))) == 2  # a number that was damaged does not silence what follows
    assert dict(live.kraken.take_rejected()) == {"missed_trade": 4978}
    bad = _trades("update", 23)
    assert live.hear(bad.replace(b"5.10", b"5e99")) == live.hear(bad.replace(b"0.00027625", b"-1")) == []
    assert live.kraken.take_rejected() == [("impossible_price", 1), ("impossible_size", 1)]


def test_what_is_not_data_is_given_back(data_dir: Path) -> None:
    kraken = Kraken(None, 1)
    answer = kraken.apply((data_dir / FIXTURES / "ws_subscribe_response.json").read_bytes(), 1)
    assert isinstance(answer, Answer)
    assert (answer.method, answer.success, answer.result.channel, answer.result.symbol) == (
        "subscribe",
        True,
        "ticker",
        "BTC/USD",
    )
    assert isinstance(kraken.apply((data_dir / FIXTURES / "ws_pong.json").read_bytes(), 1), Answer)
    status = kraken.apply(b'{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]}', 1)
    assert isinstance(status, Status)
    pairs = kraken.apply(
        b'{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[{"symbol":"BTC/USD","base":"BTC",'
        b'"quote":"USD","price_increment":0.1,"qty_increment":0.00000001,"qty_min":0.00005,"status":"online"}]}}',
        1,
    )
    assert isinstance(pairs, Instruments)
    assert Decimal(bytes(pairs.data.pairs[0].price_increment).decode()) == Decimal("0.1")
    some = kraken.apply(b'{"channel":"instrument","type":"snapshot","data":{"pairs":[{"symbol":"X/Y","new":{}}]}}', 1)
    assert isinstance(some, Instruments)  # one that lacks something does not cost the others
    assert bytes(some.data.pairs[0].qty_min) == b""
    assert kraken.take_rejected() == []


def test_the_venues_examples(data_dir: Path, tape: Tape) -> None:
    live = Live(tape)
    first, second = live.hear((data_dir / FIXTURES / "ws_trade_update.json").read_bytes())
    assert first.levels == ((105_944_200_000_000, 27_625, ord("B"), 10_218_208),)
    assert second.levels == ((105_910_500_000_000, 12_460, ord("A"), 10_218_209),)
    assert (first.ts_event, second.ts_event) == (NS, NS + 683_161_000)
    live.hear((data_dir / FIXTURES / "ws_book_snapshot.json").read_bytes())
    assert live.kraken.book(0).levels(0)[0] == (105_944_200_000_000, Decimal("0.136"))


@pytest.mark.parametrize("seed", range(2))
def test_noise_breaks_nothing(seed: int) -> None:
    fuzz_kraken(SUITE_MESSAGES // 2, seed)
