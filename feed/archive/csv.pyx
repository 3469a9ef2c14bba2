# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Rows of comma-separated values (RFC 4180 but for "\\n" line ends), exact: prices are decimals of 9 places, never floats."""

from libc.stdint cimport INT64_MAX, UINT64_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from feed.archive.columns import Kind
from feed.errors import CallerError

cdef enum:
    NUMBER = 0
    PRICE = 1
    TIME = 2
    TEXT = 3
    NUMBER_ROOM = 24      # bytes that no number, price or time is longer than, its comma included

cdef struct column_t:
    uint32_t offset
    uint16_t nbytes
    uint8_t kind
    bint signed


cdef class CsvRows:
    """Makes rows of frames that are `frame_bytes` long each.

    :param columns: :class:`feed.archive.columns.Column`, in their order.
    """

    cdef column_t* _columns
    cdef size_t _count, _frame_bytes, _row_room

    def __cinit__(self, columns, frame_bytes: int):
        cdef size_t i
        self._columns = <column_t*>malloc(max(1, len(columns)) * sizeof(column_t))
        if self._columns == NULL:
            raise MemoryError
        self._count = len(columns)
        self._frame_bytes = frame_bytes
        self._row_room = 2
        for i in range(self._count):
            column = columns[i]
            if column.offset + column.nbytes > frame_bytes:
                raise CallerError("a column lies outside of the frame", found=column.name)
            self._columns[i].offset = column.offset
            self._columns[i].nbytes = column.nbytes
            self._columns[i].kind = column.kind
            self._columns[i].signed = column.signed
            self._row_room += 2 * column.nbytes + 3 if column.kind == Kind.TEXT else NUMBER_ROOM

    def __dealloc__(self):
        free(self._columns)

    def rows(self, frames: bytes, heads) -> bytes:
        """One line for each frame; `heads[topic_id]` are the bytes that begin a line of that topic, with a comma behind."""
        cdef size_t n = len(frames) // self._frame_bytes
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(frames)
        cdef size_t i, room = n * self._row_room
        cdef bytes head
        cdef Py_ssize_t length
        for i in range(n):
            room += len(heads[(<const uint32_t*>(at + i * self._frame_bytes + 4))[0]])
        lines = PyBytes_FromStringAndSize(NULL, room)
        cdef char* begin = PyBytes_AS_STRING(lines)
        cdef char* to = begin
        for i in range(n):
            head = heads[(<const uint32_t*>(at + 4))[0]]
            length = len(head)
            memcpy(to, PyBytes_AS_STRING(head), length)
            to = self._row(to + length, at)
            at += self._frame_bytes
        return lines[: to - begin]

    cdef char* _row(self, char* to, const uint8_t* frame) noexcept nogil:
        cdef size_t i
        cdef const column_t* column
        for i in range(self._count):
            column = &self._columns[i]
            if column.kind == TEXT:
                to = _put_text(to, frame + column.offset, column.nbytes)
            elif column.kind == PRICE:
                to = _put_price(to, (<const int64_t*>(frame + column.offset))[0])
            elif column.kind == TIME:
                if (<const uint64_t*>(frame + column.offset))[0] != UINT64_MAX:
                    to = _put_unsigned(to, (<const uint64_t*>(frame + column.offset))[0])
            elif column.signed:
                to = _put_signed(to, _signed(frame + column.offset, column.nbytes))
            else:
                to = _put_unsigned(to, _unsigned(frame + column.offset, column.nbytes))
            to[0] = b","
            to += 1
        (to - 1)[0] = b"\n"
        return to


def quoted(text: str) -> bytes:
    """A field of text as a line holds it."""
    field = text.encode("ascii")
    return b'"' + field.replace(b'"', b'""') + b'"' if b'"' in field or b"," in field else field


cdef uint64_t _unsigned(const uint8_t* at, uint16_t nbytes) noexcept nogil:
    if nbytes == 1:
        return at[0]
    if nbytes == 2:
        return (<const uint16_t*>at)[0]
    return (<const uint32_t*>at)[0] if nbytes == 4 else (<const uint64_t*>at)[0]


cdef int64_t _signed(const uint8_t* at, uint16_t nbytes) noexcept nogil:
    if nbytes == 1:
        return (<const int8_t*>at)[0]
    if nbytes == 2:
        return (<const int16_t*>at)[0]
    return (<const int32_t*>at)[0] if nbytes == 4 else (<const int64_t*>at)[0]


cdef char* _put_unsigned(char* to, uint64_t n) noexcept nogil:
    cdef char digits[20]
    cdef int i = 20
    while True:
        i -= 1
        digits[i] = <char>(48 + n % 10)
        n //= 10
        if n == 0:
            break
    memcpy(to, digits + i, 20 - i)
    return to + 20 - i


cdef char* _put_signed(char* to, int64_t n) noexcept nogil:
    if n >= 0:
        return _put_unsigned(to, <uint64_t>n)
    to[0] = b"-"
    return _put_unsigned(to + 1, ~<uint64_t>n + 1)


cdef char* _put_price(char* to, int64_t raw) noexcept nogil:
    cdef uint64_t units = <uint64_t>raw if raw >= 0 else ~<uint64_t>raw + 1
    cdef uint64_t part = units % 1000000000
    cdef int i
    if raw == INT64_MAX:
        return to
    if raw < 0:
        to[0] = b"-"
        to += 1
    to = _put_unsigned(to, units // 1000000000)
    to[0] = b"."
    for i in range(9, 0, -1):
        to[i] = <char>(48 + part % 10)
        part //= 10
    return to + 10


cdef char* _put_text(char* to, const uint8_t* at, uint16_t nbytes) noexcept nogil:
    """Up to the first NUL; in quotes where a comma, a quote or a line's end would be taken for one of ours."""
    cdef uint16_t i, n = 0
    cdef bint quote = False
    while n < nbytes and at[n] != 0:
        quote = quote or at[n] == 34 or at[n] == 44 or at[n] == 10 or at[n] == 13
        n += 1
    if not quote:
        memcpy(to, at, n)
        return to + n
    to[0] = b'"'
    to += 1
    for i in range(n):
        to[0] = <char>at[i]
        to += 1
        if at[i] == 34:
            to[0] = b'"'
            to += 1
    to[0] = b'"'
    return to + 1
