# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""One DBN file as a stream of records: decompressed bytes go in, records of DBN version 3 come out, none is allocated.

Sans-IO: who reads the file, and what an instrument is called, comes from outside. Memory is one buffer of fixed size
and a table of the instruments seen.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memmove

from cpython.bytearray cimport PyByteArray_AS_STRING

from collections import namedtuple

DbnFound = namedtuple("DbnFound", "kind rtype schema_id instrument_id ts record")

IMPOSSIBLE = TC_DBN_IS_IMPOSSIBLE
PARTIAL = TC_DBN_IS_PARTIAL
RECORD = TC_DBN_IS_RECORD
MAPPING = TC_DBN_IS_MAPPING
UNSUPPORTED = TC_DBN_IS_UNSUPPORTED
UNKNOWN = TC_DBN_IS_UNKNOWN
WRONG_LENGTH = TC_DBN_IS_WRONG_LENGTH

REFUSED = <uint32_t>TOPIC_REFUSED

BUFFER_BYTES = 256 << 10
BUFFER_BYTES_MIN = 4096            # holds a record of any length several times over


cdef class DbnStream:
    """The records of one file, in its order.

    :param order: decides between streams whose next records have the same time.
    :param version: of the file, 1 to 3.
    :param ts_out: does each record end in 8 more bytes (its sending time)? They are left away.
    :param not_before: ns since 1970 before which no record will come, as far as is known.
    """

    def __cinit__(
        self, order: int, version: int, ts_out: bool = False, not_before: int = 0, buffer_bytes: int = BUFFER_BYTES
    ):
        self._capacity = max(BUFFER_BYTES_MIN, buffer_bytes)
        self.s.order = order
        self.s.version = version
        self.s.ts_out = ts_out
        self.s.key = not_before

    def __dealloc__(self):
        free(self.s.instruments)

    # --- bytes in ---------------------------------------------------------------------------------------------------

    def space(self) -> memoryview:
        """Room for more bytes: all but what a record not yet whole takes, unless a record waits for its turn."""
        if self._buffer is None:
            self._buffer = bytearray(self._capacity)
            self.s.bytes = <uint8_t*>PyByteArray_AS_STRING(self._buffer)
        if self.s.at and not self.s.ready:
            memmove(self.s.bytes, self.s.bytes + self.s.at, self.s.end - self.s.at)
            self.s.end -= self.s.at
            self.s.at = 0
        return memoryview(self._buffer)[self.s.end :]

    def filled(self, n: int) -> None:
        """`n` bytes were written to :meth:`space`."""
        self.s.end += n

    def drop(self) -> None:
        """Give the buffer back; nothing more will be read."""
        self.s.at = self.s.end = self.s.step = 0
        self.s.ready = False
        self.s.bytes = NULL
        self._buffer = None

    @property
    def offset(self) -> int:
        """Where the next record begins, in bytes from the first record of the file."""
        return self.s.offset + self.s.step

    @property
    def left(self) -> int:
        """Bytes in the buffer from there on."""
        return self.s.end - self.s.at - self.s.step

    # --- records out ------------------------------------------------------------------------------------------------

    def next(self) -> DbnFound:
        """Decode the next record; `record` is a copy, in version 3 and empty unless `kind` is RECORD."""
        cdef int kind = dbn_advance(&self.s)
        if kind <= 0:
            return DbnFound(kind, 0, 0, 0, 0, b"")
        record = b""
        if kind == TC_DBN_IS_RECORD:
            record = (<const char*>self.s.head.record)[: self.s.head.record_bytes]
        return DbnFound(
            kind, self.s.head.rtype, self.s.head.schema, self.s.head.instrument_id, self.s.head.ts, record
        )

    def mapping(self) -> tuple[int, str, str]:
        """Of the MAPPING found last: instrument_id, the symbol asked for, the symbol it stands for."""
        cdef tc_dbn_mapping mapping
        tc_dbn_mapping_of(&self.s.head, self.s.version, &mapping)
        # latin-1 takes any byte; a symbol that is not ASCII is refused where topics are made
        return mapping.instrument_id, mapping.symbol_in.decode("latin-1"), mapping.symbol_out.decode("latin-1")

    @property
    def waiting(self) -> tuple[int, int, int]:
        """Of the record that waits for its turn: instrument_id, schema id, ns since 1970."""
        return self.s.head.instrument_id, self.s.head.schema, self.s.head.ts

    # --- what instruments are called --------------------------------------------------------------------------------

    def bind(self, instrument_id: int, schema_id: int, topic: int, from_ns: int, to_ns: int) -> None:
        """Records of this instrument and schema go to `topic` while their time is in [from_ns, to_ns)."""
        cdef dbn_instrument* instrument = dbn_find(&self.s, instrument_id)
        if instrument is NULL:
            if 2 * (self.s.used + 1) > self.s.slots:
                self._grow()
            instrument = dbn_slot(self.s.instruments, self.s.slots, instrument_id)
            instrument.id = instrument_id
            instrument.taken = True
            self.s.used += 1
        if not instrument.from_ns == from_ns or not instrument.to_ns == to_ns:
            dbn_forget(instrument)
            instrument.from_ns = from_ns
            instrument.to_ns = to_ns
        instrument.topics[<size_t>schema_id] = topic

    def forget(self, instrument_id: int) -> None:
        """Ask again what this instrument is called."""
        cdef dbn_instrument* instrument = dbn_find(&self.s, instrument_id)
        if instrument is not NULL:
            dbn_forget(instrument)

    def _grow(self) -> None:
        cdef uint32_t i, slots = max(64, 2 * self.s.slots)
        cdef dbn_instrument* grown = <dbn_instrument*>calloc(slots, sizeof(dbn_instrument))
        if grown is NULL:
            raise MemoryError
        for i in range(self.s.slots):
            if self.s.instruments[i].taken:
                dbn_slot(grown, slots, self.s.instruments[i].id)[0] = self.s.instruments[i]
        free(self.s.instruments)
        self.s.instruments = grown
        self.s.slots = slots


cdef int dbn_advance(dbn_stream* s) noexcept nogil:
    s.at += s.step
    s.offset += s.step
    s.step = 0
    s.ready = False
    cdef int kind = tc_dbn_next(s.bytes + s.at, s.end - s.at, s.version, s.ts_out, s.scratch, &s.head)
    if kind > 0:
        s.step = s.head.input_bytes
    return kind


cdef dbn_instrument* dbn_find(dbn_stream* s, uint32_t instrument_id) noexcept nogil:
    if s.slots == 0:
        return NULL
    cdef dbn_instrument* instrument = dbn_slot(s.instruments, s.slots, instrument_id)
    return instrument if instrument.taken else NULL


cdef dbn_instrument* dbn_slot(dbn_instrument* instruments, uint32_t slots, uint32_t instrument_id) noexcept nogil:
    """Where the instrument is, or the free slot where it would be; half of the slots at least are free."""
    cdef uint32_t mask = slots - 1
    # Fibonacci hashing: ids are often consecutive, or multiples of a power of two
    cdef uint32_t i = ((instrument_id * <uint32_t>2654435769) >> 7) & mask
    while instruments[i].taken and instruments[i].id != instrument_id:
        i = (i + 1) & mask
    return &instruments[i]


cdef void dbn_forget(dbn_instrument* instrument) noexcept nogil:
    cdef int schema
    instrument.from_ns = instrument.to_ns = 0
    for schema in range(TC_SCHEMA_END):
        instrument.topics[schema] = TOPIC_UNKNOWN
