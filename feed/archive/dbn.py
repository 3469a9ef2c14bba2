"""The header of an exported DBN file: what its records are and what their instruments are called. Pure.

DBN's readers know an instrument by its number and the UTC date of its record (ts_recv, else ts_event), and look up its
symbol in the header. A feed knows it by its topic, and several sources may use a number for different instruments.
Records pass unchanged, so where a number has two symbols on one date the header maps neither: a reader then shows a
number, never a wrong name. Symbols that are mapped on some of their dates only stand under ``partial``.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import databento_dbn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = ["DATASET", "SYMBOL_MAX", "Symbology", "header", "symbology"]

DATASET = "TICKCAST"
SYMBOL_MAX = databento_dbn.SYMBOL_CSTR_LEN - 1
"""Characters of a symbol that the header can hold."""

_EPOCH = datetime.date(1970, 1, 1)
_SCHEMAS = {
    0x00: "trades",
    0x01: "mbp-1",
    0x0A: "mbp-10",
    0x12: "status",
    0x13: "definition",
    0x14: "imbalance",
    0x18: "statistics",
    0x20: "ohlcv-1s",
    0x21: "ohlcv-1m",
    0x22: "ohlcv-1h",
    0x23: "ohlcv-1d",
    0xA0: "mbo",
    0xC3: "bbo-1s",
    0xC4: "bbo-1m",
}


@dataclass
class Symbology:
    """What instruments are called. `intervals`: (first day, day after the last, instrument id), in days since 1970."""

    intervals: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    ambiguous: dict[int, set[str]] = field(default_factory=dict)
    """Numbers that several symbols had on one date, and those symbols."""
    too_long: set[str] = field(default_factory=set)


def symbology(found: Iterable[tuple[str, int, int]]) -> Symbology:
    """From every (symbol, instrument id, day since 1970) there was. ``#N`` for number N is no name and not mapped."""
    made = Symbology()
    named: dict[tuple[int, int], set[str]] = {}
    for symbol, number, day in found:
        if len(symbol) > SYMBOL_MAX:
            made.too_long.add(symbol)
        elif symbol != f"#{number}":
            named.setdefault((number, day), set()).add(symbol)
    days: dict[tuple[str, int], list[int]] = {}
    for (number, day), symbols in named.items():
        if len(symbols) > 1:
            made.ambiguous.setdefault(number, set()).update(symbols)
            made.partial |= symbols
        else:
            days.setdefault((next(iter(symbols)), number), []).append(day)
    for (symbol, number), on in days.items():
        made.intervals.setdefault(symbol, []).extend((first, end, number) for first, end in _runs(on))
    for spans in made.intervals.values():
        spans.sort()
    return made


def header(names: Symbology, rtypes: Sequence[int], first_ns: int, last_ns: int, asked: Collection[str] = ()) -> bytes:
    """The metadata, DBN version 3. `first_ns` and `last_ns` are the times of the first and the last record.

    `asked`: symbols that were asked for by name; those without a record stand under ``not_found``.
    """
    symbols = sorted(names.intervals.keys() | names.partial)
    (schema,) = {_SCHEMAS[rtype] for rtype in rtypes} if len(rtypes) == 1 else {None}
    encoded: bytes = databento_dbn.Metadata(
        dataset=DATASET,
        start=first_ns,
        end=last_ns + 1,
        stype_in=databento_dbn.SType("raw_symbol"),
        stype_out=databento_dbn.SType("instrument_id"),
        schema=databento_dbn.Schema(schema) if schema else None,
        symbols=symbols,
        partial=sorted(names.partial),
        not_found=sorted(each for each in asked if each not in symbols and len(each) <= SYMBOL_MAX),
        mappings=_mappings(names.intervals),
        ts_out=False,
        version=3,
    ).encode()
    return encoded


def _mappings(intervals: Mapping[str, Sequence[tuple[int, int, int]]]) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[
                SimpleNamespace(start_date=_date(first), end_date=_date(end), symbol=str(number))
                for first, end, number in spans
            ],
        )
        for symbol, spans in sorted(intervals.items())
    ]


def _runs(days: Iterable[int]) -> list[tuple[int, int]]:
    """Days that follow each other, as [first, end)."""
    runs: list[tuple[int, int]] = []
    for day in sorted(days):
        if runs and runs[-1][1] == day:
            runs[-1] = (runs[-1][0], day + 1)
        else:
            runs.append((day, day + 1))
    return runs


def _date(day: int) -> datetime.date:
    return _EPOCH + datetime.timedelta(days=day)
