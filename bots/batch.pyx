# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Batches: many ticks of one schema as numpy arrays.

All arrays of a batch lie in one block of memory, so one reference count tells whether somebody still looks at any of
them; if nobody does, the block is filled again. Fresh memory for each batch would cost a page fault per 4 KiB, more
than the copying.
"""

from cpython.object cimport PyObject

import numpy as np

from feed.wire.records import BY_ID

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o) nogil


cdef class Names:
    """The symbols of a link's topics."""

    def __cinit__(self):
        self.symbols = []

    def put(self, topic: int, symbol: str) -> None:
        missing = topic + 1 - len(self.symbols)
        if missing > 0:
            self.symbols.extend([None] * missing)
        self.symbols[topic] = symbol
        self._array = None

    def get(self, topic: int) -> str | None:
        return self.symbols[topic] if topic < len(self.symbols) else None

    cdef object array(self):
        if self._array is None:
            self._array = np.array(self.symbols, dtype=object)
        return self._array


cdef class Block:
    """Room for `room` records of schema `schema_id`, at least one."""

    def __init__(self, schema_id: int, room: int) -> None:
        cdef size_t n = room
        cdef columns_t* columns = &self.columns
        columns.schema_id = schema_id
        columns.room = room
        columns.record_bytes = BY_ID[schema_id].record_bytes
        self.memory = np.empty(n * (4 * 8 + columns.record_bytes + 4 + 4 + 2), dtype=np.uint8)
        cdef uint8_t[::1] view = self.memory
        columns.seq = <uint64_t*>&view[0]
        columns.topic_seq = columns.seq + n
        columns.ts_in = columns.topic_seq + n
        columns.ts_sent = columns.ts_in + n
        columns.records = <uint8_t*>(columns.ts_sent + n)
        columns.topics = <uint32_t*>(columns.records + n * columns.record_bytes)
        columns.folded = columns.topics + n
        columns.flags = <uint16_t*>(columns.folded + n)

    cdef bint unused(self) noexcept:
        return Py_REFCNT(<PyObject*>self.memory) == 1


cdef class Batch:
    """Ticks of one schema, in order; arrays of equal length. Keep it, or any array of it, as long as you like.

    `records` is structured as the DBN record (prices int64 in 1e-9); `seq`, `topic_seq`, `ts_in`, `ts_sent`, `ts_bot`
    are uint64, times in ns since 1970; `symbols` are str; `flags` and `folded` as of each tick. An array is a view that is
    made when it is asked for.
    """

    @staticmethod
    cdef Batch of(Block block, Names names, uint64_t ts_bot):
        cdef Batch self = Batch.__new__(Batch)
        schema = BY_ID[block.columns.schema_id]
        self.schema = schema.word
        self._dtype = schema.dtype
        self._memory = block.memory
        self._count = block.columns.count
        self._room = block.columns.room
        self._names = names
        self._ts_bot = ts_bot
        return self

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<Batch of {self._count} x {self.schema}>"

    @property
    def records(self):
        if self._records is None:
            self._records = np.ndarray((self._count,), self._dtype, self._memory, 32 * <size_t>self._room)
        return self._records

    @property
    def seq(self):
        return self._words(0)

    @property
    def topic_seq(self):
        return self._words(1)

    @property
    def ts_in(self):
        return self._words(2)

    @property
    def ts_sent(self):
        return self._words(3)

    @property
    def ts_bot(self):
        return np.full(self._count, self._ts_bot, dtype=np.uint64)

    @property
    def symbols(self):
        return self._names.array()[self.topics]

    @property
    def topics(self):
        """A number for each tick's topic (uint32): equal numbers, equal topic, until the bot is attached anew."""
        return np.ndarray((self._count,), np.uint32, self._memory, self._behind_records())

    @property
    def folded(self):
        return np.ndarray((self._count,), np.uint32, self._memory, self._behind_records() + 4 * <size_t>self._room)

    @property
    def flags(self):
        return np.ndarray((self._count,), np.uint16, self._memory, self._behind_records() + 8 * <size_t>self._room)

    cdef size_t _behind_records(self):
        return (32 + <size_t>self._dtype.itemsize) * self._room

    def _words(self, column: int):
        return np.ndarray((self._count,), np.uint64, self._memory, 8 * column * <size_t>self._room)
