"""[source.NAME] of Nasdaq TotalView-ITCH 5.0: from files and captures of the network, live over MoldUDP64 and over
SoupBinTCP. User and password stand in the environment only: ``TICKCAST_NAME_USER``, ``TICKCAST_NAME_PASSWORD``."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from feed.config.sources import LiveTable, PacedTable, SourceTable, apart, same_file
from feed.config.values import Duration, duration_ns
from feed.errors import ConfigError
from feed.ports import parse_endpoint
from feed.trading_day import date_of_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from feed.config.feed import FeedConfig
    from feed.config.sources import Where

__all__ = ["ItchConfig", "ItchMoldConfig", "ItchSchema", "ItchSoupConfig"]

ItchSchema = Literal["quote", "trade", "status", "definition", "book", "order"]
Market = Literal["XNAS", "XBOS", "XPSX"]
Day = Annotated[str, msgspec.Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?\Z"), '"" or a date such as "2020-01-30"']
Group = Annotated[str, msgspec.Meta(pattern=r"^[0-9.]+:\d{1,5}\Z"), 'a group such as "233.54.12.111:26477"']


class ItchConfig(PacedTable, frozen=True, kw_only=True, tag="itch"):
    """[source.NAME] kind = "itch": files of messages, or of the packets (pcap, pcapng) of ``groups``, [] is all. Empty
    ``schemas``: all but book and order."""

    files: Annotated[list[str], "a list of ITCH files"]
    schemas: list[ItchSchema] = msgspec.field(default_factory=list)
    symbols: list[str] = msgspec.field(default_factory=list)
    date: Day = ""
    market: Market = "XNAS"
    groups: list[Group] = msgspec.field(default_factory=list)

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        key = where(f"{table}.files")
        if not self.files:
            yield ConfigError("names no file", expected="at least one ITCH file", found="[]", where=key)
        for file in self.files:
            if not Path(file).is_file():
                yield ConfigError("no such file", expected="an ITCH file", found=repr(file), where=key)
            elif date_of_name(Path(file).name) is None and not self.date:
                yield ConfigError(
                    "nothing says of which day the file is",
                    expected="a name such as 01302020.NASDAQ_ITCH50, or a date",
                    found=repr(file),
                    where=where(f"{table}.date"),
                )
        yield from _date_faults(self.date, where(f"{table}.date"))
        yield from _group_faults(self.groups, where(f"{table}.groups"))

    def shared_with(self, other: SourceTable) -> str | None:
        if not isinstance(other, ItchConfig):
            return None
        if apart(self.schemas, other.schemas) or apart(self.symbols, other.symbols):
            return None
        return same_file(self.files, other.files)


class _LiveItch(LiveTable, frozen=True, kw_only=True):
    """Base of the live ones. ``date`` "" is the day in New York on which a session begins."""

    schemas: list[ItchSchema] = msgspec.field(default_factory=list)
    symbols: list[str] = msgspec.field(default_factory=list)
    date: Day = ""
    market: Market = "XNAS"

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        yield from super().faults(table, config, where)
        yield from _date_faults(self.date, where(f"{table}.date"))

    def shared_with(self, other: SourceTable) -> str | None:
        if not isinstance(other, _LiveItch) or self.market != other.market:
            return None
        if apart(self.schemas, other.schemas) or apart(self.symbols, other.symbols):
            return None
        return f"the stocks of {self.market}"


class ItchSoupConfig(_LiveItch, frozen=True, kw_only=True, tag="itch-soup"):
    """[source.NAME] kind = "itch-soup": live over SoupBinTCP. ``address`` is HOST:PORT; ``session`` "" the one that
    runs; ``glimpse``, HOST:PORT, gives a snapshot at start, "" all messages of the session."""

    address: Annotated[str, 'the address "HOST:PORT" of a SoupBinTCP server']
    session: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{0,10}\Z"), "at most 10 letters and digits"] = ""
    glimpse: str = ""
    reconnect: Duration = "100ms"

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        yield from super().faults(table, config, where)
        for key, text in (("address", self.address), *((("glimpse", self.glimpse),) if self.glimpse else ())):
            yield from _address_faults(text, where(f"{table}.{key}"))
        yield from _reconnect_faults(self.reconnect, where(f"{table}.reconnect"))


class ItchMoldConfig(_LiveItch, frozen=True, kw_only=True, tag="itch-mold"):
    """[source.NAME] kind = "itch-mold": live over MoldUDP64. ``groups``: one or two lines of the same messages;
    ``interface``: name or address, "" the kernel's choice; ``request``: HOST:PORT of who gives messages again, ""
    nobody; ``glimpse`` as in "itch-soup". What is missing for ``give_up`` is lost."""

    groups: Annotated[list[Group], 'one or two groups such as ["233.54.12.111:26477"]']
    interface: str = ""
    request: str = ""
    glimpse: str = ""
    give_up: Duration = "1s"
    reconnect: Duration = "100ms"

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        yield from super().faults(table, config, where)
        key = where(f"{table}.groups")
        if not 1 <= len(self.groups) <= 2:
            yield ConfigError(
                "names too few or too many", expected="one or two groups", found=len(self.groups), where=key
            )
        yield from _group_faults(self.groups, key)
        for name, text in (("request", self.request), ("glimpse", self.glimpse)):
            if text:
                yield from _address_faults(text, where(f"{table}.{name}"))
        if not duration_ns("1ms") <= duration_ns(self.give_up) <= duration_ns("1min"):
            yield ConfigError(
                "too short or too long", expected="1ms to 1min", found=self.give_up, where=where(f"{table}.give_up")
            )
        yield from _reconnect_faults(self.reconnect, where(f"{table}.reconnect"))


def _reconnect_faults(text: str, where: str) -> Iterator[ConfigError]:
    if not duration_ns("1ms") <= duration_ns(text) <= duration_ns("30s"):
        yield ConfigError("too short or too long", expected="1ms to 30s", found=text, where=where)


def _date_faults(text: str, where: str) -> Iterator[ConfigError]:
    if text:
        try:
            datetime.date.fromisoformat(text)
        except ValueError:
            yield ConfigError("not a date", expected="such as 2020-01-30", found=repr(text), where=where)


def _address_faults(text: str, where: str) -> Iterator[ConfigError]:
    try:
        endpoint = parse_endpoint(text, where=where, bare=True)
    except ConfigError as error:
        yield error
    else:
        if endpoint.port == 0 or endpoint.host == "*":
            yield ConfigError("nobody can be reached there", expected='"HOST:PORT"', found=repr(text), where=where)


def _group_faults(groups: Sequence[str], where: str) -> Iterator[ConfigError]:
    if len(set(groups)) != len(groups):
        yield ConfigError("names a group twice", found=", ".join(groups), where=where)
    for group in groups:
        host, _, port = group.rpartition(":")
        try:
            sound = ipaddress.IPv4Address(host).is_multicast and 0 < int(port) <= 65535
        except ValueError:
            sound = False
        if not sound:
            yield ConfigError(
                "not a multicast group", expected="224.0.0.0 to 239.255.255.255, and a port", found=group, where=where
            )
