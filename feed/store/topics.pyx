# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The topics of one epoch, by id, each with the last topic_seq that went by: what a segment begins with."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from feed.log.layout cimport TC_KIND_RECORD, TC_KIND_TOPIC, tc_log_frame, tc_topic_entry
from feed.store.block cimport block_close
from feed.store.layout cimport (
    TC_BLOCK_FRAMES,
    TC_BLOCK_HEADER,
    TC_BLOCK_NAMES_TOPICS,
    TC_BLOCK_PAYLOAD_MAX,
    TC_BLOCK_TOPICS,
    tc_block,
    tc_topic_row,
)

from feed.errors import CallerError
from feed.wire.records import BY_ID, BY_WORD
from feed.wire.topics import check_schema, check_symbol

cdef enum:
    ID_MAX = 1 << 24      # as log.max_topics: what no log can give is no id


cdef class TopicTable:
    def __dealloc__(self) -> None:
        free(self.entries)
        free(self.topic_seqs)

    cdef int learn(self, const tc_block* block, const uint8_t* payload) except -1:
        cdef const tc_log_frame* frame
        cdef const tc_topic_row* rows = <const tc_topic_row*>payload
        cdef uint32_t i, at = 0
        if block.kind == TC_BLOCK_TOPICS:
            for i in range(min(block.count, <uint32_t>(block.nbytes // sizeof(tc_topic_row)))):
                self.enter(&rows[i].entry, rows[i].topic_seq)
        elif block.kind == TC_BLOCK_FRAMES:
            while at < block.nbytes:
                frame = <const tc_log_frame*>(payload + at)
                if frame.kind == TC_KIND_RECORD:
                    if frame.topic_id < self.count:
                        self.topic_seqs[frame.topic_id] = frame.topic_seq
                elif frame.kind == TC_KIND_TOPIC:
                    self.enter(<const tc_topic_entry*>&frame.record[0], 0)
                at += frame.length
        return 0

    cdef int enter(self, const tc_topic_entry* entry, uint64_t topic_seq) except -1:
        cdef uint32_t topic_id = entry.topic_id
        if topic_id >= ID_MAX or not 1 <= entry.symbol_length <= 71 or entry.schema not in BY_ID:
            return 0
        self._grow(topic_id + 1)
        memcpy(&self.entries[topic_id], entry, sizeof(tc_topic_entry))
        self.topic_seqs[topic_id] = max(self.topic_seqs[topic_id], topic_seq)
        return 0

    cdef const tc_topic_entry* entry(self, uint32_t topic_id) noexcept nogil:
        if topic_id >= self.count or self.entries[topic_id].symbol_length == 0:
            return NULL
        return &self.entries[topic_id]

    cdef bint knows(self, const tc_block* block, const uint8_t* payload) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef uint32_t at = 0
        while at < block.nbytes:
            frame = <const tc_log_frame*>(payload + at)
            if frame.kind == TC_KIND_RECORD and self.entry(frame.topic_id) == NULL:
                return False
            at += frame.length
        return True

    cdef void clear(self) noexcept nogil:
        if self.count:
            memset(self.entries, 0, self.count * sizeof(tc_topic_entry))
            memset(self.topic_seqs, 0, self.count * sizeof(uint64_t))
            self.count = 0

    cdef list to_blocks(self, uint64_t epoch, uint64_t seq):
        cdef uint32_t topic_id = 0
        cdef bytearray made
        cdef uint8_t* at
        cdef tc_block* head
        cdef tc_topic_row* rows
        blocks = []
        while topic_id < self.count or not blocks:
            made = bytearray(TC_BLOCK_HEADER + TC_BLOCK_PAYLOAD_MAX // sizeof(tc_topic_row) * sizeof(tc_topic_row))
            at = made
            head = <tc_block*>at
            rows = <tc_topic_row*>(at + TC_BLOCK_HEADER)
            while topic_id < self.count and head.count < TC_BLOCK_PAYLOAD_MAX // sizeof(tc_topic_row):
                if self.entries[topic_id].symbol_length:
                    rows[head.count].entry = self.entries[topic_id]
                    rows[head.count].topic_seq = self.topic_seqs[topic_id]
                    head.count += 1
                topic_id += 1
            head.kind = TC_BLOCK_TOPICS
            head.flags = TC_BLOCK_NAMES_TOPICS
            head.nbytes = head.count * sizeof(tc_topic_row)
            head.epoch = epoch
            head.first_seq = seq
            head.last_seq = seq - 1
            block_close(head, at + TC_BLOCK_HEADER)
            blocks.append(bytes(made[: TC_BLOCK_HEADER + head.nbytes]))
        return blocks

    def add(self, topic_id: int, schema: str, symbol: str) -> bool:
        cdef tc_topic_entry entry
        cdef const tc_topic_entry* known
        check_schema(schema)
        text = check_symbol(symbol).encode("ascii")
        if not 0 <= topic_id < ID_MAX:
            raise CallerError("no such topic id", expected=f"below {ID_MAX}", found=topic_id)
        memset(&entry, 0, sizeof(entry))
        entry.schema = BY_WORD[schema].id
        entry.symbol_length = len(text)
        entry.topic_id = topic_id
        memcpy(entry.symbol, <const char*>text, len(text))
        known = self.entry(entry.topic_id)
        if known != NULL and memcmp(known, &entry, sizeof(entry)) == 0:
            return False
        self.enter(&entry, 0)
        return True

    def topic(self, topic_id: int) -> tuple[str, str]:
        cdef const tc_topic_entry* entry = self.entry(topic_id) if 0 <= topic_id < ID_MAX else NULL
        if entry == NULL:
            raise CallerError("no topic of this id is known here", found=topic_id)
        return BY_ID[entry.schema].word, entry.symbol[: entry.symbol_length].decode("ascii")

    cdef int _grow(self, uint32_t count) except -1:
        """Room for ids below `count`, and all of them in `count`; new entries are unknown."""
        cdef uint32_t room
        cdef void* grown
        if count > self.room:
            room = max(count, 2 * self.room, 1024)
            grown = realloc(self.entries, room * sizeof(tc_topic_entry))
            if grown == NULL:
                raise MemoryError
            self.entries = <tc_topic_entry*>grown
            grown = realloc(self.topic_seqs, room * sizeof(uint64_t))
            if grown == NULL:
                raise MemoryError
            self.topic_seqs = <uint64_t*>grown
            memset(&self.entries[self.room], 0, (room - self.room) * sizeof(tc_topic_entry))
            memset(&self.topic_seqs[self.room], 0, (room - self.room) * sizeof(uint64_t))
            self.room = room
        self.count = max(self.count, count)
        return 0
