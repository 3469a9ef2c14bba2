"""Topics: what is one, and that a pattern and its ZeroMQ prefix select the same symbols."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import SymbolError
from feed.wire.records import BY_WORD
from feed.wire.topics import FIREHOSE, HEARTBEAT, Pattern, check_schema, check_symbol, parse_topic, topic

ALLOWED = "".join(c for c in map(chr, range(0x20, 0x7F)) if c not in "|*?")
symbols = st.text(ALLOWED, min_size=1, max_size=71)
words = st.sampled_from(list(BY_WORD))


def test_topic_ends_with_a_bar() -> None:
    assert topic("quote", "AAPL") == b"quote.AAPL|"
    assert topic("trade", "BRK.B") == b"trade.BRK.B|"
    assert topic("book", "AAPL  240119C00150000") == b"book.AAPL  240119C00150000|"
    assert HEARTBEAT == b"heartbeat|"
    assert FIREHOSE == b"*|"


@given(words, symbols)
def test_parse_gives_back_what_made_the_topic(word: str, symbol: str) -> None:
    assert parse_topic(topic(word, symbol)) == (word, symbol)


def test_parse_takes_a_schema_newer_than_this_code() -> None:
    assert parse_topic(b"depth5.AAPL|") == ("depth5", "AAPL")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"|",
        b"quote",
        b"quote.AAPL",
        b"quote.|",
        b".AAPL|",
        b"quote|AAPL|",
        b"Quote.AAPL|",
        b"5quote.AAPL|",
        b"quote.AA\nPL|",
        b"quote.AAPL|\n",
        b"quote.A*|",
        b"quote.A?|",
        b"quote.\xc3\xa4|",
        b"quote.A|B|",
        b"abcdefghijklm.A|",
        b"quote." + b"A" * 72 + b"|",
        HEARTBEAT,
        FIREHOSE,
    ],
)
def test_parse_refuses_what_is_no_topic(text: bytes) -> None:
    with pytest.raises(SymbolError):
        parse_topic(text)


@pytest.mark.parametrize("symbol", ["", "A|B", "*", "A*", "A?", "Ä", "A\n", "\x7f", "A" * 72])
def test_symbol_that_is_not_allowed(symbol: str) -> None:
    with pytest.raises(SymbolError):
        check_symbol(symbol)
    with pytest.raises(SymbolError):
        topic("quote", symbol)


def test_symbol_error_names_the_character() -> None:
    with pytest.raises(SymbolError, match=r"expected printable ASCII but \| \* \?, found '\|' in 'A\|B'"):
        check_symbol("A|B")
    with pytest.raises(SymbolError, match="expected at most 71 characters, found 72"):
        check_symbol("A" * 72)


def test_schema_error_names_all_of_them() -> None:
    with pytest.raises(SymbolError, match=r"expected trade, quote, .*definition, found 'trades'"):
        check_schema("trades")


@pytest.mark.parametrize("char", [c for c in string.printable if c not in ALLOWED])
def test_every_character_outside_the_allowed_is_refused(char: str) -> None:
    with pytest.raises(SymbolError):
        check_symbol(char)


def test_pattern_prefixes() -> None:
    assert Pattern("AAPL").prefix("quote") == b"quote.AAPL|"
    assert Pattern("ES*").prefix("quote") == b"quote.ES"
    assert Pattern("*").prefix("quote") == b"quote."
    assert not Pattern("AAPL").matches("AAPLW")
    assert Pattern("AAPL*").matches("AAPL")
    assert [Pattern(text).open for text in ("AAPL", "ES*", "*")] == [False, True, True]


@pytest.mark.parametrize("text", ["", "**", "E*S", "*S", "E?", "A|", "A" * 72, "A" * 72 + "*"])
def test_pattern_that_is_none(text: str) -> None:
    with pytest.raises(SymbolError):
        Pattern(text)


@given(words, st.one_of(symbols, symbols.map(lambda s: s + "*"), st.just("*")), symbols, st.booleans())
def test_pattern_matches_exactly_what_its_prefix_selects(word: str, text: str, symbol: str, extend: bool) -> None:
    pattern = Pattern(text)
    if extend:
        symbol = (text.rstrip("*") + symbol)[:71]
    assert pattern.matches(symbol) == topic(word, symbol).startswith(pattern.prefix(word))
