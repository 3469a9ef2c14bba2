"""Ticks into bodies of records (pushing.py): one at a time into a batch, or a whole array at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from feed.errors import CallerError
from feed.wire.pushing import RECORDS_MAX, body
from feed.wire.records import BY_WORD, SCHEMAS, schema_of_rtype
from feed.wire.topics import check_schema, check_symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Buffer

    from feed.wire.records import Schema

__all__ = ["BODY_BYTES", "Batch", "bodies"]

BODY_BYTES = 256 << 10
"""Records of one body at most, where we cut it."""

_HEADER = 16


class Batch:
    """Records of any symbols and schemas that will go together; ``count`` of them, ``nbytes`` long."""

    def __init__(self) -> None:
        self.count = 0
        self._symbols: dict[str, bytes] = {}
        self._names: list[bytes] = []
        self._which = bytearray()
        self._records = bytearray()

    @property
    def nbytes(self) -> int:
        return len(self._records)

    @property
    def full(self) -> bool:
        """It should go before another is added."""
        return self.count >= RECORDS_MAX or len(self._records) >= BODY_BYTES

    def add(self, symbol: str, record: bytes) -> None:
        """Raises SymbolError."""
        which = self._symbols.get(symbol)
        if which is None:
            self._names.append(check_symbol(symbol).encode("ascii"))
            which = self._symbols[symbol] = (len(self._names) - 1).to_bytes(2, "little")
        self._which += which
        self._records += record
        self.count += 1

    def take(self) -> bytes:
        """The body; empties the batch."""
        made = body(self._names, bytes(self._which) if len(self._names) > 1 else b"", self._records)
        self.__init__()  # type: ignore[misc]
        return made


def bodies(
    records: np.ndarray[Any, Any] | Buffer, symbols: str | Sequence[str] | np.ndarray[Any, Any], schema: str = ""
) -> Iterator[tuple[int, bytes]]:
    """(count, body) of many records: an array of a schema's dtype, or bytes of DBN v3 records laid end to end.

    :param symbols: one for all, or one for each record.
    :param schema: of an array whose ``length`` and ``rtype`` are not filled in; they are filled in on the way.
    :raises CallerError: not records of DBN v3, or not a symbol for each.
    """
    data, sizes = _array(records, schema) if isinstance(records, np.ndarray) else _dbn(records)
    if isinstance(symbols, str):
        names, which = [check_symbol(symbols).encode("ascii")], None
    else:
        if len(symbols) != len(sizes):
            raise CallerError("not a symbol for each record", expected=len(sizes), found=len(symbols))
        each, inverse = np.unique(np.asarray(symbols, dtype=np.str_), return_inverse=True)
        names, which = [check_symbol(str(name)).encode("ascii") for name in each], inverse.reshape(-1)
    ends = np.cumsum(sizes)
    first, start = 0, 0
    while first < len(sizes):
        last = int(np.searchsorted(ends, start + BODY_BYTES, side="right"))
        last = min(max(last, first + 1), first + RECORDS_MAX, len(sizes))
        end = int(ends[last - 1])
        yield last - first, _body(names, None if which is None else which[first:last], data[start:end])
        first, start = last, end


def _body(names: list[bytes], which: np.ndarray[Any, Any] | None, data: memoryview) -> bytes:
    if which is None:
        return body(names, b"", bytes(data))
    present, index = np.unique(which, return_inverse=True)
    table = index.reshape(-1).astype("<u2").tobytes() if len(present) > 1 else b""
    return body([names[i] for i in present], table, bytes(data))


def _array(records: np.ndarray[Any, Any], word: str) -> tuple[memoryview, np.ndarray[Any, Any]]:
    """The bytes of an array and the size of each record."""
    schema = BY_WORD[check_schema(word)] if word else _schema_of(records)
    if records.dtype != schema.dtype:
        raise CallerError("not an array of this schema", expected=f"feed.wire.records.BY_WORD[{schema.word!r}].dtype",
                          found=str(records.dtype)[:80])  # fmt: skip
    flat = records.reshape(-1)
    if word:
        flat = flat.copy()
        flat["length"], blank = schema.record_bytes // 4, flat["rtype"] == 0
        flat["rtype"][blank] = schema.rtypes[0]
    if not (np.isin(flat["rtype"], schema.rtypes).all() and (flat["length"] == schema.record_bytes // 4).all()):
        raise CallerError("length or rtype of a record is not its schema's", expected=f"{schema.record_bytes // 4} and "
                          f"{schema.rtypes}", remedy=f"Give schema={schema.word!r} to have them filled in")  # fmt: skip
    return memoryview(flat.tobytes()), np.full(len(flat), schema.record_bytes)


def _schema_of(records: np.ndarray[Any, Any]) -> Schema:
    found = [schema for schema in SCHEMAS if schema.dtype == records.dtype]
    if len(found) > 1 and len(records):
        found = [schema for schema in found if int(records.reshape(-1)["rtype"][0]) in schema.rtypes]
    if not found:
        raise CallerError("not an array of records", expected="the dtype of a schema (feed.wire.records.BY_WORD)",
                          found=str(records.dtype)[:80])  # fmt: skip
    return found[0]


def _dbn(records: Buffer) -> tuple[memoryview, np.ndarray[Any, Any]]:
    data = memoryview(records).cast("B")
    sizes = []
    at = 0
    while at < len(data):
        schema = schema_of_rtype(data[at + 1]) if len(data) - at >= _HEADER else None
        size = 0 if schema is None else schema.record_bytes
        if schema is None or data[at] * 4 != size or at + size > len(data):
            raise CallerError("not records of DBN version 3, end to end", found=f"byte {at} of {len(data)}")
        sizes.append(size)
        at += size
    return data, np.array(sizes, dtype=np.int64)
