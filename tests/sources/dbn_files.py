"""DBN files to order: a header by Databento's own library, and records."""

from __future__ import annotations

import datetime
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING

import databento_dbn
import zstandard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MONDAY = datetime.date(2024, 7, 1)
DAY_NS = 86_400 * 10**9
MONDAY_NS = (MONDAY - datetime.date(1970, 1, 1)).days * DAY_NS


def header(mappings: Mapping[str, tuple[int, int, int]] = {}, *, version: int = 3, ts_out: bool = False) -> bytes:
    """`mappings`: symbol to (instrument_id, first day, day after the last), days counted from MONDAY."""
    return databento_dbn.Metadata(
        dataset="GLBX.MDP3",
        start=MONDAY_NS,
        stype_in=databento_dbn.SType("raw_symbol"),
        stype_out=databento_dbn.SType("instrument_id"),
        schema=None,
        symbols=list(mappings),
        partial=[],
        not_found=[],
        mappings=[
            SimpleNamespace(
                raw_symbol=symbol,
                intervals=[
                    SimpleNamespace(
                        start_date=MONDAY + datetime.timedelta(days=first),
                        end_date=MONDAY + datetime.timedelta(days=end),
                        symbol=str(instrument_id),
                    )
                ],
            )
            for symbol, (instrument_id, first, end) in mappings.items()
        ],
        ts_out=ts_out,
        version=version,
    ).encode()


def trade(ts: int, number: int = 0, instrument_id: int = 118) -> bytes:
    """A TradeMsg whose ts_recv is `ts`; `number` is its sequence."""
    return struct.pack("<BBHIQqIccBBQiI", 12, 0, 0, instrument_id, ts, 0, 1, b"T", b"B", 0, 0, ts, 0, number)


def mapping(instrument_id: int, symbol_in: str, symbol_out: str) -> bytes:
    """A SymbolMappingMsg of version 2 and 3."""
    head = struct.pack("<BBHIQ", 44, 22, 0, instrument_id, 0)
    return (
        head
        + b"\x01"
        + symbol_in.encode().ljust(71, b"\0")
        + b"\x01"
        + symbol_out.encode().ljust(71, b"\0")
        + bytes(16)
    )


def numbers(records: list[bytes]) -> list[int]:
    return [struct.unpack_from("<I", record, 44)[0] for record in records]


def write(path: Path, data: bytes, frames: int = 0) -> str:
    """Write `data`, raw or as so many zstd frames. Returns the path as text."""
    if frames:
        step = -(-len(data) // frames)
        packer = zstandard.ZstdCompressor()
        data = b"".join(packer.compress(data[i * step : (i + 1) * step]) for i in range(frames))
    path.write_bytes(data)
    return str(path)
