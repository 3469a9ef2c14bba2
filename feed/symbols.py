"""What `feed symbols` lists: every instrument that a configuration's files name or that its running feed has."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table

from feed.config import SymbologyConfig
from feed.control.definitions import last_definitions
from feed.errors import LogMissing
from feed.log.topics import TopicTable
from feed.normalize.instruments import Instrument, instrument_of, number_of
from feed.sources.symbology import read_instruments
from feed.wire.topics import Pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feed.config import FeedConfig

__all__ = ["Row", "listing", "render"]


class Row(msgspec.Struct, frozen=True):
    """One instrument, as people and programs read it. `tick`, `low`, `high`: numbers as texts, "" not known; `schemas`:
    what the running feed has of it."""

    symbol: str
    id: int
    venue: str
    name: str
    kind: str
    currency: str
    tick: str
    lot: str
    low: str
    high: str
    schemas: list[str]


def listing(config: FeedConfig, patterns: Sequence[str] = ("*",)) -> list[Row]:
    """Instruments that one of `patterns` selects, by symbol. What the feed has heard of one beats what files say.

    :raises SymbolError: a pattern is none.
    :raises SourceError: a file can't be read.
    """
    wanted = [Pattern(text) for text in patterns]
    files = [Path(f) for each in config.source.values() if isinstance(each, SymbologyConfig) for f in each.files]
    known = {each.symbol: each for each in read_instruments(files)}
    schemas: dict[str, list[str]] = {}
    try:
        table = TopicTable(config.directory)
        for topic in table.names(0, len(table.seqs())):
            schema, _, symbol = topic.partition(".")
            schemas.setdefault(symbol, []).append(schema)
        for symbol, record in last_definitions(config.directory).items():
            known[symbol] = instrument_of(symbol, record)
    except LogMissing:
        pass
    for symbol in schemas:
        known.setdefault(symbol, Instrument(symbol=symbol, number=number_of(symbol)))
    return [
        _row(known[symbol], sorted(schemas.get(symbol, ())))
        for symbol in sorted(known)
        if any(pattern.matches(symbol) for pattern in wanted)
    ]


def render(rows: Sequence[Row]) -> Table:
    """For a terminal."""
    table = Table(title=f"{len(rows):,} instruments", title_justify="left", box=None, pad_edge=False)
    for name, justify in (("symbol", "left"), ("id", "right"), ("venue", "left"), ("its name", "left"),
                          ("class", "left"), ("currency", "left"), ("tick", "right"), ("lot", "right"),
                          ("limits", "right"), ("here", "left")):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=name in ("symbol", "id"))  # type: ignore[arg-type]
    for row in rows:
        limits = f"{row.low} to {row.high}" if row.low else ""
        cells = (row.venue, row.name, row.kind, row.currency, row.tick, row.lot, limits)
        table.add_row(row.symbol, str(row.id), *cells, " ".join(row.schemas))
    return table


def _row(instrument: Instrument, schemas: list[str]) -> Row:
    return Row(
        symbol=instrument.symbol,
        id=instrument.number,
        venue=instrument.venue,
        name=instrument.name,
        kind=instrument.kind,
        currency=instrument.currency,
        tick=_price(instrument.tick or None),
        lot=instrument.lot,
        low=_price(instrument.low),
        high=_price(instrument.high),
        schemas=schemas,
    )


def _price(raw: int | None) -> str:
    return "" if raw is None else f"{Decimal(raw).scaleb(-9).normalize():f}"
