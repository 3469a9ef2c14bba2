"""The native normaliser against the specification, a plain book written apart from it, a real capture, and noise."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import databento_dbn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.normalize.itch import decode
from feed.wire.records import UNDEF_PRICE
from tests.normalize.itch_messages import FORMATS, LENGTHS, PlainBooks, framed, message, split
from tests.normalize.itch_play import MIDNIGHT, Played

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sources.tape import Tape

AAPL = "runk-itch/test/locate-13-10k.bin"
ALL = ("quote", "trade", "status", "definition", "book", "order")
A1 = message("A", reference=1, side="B", shares=100, price=99_0000)
A2 = message("A", reference=2, side="S", shares=200, price=101_0000)


# --- layouts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_type_is_decoded_to_the_last_field(kind: str) -> None:
    assert len(FORMATS) == 23
    fields: dict[str, int | str] = {}
    for n, field in enumerate(FORMATS[kind].split()):
        name, form = field.split(":")
        size = {"I": 4, "Q": 8}.get(form) or int(form[:-1] or 1)
        fields[name] = "ABCDEFGH"[:size] if form.endswith("s") else (n + 1) << (8 * size - 8) | n
    raw = message(kind, 0x1234, 0xABCDEF012345, **fields)
    assert len(raw) == LENGTHS[kind]
    head = {"type": kind, "locate": 0x1234, "tracking": 0, "time": 0xABCDEF012345}
    assert decode(raw) == head | fields
    with pytest.raises(ValueError, match=f"has {LENGTHS[kind]} bytes, not {LENGTHS[kind] + 1}"):
        decode(raw + b"x")


def test_what_is_no_message_is_not_decoded() -> None:
    for raw in (b"", b"Z" * 12):
        with pytest.raises(ValueError, match="no type of message"):
            decode(raw)


# --- books ------------------------------------------------------------------------------------------------------------


def test_the_real_morning_is_that_of_the_plain_book_in_every_row(tape: Tape, data_dir: Path) -> None:
    """The plain book's rows were compared with itch-book 0.2.1 (2,792 rows) and meatpy 0.5.0 (1,089): equal in all."""
    raw = (data_dir / AAPL).read_bytes()
    plain = PlainBooks()
    for each in split(raw):
        plain.apply(each)
    played = Played(tape, raw, ALL)
    assert played.rejected == {}
    assert played.quotes() == plain.quotes
    assert len(plain.quotes) == 2_792
    assert played.trades() == plain.trades
    assert len(plain.trades) == 849 + 240
    assert {one.symbol for one in played.taken} == {"AAPL"}
    quotes = played.of("quote")
    times = [MIDNIGHT + int.from_bytes(each[5:11], "big") for each in split(raw)]
    assert [times[n - 1] for n in quotes["sequence"]] == quotes["ts_event"].tolist() == quotes["ts_recv"].tolist()
    for side in (0, 1):
        ours = played.itch.resting.levels(13, side)
        assert [(price // 100_000, size, n) for price, size, n in ours] == plain.ten(13, side)
    assert _rebuilt(played.of("order")) == {key: tuple(order) for key, order in plain.orders.items()}
    books = played.of("book")
    books = books[np.isin(books["sequence"], quotes["sequence"])]
    for name in ("bid_px", "ask_px", "bid_sz", "ask_sz", "bid_ct", "ask_ct"):
        assert books["levels"][name][:, 0].tolist() == quotes[name].tolist()


def _rebuilt(orders: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """The book that DBN's rules for order records make: A rests, C takes off, R clears, T F change nothing."""
    book: dict[int, list[int]] = {}
    for each in orders:
        key = int(each["order_id"])
        match each["action"]:
            case b"R":
                book.clear()
            case b"A":
                price = int(each["price"]) // 100_000
                book[key] = [int(each["instrument_id"]), int(each["side"] == b"A"), price, int(each["size"])]
            case b"C":
                book[key][3] -= int(each["size"])
                if not book[key][3]:
                    del book[key]
    return {key: (order[0], order[1], order[2], order[3]) for key, order in book.items()}


references = st.integers(1, 12)
shares = st.integers(1, 300)
prices = st.integers(1, 14)  # few, so that levels meet; more than ten, so that some lie below
locates = st.integers(1, 2)
adds = st.builds(
    lambda kind, locate, reference, side, n, price: message(
        kind, locate, reference=reference, side=side, shares=n, price=price
    ),
    st.sampled_from("AAF"),
    locates,
    references,
    st.sampled_from("BS"),
    shares,
    prices,
)
others = st.builds(
    lambda kind, locate, reference, new, n, price, printable: message(
        kind,
        locate,
        reference=reference,
        **(
            {"new_reference": new, "shares": n, "price": price}
            if kind == "U"
            else {"shares": n, "match": new, "price": price, "printable": printable}
        ),
    ),
    st.sampled_from("DXECU"),
    locates,
    references,
    references,
    shares,
    prices,
    st.sampled_from("YN"),
)


@given(st.lists(st.one_of(adds, adds, others), max_size=60), st.integers(1, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
def test_any_stream_makes_the_plain_book_with_its_doubts(tape: Tape, messages: list[bytes], piece: int) -> None:
    known = [message("R", 1), message("R", 2)]
    plain = PlainBooks()
    for each in known + messages:
        plain.apply(each)
    played = Played(tape, framed(*known, *messages), ALL, piece)
    assert played.rejected == dict(plain.rejected)
    assert played.quotes() == plain.quotes
    assert played.trades() == plain.trades
    assert {locate for locate in (1, 2) if played.itch.is_bad(locate)} == plain.bad
    assert played.itch.resting.orders == len(plain.orders)
    assert _rebuilt(played.of("order")) == {key: tuple(order) for key, order in plain.orders.items()}
    books = played.of("book")
    for locate in (1, 2):
        levels = books["levels"][books["instrument_id"] == locate][-1:]
        for side, name in enumerate(("bid", "ask")):
            expected = plain.ten(locate, side)
            whole = [(p * 100_000, n, ct) for p, n, ct in expected]
            assert played.itch.resting.levels(locate, side) == whole
            shown = [
                (int(level[f"{name}_px"]), int(level[f"{name}_sz"]), int(level[f"{name}_ct"]))
                for level in (levels[0] if len(levels) else ())
                if level[f"{name}_px"] != UNDEF_PRICE
            ]
            assert shown == whole[:10]


def test_a_table_of_many_orders_grows_and_loses_none(tape: Tape) -> None:
    rnd = random.Random(7)
    alive: list[int] = []
    messages = []
    for n in range(1, 70_001):
        if len(alive) > 50_000 or (alive and rnd.random() < 0.2):
            i = rnd.randrange(len(alive))
            alive[i], alive[-1] = alive[-1], alive[i]
            messages.append(message("D", reference=alive.pop()))
        reference = n * rnd.choice((1, 1 << 20, 0x9E3779B1)) % (1 << 63) + n
        alive.append(reference)
        messages.append(message("A", reference=reference, side="BS"[n & 1], shares=1, price=rnd.randint(1, 900)))
    played = Played(tape, framed(*messages, *(message("D", reference=each) for each in alive)), ("trade",))
    assert played.rejected == {}
    assert played.itch.resting.orders == 0
    assert played.itch.resting.levels(1, 0) == played.itch.resting.levels(1, 1) == []
    assert played.itch.memory_bytes > 24 << 16


# --- records ----------------------------------------------------------------------------------------------------------


def test_the_schemas_are_what_dbn_reads(tape: Tape) -> None:
    stock = message("R", 7, 5, stock="ZVZZT", category="Q", round_lot=100, issue_class="C", subtype="Z")
    played = Played(tape, framed(stock, stock, message("H", 7, 6, stock="ZVZZT", state="T", reason="T3")), ALL)
    kinds = [(one.schema, one.symbol) for one in played.taken]
    assert kinds == [(word, "ZVZZT") for word in ("order", "definition", "definition", "status")]
    decoder = databento_dbn.DBNDecoder(has_metadata=False, input_version=3)
    decoder.write(b"".join(one.record for one in played.taken))
    clear, definition, again, status = decoder.decode()
    assert isinstance(clear, databento_dbn.MBOMsg)
    assert clear.action == "R"
    assert isinstance(definition, databento_dbn.InstrumentDefMsg)
    assert (definition.raw_symbol, definition.exchange, definition.currency) == ("ZVZZT", "XNAS", "USD")
    assert (definition.instrument_class, definition.group, definition.security_type) == ("K", "Q", "C")
    assert definition.min_lot_size_round_lot == 100
    assert (definition.publisher_id, definition.instrument_id, definition.ts_event) == (2, 7, MIDNIGHT + 5)
    assert isinstance(again, databento_dbn.InstrumentDefMsg)
    assert (definition.security_update_action, again.security_update_action) == ("A", "M")
    assert isinstance(status, databento_dbn.StatusMsg)
    assert (status.action, status.reason) == (7, 32)


@pytest.mark.parametrize(
    ("raw", "symbol", "expected"),
    [
        (message("S", 0, code="Q"), "XNAS", (7, 1, "YY~")),
        (message("S", 0, code="C"), "XNAS", (15, 1, "NN~")),
        (message("H", state="H", reason="T1"), "S1", (8, 30, "NN~")),
        (message("H", state="P", reason="LUDP"), "S1", (9, 50, "NN~")),
        (message("H", state="Q", reason="T3"), "S1", (3, 32, "NY~")),
        (message("H", state="T", reason="MWC0"), "S1", (7, 123, "YY~")),
        (message("H", state="T"), "S1", (7, 0, "YY~")),
        (message("Y", action="1"), "S1", (14, 0, "~~Y")),
        (message("Y", action="0"), "S1", (14, 0, "~~N")),
        (message("J"), "S1", (6, 50, "~~~")),
        (message("h", market="Q", action="H"), "S1", (8, 60, "NN~")),
        (message("h", market="Q", action="T"), "S1", (7, 60, "YY~")),
        (message("V", 0), "XNAS", (0, 3, "~~~")),
        (message("W", 0, level="2"), "XNAS", (8, 121, "NN~")),
    ],
)
def test_statuses_have_the_codes_of_dbn(tape: Tape, raw: bytes, symbol: str, expected: tuple[int, int, str]) -> None:
    played = Played(tape, framed(raw), ALL)
    (status,) = played.of("status")
    flags = b"".join((status["is_trading"], status["is_quoting"], status["is_short_sell_restricted"])).decode()
    assert (status["action"], status["reason"], flags) == expected
    assert [one.symbol for one in played.taken if one.schema == "status"] == [symbol]
    assert played.rejected == {}


def test_what_has_no_schema_or_is_of_a_sister_market_says_nothing(tape: Tape) -> None:
    quiet = [message(kind) for kind in "LKINO"] + [message("h", market="B", action="H"), message("Q")]
    played = Played(tape, framed(*quiet), ALL)
    assert [one.schema for one in played.taken] == ["order"]  # the Clear of a stock that is new
    assert played.rejected == {}


def test_trades_say_who_was_the_aggressor_and_a_broken_one_which_it_was(tape: Tape) -> None:
    played = Played(
        tape,
        framed(
            A1,
            A2,
            message("E", 1, 3, reference=1, shares=10, match=70),
            message("C", 1, 4, reference=2, shares=20, match=71, printable="Y", price=100_5000),
            message("C", 1, 4, reference=2, shares=20, match=72, printable="N", price=100_5000),
            message("P", 1, 5, side="B", shares=30, price=100_0001, match=73),
            message("Q", 1, 6, shares=40, price=100_0002, match=74, cross="O"),
            message("B", 1, 7, match=71),
            message("B", 1, 8, match=71),
        ),
    )
    rows = [(t["action"], t["side"], int(t["price"]), int(t["size"]), int(t["sequence"])) for t in played.of("trade")]
    assert rows == [
        (b"T", b"A", 99_000_000_000, 10, 3),
        (b"T", b"B", 100_500_000_000, 20, 4),
        (b"T", b"N", 100_000_100_000, 30, 6),
        (b"T", b"N", 100_000_200_000, 40, 7),
        (b"C", b"B", 100_500_000_000, 20, 4),  # the void one, by its own number
    ]
    assert played.of("trade")["ts_event"][-1] == MIDNIGHT + 7
    assert played.rejected == {"unknown_match": 1}


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "why", "doubtful"),
    [
        (message("D", reference=9), "unknown_order", True),
        (message("U", reference=9, new_reference=10, shares=1, price=1), "unknown_order", True),
        (message("X", reference=1, shares=101), "negative_size", True),
        (message("E", reference=1, shares=101), "negative_size", True),
        (message("X", reference=1, shares=0), "impossible_size", True),
        (message("A", reference=3, side="B", shares=0, price=1), "impossible_size", True),
        (message("A", reference=3, side="B", shares=1, price=0), "impossible_price", True),
        (message("A", reference=3, side="B", shares=1, price=2_000_000_001), "impossible_price", True),
        (message("U", reference=1, new_reference=3, shares=1), "impossible_price", True),
        (message("A", reference=3, side="N", shares=1, price=1), "impossible_side", True),
        (A1, "repeated_order", True),
        (message("A", reference=3, side="B", shares=1, price=1, stock="S2"), "wrong_symbol", True),
        (message("A", 0, reference=3, side="B", shares=1, price=1), "wrong_locate", False),
        (b"Z" + A1[1:], "unknown_type", True),
        (A1[:-1], "wrong_length", True),
        (message("H", state="?"), "unknown_code", True),
        (message("N", time=86_400 * 10**9), "impossible_time", True),
        (message("P", shares=1, price=0), "impossible_price", True),
        (message("Q", shares=1 << 40, price=1), "impossible_size", True),
        (message("S", 0, code="?"), "unknown_code", False),
    ],
)
def test_what_cannot_be_is_counted_and_its_book_marked_at_once(
    tape: Tape, raw: bytes, why: str, doubtful: bool
) -> None:
    after = message("A", reference=5, side="B", shares=1, price=99_5000)
    bystander = message("A", 2, reference=50, side="B", shares=1, price=1)
    played = Played(tape, framed(A1, A2, raw, after, bystander))
    assert played.rejected == {why: 1}
    assert played.itch.is_bad(1) == doubtful
    quotes = played.of("quote")
    marks = [bool(q["flags"] & 4) for q in quotes if q["instrument_id"] == 1 and q["sequence"] >= 3]
    assert marks
    assert set(marks) == {doubtful}  # told at once, and with everything after it
    assert not quotes["flags"][-1] & 4
    assert not played.itch.is_bad(2)


def test_time_that_goes_back_is_counted_once_each_time(tape: Tape) -> None:
    messages = [message("N", time=t) for t in (5, 9, 8, 8, 9, 3)]
    played = Played(tape, framed(*messages))
    assert played.rejected == {"time_backwards": 2}
    assert played.itch.is_bad(1)


def test_an_order_that_another_locate_code_names_marks_both(tape: Tape) -> None:
    played = Played(tape, framed(A1, message("R", 2), message("D", 2, reference=1)))
    assert played.rejected == {"wrong_locate": 1}
    assert played.itch.is_bad(1)
    assert played.itch.is_bad(2)
    assert played.itch.resting.orders == 0  # the reference decides


def test_more_orders_than_may_rest_are_counted(tape: Tape) -> None:
    messages = [message("A", reference=n, side="B", shares=1, price=1) for n in range(1, 100_004)]
    played = Played(tape, framed(*messages), ("trade",))
    assert played.rejected == {"no_room": 3}
    assert played.itch.resting.orders == 100_000
    assert played.itch.is_bad(1)


def test_the_next_day_begins_clean(tape: Tape) -> None:
    played = Played(tape, framed(A1, message("D", reference=9)))
    assert played.itch.is_bad(1)
    played.itch.begin(MIDNIGHT + 86_400 * 10**9)
    assert not played.itch.is_bad(1)
    assert played.itch.resting.orders == 0


# --- frames and noise -------------------------------------------------------------------------------------------------


def test_where_a_length_is_damaged_the_next_messages_are_found_again(tape: Tape) -> None:
    many = [message("A", reference=n, side="B", shares=1, price=n) for n in range(1, 101)]
    raw = bytearray(framed(*many))
    raw[50 * 38 + 1] = 200  # the 51st says that it has 200 bytes
    played = Played(tape, bytes(raw))
    assert played.frames.take_losses() == 1
    assert len(played.quotes()) == 99 + 1  # and one that says of the book that it may be wrong
    assert played.itch.is_bad(1)
    assert played.quotes()[-1][2] == (100, 1, 1)


def test_types_of_a_later_specification_are_skipped_and_others_go_on(tape: Tape) -> None:
    later = [b"@" + bytes(59)] * 5
    played = Played(tape, framed(A1, *later, A2) + b"\0\0")  # Nasdaq ends a file with a length of 0
    assert played.rejected == {"unknown_type": 5}
    assert played.frames.take_losses() == 0
    assert played.frames.left == 0
    assert len(played.quotes()) == 2


def mutated(raw: bytes, rnd: random.Random) -> bytes:
    """Each message with one to three of its bytes wrong, its length among them now and then."""
    out = bytearray(raw)
    at = 0
    while at < len(raw):
        n = int.from_bytes(raw[at : at + 2], "big")
        first = 0 if rnd.random() < 0.002 else 2
        for _ in range(rnd.randint(1, 3)):
            out[at + rnd.randrange(first, 2 + n)] = rnd.randrange(256)
        at += 2 + n
    return bytes(out)


def test_a_hundred_thousand_mutated_messages_do_no_harm(tape: Tape, data_dir: Path) -> None:
    raw = (data_dir / AAPL).read_bytes()
    rnd = random.Random(1)
    dirty = b"".join(mutated(raw, rnd) for _ in range(10))
    played = Played(tape, dirty, ALL, 1 << 16)
    assert sum(played.rejected.values()) > 50_000
    assert played.frames.messages > 80_000
    assert played.frames.take_losses() > 10
    assert played.itch.memory_bytes < 64 << 20
    quotes = played.of("quote")
    marked = (quotes["flags"] & 4) != 0
    assert marked[len(marked) // 10 :].all()  # nothing wrong goes unmarked


@given(st.binary(max_size=2000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_bytes_come_to_an_end(tape: Tape, raw: bytes) -> None:
    Played(tape, raw, ALL, 100)


def kinds_of(played: Played) -> list[Any]:
    return [(one.schema, one.record) for one in played.taken]


def test_pieces_of_any_size_make_the_same_records(tape: Tape, data_dir: Path) -> None:
    raw = (data_dir / AAPL).read_bytes()[:40_000]
    whole = kinds_of(Played(tape, raw, ALL))
    for piece in (1, 37, 4096):
        assert kinds_of(Played(tape, raw, ALL, piece)) == whole
