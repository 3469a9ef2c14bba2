# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""A message of pushed records (body: feed/wire/pushing.py) into a sink: looked at whole first, then appended as it is.

One object for all messages, one message at a time. All of a message is right or nothing of it is taken, and no Python
object is made for a record.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from feed.log.fences cimport tc_read_published
from feed.log.through cimport TOOK, at_the_end
from feed.metrics.histogram cimport tc_histogram_record
from feed.wire.records cimport TC_SCHEMA_NONE, TC_UNDEF_TIMESTAMP, tc_record_bytes, tc_schema_of_rtype

cdef enum:
    TAKEN = 0
    IS_MALFORMED = 1
    IS_WRONG_LENGTH = 2
    IS_UNKNOWN_RTYPE = 3
    LACKS_TOPICS = 4      # name those of missing() with bind() and take it once more

cdef enum:
    UNBOUND = 0xFFFFFFFF
    RECORD_HEADER = 16
    SYMBOL_MAX = 71

MALFORMED = IS_MALFORMED
WRONG_LENGTH = IS_WRONG_LENGTH
UNKNOWN_RTYPE = IS_UNKNOWN_RTYPE
NEEDS_TOPICS = LACKS_TOPICS


cdef class Pushed:
    """Records onto `sink`. `venue` takes the time from each record's ts_event to its ts_in."""

    def __cinit__(self, Sink sink not None, Histogram venue not None):
        self._sink = sink
        sink = at_the_end(sink)
        if isinstance(sink, Ring):
            self._ring = sink
            self._writer = self._ring._intake.writer
        else:
            self._writer = sink
        self._venue = venue
        self.venue = venue.h
        self.slots = 256
        self.symbols = <pushed_symbol*>calloc(self.slots, sizeof(pushed_symbol))
        if self.symbols is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.symbols)
        free(self.chosen)

    def take(self, content: bytes, offset: int, count: int, skip: int) -> int:
        """Make the body at `offset` of `content` the message at hand, its first `skip` records left away.

        0, or why not: then there is none at hand, and `fault` says at which record.
        """
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(content) + <size_t>offset
        cdef int found
        self._content = content
        found = self._walk(at, PyBytes_GET_SIZE(content) - <size_t>offset, count, skip)
        if found != TAKEN:
            self.at = self.count = 0
        return found

    def missing(self) -> list[tuple[bytes, int, int]]:
        """Of a message that take() found to lack topics: (symbol, schema id, which record), each pair once."""
        cdef uint32_t i, k, n, bytes_ = 0
        cdef uint16_t schema, index = 0
        cdef const uint8_t* body = self._body
        cdef const uint8_t* record = self._first
        cdef const uint8_t* symbol = body + 2
        names = []
        n = body[0] | (<uint32_t>body[1] << 8)
        for i in range(n):
            names.append((<const char*>symbol)[1 : 1 + symbol[0]])
            symbol += 1 + symbol[0]
        found = {}
        for i in range(self._total):
            if n > 1:
                memcpy(&index, symbol + 2 * <size_t>i, 2)
            schema = tc_schema_of_rtype(record[1])
            if self.chosen[index] is NULL or self.chosen[index].topics[schema] == UNBOUND:
                found.setdefault((names[index], schema), i)
            record += record[0] * 4
        return [(name, schema_id, i) for (name, schema_id), i in found.items()]

    def bind(self, symbol: bytes, schema_id: int, topic: int) -> None:
        """Records of this symbol and schema go to `topic` of the sink."""
        cdef const char* text = symbol
        cdef uint8_t n = len(symbol)
        cdef pushed_symbol* slot
        if 2 * (self.used + 1) > self.slots:
            self._grow()
        slot = find(self.symbols, self.slots, <const uint8_t*>text, n)
        if slot.length == 0:
            slot.length = n
            memcpy(slot.text, text, n)
            memset(slot.topics, 0xFF, sizeof(slot.topics))
            self.used += 1
        slot.topics[<size_t>schema_id] = topic

    def stamp(self, ts_in: int) -> None:
        """When the feed had the message at hand, ns since 1970; all of its records get it."""
        self.ts_in = ts_in

    def pour(self, limit: int) -> int:
        """Append up to `limit` records of the message at hand; `full` then says if it was for want of room."""
        cdef int64_t most = limit, n
        with nogil:
            n = self._run(most)
        return n

    def flush(self) -> None:
        """Make what was appended visible."""
        with nogil:
            self._sink.flush()

    def take_ticks(self) -> list[tuple[int, int]]:
        """(schema id, records appended since the last call), schemas without any left away."""
        cdef int i
        taken = []
        for i in range(TC_SCHEMA_END):
            if self.ticks[i]:
                taken.append((i, self.ticks[i]))
                self.ticks[i] = 0
        return taken

    @property
    def left(self) -> int:
        """Records of the message at hand that are still to be appended."""
        return self.count - self.at

    @property
    def put(self) -> int:
        """How far the sink is filled; what was appended is in the log once `landed` is no less. Only for comparing."""
        return 0 if self._ring is None else self._ring.state.head

    @property
    def landed(self) -> int:
        """How far of that is in the log."""
        return 0 if self._ring is None else tc_read_published(&self._ring.state.taken)

    @property
    def next_seq(self) -> int:
        """A seq of the log that no record appended from now on is below."""
        return self._writer.seq

    # --- inside -----------------------------------------------------------------------------------------------------

    cdef int _walk(self, const uint8_t* body, size_t n, uint32_t count, uint32_t skip) except -1:
        cdef size_t at = 2
        cdef uint32_t i, symbols, length
        cdef uint16_t index = 0, schema
        cdef bint lacks = False
        cdef pushed_symbol* slot
        cdef const uint8_t* which
        self.fault = 0
        self._body = body
        if n < 2:
            return IS_MALFORMED
        symbols = body[0] | (<uint32_t>body[1] << 8)
        if symbols == 0:
            return IS_MALFORMED
        if symbols > self.chosen_room:
            self._choose_from(symbols)
        for i in range(symbols):
            if at >= n or at + 1 + body[at] > n or body[at] == 0 or body[at] > SYMBOL_MAX:
                return IS_MALFORMED
            slot = find(self.symbols, self.slots, body + at + 1, body[at])
            self.chosen[i] = slot if slot.length else NULL
            at += 1 + body[at]
        which = NULL
        if symbols > 1:
            which = body + at
            if n - at < 2 * <size_t>count:
                return IS_MALFORMED
            at += 2 * <size_t>count
        self._first = body + at
        self._total = count
        self.records = body + at
        self.which = which
        for i in range(count):
            self.fault = i
            if n - at < RECORD_HEADER:
                return IS_MALFORMED
            schema = tc_schema_of_rtype(body[at + 1])
            if schema == TC_SCHEMA_NONE:
                return IS_UNKNOWN_RTYPE
            length = tc_record_bytes(schema)
            if body[at] * 4 != length:
                return IS_WRONG_LENGTH
            if length > n - at:
                return IS_MALFORMED
            if which is not NULL:
                memcpy(&index, which + 2 * <size_t>i, 2)
                if index >= symbols:
                    return IS_MALFORMED
            if self.chosen[index] is NULL or self.chosen[index].topics[schema] == UNBOUND:
                lacks = True
            at += length
            if i + 1 == skip:
                self.records = body + at
        if at != n:
            return IS_MALFORMED
        self.fault = 0
        self.at = skip
        self.count = count
        return LACKS_TOPICS if lacks else TAKEN

    cdef int64_t _run(self, int64_t limit) noexcept nogil:
        cdef int64_t n = 0
        cdef uint16_t index = 0, schema
        cdef uint32_t length
        cdef uint64_t ts_event
        cdef int took
        self.full = False
        while n < limit and self.at < self.count:
            if self.which is not NULL:
                memcpy(&index, self.which + 2 * <size_t>self.at, 2)
            schema = tc_schema_of_rtype(self.records[1])
            length = self.records[0] * 4
            took = self._sink.append(self.chosen[index].topics[schema], self.records, length, self.ts_in, 0)
            if not took:
                self.full = True
                break
            memcpy(&ts_event, self.records + 8, 8)
            if ts_event != TC_UNDEF_TIMESTAMP and ts_event != 0:
                tc_histogram_record(self.venue, <int64_t>(self.ts_in - ts_event))
            self.ticks[schema] += took == TOOK
            self.records += length
            self.at += 1
            n += 1
        return n

    def _choose_from(self, symbols: int) -> None:
        cdef uint32_t room = max(64, 2 * symbols)
        cdef pushed_symbol** larger = <pushed_symbol**>realloc(self.chosen, room * sizeof(pushed_symbol*))
        if larger is NULL:
            raise MemoryError
        self.chosen = larger
        self.chosen_room = room

    def _grow(self) -> None:
        cdef uint32_t i, slots = 2 * self.slots
        cdef pushed_symbol* slot
        cdef pushed_symbol* grown = <pushed_symbol*>calloc(slots, sizeof(pushed_symbol))
        if grown is NULL:
            raise MemoryError
        for i in range(self.slots):
            slot = &self.symbols[i]
            if slot.length:
                find(grown, slots, <const uint8_t*>slot.text, slot.length)[0] = slot[0]
        free(self.symbols)
        self.symbols = grown
        self.slots = slots


cdef pushed_symbol* find(pushed_symbol* symbols, uint32_t slots, const uint8_t* text, uint8_t n) noexcept nogil:
    """Where the symbol is, or the free slot where it would be; half of the slots at least are free."""
    cdef uint32_t i, hashed = 2166136261   # FNV-1a
    for i in range(n):
        hashed = (hashed ^ text[i]) * <uint32_t>16777619
    i = hashed & (slots - 1)
    while symbols[i].length and (symbols[i].length != n or memcmp(symbols[i].text, text, n) != 0):
        i = (i + 1) & (slots - 1)
    return &symbols[i]
