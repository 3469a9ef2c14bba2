"""Records from fields by name: exact prices, sensible rest, errors that name the field."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import CallerError, SymbolError
from feed.wire.fields import encode, names, price_raw
from feed.wire.records import BY_WORD, UNDEF_PRICE, UNDEF_TIMESTAMP


def decoded(schema: str, **fields: object) -> np.void:
    return np.frombuffer(encode(schema, fields), BY_WORD[schema].dtype)[0]  # type: ignore[no-any-return]


@given(st.integers(-(2**63) + 1, 2**63 - 2))
def test_a_price_is_exact_as_text_decimal_and_raw(raw: int) -> None:
    exact = Decimal(raw).scaleb(-9)
    assert price_raw(exact) == price_raw(f"{exact:f}") == raw
    assert decoded("trade", price_raw=raw)["price"] == raw


@given(st.floats(-9e9, 9e9))
def test_a_float_is_rounded_to_the_nearest_unit(value: float) -> None:
    assert abs(Decimal(price_raw(value)) - Decimal(repr(value)) * 10**9) <= Decimal("0.5")


def test_prices_of_every_kind() -> None:
    assert [price_raw(each) for each in ("189.98", 190, 189.98, Decimal("1e-9"), "1e3")] == [
        189_980_000_000, 190_000_000_000, 189_980_000_000, 1, 1_000_000_000_000]  # fmt: skip
    assert price_raw(None) == price_raw(float("nan")) == UNDEF_PRICE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "1.0000000001",
        "1e-10",
        Decimal("NaN"),
        "inf",
        float("inf"),
        True,
        10**10,
        "1e999999999",
        "1e99999999999999999999",
        pytest.param(10**5000, id="long"),
        b"1",
        [],
        "0.10000000000000000000000000000000000000001",
    ],
)
def test_no_price(value: object) -> None:
    with pytest.raises(CallerError):
        price_raw(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("schema", BY_WORD)
def test_every_field_of_every_schema_is_where_it_belongs(schema: str) -> None:
    plain = decoded(schema)
    assert (plain["length"], plain["rtype"]) == (BY_WORD[schema].record_bytes // 4, BY_WORD[schema].rtypes[0])
    for name in names(schema):
        field = name.removesuffix("_raw")
        if name in {"bids", "asks"}:
            continue
        value: object = 7
        if BY_WORD[schema].dtype[field].kind == "S":
            value = "Q"
        elif field != name or f"{name}_raw" not in names(schema):
            value = 7
        made = decoded(schema, **{name: value})
        expected = b"Q" if value == "Q" else 7_000_000_000 if f"{name}_raw" in names(schema) else 7
        assert made[field] == expected
        others = [each for each in BY_WORD[schema].dtype.names or () if each not in {field, "levels"}]
        assert all(made[each] == plain[each] for each in others)


def test_what_is_not_given_is_undefined() -> None:
    quote = decoded("quote")
    assert (quote["bid_px"], quote["ts_event"], quote["ts_recv"]) == (UNDEF_PRICE, UNDEF_TIMESTAMP, UNDEF_TIMESTAMP)
    assert (quote["side"], quote["action"], decoded("trade")["action"]) == (b"N", b"A", b"T")


def test_a_book_has_levels() -> None:
    book = decoded("book", bids=[("9.5", 3)], asks=[("9.6", 1), (9.7, 2)])
    assert book["levels"]["bid_px"].tolist() == [9_500_000_000] + [UNDEF_PRICE] * 9
    assert book["levels"]["ask_px"].tolist()[:3] == [9_600_000_000, 9_700_000_000, UNDEF_PRICE]
    assert book["levels"]["ask_sz"].tolist()[:3] == [1, 2, 0]
    for wrong in ([(1, 2)] * 11, [1], [(1,)], "x", [(1, -1)]):
        with pytest.raises(CallerError):
            encode("book", {"bids": wrong})


@pytest.mark.parametrize(
    ("schema", "fields", "said"),
    [
        ("trade", {"prize": 1}, "a trade has no such field: expected publisher_id"),
        ("trade", {"size": -1}, "size of a trade"),
        ("trade", {"size": 2**32}, "from 0 to 4294967295"),
        ("trade", {"size": 1.5}, "whole number"),
        ("trade", {"side": "BB"}, "one ASCII character"),
        ("trade", {"price": "abc"}, "price of a trade"),
        ("definition", {"raw_symbol": "x" * 72}, "at most 71 ASCII characters"),
        ("trade", {"length": 1}, "no such field"),
    ],
)
def test_what_is_wrong_is_named(schema: str, fields: dict[str, object], said: str) -> None:
    with pytest.raises(CallerError, match=said):
        encode(schema, fields)


def test_no_schema() -> None:
    with pytest.raises(SymbolError, match="no such schema"):
        encode("trades", {})
