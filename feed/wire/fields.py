"""From a tick's fields, by name, to the bytes of its record.

A price is a text ("189.98"), a Decimal or a whole number, each exact, or a float, which is rounded to 1e-9; beside each
price field stands ``NAME_raw``, a whole number in units of 1e-9. None is an undefined price. Characters and texts are
strings, everything else whole numbers. A field that is not given is 0, an undefined price or an undefined time;
``side`` is N, ``action`` T for trades and A otherwise. ``bids`` and ``asks`` of a book are lists of (price, size), best
first.
"""

from __future__ import annotations

import functools
import math
import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from feed.errors import CallerError
from feed.wire.records import BY_WORD, PRICE_UNITS, UNDEF_PRICE, UNDEF_TIMESTAMP
from feed.wire.topics import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["encode", "names", "price_raw"]

_RAW_MAX = 2**63 - 1
_DIGITS_MAX = 10  # before the point
_LEVELS = BY_WORD["book"].dtype["levels"].shape[0]


def price_raw(value: str | Decimal | float | None) -> int:
    """A price in units of 1e-9; half a unit goes to the even one. Raises CallerError: not a number, or beyond 9.2e9."""
    if value is None:
        return UNDEF_PRICE
    if isinstance(value, float) and math.isnan(value):
        return UNDEF_PRICE
    if isinstance(value, bool):
        raise _no_price(value)
    if isinstance(value, int) and abs(value) >= 10**_DIGITS_MAX:  # one that is long enough has no text
        raise CallerError("a price is too large", expected="less than 9.2e9")
    try:
        exact = Decimal(str(value))
    except (ArithmeticError, ValueError):
        raise _no_price(value) from None
    if not exact.is_finite():
        raise _no_price(value)
    if exact.adjusted() >= _DIGITS_MAX or not -_RAW_MAX <= (raw := round(exact * PRICE_UNITS)) < _RAW_MAX:
        raise CallerError("a price is too large", expected="less than 9.2e9", found=repr(value)[:80])
    if Decimal(raw).scaleb(-9) != exact and not isinstance(value, float):
        raise CallerError("a price has more than 9 decimals", expected="whole units of 1e-9", found=repr(value)[:80])
    return raw


def encode(schema: str, fields: Mapping[str, Any]) -> bytes:
    """One record of `schema`. Raises CallerError naming the field and what is allowed, SymbolError: no such schema."""
    layout = _LAYOUTS.get(schema) or _layout(check_schema(schema))
    values = layout.defaults.copy()
    for name, value in fields.items():
        field = layout.fields.get(name)
        if field is None:
            if name not in {"bids", "asks"} or schema != "book":
                expected = ", ".join(names(schema))
                raise CallerError(f"a {schema} has no such field", expected=expected, found=repr(name)[:80])
            _put_levels(values, layout.levels_at, name, value)
        elif field.price:
            try:
                values[field.at] = price_raw(value)
            except CallerError as error:
                raise _wrong(schema, name, error.expected, value) from None
        elif field.room:
            if not isinstance(value, str) or not value.isascii() or len(value) > field.room:
                allowed = "one ASCII character" if field.room == 1 else f"at most {field.room} ASCII characters"
                raise _wrong(schema, name, allowed, value)
            values[field.at] = value.encode()
        else:
            values[field.at] = _whole(schema, name, value, field.low, field.high)
    return layout.packing.pack(*values)


@functools.cache
def names(schema: str) -> tuple[str, ...]:
    """What may be given for a schema."""
    layout = _layout(check_schema(schema))
    return (*layout.fields, "bids", "asks") if layout.levels_at else tuple(layout.fields)


class _Field(NamedTuple):
    at: int
    """Which of the values to pack."""
    price: bool
    room: int
    """Bytes of a text; 0: a whole number from low to high."""
    low: int
    high: int


class _Layout(NamedTuple):
    packing: struct.Struct
    defaults: list[Any]
    fields: dict[str, _Field]
    levels_at: int
    """The first of the values of a book's levels; 0: there are none."""


_LAYOUTS: dict[str, _Layout] = {}
_CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_LEVEL = "qqIIII"
_HIDDEN = ("length", "rtype")


def _layout(schema: str) -> _Layout:
    """How a schema's records are packed, from the field tables of records.h: their fields lie end to end."""
    if schema in _LAYOUTS:
        return _LAYOUTS[schema]
    found = BY_WORD[schema]
    code, levels_at = "<", 0
    defaults: list[Any] = []
    fields: dict[str, _Field] = {}
    known: dict[str, Any] = {"length": found.record_bytes // 4, "rtype": found.rtypes[0], "side": b"N"}
    known["action"] = b"T" if schema == "trade" else b"A"
    for field in found.fields:
        kind = found.dtype[field.name]
        if field.name == "levels":
            levels_at = len(defaults)
            code += _LEVEL * _LEVELS
            defaults += [UNDEF_PRICE, UNDEF_PRICE, 0, 0, 0, 0] * _LEVELS
            continue
        if kind.kind == "V":
            code += f"{kind.itemsize}x"
            continue
        price, time = field.unit.startswith("1e-9"), field.unit.startswith("ns since 1970")
        text = kind.kind == "S"
        low, high = (0, 0) if text else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
        if field.name not in _HIDDEN:
            fields[field.name] = _Field(len(defaults), price, kind.itemsize if text else 0, low, high)
        if price:
            fields[f"{field.name}_raw"] = _Field(len(defaults), False, 0, low, high)
        code += f"{kind.itemsize}s" if text else _CODES[kind.str[1:]]
        plain: Any = UNDEF_PRICE if price else UNDEF_TIMESTAMP if time else b"" if text else 0
        given = known.get(field.name, plain)
        defaults.append(given if isinstance(given, bytes) == text else plain)
    layout = _Layout(struct.Struct(code), defaults, fields, levels_at)
    assert layout.packing.size == found.record_bytes, schema
    return _LAYOUTS.setdefault(schema, layout)


def _put_levels(values: list[Any], at: int, side: str, given: Sequence[Any]) -> None:
    if not isinstance(given, list | tuple) or len(given) > _LEVELS:
        raise _wrong("book", side, f"at most {_LEVELS} of (price, size)", given)
    ask = side == "asks"
    for level, each in enumerate(given):
        if not isinstance(each, list | tuple) or len(each) != 2:
            raise _wrong("book", side, "(price, size)", each)
        first = at + level * len(_LEVEL)
        values[first + ask] = price_raw(each[0])
        values[first + 2 + ask] = _whole("book", side, each[1], 0, 2**32 - 1)


def _whole(schema: str, name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise _wrong(schema, name, f"a whole number from {low} to {high}", value)
    return int(value)


def _wrong(schema: str, name: str, allowed: object, value: object) -> CallerError:
    return CallerError("not allowed", expected=allowed, found=repr(value)[:80], where=f"{name} of a {schema}")


def _no_price(value: object) -> CallerError:
    return CallerError("not a price", expected='a number or a text such as "189.98"', found=repr(value)[:80])
