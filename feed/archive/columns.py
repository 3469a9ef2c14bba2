"""The columns of a table of ticks: where each field of a schema's frames lies, and how people want to see it. Pure.

A row is a whole log frame (feed/log/layout.h): its header, then the record. Of the header the columns are the position
(epoch, seq, topic_seq), ts_in and the symbol; of the record every field but reserved ones and the length, a book's
levels as ``bid_px_00`` to ``ask_ct_09``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FRAME_HEADER", "FRAME_HEADER_BYTES", "Column", "Kind", "frame_dtype", "record_columns"]

FRAME_HEADER_BYTES = 40
FRAME_HEADER = np.dtype(
    [
        ("frame_bytes", "<u4"),
        ("topic_id", "<u4"),
        ("seq", "<u8"),
        ("topic_seq", "<u8"),
        ("ts_in", "<u8"),
        ("committed_delta", "<u4"),
        ("kind", "<u2"),
        ("frame_flags", "<u2"),
    ]
)
"""The log frame's header, under names that no field of a record has."""


class Kind(IntEnum):
    """How a field is shown."""

    NUMBER = 0
    PRICE = 1
    """int64 in 1e-9, shown as a decimal; 2^63-1 is undefined: nothing."""
    TIME = 2
    """uint64 ns since 1970; 2^64-1 is undefined: nothing."""
    TEXT = 3
    """ASCII to the first NUL; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Column:
    """`offset` and `nbytes` within the frame; `signed` tells numbers apart."""

    name: str
    kind: Kind
    offset: int
    nbytes: int
    signed: bool


def record_columns(schema: str) -> list[Column]:
    """Those of the record, in its order."""
    return list(_columns(BY_WORD[schema].dtype, {f.name: f.unit for f in BY_WORD[schema].fields}, FRAME_HEADER_BYTES))


def frame_dtype(schema: str) -> np.dtype[Any]:
    """A frame of the schema: ``frame`` is its header, ``record`` the record."""
    return np.dtype([("frame", FRAME_HEADER), ("record", BY_WORD[schema].dtype)])


def _columns(dtype: np.dtype[Any], units: dict[str, str], at: int, suffix: str = "") -> Iterator[Column]:
    assert dtype.names is not None
    assert dtype.fields is not None
    for name in dtype.names:
        kind, offset = dtype.fields[name][:2]
        if kind.subdtype is not None:
            element, (count,) = kind.subdtype
            for i in range(count):
                prices = {inner: "1e-9" for inner in element.names or () if inner.endswith("_px")}
                yield from _columns(element, prices, at + offset + i * element.itemsize, f"_{i:02d}")
        elif kind.kind != "V" and name != "length":
            shown = _shown(kind, units.get(name, ""))
            yield Column(f"{name}{suffix}", shown, at + offset, kind.itemsize, kind.kind == "i")


def _shown(kind: np.dtype[Any], unit: str) -> Kind:
    if kind.kind == "S":
        return Kind.TEXT
    if unit.startswith("1e-9"):
        return Kind.PRICE
    return Kind.TIME if unit.startswith("ns since 1970") else Kind.NUMBER
