# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Which topics a request selects: by patterns of symbols and by schema, or topic by topic.

Thousands of patterns are matched against hundreds of thousands of topics in one go, so both sides are hashed: a symbol's hash
is built up character by character, and at every length of which there is a beginning (`ES*`) it is looked up. The hash has a
seed that nobody else knows, so that nobody can choose patterns that collide.
"""

import os

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from feed.log.layout cimport TC_SYMBOL_MAX

from feed.errors import ControlError
from feed.wire.records import BY_WORD

cdef enum:
    WHOLE = 1
    BEGINNING = 2

cdef uint64_t FNV_PRIME = 0x100000001B3ull
cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")

PATTERNS_MAX = 20_000
"""Patterns in one request at most."""


cdef class Selection:
    """Nothing is selected until something is added."""

    @staticmethod
    def of(patterns: object, schemas: object) -> Selection:
        """What `patterns` (a list such as ["AAPL", "ES*"], "*" is all) and `schemas` (topic words, None is all) select.

        :raises ControlError: one of them is none; it says which.
        """
        cdef Selection self = Selection.__new__(Selection)
        cdef const char* text
        cdef Py_ssize_t n
        if not isinstance(patterns, list) or len(patterns) > PATTERNS_MAX:
            raise ControlError(
                "not a list of patterns", expected=f"at most {PATTERNS_MAX}, such as ES*",
                found=len(patterns) if isinstance(patterns, list) else type(patterns).__name__)
        self.schemas = _schemas(schemas)
        self._reserve(len(patterns))
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise ControlError("not a pattern", expected="a string such as ES*", found=type(pattern).__name__)
            text = PyUnicode_AsUTF8AndSize(pattern, &n)
            if n == 1 and text[0] == c"*":
                self.everything = True
            elif n and text[n - 1] == c"*":
                self._put(0, text, n - 1, BEGINNING)
                self.lengths[(n - 1) >> 6] |= <uint64_t>1 << ((n - 1) & 63)
            else:
                self._put(0, text, n, WHOLE)
        return self

    @staticmethod
    def topics(count: int) -> Selection:
        """Room for so many topics, to be added one by one."""
        cdef Selection self = Selection.__new__(Selection)
        self.by_schema = True
        self.schemas = 0xFFFFFFFF
        self._reserve(count)
        return self

    def __cinit__(self) -> None:
        self.seed = SEED

    def __dealloc__(self) -> None:
        free(self.entries)
        free(self.texts)

    cdef int32_t find(self, const tc_topic_entry* entry) noexcept nogil:
        cdef uint64_t hash = self.seed
        cdef uint16_t schema = 0
        cdef uint32_t i, length = min(entry.symbol_length, <uint16_t>TC_SYMBOL_MAX)
        cdef Entry* found
        if entry.schema > 31 or not self.schemas >> entry.schema & 1:
            return SELECTED_NOT
        if self.everything:
            return 0
        if self.by_schema:
            schema = entry.schema
            hash = (hash ^ schema) * FNV_PRIME
        for i in range(length):
            hash = (hash ^ <uint8_t>entry.symbol[i]) * FNV_PRIME
            if self.lengths[(i + 1) >> 6] >> ((i + 1) & 63) & 1:
                if self._slot(hash, schema, entry.symbol, i + 1, BEGINNING).kind:
                    return 0
        found = self._slot(hash, schema, entry.symbol, length, WHOLE)
        return found.value if found.kind else SELECTED_NOT

    cdef int32_t add_topic(self, uint16_t schema, str symbol, int32_t value) except -2:
        cdef Py_ssize_t n
        cdef const char* text = PyUnicode_AsUTF8AndSize(symbol, &n)
        cdef uint32_t before = self.count
        cdef Entry* entry = self._put(schema, text, n, WHOLE)
        cdef int32_t earlier = entry.value if self.count == before else SELECTED_NOT
        entry.value = value
        return earlier

    cdef int _reserve(self, size_t entries) except -1:
        cdef size_t slots = 16
        while slots < 2 * entries:
            slots *= 2
        self.room = <uint32_t>entries
        self.texts_room = entries * TC_SYMBOL_MAX
        self.entries = <Entry*>calloc(slots, sizeof(Entry))
        self.texts = <char*>malloc(self.texts_room + 1)
        if self.entries == NULL or self.texts == NULL:
            raise MemoryError
        self.mask = <uint32_t>(slots - 1)
        return 0

    cdef Entry* _put(self, uint16_t schema, const char* text, Py_ssize_t length, uint8_t kind) except NULL:
        cdef uint64_t hash = self.seed
        cdef Entry* entry
        cdef Py_ssize_t i
        cdef char c
        if length == 0 or length > TC_SYMBOL_MAX:
            raise ControlError("not a symbol", expected=f"1 to {TC_SYMBOL_MAX} characters", found=length)
        if self.by_schema:
            hash = (hash ^ schema) * FNV_PRIME
        for i in range(length):
            c = text[i]
            if c < 32 or c > 126 or c == c"|" or c == c"*" or c == c"?":
                raise ControlError(
                    "not a symbol", expected="printable ASCII but | * ?", found=repr(text[:length].decode()))
            hash = (hash ^ <uint8_t>c) * FNV_PRIME
        entry = self._slot(hash, schema, text, length, kind)
        if entry.kind == 0:
            memcpy(self.texts + self.texts_used, text, length)
            entry.hash = hash
            entry.text = <uint32_t>self.texts_used
            entry.schema = schema
            entry.length = <uint8_t>length
            entry.kind = kind
            entry.value = 0
            self.texts_used += length
            self.count += 1
        return entry

    cdef Entry* _slot(self, uint64_t hash, uint16_t schema, const char* text, size_t length, uint8_t kind) noexcept nogil:
        """The entry of a text, or the free one where it would go. At most half of the entries are used."""
        cdef uint32_t at = <uint32_t>(hash ^ hash >> 32) & self.mask
        cdef Entry* entry
        while True:
            entry = &self.entries[at]
            if entry.kind == 0 or (
                entry.hash == hash and entry.kind == kind and entry.schema == schema and entry.length == length
                and memcmp(self.texts + entry.text, text, length) == 0
            ):
                return entry
            at = (at + 1) & self.mask


cdef uint32_t _schemas(object words) except? 0:
    """Bits of the schemas that `words` names."""
    cdef uint32_t bits = 0
    if words is None:
        return 0xFFFFFFFF
    if not isinstance(words, list):
        raise ControlError("not a list of schemas", expected='such as ["quote", "trade"]', found=type(words).__name__)
    for word in words:
        if not isinstance(word, str) or word not in BY_WORD:
            raise ControlError("no such schema", expected=", ".join(BY_WORD), found=repr(word)[:40])
        bits |= <uint32_t>1 << <uint32_t>BY_WORD[word].id
    return bits
