"""What instruments are called and how they trade: one table, by our symbol; and `definition` records from and to it.

A symbol is ours: AAPL, or, where the same instrument trades at several venues, with the venue behind the last dot,
BTC-USD.COINBASE. An instrument's number is made from its symbol (CRC-32), so that it is the same at every start and in
every process. Prices are int64 in 1e-9.

Files of instruments are TOML (config/venues.toml explains every key): ``[venue.NAME]`` says how a venue writes its
symbols and what holds for all its instruments, ``[[instrument]]`` names one.
"""

from __future__ import annotations

import tomllib
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

import msgspec
import numpy as np

from feed.errors import CallerError, SourceError, SymbolError
from feed.wire.fields import encode, price_raw
from feed.wire.records import BY_WORD, UNDEF_PRICE
from feed.wire.topics import check_symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CLASSES", "Instrument", "InstrumentClass", "Instruments", "Venue", "instrument_of", "number_of", "parse"]

InstrumentClass = Literal[
    "stock", "spot", "future", "perpetual", "call", "put", "bond", "spread", "option spread", "mix"
]
CLASSES: Final[dict[str, str]] = {
    "K": "stock",
    "X": "spot",
    "F": "future",
    "C": "call",
    "P": "put",
    "B": "bond",
    "S": "spread",
    "T": "option spread",
    "M": "mix",
}
"""DBN's letters. A perpetual future is an F that never expires, in our words."""

_LETTERS: Final = {word: letter for letter, word in CLASSES.items()} | {"perpetual": "F"}
_DEFINITION: Final = BY_WORD["definition"].dtype
_NEVER: Final = 2**64 - 1
_LOT_MAX: Final = 2**31 - 1


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument. `name` is the venue's symbol; `tick`, `low`, `high` in 1e-9 (0, None: not known); `lot`: the
    smallest step of a size, as the venue counts sizes, "" not known; `kind`: one of `InstrumentClass`, "" not known."""

    symbol: str
    number: int
    venue: str = ""
    name: str = ""
    tick: int = 0
    lot: str = ""
    currency: str = ""
    kind: str = ""
    low: int | None = None
    high: int | None = None

    def record(self, ts_ns: int, action: str = "A") -> bytes:
        """Its `definition` record; `action` A added, M modified, D deleted."""
        fields = {
            "instrument_id": self.number,
            "raw_instrument_id": self.number,
            "ts_event": ts_ns,
            "ts_recv": ts_ns,
            "raw_symbol": self.name[:70],
            "exchange": self.venue[:4],
            "currency": self.currency[:3],
            "settl_currency": self.currency[:3],
            "instrument_class": _LETTERS.get(self.kind, ""),
            "security_update_action": action,
            "display_factor": "1",
        }
        if self.tick:
            fields["min_price_increment_raw"] = self.tick
        if self.low is not None and self.high is not None:
            fields |= {"low_limit_price_raw": self.low, "high_limit_price_raw": self.high}
        if self.lot:
            lot = Decimal(self.lot)
            if lot == int(lot) and lot <= _LOT_MAX:
                fields["min_lot_size"] = int(lot)
            fields["unit_of_measure_qty_raw"] = price_raw(lot)
        return encode("definition", fields)


class Venue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[venue.NAME]. ``suffix``: do its symbols end in .NAME? ``separator`` stands between what is traded and what it is
    paid in, "" nothing does; then ``quoted`` are the endings that are tried, in this order. ``names``: its words to
    ours."""

    suffix: bool = True
    separator: str | None = None
    quoted: list[str] = []
    names: dict[str, str] = {}
    currency: str = ""
    kind: Annotated[InstrumentClass | Literal[""], "a class"] = msgspec.field(default="", name="class")
    tick: str = ""
    lot: str = ""

    def symbol(self, venue: str, name: str) -> str:
        """Our symbol of what `venue` calls `name`: XBT/USD is BTC-USD.KRAKEN."""
        base, currency = self.parts(name)
        ours = f"{base}-{currency}" if currency else base
        return f"{ours}.{venue}" if self.suffix else ours

    def parts(self, name: str) -> tuple[str, str]:
        """What is traded and what it is paid in, in our words; the second "" where the name does not say."""
        base, currency = name, ""
        if self.separator:
            base, _, currency = name.partition(self.separator)
        elif self.separator == "":
            for each in self.quoted:
                if name.endswith(each) and len(name) > len(each):
                    base, currency = name[: -len(each)], each
                    break
        return self.names.get(base, base), self.names.get(currency, currency)


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[instrument]]: `name` is the venue's; all else as its venue says, unless given."""

    venue: str
    name: str
    symbol: str = ""
    tick: str = ""
    lot: str = ""
    low: str = ""
    high: str = ""
    currency: str = ""
    kind: Annotated[InstrumentClass | Literal[""], "a class"] = msgspec.field(default="", name="class")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    venue: dict[str, Venue] = {}
    instrument: list[_Line] = []


class Instruments:
    """The table: instruments by symbol."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, Instrument] = {}
        self._by_number: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(sorted(self._by_symbol.values(), key=lambda each: each.symbol))

    def get(self, symbol: str) -> Instrument | None:
        return self._by_symbol.get(symbol)

    def add(self, instrument: Instrument) -> bool:
        """Put one in, in place of what there was of its symbol; False: that says the same already.

        :raises SymbolError: another symbol has its number.
        """
        if self._by_symbol.get(instrument.symbol) == instrument:
            return False
        holder = self._by_number.setdefault(instrument.number, instrument.symbol)
        if holder != instrument.symbol:
            raise SymbolError("two symbols make one number", found=f"{holder} and {instrument.symbol}")
        self._by_symbol[instrument.symbol] = instrument
        return True


def number_of(symbol: str) -> int:
    """The number of an instrument: 1 to 2^32 - 1."""
    return zlib.crc32(symbol.encode()) or 1


def instrument_of(symbol: str, record: bytes) -> Instrument:
    """What a `definition` record of a topic says; what it leaves undefined is not known."""
    row = np.frombuffer(record, _DEFINITION, 1)[0]

    def text(field: str) -> str:
        return bytes(row[field]).decode("latin-1")

    exchange, ending = text("exchange"), symbol.rpartition(".")[2]
    letter = text("instrument_class")
    kind = CLASSES.get(letter, "")
    if kind == "future" and int(row["expiration"]) in (0, _NEVER):
        kind = "perpetual"
    tick, low, high = (int(row[name]) for name in ("min_price_increment", "low_limit_price", "high_limit_price"))
    measure = int(row["unit_of_measure_qty"])
    lot = int(row["min_lot_size_round_lot"]) or int(row["min_lot_size"])
    limited = UNDEF_PRICE not in (low, high) and low < high
    return Instrument(
        symbol=symbol,
        number=number_of(symbol),
        venue=ending if "." in symbol and exchange and ending.startswith(exchange) else exchange,
        name=text("raw_symbol") or symbol,
        tick=tick if 0 < tick < UNDEF_PRICE else 0,
        lot=str(lot) if 0 < lot < _LOT_MAX else _decimal(measure) if 0 < measure < UNDEF_PRICE else "",
        currency=text("currency"),
        kind=kind,
        low=low if limited else None,
        high=high if limited else None,
    )


def parse(text: str, where: str) -> list[Instrument]:
    """The instruments of a TOML file. Raises SourceError naming the place in file `where`."""
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SourceError("no file of instruments", found=str(error), where=where) from None
    made = []
    for i, line in enumerate(file.instrument):
        try:
            made.append(_instrument(line, file.venue))
        except CallerError as error:
            raise SourceError(
                "not an instrument", found=str(error), where=f"{where}, instrument {i + 1} ({line.name})"
            ) from None
    return made


def _instrument(line: _Line, venues: dict[str, Venue]) -> Instrument:
    venue = venues.get(line.venue)
    if venue is None:
        expected = ", ".join(venues) or "a table [venue.NAME] in this file"
        raise CallerError("there is no such venue", expected=expected, found=line.venue)
    symbol = check_symbol(line.symbol or venue.symbol(line.venue, line.name))
    tick, lot = line.tick or venue.tick, line.lot or venue.lot
    if bool(line.low) != bool(line.high):
        raise CallerError("one limit only", expected="low and high, or neither")
    low, high = (price_raw(line.low), price_raw(line.high)) if line.low else (None, None)
    if low is not None and high is not None and low >= high:
        raise CallerError("low is not below high", found=f"{line.low} and {line.high}")
    if tick and price_raw(tick) <= 0:
        raise CallerError("not a tick", expected="above 0", found=tick)
    if lot and price_raw(lot) <= 0:
        raise CallerError("not a lot", expected="above 0", found=lot)
    return Instrument(
        symbol=symbol,
        number=number_of(symbol),
        venue=line.venue,
        name=line.name,
        tick=price_raw(tick) if tick else 0,
        lot=_decimal(price_raw(lot)) if lot else "",
        currency=line.currency or venue.parts(line.name)[1] or venue.currency,
        kind=line.kind or venue.kind,
        low=low,
        high=high,
    )


def _decimal(raw: int) -> str:
    """In 1e-9, as a number without zeros at its end."""
    text = f"{Decimal(raw).scaleb(-9):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


assert set(_LETTERS) == set(get_args(InstrumentClass))
