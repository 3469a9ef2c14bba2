"""Exact decimals and price-level books, against plain ones of Decimal and dict, and the example of Kraken's own."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.normalize import levels
from feed.normalize.levels import LevelBook
from tests.normalize.plain_levels import Plain

if TYPE_CHECKING:
    from collections.abc import Iterable

UNDEF = 2**63 - 1
DIGITS = st.text("0123456789", min_size=1, max_size=12)
NUMBERS = st.builds(
    lambda whole, part, power: whole + part + power,
    DIGITS,
    st.one_of(st.just(""), DIGITS.map(lambda part: "." + part)),
    st.one_of(st.just(""), st.integers(-12, 12).map(lambda power: f"e{power}"), st.just("E+03")),
)


# --- decimals ---------------------------------------------------------------------------------------------------------


@given(NUMBERS)
def test_a_price_is_exact_or_refused(text: str) -> None:
    units = Decimal(text).scaleb(9)
    if units != int(units):
        with pytest.raises(ValueError, match=r"too_fine|too_large"):
            levels.price(text)
    elif units >= UNDEF or len(text.lower().lstrip("0.").partition("e")[0].replace(".", "")) > 19:
        with pytest.raises(ValueError, match="too_large"):
            levels.price(text)
    else:
        assert levels.price(text) == units


@given(NUMBERS, st.integers(0, 18))
def test_a_size_is_to_the_nearest_unit_and_never_nothing(text: str, decimals: int) -> None:
    size = Decimal(text).scaleb(decimals)
    try:
        found = levels.size(text, decimals)
    except ValueError:
        assert len(text) > 19 or size >= 2**64 or abs(Decimal(text).as_tuple().exponent) > 24  # type: ignore[arg-type]
        return
    if size == 0:
        assert found == 0
    elif size >= 2**32 - 2:
        assert found == 2**32 - 2
    else:
        assert found == max(1, int(size + Decimal("0.5")))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not_a_number"),
        (".", "not_a_number"),
        ("-", "not_a_number"),
        ("e5", "not_a_number"),
        ("1e", "not_a_number"),
        ("1e1234", "not_a_number"),
        ("1.2.3", "not_a_number"),
        ("1 ", "not_a_number"),
        ("0x1", "not_a_number"),
        ("NaN", "not_a_number"),
        ("12345678901234567890x", "not_a_number"),
        ("-1", "negative"),
        ("-0.0", "negative"),
        ("9223372036.854775807", "too_large"),
        ("12345678901234567890", "too_large"),
        ("1e19", "too_large"),
        ("1e300", "too_large"),
        ("0.0000000001", "too_fine"),
        ("1e-300", "too_fine"),
    ],
)
def test_what_does_not_fit_is_refused_by_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}: "):
        levels.price(text)


def test_numbers_as_venues_write_them() -> None:
    assert levels.price("105944.20") == 105_944_200_000_000
    assert levels.price("9223372036.854775806") == UNDEF - 1
    assert levels.price("0.000022900") == 22_900
    assert levels.price("1.0000000000") == 10**9  # zeros beyond 1e-9 say nothing
    assert levels.price("1e-9") == 1
    assert levels.price("0e99") == 0
    assert levels.size("0.00027625", 8) == 27_625
    assert levels.size("0.00027625", 6) == 276
    assert levels.size("0.000000004", 8) == 1
    assert levels.size("42949672.94", 2) == levels.size("1e12", 0) == 2**32 - 2


# --- books ------------------------------------------------------------------------------------------------------------


PRICES = st.integers(1, 400).map(lambda cents: f"{cents / 100:.2f}")
SIZES = st.one_of(st.just("0.00000000"), st.integers(1, 10**13).map(lambda size: f"{Decimal(size).scaleb(-8):.8f}"))
CHANGES = st.lists(st.tuples(st.integers(0, 1), PRICES, SIZES, st.sampled_from([0, 0, 0, 0, 3, 10, 25])), max_size=300)


@given(CHANGES)
def test_the_book_equals_the_plain_one(changes: list[tuple[int, str, str, int]]) -> None:
    book, plain = LevelBook(), Plain()
    for side, price, size, depth in changes:
        before = plain.levels(side)
        found = book.put(side, price, size)
        plain.put(side, price, size)
        after = plain.levels(side)
        if before == after:
            assert found in {-1, -2}
        else:
            assert found == next(i for i in range(400) if before[i : i + 1] != after[i : i + 1])
        if depth:
            book.cut(depth)
            plain.cut(depth)
        _same(book, plain)


def _same(book: LevelBook, plain: Plain) -> None:
    for side in (0, 1):
        assert book.levels(side) == plain.levels(side)
    assert book.crc32 == plain.crc32()
    bids, asks = plain.prices(0), plain.prices(1)
    assert book.is_crossed == bool(bids and asks and bids[0] >= asks[0])


def test_what_is_cut_off_is_given_room_again() -> None:
    book, plain = LevelBook(), Plain()
    for i in range(20_000):
        for one in (book, plain):
            one.put(0, str(i), "1")
            one.cut(10)
    _same(book, plain)
    assert book.memory_bytes < 10_000


def test_a_side_has_as_many_levels_as_it_may() -> None:
    book = LevelBook(limit=100)
    assert [book.put(1, str(price), "1") for price in range(1, 102)] == [*range(100), -3]
    assert book.put(1, "50", "2") == 49
    assert book.put(0, "1", "1") == 0
    book.reset()
    assert book.levels(0) == book.levels(1) == []
    assert book.put(1, "101", "1") == 0


@pytest.mark.parametrize("bad", ["", "-1", "x"])
def test_what_is_no_number_never_gets_into_a_book(bad: str) -> None:
    book = LevelBook()
    for price, size in ((bad, "1"), ("1", bad)):
        with pytest.raises(ValueError, match=r"not_a_number|negative"):
            book.put(0, price, size)
    assert book.levels(0) == []


def test_the_checksum_of_the_venues_own_example() -> None:
    """Kraken's page "Spot Websockets (v1) - book checksum", whose example gives 974947235."""
    asks = (
        "0.05005 0.00000500,0.05010 0.00000500,0.05015 0.00000500,0.05020 0.00000500,0.05025 0.00000500,"
        "0.05030 0.00000500,0.05035 0.00000500,0.05040 0.00000500,0.05045 0.00000500,0.05050 0.00000500"
    )
    bids = (
        "0.05000 0.00000500,0.04995 0.00000500,0.04990 0.00000500,0.04980 0.00000500,0.04975 0.00000500,"
        "0.04970 0.00000500,0.04965 0.00000500,0.04960 0.00000500,0.04955 0.00000500,0.04950 0.00000500"
    )
    book = LevelBook()
    for side, text in enumerate((bids, asks)):
        for price, size in _pairs(text):
            book.put(side, price, size)
    assert book.crc32 == 974947235


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for each in text.split(","):
        price, size = each.split(" ")
        yield price, size
