"""[source.NAME] of the crypto venues: what to listen to, and how to reach it. Nothing here is secret: public data needs
no key, and keys stand in the environment only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec

from feed.config.sources import LiveTable, SourceTable, apart
from feed.config.values import Duration, duration_ns
from feed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feed.config.feed import FeedConfig
    from feed.config.sources import Where

__all__ = ["BinanceConfig", "CoinbaseConfig", "CryptoTable", "KrakenConfig", "VenueSchema"]

VenueSchema = Literal["quote", "trade", "book", "definition"]
Instrument = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Z0-9]{1,20}(-[A-Z0-9]{1,20}){1,2}\Z"), "an instrument such as BTC-USDT"
]


class CryptoTable(LiveTable, frozen=True, kw_only=True):
    """Base of the crypto venues' tables.

    ``symbols``: instruments by our names, without the venue (BTC-USDT). ``websocket`` and ``rest``: base addresses, ""
    for the venue's own. ``size_decimals``: a record's sizes count units of 10^-size_decimals; -1: as the venue's lots.
    """

    VENUE: ClassVar[str]
    """The end of its symbols: BTC-USDT.BINANCE."""

    symbols: Annotated[list[Instrument], 'instruments such as ["BTC-USDT"]']
    schemas: list[VenueSchema] = msgspec.field(default_factory=list)
    websocket: str = ""
    rest: str = ""
    per_connection: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    stale_after: Duration = "10s"
    reconnect: Duration = "500ms"
    size_decimals: Annotated[int, msgspec.Meta(ge=-1, le=18)] = -1

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        yield from super().faults(table, config, where)
        if not self.symbols:
            yield ConfigError(
                "names no instrument", expected="at least one", found="[]", where=where(f"{table}.symbols")
            )
        if twice := sorted({symbol for symbol in self.symbols if self.symbols.count(symbol) > 1}):
            yield ConfigError("an instrument twice", found=", ".join(twice), where=where(f"{table}.symbols"))
        for key, text, schemes in (
            ("websocket", self.websocket, ("ws", "wss")),
            ("rest", self.rest, ("http", "https")),
        ):
            if text and (urlsplit(text).scheme not in schemes or not urlsplit(text).hostname):
                yield ConfigError(
                    "not an address",
                    expected=f"{schemes[1]}://HOST[:PORT]",
                    found=repr(text),
                    where=where(f"{table}.{key}"),
                )
        for key, text, least in (("stale_after", self.stale_after, "100ms"), ("reconnect", self.reconnect, "1ms")):
            if not duration_ns(least) <= duration_ns(text) <= duration_ns("1h"):
                yield ConfigError(
                    "too short or too long", expected=f"{least} to 1h", found=text, where=where(f"{table}.{key}")
                )

    def shared_with(self, other: SourceTable) -> str | None:
        if type(other) is not type(self) or apart(self.schemas, other.schemas):
            return None
        both = sorted(set(self.symbols) & set(other.symbols))
        return f"{both[0]}.{self.VENUE}" if both else None

    @property
    def wanted(self) -> frozenset[str]:
        """Schemas that are to come."""
        return frozenset(self.schemas) or frozenset(("quote", "trade", "book", "definition"))

    @property
    def stale_ns(self) -> int:
        return duration_ns(self.stale_after)

    @property
    def reconnect_ns(self) -> int:
        return duration_ns(self.reconnect)

    @property
    def websocket_url(self) -> str:
        """Where its websockets are, without a slash at the end."""
        return (self.websocket or self._addresses()[0]).rstrip("/")

    @property
    def rest_url(self) -> str:
        """Where it answers questions, without a slash at the end."""
        return (self.rest or self._addresses()[1]).rstrip("/")

    def _addresses(self) -> tuple[str, str]:
        """The venue's own: websocket and REST."""
        raise NotImplementedError


class BinanceConfig(CryptoTable, frozen=True, kw_only=True, tag="binance"):
    """[source.NAME] kind = "binance". ``market``: spot (BTC-USDT), futures in USD-M (BTC-USDT-PERP) or in coins, coinm
    (BTC-USD-PERP, BTC-USD-240927)."""

    VENUE: ClassVar[str] = "BINANCE"

    market: Literal["spot", "usdm", "coinm"] = "spot"

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        yield from super().faults(table, config, where)
        parts = 2 if self.market == "spot" else 3
        for symbol in self.symbols:
            if symbol.count("-") != parts - 1:
                yield ConfigError(
                    f"not an instrument of {self.market}",
                    expected="BTC-USDT" if parts == 2 else "BTC-USDT-PERP, BTC-USDT-260925",
                    found=symbol,
                    where=where(f"{table}.symbols"),
                )

    def _addresses(self) -> tuple[str, str]:
        return {
            "spot": ("wss://stream.binance.com:9443", "https://api.binance.com"),
            "usdm": ("wss://fstream.binance.com", "https://fapi.binance.com"),
            "coinm": ("wss://dstream.binance.com", "https://dapi.binance.com"),
        }[self.market]


class _SpotTable(CryptoTable, frozen=True, kw_only=True):
    """Base of venues that have spot markets only."""

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        yield from super().faults(table, config, where)
        for symbol in self.symbols:
            if symbol.count("-") != 1:
                yield ConfigError(
                    "not an instrument of a spot market",
                    expected="BTC-USD",
                    found=symbol,
                    where=where(f"{table}.symbols"),
                )


class KrakenConfig(_SpotTable, frozen=True, kw_only=True, tag="kraken"):
    """[source.NAME] kind = "kraken": spot markets. ``depth``: levels of a side that are asked for, ten in records."""

    VENUE: ClassVar[str] = "KRAKEN"

    depth: Literal[10, 25, 100, 500, 1000] = 10

    def _addresses(self) -> tuple[str, str]:
        return "wss://ws.kraken.com", "https://api.kraken.com"


class CoinbaseConfig(_SpotTable, frozen=True, kw_only=True, tag="coinbase"):
    """[source.NAME] kind = "coinbase": spot markets of Advanced Trade."""

    VENUE: ClassVar[str] = "COINBASE"

    def _addresses(self) -> tuple[str, str]:
        return "wss://advanced-trade-ws.coinbase.com", "https://api.coinbase.com"
