"""Records: offsets as specified, and every capture decoded by databento-dbn and by us, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard

from feed.wire.records import (
    BY_ID,
    BY_WORD,
    PRICE_UNITS,
    SCHEMAS,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    schema_of_rtype,
)

if TYPE_CHECKING:
    from pathlib import Path

ORACLES: dict[str, Any] = {
    "trade": dbn.TradeMsg,
    "quote": dbn.MBP1Msg,
    "bbo": dbn.BBOMsg,
    "book": dbn.MBP10Msg,
    "order": dbn.MBOMsg,
    "bar1s": dbn.OHLCVMsg,
    "bar1m": dbn.OHLCVMsg,
    "bar1h": dbn.OHLCVMsg,
    "bar1d": dbn.OHLCVMsg,
    "status": dbn.StatusMsg,
    "stat": dbn.StatMsg,
    "imbalance": dbn.ImbalanceMsg,
    "definition": dbn.InstrumentDefMsg,
}

# From the DBN v3 specification, by hand: field -> offset.
HEADER = {"length": 0, "rtype": 1, "publisher_id": 2, "instrument_id": 4, "ts_event": 8}
TRADE = {
    **HEADER,
    "price": 16,
    "size": 24,
    "action": 28,
    "side": 29,
    "flags": 30,
    "depth": 31,
    "ts_recv": 32,
    "ts_in_delta": 40,
    "sequence": 44,
}
LEVEL = {"bid_px": 48, "ask_px": 56, "bid_sz": 64, "ask_sz": 68, "bid_ct": 72, "ask_ct": 76}
BAR = {**HEADER, "open": 16, "high": 24, "low": 32, "close": 40, "volume": 48}
OFFSETS = {
    "trade": TRADE,
    "quote": TRADE | LEVEL,
    "bbo": {k: v for k, v in TRADE.items() if k not in ("action", "depth", "ts_in_delta")} | LEVEL,
    "book": TRADE | {"levels": 48},
    "order": {
        **HEADER,
        "order_id": 16,
        "price": 24,
        "size": 32,
        "flags": 36,
        "channel_id": 37,
        "action": 38,
        "side": 39,
        "ts_recv": 40,
        "ts_in_delta": 48,
        "sequence": 52,
    },
    "bar1s": BAR,
    "bar1m": BAR,
    "bar1h": BAR,
    "bar1d": BAR,
    "status": {
        **HEADER,
        "ts_recv": 16,
        "action": 24,
        "reason": 26,
        "trading_event": 28,
        "is_trading": 30,
        "is_quoting": 31,
        "is_short_sell_restricted": 32,
    },
}
SIZES = {
    "trade": 48,
    "quote": 80,
    "bbo": 80,
    "book": 368,
    "order": 56,
    "bar1s": 56,
    "bar1m": 56,
    "bar1h": 56,
    "bar1d": 56,
    "status": 40,
    "stat": 80,
    "imbalance": 112,
    "definition": 520,
}
RTYPES = {
    "trade": (0x00,),
    "quote": (0x01,),
    "bbo": (0xC3, 0xC4),
    "book": (0x0A,),
    "order": (0xA0,),
    "bar1s": (0x20,),
    "bar1m": (0x21,),
    "bar1h": (0x22,),
    "bar1d": (0x23,),
    "status": (0x12,),
    "stat": (0x18,),
    "imbalance": (0x14,),
    "definition": (0x13,),
}


def test_schemas_are_the_thirteen_of_the_design_in_order_of_id() -> None:
    assert [(s.id, s.word) for s in SCHEMAS] == list(enumerate(SIZES, start=1))
    assert {s.word for s in SCHEMAS if s.conflatable} == {"quote", "bbo", "book", "definition"}
    assert {s.word: s.rtypes for s in SCHEMAS} == RTYPES
    assert {s.word: s.record_bytes for s in SCHEMAS} == SIZES
    assert [BY_WORD[s.word] for s in SCHEMAS] == list(SCHEMAS) == [BY_ID[s.id] for s in SCHEMAS]
    assert len(BY_WORD) == len(BY_ID) == len(SCHEMAS)


@pytest.mark.parametrize("word", OFFSETS)
def test_offsets_are_the_specified_ones(word: str) -> None:
    fields = BY_WORD[word].dtype.fields
    assert fields is not None
    assert {name: place[1] for name, place in fields.items() if not name.startswith("reserved")} == OFFSETS[word]


@pytest.mark.parametrize("word", ORACLES)
def test_layout_is_the_oracles(word: str) -> None:
    schema = BY_WORD[word]
    oracle = np.dtype([(name.strip("_"), kind) for name, kind in ORACLES[word]._dtypes])
    ours = [(name, place[0].str.lstrip("<|"), place[1]) for name, place in _flat(schema.dtype)]
    theirs = [(name, place[0].str.lstrip("<|"), place[1]) for name, place in _flat(oracle)]
    assert [row[2] for row in ours] == [row[2] for row in theirs]
    for (name, kind, at), (their_name, their_kind, _) in zip(ours, theirs, strict=True):
        if name.startswith("reserved"):
            assert their_name.startswith("reserved")
            assert kind[1:] == their_kind[1:], name
        else:
            assert their_name in (name, f"{name}_00"), at
            assert kind == their_kind, name
    assert schema.dtype.itemsize == oracle.itemsize == schema.record_bytes == ORACLES[word].size_hint


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.word)
def test_fields_fill_the_record_and_carry_units(schema: Any) -> None:
    end = 0
    for field in schema.fields:
        assert field.offset == end
        assert bool(field.unit) != field.name.startswith("reserved")
        end += field.bytes
    assert end == schema.record_bytes == schema.dtype.itemsize
    assert schema.dtype.names == tuple(field.name for field in schema.fields)


def test_record_types_that_are_not_for_the_wire_have_no_schema() -> None:
    carried = {rtype for schema in SCHEMAS for rtype in schema.rtypes}
    for rtype in range(-1, 300):
        found = schema_of_rtype(rtype)
        assert (found is not None) == (rtype in carried)
        assert found is None or rtype in found.rtypes


def test_undefined_values_are_the_oracles() -> None:
    assert UNDEF_PRICE == dbn.UNDEF_PRICE == 2**63 - 1
    assert UNDEF_TIMESTAMP == dbn.UNDEF_TIMESTAMP == 2**64 - 1
    assert UNDEF_ORDER_SIZE == dbn.UNDEF_ORDER_SIZE == 2**32 - 1
    assert PRICE_UNITS == dbn.FIXED_PRICE_SCALE == 10**9


def test_every_v3_capture_reads_as_the_oracle_reads_it(data_dir: Path) -> None:
    compared = dict.fromkeys(BY_WORD, 0)
    for path in sorted(data_dir.rglob("*.dbn*")):
        data = _plain(path)
        if data[:4] == b"DBN\x03":
            body, decoder = data[8 + int.from_bytes(data[4:8], "little") :], dbn.DBNDecoder()
        elif ".v3." in path.name:
            body, decoder = data, dbn.DBNDecoder(has_metadata=False, input_version=3)
        else:
            continue
        theirs = [r for r in decoder.write_and_decode(data) if not isinstance(r, dbn.Metadata)]
        at = 0
        for record in theirs:
            schema = schema_of_rtype(body[at + 1])
            if schema is not None:
                assert body[at] * 4 == schema.record_bytes, path
                ours = np.frombuffer(body, schema.dtype, 1, at)[0]
                _same(ours, record, schema.word)
                compared[schema.word] += 1
            at += body[at] * 4
        assert at == len(body), path
    assert {word for word, n in compared.items() if n == 0} == set()


def test_older_captures_upgraded_by_the_oracle_are_our_records(data_dir: Path) -> None:
    compared = 0
    for path in sorted(data_dir.rglob("*.dbn*")):
        data = _plain(path)
        if data[:4] not in (b"DBN\x01", b"DBN\x02"):
            continue
        for record in dbn.DBNDecoder().write_and_decode(data):
            raw = b"" if isinstance(record, dbn.Metadata) else bytes(record)
            schema = schema_of_rtype(raw[1]) if raw else None
            if schema is not None and compared < 5000:  # one large capture would be most of them
                _same(np.frombuffer(raw, schema.dtype)[0], record, schema.word)
                compared += 1
    assert compared == 5000


def _plain(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:4] != b"\x28\xb5\x2f\xfd":
        return data
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


def _same(ours: np.void, theirs: Any, word: str) -> None:
    for name, _ in ORACLES[word]._dtypes:
        if name.startswith("_") or name == "length":
            continue
        if name[-3:-1] == "_0":
            level = theirs.levels[int(name[-2:])]
            their_value = getattr(level, name[:-3])
            value = ours["levels"][int(name[-2:])][name[:-3]] if word == "book" else ours[name[:-3]]
        else:
            their_value, value = getattr(theirs, name), ours[name]
        assert _plain_value(value) == _plain_value(their_value), f"{word}.{name}"


def _plain_value(value: Any) -> Any:
    """A number, or text without its padding, whatever either library wraps it in."""
    value = getattr(value, "value", value)
    if value is None or isinstance(value, bool):
        return {True: "Y", False: "N", None: "~"}[value]
    if isinstance(value, bytes):
        return value.decode("ascii")
    if isinstance(value, np.generic):
        return value.item()
    return value.rstrip("\0") if isinstance(value, str) else value


def _flat(dtype: np.dtype[Any]) -> list[tuple[str, tuple[Any, int]]]:
    """All fields, the book's levels spread out as the oracle spreads them."""
    rows: list[tuple[str, tuple[Any, int]]] = []
    for name, place in (dtype.fields or {}).items():
        kind, at = place[0], place[1]
        if kind.subdtype is None:
            rows.append((name, (kind, at)))
            continue
        element, (n,) = kind.subdtype
        for i in range(n):
            rows += [
                (f"{inner}_{i:02d}" if i else inner, (p[0], at + i * element.itemsize + p[1]))
                for inner, p in (element.fields or {}).items()
            ]
    return sorted(rows, key=lambda row: row[1][1])
