"""DBN records from a few fields by name, for tests: what is not given has a sensible value.

Names and types are those of the ticks that a bot gets: a price is a float (or exact, as `NAME_raw`, in units of 1e-9),
characters and texts are str, the record's flags are `dbn_flags`; a book may be given as `levels`, or as `bids` and
`asks`, (price, size) each, best first.
"""

from __future__ import annotations

import difflib
import functools
import math
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np

from bots.ticks import Level
from feed.errors import CallerError
from feed.wire.records import BY_WORD, PRICE_UNITS, UNDEF_PRICE, UNDEF_TIMESTAMP
from feed.wire.topics import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["make", "names"]

HIDDEN = ("length", "reserved")
"""Fields that say nothing about the market."""

_PX = 100.0
_STEP = 0.01
_BAR = {"open": _PX, "volume": 1}
DEFAULTS: dict[str, dict[str, Any]] = {
    "trade": {"price": _PX, "size": 1, "action": "T", "side": "N"},
    "quote": {"bid_sz": 100, "ask_sz": 100, "bid_ct": 1, "ask_ct": 1, "action": "A", "side": "N"},
    "bbo": {"price": _PX, "size": 1, "side": "N", "bid_sz": 100, "ask_sz": 100, "bid_ct": 1, "ask_ct": 1},
    "book": {"action": "A", "side": "N"},
    "order": {"price": _PX, "size": 1, "action": "A", "side": "B"},
    "bar1s": _BAR,
    "bar1m": _BAR,
    "bar1h": _BAR,
    "bar1d": _BAR,
    "status": {"action": 7, "is_trading": "Y", "is_quoting": "Y", "is_short_sell_restricted": "~"},
    "stat": {"price": _PX, "quantity": 2**63 - 1, "stat_type": 1, "update_action": 1},
    "imbalance": {
        "ref_price": _PX,
        "auction_type": "O",
        "side": "N",
        "unpaired_side": "N",
        "significant_imbalance": "~",
    },
    "definition": {
        "min_price_increment": _STEP,
        "display_factor": 1.0,
        "currency": "USD",
        "instrument_class": "K",
        "match_algorithm": "F",
        "security_update_action": "A",
        "user_defined_instrument": "N",
    },
}
"""What a field is that was not given: these; else an undefined price or time, a 0, an empty text."""


def make(
    schema: str,
    fields: Mapping[str, Any],
    *,
    symbol: str = "",
    now_ns: int = 0,
    instrument_id: int = 0,
    sequence: int = 0,
) -> bytes:
    """A record of `schema` with these `fields`; `now_ns` stands for ts_event and ts_recv unless they are given.

    :raises CallerError: a field that the schema does not have, or a value that the field can't hold; says which it can.
    :raises SymbolError: there is no such schema.
    """
    row = _defaults(check_schema(schema)).copy()
    there = row.dtype.names or ()
    if symbol and "raw_symbol" in there:
        row["raw_symbol"] = symbol.encode()
    numbers = {"instrument_id": instrument_id, "sequence": sequence, "order_id": sequence}
    for name, value in {**numbers, "ts_event": now_ns, "ts_recv": now_ns}.items():
        if name in there:
            row[name] = value
    given = {_known(schema, name): value for name, value in fields.items()}
    if given.keys() & {"levels", "bids", "asks"}:
        _put_levels(row, given)
    for name, value in given.items():
        if name in there and name != "levels":
            row[name] = _value(schema, name, value, row.dtype[name])
        elif name.endswith("_raw"):
            field = name.removesuffix("_raw")
            row[field] = _whole(schema, name, value, row.dtype[field])
    _follow(row, given)
    return bytes(row.tobytes())


@functools.cache
def _defaults(schema: str) -> Any:
    dtype = BY_WORD[schema].dtype
    row = np.zeros((), dtype=dtype)
    for field in BY_WORD[schema].fields:
        if field.name == "levels":
            _put_levels(row, {})
        elif field.name in DEFAULTS[schema]:
            row[field.name] = _value(schema, field.name, DEFAULTS[schema][field.name], dtype[field.name])
        elif field.name in _prices(schema):
            row[field.name] = UNDEF_PRICE
        elif field.unit.startswith("ns since 1970"):
            row[field.name] = UNDEF_TIMESTAMP
    row["length"] = dtype.itemsize // 4
    row["rtype"] = BY_WORD[schema].rtypes[0]
    row["publisher_id"] = 1
    return row


@functools.cache
def _prices(schema: str) -> frozenset[str]:
    return frozenset(field.name for field in BY_WORD[schema].fields if field.unit.startswith("1e-9"))


@functools.cache
def names(schema: str) -> tuple[str, ...]:
    """What may be given for a schema."""
    found = []
    for field in BY_WORD[check_schema(schema)].fields:
        if field.name.startswith(HIDDEN):
            continue
        found.append("dbn_flags" if field.name == "flags" else field.name)
        if field.name in _prices(schema):
            found.append(f"{field.name}_raw")
    return (*found, "bids", "asks") if "levels" in found else tuple(found)


def _known(schema: str, name: str) -> str:
    """The record's name of a field."""
    allowed = names(schema)
    if name not in allowed:
        close = difflib.get_close_matches(name, allowed, n=1)
        raise CallerError(
            f"a {schema} has no such field",
            expected=", ".join(allowed),
            found=repr(name),
            remedy=f"Did you mean {close[0]!r}?" if close else None,
        )
    return "flags" if name == "dbn_flags" else name


def _value(schema: str, name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    if name in _prices(schema):
        return _price(schema, name, value)
    if dtype.kind == "S":
        room = dtype.itemsize
        if not isinstance(value, str) or not value.isascii() or len(value) > room:
            allowed = "one ASCII character" if room == 1 else f"at most {room} ASCII characters"
            raise _wrong(schema, name, allowed, value)
        return value.encode()
    return _whole(schema, name, value, dtype)


def _whole(schema: str, name: str, value: Any, dtype: np.dtype[Any]) -> int:
    limits = np.iinfo(dtype)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not limits.min <= value <= limits.max:
        raise _wrong(schema, name, f"a whole number from {limits.min} to {limits.max}", value)
    return int(value)


def _price(schema: str, name: str, value: Any) -> int:
    """1e-9 units of a price as people write it: 189.95 is exactly 189950000000."""
    if isinstance(value, float) and math.isnan(value):
        return UNDEF_PRICE
    try:
        raw = round(Decimal(str(value)) * PRICE_UNITS)
    except (InvalidOperation, ValueError, OverflowError):
        raise _wrong(schema, name, f"a number (exact: {name}_raw=, in 1e-9)", value) from None
    if not -(2**63) <= raw < 2**63:
        raise _wrong(schema, name, "at most 9.2e9", value)
    return raw


def _put_levels(row: Any, given: Mapping[str, Any]) -> None:
    """The levels of a book; without any, ten around 100."""
    levels = row["levels"]
    levels["bid_px"] = levels["ask_px"] = UNDEF_PRICE
    sides = {"bid": given.get("bids"), "ask": given.get("asks")}
    if "levels" in given:
        for i, level in enumerate(_at_most(given["levels"], len(levels), "levels")):
            for name, value in zip(Level._fields, level, strict=False):
                levels[i][name] = _price("book", name, value) if name.endswith("px") else value
    elif not (sides["bid"] or sides["ask"]):
        sides = {
            "bid": [(_PX - _STEP * (i + 1), 100) for i in range(len(levels))],
            "ask": [(_PX + _STEP * (i + 1), 100) for i in range(len(levels))],
        }
    for side, wanted in sides.items():
        for i, (price, size) in enumerate(_at_most(wanted or [], len(levels), f"{side}s")):
            levels[i][f"{side}_px"] = _price("book", f"{side}s", round(price, 9))
            levels[i][f"{side}_sz"] = size
            levels[i][f"{side}_ct"] = 1


def _at_most(wanted: Sequence[Any], n: int, name: str) -> Sequence[Any]:
    if len(wanted) > n:
        raise _wrong("book", name, f"at most {n}", len(wanted))
    return wanted


def _follow(row: Any, given: Mapping[str, Any]) -> None:
    """Prices that depend on those that were given: the other side of a quote, a bar's range."""

    def has(name: str) -> bool:
        return name in given or f"{name}_raw" in given

    there = row.dtype.names
    if "bid_px" in there:
        spread = round(2 * _STEP * PRICE_UNITS)
        if not has("bid_px") and not has("ask_px"):
            row["bid_px"] = round((_PX - _STEP) * PRICE_UNITS)
        if not has("bid_px") and has("ask_px"):
            row["bid_px"] = row["ask_px"] - spread
        if not has("ask_px"):
            row["ask_px"] = row["bid_px"] + spread
    if "open" in there:
        if not has("close"):
            row["close"] = row["open"]
        elif not has("open"):
            row["open"] = row["close"]
        if not has("high"):
            row["high"] = max(row["open"], row["close"])
        if not has("low"):
            row["low"] = min(row["open"], row["close"])


def _wrong(schema: str, name: str, expected: str, found: object) -> CallerError:
    return CallerError(f"{schema}.{name} can't be that", expected=expected, found=repr(found))
