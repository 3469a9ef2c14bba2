# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""A link whose carrier brings whole frames of the wire format (feed/wire/README.md): topics are found by their text.

Who derives from it says how the next frame is taken; `Script` takes them from a list.
"""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

from bots.links.link cimport (
    LINK_CLOSED,
    LINK_NONE,
    LINK_RUN,
    LINK_SKIPPED,
    LINK_TOPIC,
    NO_TOPIC,
    TOPIC_NEW,
    TOPIC_UNWANTED,
    TOPIC_WANTED,
)
from feed.wire.frames cimport TC_WIRE_FIREHOSE, TC_WIRE_HEARTBEAT, TC_WIRE_SYMBOL_MAX, tc_wire_parse
from feed.wire.records cimport TC_SCHEMA_NONE

import collections

from feed.wire.records import BY_ID
from feed.wire.topics import parse_topic

PREFIXES = {schema_id: f"{schema.word}.".encode("ascii") for schema_id, schema in BY_ID.items()}

cdef enum:
    SKIPS = 1024                # unwanted frames between two returns
    TOPICS_MAX = 1 << 20        # a peer that invents more is not believed


cdef class FrameLink(Link):
    """Frames in, runs out; take() is to be overridden."""

    def __cinit__(self, *args, **kwargs):
        self.endpoint = ""
        self.slots = <uint32_t*>calloc(256, sizeof(uint32_t))
        self.slot_mask = 255
        if self.slots == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.keys)
        free(self.slots)

    cdef int take(self, const uint8_t** at, size_t* nbytes) noexcept nogil:
        return TAKE_CLOSED

    # --- reading ----------------------------------------------------------------------------------------------------

    cdef int next(self, run_t* out) noexcept nogil:
        cdef int i
        cdef uint32_t skipped = 0
        cdef key_t* key
        cdef const uint8_t* at
        cdef size_t nbytes
        while True:
            if self.pending:
                self.pending = False
            else:
                i = self.take(&at, &nbytes)
                if i != TAKE_FRAME and i != TAKE_PARSED:
                    return LINK_NONE if i == TAKE_NONE else LINK_CLOSED
                self.frames += 1
                if i == TAKE_FRAME and tc_wire_parse(at, nbytes, &self.frame) != 0:
                    self.malformed += 1
                    continue
            out.flags = self.frame.header.flags
            out.count = self.frame.header.count
            out.record_bytes = self.frame.header.record_bytes
            out.folded = self.frame.header.folded
            out.epoch = self.frame.header.epoch
            out.seq = self.frame.header.seq
            out.topic_seq = self.frame.header.topic_seq
            out.ts_in = self.frame.header.ts_in
            out.ts_sent = self.frame.header.ts_sent
            out.records = self.frame.records
            out.trailer = self.frame.trailer
            self.signs += self.frame.header.count != 0 or self.frame.kind == TC_WIRE_HEARTBEAT
            if self.frame.kind == TC_WIRE_HEARTBEAT:
                out.topic = NO_TOPIC
                out.schema = TC_SCHEMA_NONE
                self.proved = True
                if out.epoch >= self.epoch:     # stragglers of an older one say nothing
                    self.seq = out.seq if out.epoch > self.epoch else max(self.seq, out.seq)
                    self.epoch = out.epoch
                return LINK_RUN
            if self.frame.kind != TC_WIRE_FIREHOSE and self.frame.schema != TC_SCHEMA_NONE:
                i = self._find()
                if i >= 0:
                    key = &self.keys[i]
                    if key.choice == TOPIC_WANTED:
                        out.topic = i
                        out.schema = key.schema
                        return LINK_RUN
                    if key.choice == TOPIC_NEW:
                        self.pending = True
                        out.topic = i
                        return LINK_TOPIC
            skipped += 1
            if skipped == SKIPS:
                return LINK_SKIPPED

    def prove(self, timeout_ns: int) -> bool:
        """Wait until it is proved that what was asked for comes here, at most `timeout_ns`."""
        return self.proved

    def expect(self, epoch: int, due: dict) -> None:
        """Of every topic there is in `epoch`, by schema id and symbol, the topic_seq that its next record will have. A loss
        before the first frame of a topic shows then, too. To be said before the first call of next().
        """
        self.due_epoch, self.due = epoch, due

    def baseline(self, topic: int) -> tuple[int, bool]:
        if self.due is None or self.frame.header.epoch not in (0, self.due_epoch):
            return 0, False
        return self.due.get(self.topic(topic), 1), False

    def passed(self, epoch: int = 0) -> int:
        return self.seq if epoch in (0, self.epoch) else 0

    # --- topics -----------------------------------------------------------------------------------------------------

    cdef int _find(self) noexcept nogil:
        """Index of the current frame's topic, a new one where it was not seen before; -1: there are too many."""
        cdef const uint8_t* text = self.frame.topic
        cdef uint32_t length = self.frame.topic_length
        cdef uint64_t hash = 0xCBF29CE484222325
        cdef uint32_t i
        cdef key_t* key
        if self.last < self.key_count:      # runs of one topic are usual
            key = &self.keys[self.last]
            if key.length == length and memcmp(key.text, text, length) == 0:
                return self.last
        for i in range(length):             # FNV-1a
            hash = (hash ^ text[i]) * <uint64_t>0x100000001B3
        hash ^= hash >> 32
        i = <uint32_t>hash & self.slot_mask
        while self.slots[i]:
            key = &self.keys[self.slots[i] - 1]
            if key.hash == hash and key.length == length and memcmp(key.text, text, length) == 0:
                self.last = self.slots[i] - 1
                return self.last
            i = (i + 1) & self.slot_mask
        if not self._grow():
            return -1
        i = <uint32_t>hash & self.slot_mask
        while self.slots[i]:
            i = (i + 1) & self.slot_mask
        key = &self.keys[self.key_count]
        key.hash = hash
        key.schema = self.frame.schema
        key.choice = TOPIC_NEW
        key.length = <uint8_t>length
        memcpy(key.text, text, length)
        self.last = self.key_count
        self.key_count += 1
        self.slots[i] = self.key_count
        return self.last

    cdef bint _grow(self) noexcept nogil:
        """Room for one more topic, the hash table at most half full; false where there can be none."""
        cdef key_t* keys
        cdef uint32_t* slots
        cdef uint32_t room, mask, i, k
        if self.key_count == self.key_room:
            if self.key_room >= TOPICS_MAX:
                return False
            room = 2 * max(self.key_room, <uint32_t>64)
            keys = <key_t*>realloc(self.keys, room * sizeof(key_t))
            if keys == NULL:
                return False
            self.keys = keys
            self.key_room = room
        if 2 * (self.key_count + 1) > self.slot_mask:
            mask = 2 * self.slot_mask + 1
            slots = <uint32_t*>calloc(mask + 1, sizeof(uint32_t))
            if slots == NULL:
                return False
            for k in range(self.key_count):
                i = <uint32_t>self.keys[k].hash & mask
                while slots[i]:
                    i = (i + 1) & mask
                slots[i] = k + 1
            free(self.slots)
            self.slots = slots
            self.slot_mask = mask
        return True

    def topic(self, index: int) -> tuple[int, str]:
        cdef uint32_t i = index
        if i >= self.key_count:
            raise IndexError(index)
        # Joining asks for thousands: what is certainly a symbol needs no regular expression.
        cdef const key_t* key = &self.keys[i]
        cdef uint32_t begins = len(PREFIXES[key.schema])
        if begins + 1 < key.length and _plain(key.text + begins, key.length - begins - 1):
            return key.schema, (<const char*>key.text)[begins : key.length - 1].decode("ascii")
        return key.schema, parse_topic((<const char*>key.text)[: key.length])[1]

    def index_of_key(self, schema_id: int, symbol: str) -> int:
        if len(symbol) > TC_WIRE_SYMBOL_MAX or not symbol.isascii():
            raise LookupError((schema_id, symbol))
        cdef bytes text = PREFIXES[schema_id] + symbol.encode("ascii") + b"|"
        cdef tc_wire_frame before = self.frame
        cdef int index
        self.frame.topic = <const uint8_t*>text
        self.frame.topic_length = len(text)
        self.frame.schema = schema_id
        index = self._find()
        self.frame = before
        if index < 0:
            raise LookupError((schema_id, symbol))
        return index

    def topics(self) -> int:
        return self.key_count

    def want(self, topic: int, wanted: bool) -> None:
        cdef uint32_t i = topic
        if i >= self.key_count:
            raise IndexError(topic)
        self.keys[i].choice = TOPIC_WANTED if wanted else TOPIC_UNWANTED

    def unknown(self) -> list[int]:
        cdef uint32_t i
        return [i for i in range(self.key_count) if self.keys[i].choice == TOPIC_NEW]


cdef bint _plain(const uint8_t* text, uint32_t length) noexcept nogil:
    """Only letters, digits, dots, dashes and underscores."""
    cdef uint32_t i
    cdef uint8_t c
    for i in range(length):
        c = text[i]
        if not (c"0" <= c <= c"9" or c"A" <= c <= c"Z" or c"a" <= c <= c"z" or c == c"." or c == c"-" or c == c"_"):
            return False
    return True


cdef class Script(FrameLink):
    """Frames from a list, each in its turn; nothing is waiting while it is empty. For tests of what stands behind a link."""

    def __init__(self, transport: str = "tcp") -> None:
        self.transport = transport
        self.coming = collections.deque()
        self.ended = False

    def put(self, frame: bytes) -> None:
        self.coming.append(frame)

    cdef int take(self, const uint8_t** at, size_t* nbytes) noexcept nogil:
        with gil:
            if not self.coming:
                return TAKE_CLOSED if self.ended else TAKE_NONE
            self.present = self.coming.popleft()
            at[0] = <const uint8_t*>self.present
            nbytes[0] = len(self.present)
        return TAKE_FRAME

    cdef bint wait(self, uint64_t timeout_ns, bint spin) noexcept nogil:
        with gil:
            return bool(self.coming)
