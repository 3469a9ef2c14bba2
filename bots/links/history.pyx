# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The link over history: log frames in blocks, as archive files hold them and the control address answers with them.

Blocks come from an object that has

    next_block() -> (epoch, data, lost) or None     None: nothing is there now; lost: (first, last) seq that will not come
    ended                                           nothing more will come
    epoch                                           that it has come to, whether there was anything of it or not
    wait(timeout_s)                                 until something may be there
    close()
    topic(topic_id) -> (schema word, symbol)        for ids that no announcement in the data explains

`data` is whole log frames (feed/log/layout.h) in stream order; bytes that are none end the block and count as malformed.
"""

from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from bots.links.link cimport (
    LINK_CLOSED,
    LINK_LOST,
    LINK_NONE,
    LINK_RUN,
    LINK_SKIPPED,
    LINK_TOPIC,
    TOPIC_NEW,
    TOPIC_UNWANTED,
    TOPIC_WANTED,
)
from feed.wire.frames cimport (
    TC_FLAG_SNAPSHOT,
    TC_WIRE_LOG_HEADER,
    TC_WIRE_LOG_RECORD,
    TC_WIRE_LOG_TOPIC_KIND,
    TC_WIRE_SYMBOL_MAX,
    tc_wire_log_at,
    tc_wire_log_header,
)
from feed.wire.records cimport tc_record_bytes

from feed.errors import TickcastError
from feed.wire.records import BY_ID, BY_WORD
from feed.wire.topics import check_symbol

cdef enum:
    SKIPS = 4096                # unwanted frames between two returns
    IDS_MAX = 1 << 24           # as many topics as a log can have

# The record of an announcement (tc_topic_entry).
ctypedef struct announced_t:
    uint16_t schema
    uint16_t symbol_length
    uint32_t topic_id


cdef class HistoryLink(Link):
    """What `blocks` hold, from `from_seq` of the first epoch on; `flags` are set on every tick (TC_FLAG_REPLAYED)."""

    def __init__(self, blocks, transport: str = "history", from_seq: int = 0, flags: int = 0, first_epoch: int = 0) -> None:
        self.transport = transport
        self.first_epoch = first_epoch
        self.blocks = blocks
        self.from_seq = self.seq = from_seq
        self.flags = flags
        self.keys = []
        self.indices = {}

    def __dealloc__(self):
        free(self.index_of)
        free(self.choice)
        free(self.schemas)

    # --- reading ----------------------------------------------------------------------------------------------------

    cdef int next(self, run_t* out) noexcept nogil:
        cdef tc_wire_log_header header
        cdef uint32_t index, skipped = 0
        cdef int what
        while True:
            if self.left < TC_WIRE_LOG_HEADER:
                what = self._next_block()
                if what != LINK_RUN:
                    return what
                continue
            header = tc_wire_log_at(self.at)
            if header.length < TC_WIRE_LOG_HEADER or header.length > self.left:
                self.malformed += 1
                self.left = 0
                continue
            # An announcement in a snapshot is news: it says which topic_seq the state includes.
            if header.kind == TC_WIRE_LOG_RECORD or header.kind == TC_WIRE_LOG_TOPIC_KIND:
                index = self.index_of[header.topic_id] if header.topic_id < self.ids else 0
                if index == 0:
                    with gil:
                        index = self._learn(&header)
                if index == 0:
                    self.malformed += 1
                elif header.kind == TC_WIRE_LOG_RECORD or self.flags & TC_FLAG_SNAPSHOT:
                    index -= 1
                    if self.choice[index] == TOPIC_NEW:
                        out.topic = index
                        return LINK_TOPIC
                    if self._frame(&header, index, out):
                        return LINK_RUN
            self.at += header.length
            self.left -= header.length
            skipped += 1
            if skipped == SKIPS:
                return LINK_SKIPPED

    cdef bint _frame(self, const tc_wire_log_header* header, uint32_t index, run_t* out) noexcept nogil:
        """Give out the frame at hand and go behind it; false if it is to be passed over."""
        out.count = header.kind == TC_WIRE_LOG_RECORD
        if out.count:
            if header.seq < self.from_seq and not self.flags & TC_FLAG_SNAPSHOT:
                return False
            self.seq = max(self.seq, header.seq + 1)
        self.frames += 1
        if self.choice[index] == TOPIC_UNWANTED:
            return False
        out.record_bytes = tc_record_bytes(self.schemas[index])
        if header.length < TC_WIRE_LOG_HEADER + out.record_bytes and out.count:
            self.malformed += 1
            return False
        out.topic = index
        out.schema = self.schemas[index]
        out.flags = header.flags | self.flags
        out.folded = 0
        out.epoch = self.epoch
        out.seq = header.seq
        out.topic_seq = header.topic_seq if out.count else header.topic_seq + 1
        out.ts_in = header.ts_in
        out.ts_sent = header.ts_in + header.committed_delta
        out.records = self.at + TC_WIRE_LOG_HEADER
        out.trailer = NULL
        self.at += header.length
        self.left -= header.length
        return True

    cdef int _next_block(self) noexcept nogil:
        """LINK_RUN: there is one. Blocks have thousands of frames: the GIL is taken once for each."""
        with gil:
            return self._take_block()

    cdef int _take_block(self) noexcept:
        cdef const uint8_t[::1] view
        self.left = 0
        block = self.blocks.next_block()
        if block is None:
            return LINK_CLOSED if self.blocks.ended else LINK_NONE
        epoch, data, lost = block
        if epoch != self.epoch:
            if self.epoch:
                self.from_seq = self.seq = 0
            self.epoch = epoch
            memset(self.index_of, 0, self.ids * sizeof(uint32_t))
        if len(data):
            view = data
            self.block = view
            self.at = &view[0]
            self.left = view.shape[0]
        if lost is None:
            return LINK_RUN
        self.lost_first, self.lost_last = lost
        self.seq = max(self.seq, self.lost_last + 1)
        return LINK_LOST

    @property
    def reached(self) -> int:
        """The epoch that it has come to; all before it are complete."""
        return self.blocks.epoch

    cdef bint wait(self, uint64_t timeout_ns, bint spin) noexcept nogil:
        with gil:
            return self.blocks.wait(timeout_ns / 1e9)

    def passed(self, epoch: int = 0) -> int:
        return self.seq if epoch in (0, self.epoch) else 0

    def close(self) -> None:
        self.left = 0
        self.block = None
        self.blocks.close()

    # --- topics -----------------------------------------------------------------------------------------------------

    cdef uint32_t _learn(self, const tc_wire_log_header* header) noexcept:
        """1 + index of a topic id that is new in this epoch; 0: nothing explains it."""
        cdef announced_t announced
        cdef const char* text = <const char*>self.at + TC_WIRE_LOG_HEADER
        cdef uint32_t room
        if header.topic_id >= IDS_MAX:
            return 0
        try:
            if header.kind != TC_WIRE_LOG_TOPIC_KIND:
                word, symbol = self.blocks.topic(header.topic_id)
            elif header.length < TC_WIRE_LOG_HEADER + sizeof(announced):
                return 0
            else:
                memcpy(&announced, text, sizeof(announced))
                text += sizeof(announced)
                if announced.symbol_length > min(<size_t>TC_WIRE_SYMBOL_MAX, header.length - TC_WIRE_LOG_HEADER - sizeof(announced)):
                    return 0
                word, symbol = BY_ID[announced.schema].word, check_symbol(text[: announced.symbol_length].decode("ascii"))
            index = self.index_of_key(BY_WORD[word].id, symbol)
            if header.topic_id >= self.ids:
                room = max(2 * self.ids, header.topic_id + 1, <uint32_t>256)
                self.index_of = <uint32_t*>_grown(self.index_of, room * sizeof(uint32_t))
                memset(self.index_of + self.ids, 0, (room - self.ids) * sizeof(uint32_t))
                self.ids = room
            self.index_of[header.topic_id] = index + 1
            return index + 1
        except (LookupError, TickcastError, UnicodeDecodeError, MemoryError):
            return 0

    def index_of_key(self, schema_id: int, symbol: str) -> int:
        cdef uint32_t room
        index = self.indices.setdefault((schema_id, symbol), len(self.keys))
        if index == len(self.keys):
            if index >= self.room:
                room = max(2 * self.room, <uint32_t>256)
                self.choice = <uint8_t*>_grown(self.choice, room)
                self.schemas = <uint16_t*>_grown(self.schemas, room * sizeof(uint16_t))
                self.room = room
            self.choice[<uint32_t>index] = TOPIC_NEW
            self.schemas[<uint32_t>index] = schema_id
            self.keys.append((schema_id, symbol))
        return index

    def topic(self, topic: int) -> tuple[int, str]:
        return self.keys[topic]

    def topics(self) -> int:
        return len(self.keys)

    def want(self, topic: int, wanted: bool) -> None:
        cdef uint32_t i = topic
        if i >= len(self.keys):
            raise IndexError(topic)
        self.choice[i] = TOPIC_WANTED if wanted else TOPIC_UNWANTED

    def unknown(self) -> list[int]:
        cdef uint32_t i
        return [i for i in range(len(self.keys)) if self.choice[i] == TOPIC_NEW]


cdef void* _grown(void* memory, size_t nbytes) except NULL:
    cdef void* grown = realloc(memory, nbytes)
    if grown == NULL:
        raise MemoryError
    return grown
