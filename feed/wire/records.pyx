# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The schemas: topic word, DBN record types, size and numpy dtype of each, built from the field tables of records.h.

A dtype has the names, order, offsets and little-endian types of DBN v3: prices int64 in 1e-9, times uint64 ns since 1970,
characters ``S1``, strings ``S<n>`` NUL-padded, reserved bytes ``V<n>``; ``book`` has ``levels``, 10 of bid and ask.
"""

from typing import NamedTuple

import numpy as np

UNDEF_PRICE = TC_UNDEF_PRICE
UNDEF_TIMESTAMP = TC_UNDEF_TIMESTAMP
UNDEF_ORDER_SIZE = TC_UNDEF_ORDER_SIZE
PRICE_UNITS = TC_PRICE_UNITS


class Field(NamedTuple):
    """One field of a record: ``offset`` and ``bytes`` within it; ``unit`` is for people, empty if reserved."""

    name: str
    offset: int
    bytes: int
    unit: str


class Schema(NamedTuple):
    """One kind of tick. ``conflatable``: only the newest matters, so a reader that is behind may skip to it."""

    id: int
    word: str
    rtypes: tuple
    record_bytes: int
    dtype: object
    conflatable: bool
    fields: tuple


def schema_of_rtype(rtype):
    """The schema that carries DBN record type `rtype`, or None if none does."""
    if not 0 <= rtype <= 255:
        return None
    return BY_ID.get(tc_schema_of_rtype(rtype))


cdef _read_tables():
    """Give {struct name: [(Field, numpy type)]} in order of offset."""
    cdef size_t n, i
    cdef const tc_field* field = tc_fields(&n)
    tables = {}
    for i in range(n):
        kind = field[i].type.decode()
        size = field[i].bytes
        row = Field(field[i].name.decode(), field[i].offset, size, field[i].unit.decode())
        if kind in tables:      # an array of another record; that one stands earlier
            element = _dtype(tables[kind])
            kind = (element, (size // element.itemsize,))
        elif kind in ("S", "V"):
            kind = f"{kind}{size}"
        tables.setdefault(field[i].record.decode(), []).append((row, kind))
    return tables


cdef _dtype(table):
    """The numpy dtype of one table. Raises ValueError if fields overlap the end of the record."""
    last, kind = table[len(table) - 1]
    return np.dtype(
        {
            "names": [row.name for row, kind in table],
            "formats": [kind for row, kind in table],
            "offsets": [row.offset for row, kind in table],
            "itemsize": last.offset + last.bytes,
        }
    )


cdef _read_schemas():
    """Give every schema in order of id."""
    cdef size_t n, i
    cdef const tc_schema* schema = tc_schemas(&n)
    tables = _read_tables()
    schemas = []
    for i in range(n):
        table = tables[schema[i].record.decode()]
        rtypes = tuple(rtype for rtype in range(256) if tc_schema_of_rtype(rtype) == schema[i].id)
        size = tc_record_bytes(schema[i].id)
        fields = tuple(row for row, kind in table)
        schemas.append(
            Schema(
                schema[i].id, schema[i].word.decode(), rtypes, size, _dtype(table), bool(schema[i].conflatable), fields
            )
        )
    return tuple(schemas)


SCHEMAS = _read_schemas()
BY_ID = {schema.id: schema for schema in SCHEMAS}
BY_WORD = {schema.word: schema for schema in SCHEMAS}
