"""feed.normalize.instruments: the table, files of instruments, and definition records there and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import databento_dbn
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.errors import SourceError, SymbolError
from feed.normalize.instruments import CLASSES, Instrument, Instruments, Venue, instrument_of, number_of, parse

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = Path(__file__).parents[2] / "config" / "venues.toml"
VENUES = """
[venue.KRAKEN]
class = "spot"
separator = "/"
names = { XBT = "BTC" }
[venue.BINANCE]
separator = ""
quoted = ["USDT", "BTC"]
[venue.XNAS]
suffix = false
currency = "USD"
class = "stock"
tick = "0.01"
lot = "1"
"""


def test_a_file_names_instruments_in_our_words() -> None:
    made = parse(
        VENUES
        + '[[instrument]]\nvenue = "KRAKEN"\nname = "XBT/USD"\ntick = "0.1"\nlot = "0.00001"\n'
        + '[[instrument]]\nvenue = "BINANCE"\nname = "ETHBTC"\nlow = "0.001"\nhigh = "2"\n'
        + '[[instrument]]\nvenue = "XNAS"\nname = "BRK.B"\nsymbol = "BRK/B"\nclass = "mix"\n',
        "here",
    )
    assert made == [
        Instrument(
            symbol="BTC-USD.KRAKEN", number=number_of("BTC-USD.KRAKEN"), venue="KRAKEN", name="XBT/USD", tick=10**8,
            lot="0.00001", currency="USD", kind="spot",
        ),
        Instrument(
            symbol="ETH-BTC.BINANCE", number=number_of("ETH-BTC.BINANCE"), venue="BINANCE", name="ETHBTC", low=10**6,
            high=2 * 10**9, currency="BTC",
        ),
        Instrument(
            symbol="BRK/B", number=number_of("BRK/B"), venue="XNAS", name="BRK.B", tick=10**7, lot="1", currency="USD",
            kind="mix",
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[venue", "toml|expected"),
        ("[venue.X]\nsufix = true\n", "sufix"),
        ('[venue.X]\nclass = "stocks"\n', "stock"),
        ('[[instrument]]\nvenue = "X"\nname = "A"\n', "no such venue"),
        ('[[instrument]]\nvenue = "XNAS"\nname = "A"\ntick = "0"\n', "tick"),
        ('[[instrument]]\nvenue = "XNAS"\nname = "A"\ntick = "1e-12"\n', "decimals"),
        ('[[instrument]]\nvenue = "XNAS"\nname = "A"\nlot = "a few"\n', "price|number"),
        ('[[instrument]]\nvenue = "XNAS"\nname = "A"\nlow = "1"\n', "limit"),
        ('[[instrument]]\nvenue = "XNAS"\nname = "A"\nlow = "1"\nhigh = "1"\n', "below"),
        ('[[instrument]]\nvenue = "XNAS"\nname = "A|B"\n', "character"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(text: str, why: str) -> None:
    with pytest.raises(SourceError, match=why) as caught:
        parse(text if text.startswith("[venue.X]") else VENUES + text, "here.toml")
    assert "here.toml" in str(caught.value)


def test_the_shipped_file_is_good() -> None:
    assert [each.symbol for each in parse(SHIPPED.read_text(), "venues.toml")] == ["AAPL", "MSFT"]


prices = st.integers(1, 2**62)


@st.composite
def instruments(draw: Callable[..., object]) -> Instrument:
    symbol = draw(st.from_regex(r"[A-Z0-9]{1,8}(-[A-Z]{3})?", fullmatch=True))
    low = draw(st.none() | st.integers(-(2**62), 2**62))
    return Instrument(
        symbol=str(symbol),
        number=number_of(str(symbol)),
        venue=str(draw(st.sampled_from(["XNAS", "XCME", ""]))),
        name=str(draw(st.from_regex(r"[A-Z]{1,20}", fullmatch=True))),
        tick=draw(st.just(0) | prices),  # type: ignore[arg-type]
        lot=str(draw(st.sampled_from(["", "1", "100", "0.00001"]))),
        currency=str(draw(st.sampled_from(["USD", ""]))),
        kind=str(draw(st.sampled_from([*CLASSES.values(), "perpetual", ""]))),
        low=low,  # type: ignore[arg-type]
        high=None if low is None else low + draw(prices),  # type: ignore[operator]
    )


@given(instruments())
def test_a_definition_says_all_of_it(instrument: Instrument) -> None:
    told = instrument_of(instrument.symbol, instrument.record(5, "M"))
    if instrument.kind == "future":  # one that never expires is a perpetual
        told = Instrument(**{**{f: getattr(told, f) for f in told.__struct_fields__}, "kind": "future"})
    assert told == instrument


def test_other_programs_read_our_definitions() -> None:
    made = parse(VENUES + '[[instrument]]\nvenue = "XNAS"\nname = "AAPL"\nlow = "1"\nhigh = "900"\n', "x")[0]
    decoder = databento_dbn.DBNDecoder(has_metadata=False, input_version=3)
    decoder.write(made.record(1_700_000_000_000_000_000))
    (record,) = decoder.decode()
    assert isinstance(record, databento_dbn.InstrumentDefMsg)
    assert (record.raw_symbol, record.exchange, record.currency) == ("AAPL", "XNAS", "USD")
    assert (record.min_price_increment, record.high_limit_price) == (10**7, 900 * 10**9)
    assert record.instrument_class == databento_dbn.InstrumentClass.STOCK
    assert record.instrument_id == number_of("AAPL")


def test_the_table_knows_news_from_what_it_has() -> None:
    table = Instruments()
    one = Instrument(symbol="B", number=7)
    assert table.add(one)
    assert not table.add(Instrument(symbol="B", number=7))
    assert table.add(Instrument(symbol="B", number=7, tick=1))
    assert table.add(Instrument(symbol="A", number=8))
    assert [each.symbol for each in table] == ["A", "B"]
    with pytest.raises(SymbolError, match="A and C"):
        table.add(Instrument(symbol="C", number=8))


@pytest.mark.parametrize(
    ("venue", "name", "symbol"),
    [
        (Venue(separator="-"), "BTC-USD", "BTC-USD.X"),
        (Venue(separator="", quoted=["USDT", "USD"]), "BTCUSDT", "BTC-USDT.X"),
        (Venue(separator="", quoted=["USDT"]), "USDT", "USDT.X"),
        (Venue(suffix=False), "AAPL", "AAPL"),
        (Venue(separator="/", names={"XDG": "DOGE", "ZUSD": "USD"}), "XDG/ZUSD", "DOGE-USD.X"),
    ],
)
def test_symbols_are_ours(venue: Venue, name: str, symbol: str) -> None:
    assert venue.symbol("X", name) == symbol
