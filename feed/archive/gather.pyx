# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""What an export takes from an archive's blocks: records end to end, frames by schema, or what was called how and when.

Both are walks (feed/store/walk.pyx) whose run() goes through a block; it gives the topic id that bind() has to name before it
can go on, or -1 when the block is done.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from feed.log.layout cimport TC_FRAME_HEADER, tc_log_frame
from feed.store.walk cimport FrameWalk
from feed.wire.records cimport TC_SCHEMA_END, TC_UNDEF_TIMESTAMP, tc_record_bytes, tc_record_header

from feed.wire.records import SCHEMAS

cdef enum:
    TS_EVENT = 8                      # offset in every record

cdef uint64_t DAY_NS = 86_400_000_000_000
cdef uint32_t TS_RECV[TC_SCHEMA_END]  # its offset in the schema's record, or that of ts_event where it has none


def _index_times() -> None:
    for schema in SCHEMAS:
        offsets = {field.name: field.offset for field in schema.fields}
        TS_RECV[<size_t>schema.id] = offsets.get("ts_recv", TS_EVENT)


_index_times()


cdef struct buffer_t:
    uint8_t* bytes
    size_t used, room


cdef uint8_t* _space(buffer_t* buffer, size_t nbytes) noexcept nogil:
    """Room for so much more, counted as used; NULL: no memory."""
    cdef size_t room = buffer.room
    cdef uint8_t* larger
    if buffer.used + nbytes > room:
        room = max(2 * room, buffer.used + nbytes + 65536)
        larger = <uint8_t*>realloc(buffer.bytes, room)
        if larger == NULL:
            return NULL
        buffer.bytes = larger
        buffer.room = room
    buffer.used += nbytes
    return buffer.bytes + buffer.used - nbytes


cdef bytes _taken(buffer_t* buffer):
    cdef size_t n = buffer.used
    buffer.used = 0
    return (<const char*>buffer.bytes)[:n]


cdef uint64_t _index_ns(const tc_log_frame* frame, uint32_t schema) noexcept nogil:
    """The time by which DBN's readers date a record: ts_recv, or ts_event where there is none."""
    cdef const uint8_t* record = <const uint8_t*>&frame.record[0]
    cdef uint64_t ts = (<const uint64_t*>(record + TS_RECV[schema]))[0]
    return ts if ts != TC_UNDEF_TIMESTAMP else (<const uint64_t*>(record + TS_EVENT))[0]


cdef class Gather(FrameWalk):
    """Records alone, end to end in stream order; or, `by_schema`, whole frames, the rows of a table for each schema.

    Records that are not of their schema's size are left out and counted as misfits.
    """

    cdef buffer_t _buffers[TC_SCHEMA_END]
    cdef bint _by_schema
    cdef readonly uint64_t count, misfits
    cdef readonly size_t held         # bytes that take() would give

    def __cinit__(self, first_seq: int, last_seq: int, from_ns: int, to_ns: int, by_schema: bool = False):
        self._by_schema = by_schema

    def __dealloc__(self):
        cdef int i
        for i in range(TC_SCHEMA_END):
            free(self._buffers[i].bytes)

    def run(self) -> int:
        cdef bint enough
        with nogil:
            enough = self._run()
        if not enough:
            raise MemoryError
        return self.unknown

    def take(self) -> list[tuple[int, bytes]]:
        """(schema id, what came since the last call) of every schema of which something came; all have id 0 if not by schema."""
        cdef int i
        self.held = 0
        return [(i, _taken(&self._buffers[i])) for i in range(TC_SCHEMA_END) if self._buffers[i].used]

    cdef bint _run(self) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef uint8_t* to
        cdef uint32_t schema
        cdef uint32_t skipped = 0 if self._by_schema else TC_FRAME_HEADER
        while True:
            frame = self.frame()
            if frame == NULL:
                return True
            schema = self.topics[frame.topic_id].schema
            if frame.length == TC_FRAME_HEADER + tc_record_bytes(<uint16_t>schema):
                to = _space(&self._buffers[schema if self._by_schema else 0], frame.length - skipped)
                if to == NULL:
                    return False
                memcpy(to, <const uint8_t*>frame + skipped, frame.length - skipped)
                self.held += frame.length - skipped
                self.count += 1
            else:
                self.misfits += 1
            self.advance(frame)


cdef struct named_t:
    uint32_t instrument_id
    uint32_t day          # since 1970, plus 1; 0: no time


cdef class Names(FrameWalk):
    """Which instrument ids each topic had on which days, of which types records are, and from when to when."""

    cdef named_t* _last   # of each topic id
    cdef uint32_t _last_room
    cdef uint8_t _rtypes[256]
    cdef readonly uint64_t count
    cdef readonly uint64_t first_ns, last_ns    # ts_recv, else ts_event, of the earliest and the latest record; 0: none
    cdef object _found

    def __cinit__(self, *_: object):
        self._found = set()

    def __dealloc__(self):
        free(self._last)

    def run(self) -> int:
        cdef named_t named
        cdef int64_t topic_id
        while True:
            with nogil:
                topic_id = self._changed(&named)
            if topic_id < 0:
                return self.unknown
            if topic_id >= self._last_room:
                self._grow(<uint32_t>topic_id)
            self._last[topic_id] = named
            if named.day:
                self._found.add((self.topics[topic_id].label, named.instrument_id, named.day - 1))

    def forget_topics(self) -> None:
        super().forget_topics()
        self._last_room = 0

    def take(self) -> set[tuple[int, int, int]]:
        """(label, instrument id, days since 1970), each once."""
        return self._found

    def rtypes(self) -> list[int]:
        """The record types met."""
        return [i for i in range(256) if self._rtypes[i]]

    cdef int64_t _changed(self, named_t* named) noexcept nogil:
        """Up to the next record whose topic had another instrument id or day before: its topic id. -1: there is none."""
        cdef const tc_log_frame* frame
        cdef const tc_record_header* record
        cdef uint64_t ts
        cdef uint32_t i
        while True:
            frame = self.frame()
            if frame == NULL:
                return -1
            self.advance(frame)
            i = frame.topic_id
            if frame.length != TC_FRAME_HEADER + tc_record_bytes(<uint16_t>self.topics[i].schema):
                continue
            record = <const tc_record_header*>&frame.record[0]
            ts = _index_ns(frame, self.topics[i].schema)
            named.instrument_id = record.instrument_id
            named.day = 0
            if ts != TC_UNDEF_TIMESTAMP:
                named.day = <uint32_t>(ts // DAY_NS) + 1
                self.first_ns = ts if self.first_ns == 0 else min(self.first_ns, ts)
                self.last_ns = max(self.last_ns, ts)
            self._rtypes[record.rtype] = 1
            self.count += 1
            if i >= self._last_room or self._last[i].instrument_id != named.instrument_id or self._last[i].day != named.day:
                return i

    cdef int _grow(self, uint32_t topic_id) except -1:
        cdef uint32_t room = 2 * (topic_id + 64)
        cdef named_t* larger = <named_t*>realloc(self._last, room * sizeof(named_t))
        if larger == NULL:
            raise MemoryError
        self._last = larger
        memset(larger + self._last_room, 0, (room - self._last_room) * sizeof(named_t))
        self._last_room = room
        return 0
