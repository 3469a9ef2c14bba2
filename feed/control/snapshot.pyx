# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The answer to `snapshot`: the state of the topics that a request selects, a chunk at a time (README.md beside this file).

The cursor is the topic id to go on with. A topic's frames are never divided, so an answer is as large as it was to be or, if
one book alone is larger, as that book.
"""

from libc.stdint cimport UINT32_MAX, int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

from feed.clock cimport wall_ns
from feed.control.books cimport Books
from feed.control.layout cimport TC_BOOK_HOLED, TC_BOOK_TOO_LARGE, tc_state_book, tc_state_order
from feed.control.runs cimport Runs
from feed.control.selection cimport SELECTED_NOT, Selection
from feed.control.state cimport State
from feed.log.layout cimport TC_FRAME_HEADER, tc_topic_entry
from feed.log.observer cimport topic_of
from feed.wire.frames cimport TC_FLAG_SNAPSHOT, tc_wire_log_header
from feed.wire.records cimport TC_SCHEMA_ORDER, TC_UNDEF_PRICE, tc_order

from typing import NamedTuple

from feed.errors import ControlError, HostError

cdef enum:
    ANSWER_BYTES = 1024 * 1024
    TOPICS_LOOKED_AT = 100_000      # for one answer: a rare symbol must not hold the others up
    TOPICS_TOLD = ANSWER_BYTES // 120 + 1

    # DBN's flags of a record
    DBN_LAST = 128
    DBN_SNAPSHOT = 32
    DBN_BAD_TS_RECV = 8
    DBN_MAYBE_BAD_BOOK = 4


class Chunk(NamedTuple):
    """One answer's worth. `next` is None behind the last topic; `incomplete` names topics whose state is not all here."""

    seq: int
    next: int | None
    incomplete: list
    parts: list


cdef class Snapshots:
    """Makes chunks of `state`; the memory is used again."""

    cdef Runs runs
    cdef uint32_t incomplete[TOPICS_TOLD]
    cdef uint32_t incompletes

    def __init__(self) -> None:
        self.runs = Runs()

    def chunk(self, State state not None, Selection selection not None, cursor: object) -> Chunk:
        """The state, as far as `state` has followed the log, of the topics that are selected, from `cursor` on.

        :raises ControlError: the cursor is none.
        """
        cdef uint32_t at
        if type(cursor) is not int or not 0 <= cursor <= UINT32_MAX:
            raise ControlError("not a cursor", expected="what the answer before gave as next, or 0", found=repr(cursor)[:40])
        at = cursor
        self.runs.begin(state.header.epoch, TC_FLAG_SNAPSHOT)
        with nogil:
            at = self._fill(state, selection, at)
        if self.runs.failed:
            raise HostError("no memory for a snapshot", found=f"{self.runs.used} bytes")
        count = state.header.topics
        named = [".".join(topic_of(state.reader.topic_entries, count, self.incomplete[i])) for i in range(self.incompletes)]
        return Chunk(state.reader.seq - 1, at if at < count else None, named, self.runs.take(wall_ns()))

    cdef uint32_t _fill(self, State state, Selection selection, uint32_t at) noexcept nogil:
        """Append topics from id `at` on; gives the id to go on with."""
        cdef uint32_t end = min(<uint64_t>state.header.topics, <uint64_t>at + TOPICS_LOOKED_AT)
        self.incompletes = 0
        while at < end:
            if not state.topics[at].retired and selection.find(&state.reader.topic_entries[at]) != SELECTED_NOT:
                if self.runs.frames_bytes and self.runs.frames_bytes + _size(state, at) > ANSWER_BYTES:
                    break
                if state.incomplete(at):
                    self.incomplete[self.incompletes] = at
                    self.incompletes += 1
                if not self._topic(state, at):
                    break
            at += 1
        return at

    cdef bint _topic(self, State state, uint32_t topic_id) noexcept nogil:
        """Append one topic: its announcement and its state."""
        cdef uint64_t topic_seq = state.topics[topic_id].topic_seq
        cdef const tc_topic_entry* entry = &state.reader.topic_entries[topic_id]
        cdef const uint8_t* last
        cdef tc_wire_log_header head
        memset(&head, 0, sizeof(head))
        if state.topics[topic_id].schema == TC_SCHEMA_ORDER:
            return (
                self.runs.topic(topic_id, entry, state.topics[topic_id].seq, topic_seq, state.books.books[topic_id].ts_in)
                and (topic_seq == 0 or self._book(state.books, topic_id))
            )
        last = state.lasts.last(topic_id)
        if last == NULL:
            return self.runs.topic(topic_id, entry, state.topics[topic_id].seq, topic_seq, 0)
        memcpy(&head, last, TC_FRAME_HEADER)
        head.topic_seq = topic_seq
        return (
            self.runs.topic(topic_id, entry, head.seq, topic_seq, head.ts_in)
            and self.runs.record(&head, last + TC_FRAME_HEADER, head.length - TC_FRAME_HEADER)
        )

    cdef bint _book(self, Books books, uint32_t topic_id) noexcept nogil:
        """Append a book as DBN has it: a Clear, then the orders as Adds in order of priority, the last one flagged LAST."""
        cdef const tc_state_book* book = &books.books[topic_id]
        cdef const tc_state_order* order
        cdef tc_wire_log_header head
        cdef tc_order record = book.last
        cdef uint8_t flags = DBN_SNAPSHOT | DBN_BAD_TS_RECV
        cdef uint32_t at = book.first
        if book.standing == TC_BOOK_HOLED or book.standing == TC_BOOK_TOO_LARGE:
            flags |= DBN_MAYBE_BAD_BOOK
        memset(&head, 0, sizeof(head))
        head.topic_id = topic_id
        head.seq = book.seq
        head.topic_seq = book.topic_seq
        head.ts_in = book.ts_in
        record.order_id = 0
        record.price = TC_UNDEF_PRICE
        record.size = 0
        record.flags = flags if at else flags | DBN_LAST
        record.channel_id = 0
        record.action = c"R"
        record.side = c"N"
        record.ts_in_delta = 0
        if not self.runs.record(&head, &record, sizeof(record)):
            return False
        while at:
            order = &books.orders[at]
            at = order.after
            record = order.record
            record.action = c"A"
            record.flags = flags if at else flags | DBN_LAST
            record.ts_recv = book.last.ts_recv
            record.ts_in_delta = 0
            if not self.runs.record(&head, &record, sizeof(record)):
                return False
        return True


cdef size_t _size(State state, uint32_t topic_id) noexcept nogil:
    """Bytes of a topic's log frames, at most."""
    cdef size_t nbytes = TC_FRAME_HEADER + sizeof(tc_topic_entry)
    if state.topics[topic_id].schema == TC_SCHEMA_ORDER:
        return nbytes + (1 + <size_t>state.books.books[topic_id].resting) * (TC_FRAME_HEADER + sizeof(tc_order))
    return nbytes + state.topics[topic_id].slot_bytes
