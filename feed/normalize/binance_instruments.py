"""Binance's instruments: their names there and here, and what exchangeInfo says of them."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from feed.errors import SourceError
from feed.normalize.binance import PUBLISHERS
from feed.wire.fields import encode
from feed.wire.records import PRICE_UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EXCHANGE", "BinanceInstrument", "instruments", "venue_name"]

EXCHANGE: Final = "BINANCE"
_SIZE_MAX = 18


class BinanceInstrument(NamedTuple):
    """`tick_raw`: the smallest step of its price, 1e-9; `size_decimals`: those of the smallest step of its size."""

    symbol: str
    venue_name: str
    base: str
    quote: str
    tick_raw: int
    size_decimals: int
    contract_raw: int
    """Of futures in coins what one contract is worth, in 1e-9 of the quoted currency; else 1e9."""
    ends_ns: int
    """When it is delivered, ns since 1970; 0: never."""

    def definition(self, market: str, number: int, size_decimals: int, received_ns: int) -> bytes:
        """The DBN record. unit_of_measure_qty is how much one unit of a record's size is, of unit_of_measure."""
        unit = Decimal(self.contract_raw).scaleb(-9 - size_decimals)
        fields: dict[str, Any] = {
            "publisher_id": PUBLISHERS[market],
            "instrument_id": number,
            "ts_event": received_ns,
            "ts_recv": received_ns,
            "raw_symbol": self.venue_name,
            "exchange": EXCHANGE[:4],
            "asset": self.base[:10],
            "currency": self.quote[:3],
            "settl_currency": (self.base if market == "coinm" else self.quote)[:3],
            "unit_of_measure": (self.quote if market == "coinm" else self.base)[:30],
            "unit_of_measure_qty_raw": max(1, int(unit * PRICE_UNITS)),
            "min_price_increment_raw": self.tick_raw,
            "display_factor": "1",
            "instrument_class": "X" if market == "spot" else "F",
            "security_update_action": "A",
        }
        if self.ends_ns:
            fields["expiration"] = self.ends_ns
        return encode("definition", fields)


def venue_name(symbol: str, market: str) -> str:
    """BTC-USDT is BTCUSDT; of futures BTC-USDT-PERP is BTCUSDT or, in coins, BTCUSD_PERP; BTC-USDT-260925 has its date
    after a _."""
    first, second, *rest = symbol.split("-")
    ends = rest[0] if rest else ""
    if not ends or (ends == "PERP" and market == "usdm"):
        return first + second
    return f"{first}{second}_{ends}"


def instruments(answer: bytes, symbols: Sequence[str], market: str) -> dict[str, BinanceInstrument]:
    """Those of `symbols` that exchangeInfo knows, and that have a price and a size.

    :raises SourceError: this is no exchangeInfo.
    """
    try:
        told = {each.symbol: each for each in msgspec.json.decode(answer, type=_Info).symbols}
    except msgspec.MsgspecError as error:
        raise SourceError(
            "not understood", expected="exchangeInfo", found=f"{error}: {bytes(answer[:100])!r}"
        ) from error
    found = {}
    for symbol in symbols:
        each = told.get(venue_name(symbol, market))
        if each is not None and (made := _instrument(symbol, each)) is not None:
            found[symbol] = made
    return found


class _Filter(msgspec.Struct):
    filterType: str  # noqa: N815 - the venue's names, here and below
    tickSize: Decimal | None = None  # noqa: N815
    stepSize: Decimal | None = None  # noqa: N815


class _Symbol(msgspec.Struct):
    symbol: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[_Filter]
    contractSize: Decimal = Decimal(1)  # noqa: N815
    deliveryDate: int = 0  # noqa: N815


class _Info(msgspec.Struct):
    symbols: list[_Symbol]


def _instrument(symbol: str, told: _Symbol) -> BinanceInstrument | None:
    filters = {each.filterType: each for each in told.filters}
    tick = filters["PRICE_FILTER"].tickSize if "PRICE_FILTER" in filters else None
    step = filters["LOT_SIZE"].stepSize if "LOT_SIZE" in filters else None
    exponent = None if step is None else step.normalize().as_tuple().exponent
    if not tick or not step or not isinstance(exponent, int):
        return None
    return BinanceInstrument(
        symbol=symbol,
        venue_name=told.symbol,
        base=told.baseAsset,
        quote=told.quoteAsset,
        tick_raw=int(tick * PRICE_UNITS),
        size_decimals=min(_SIZE_MAX, max(0, -exponent)),
        contract_raw=int(told.contractSize * PRICE_UNITS),
        ends_ns=told.deliveryDate * 1_000_000 if told.deliveryDate < _NEVER_MS else 0,
    )


_NEVER_MS = int(datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC).timestamp()) * 1000
"""Perpetual futures are delivered on a day in December 2100."""
