# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The snapshot cache: what a bot that comes late has to know, kept by tailing the log.

Of every topic the last topic_seq; of quote, bbo, book, definition and status the last record; of order the resting orders.
All of it lies in two files beside the log (layout.h), so that a control that was killed goes on where it was and still knows
the last record of a topic that the log has long forgotten. Where it was killed while changing a book, the books are made
again from the log's oldest frame on. A log of another epoch begins with empty files.

What can't be known is said: whoever comes in behind the beginning, or is overtaken, compares what it met with the log's own
table of the last topic_seqs, once it has read on to where that table stood (`settled`).
"""

import mmap
from pathlib import Path

from libc.stdint cimport uint16_t
from libc.string cimport memcmp, memcpy, memset

from feed.control.lasts cimport is_state
from feed.control.layout cimport TC_BOOK_HOLED, TC_BOOK_TOO_LARGE, TC_STATE_NONE
from feed.log.fences cimport tc_publish, tc_read_published, tc_read_published32
from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, TC_KIND_TOPIC, TC_SYMBOL_MAX, tc_log_frame, tc_topic_entry
from feed.wire.frames cimport tc_wire_log_header
from feed.wire.records cimport (
    TC_SCHEMA_DEFINITION,
    TC_SCHEMA_ORDER,
    TC_SCHEMA_STATUS,
    tc_order,
    tc_record_bytes,
)

from feed.control.books import Books
from feed.control.lasts import Lasts
from feed.log.reader import LogReader

cdef extern from *:
    """
    static inline void tc_prefetch(const void *at) { __builtin_prefetch(at); __builtin_prefetch((const char *)at + 64); }
    """
    void tc_prefetch(const void* at) noexcept nogil

cdef enum:
    TAKE_FULL = 0           # there may be more
    TAKE_DRY = 1            # nothing more is waiting
    TAKE_TOPICS = 2         # the next frame is of a topic that is not set up yet: learn, then go on
    TAKE_LOST = 3           # overtaken
    TAKE_ROLL = 4           # the next frame is the first of a session

cdef enum:
    AHEAD = 1024            # bytes of the log that are called for before they are read


cdef class State:
    """The state of the log in `directory`, made or taken up; make it with :meth:`open`. One thread uses it."""

    @staticmethod
    def open(directory: Path, *, orders: int, now_ns: int) -> State:
        """
        :param orders: resting orders that all books together may hold.
        :param now_ns: wall time; a state that is made now counts as rolled over now.
        :raises LogMissing: there is no log.
        :raises LogBusy: another process keeps this file.
        :raises LogSpace: shared memory is too small; also from follow().
        """
        cdef State self = State.__new__(State)
        self.reader = LogReader.open(directory, name="control.state")
        try:
            self.lasts = Lasts.open(directory / "state", reader=self.reader, now_ns=now_ns)
            self.header = self.lasts.header
            self.topics = self.lasts.topics
            self._remember(directory / "books", orders)
            self.learn()
        except BaseException:
            self.close()
            raise
        self._go_back()
        self._expect()
        return self

    def close(self) -> None:
        self.header = NULL
        self.topics = NULL
        for each in (self.books, self.lasts, self.reader):
            if each is not None:
                each.close()

    # --- tailing ----------------------------------------------------------------------------------------------------

    def follow(self, frames: int) -> bool:
        """Take in what waits in the log, at most `frames` log frames; true if there may be more. The GIL is released."""
        cdef uint32_t limit = frames
        cdef int what
        with nogil:
            what = self.take(limit)
            if what == TAKE_LOST:
                self.reader.overtaken(self.reader.seq)
                self.overruns += 1
                self._expect()
            elif self.settling and (what == TAKE_DRY or self._settled()):
                self._settle()
            if what == TAKE_ROLL or (self.roll_at and self.reader.seq >= self.roll_at):
                self._roll_over()
            tc_publish(&self.header.position, self.reader.at)
            self.reader.report()
        if what == TAKE_TOPICS:
            self.learn()
        if self.revived:
            self.revived = 0
            self._retire(False)
        return what != TAKE_DRY

    def reached(self, position: int) -> bool:
        """Is everything below a position of the log taken in, known what is missing, and no roll due?"""
        return self.reader.at >= <uint64_t>position and not self.settling and not self.roll_at

    cdef int take(self, uint32_t frames) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef tc_wire_log_header head        # the same bytes
        cdef tc_state_topic* topic
        cdef tc_order order
        cdef uint8_t* beside
        cdef uint64_t at
        while frames:
            frames -= 1
            frame = self.reader.peek()
            at = self.reader.at
            tc_prefetch(self.reader.data + ((at + AHEAD) & (self.reader.capacity - 1)))
            if frame == NULL:
                return TAKE_DRY if self.reader.intact(at) else TAKE_LOST
            memcpy(&head, frame, TC_FRAME_HEADER)
            # Proved before use: a torn length would lead to a place where no frame begins.
            if not self.reader.intact(at):
                return TAKE_LOST
            if self.roll_at and head.seq >= self.roll_at:
                return TAKE_ROLL
            if (head.kind == TC_KIND_RECORD or head.kind == TC_KIND_TOPIC) and head.topic_id >= self.header.topics:
                return TAKE_TOPICS
            if head.kind == TC_KIND_RECORD:
                topic = &self.topics[head.topic_id]
                if head.length != TC_FRAME_HEADER + tc_record_bytes(topic.schema):
                    self.misfits += 1
                elif topic.schema == TC_SCHEMA_ORDER:
                    memcpy(&order, &frame.record[0], sizeof(order))
                    if not self.reader.intact(at):
                        return TAKE_LOST
                    self.books.apply(head.topic_id, head.topic_seq, head.seq, head.ts_in, head.flags, &order)
                elif head.topic_seq > topic.topic_seq:
                    beside = self.lasts.beside(topic)
                    if beside != NULL:
                        memcpy(beside, frame, head.length)
                        if not self.reader.intact(at):
                            return TAKE_LOST
                        self.lasts.turn(topic)
                if head.topic_seq > topic.topic_seq:
                    topic.seq = head.seq
                    tc_publish(&topic.topic_seq, head.topic_seq)
                    if topic.retired:
                        topic.retired = 0
                        self.revived += 1
            self.reader.at = at + head.length
            self.reader.seq = head.seq + (head.kind == TC_KIND_RECORD)
        return TAKE_FULL

    cdef bint incomplete(self, uint32_t topic_id) noexcept nogil:
        cdef const tc_state_topic* topic = &self.topics[topic_id]
        if topic.schema == TC_SCHEMA_ORDER:
            return (
                self.books.books[topic_id].standing == TC_BOOK_HOLED
                or self.books.books[topic_id].standing == TC_BOOK_TOO_LARGE
            )
        return is_state(topic.schema) and topic.topic_seq != 0 and topic.current == TC_STATE_NONE

    # --- coming in, and coming in again -----------------------------------------------------------------------------

    cdef void _go_back(self) noexcept nogil:
        """From the log's end to where this state stood, or to the oldest frame where there are books to be made again."""
        cdef uint32_t i
        cdef bint again = False
        if not self.books.kept:
            for i in range(self.header.topics):
                again |= self.topics[i].schema == TC_SCHEMA_ORDER
        if again:
            self.reader.overtaken(0)
        elif self.header.position < self.reader.at:
            self.reader._stand_at(self.header.position)
        if self.reader.seq < self.header.rolled_seq:
            self.roll_at = self.header.rolled_seq
            self.retiring = True

    cdef void _expect(self) noexcept nogil:
        """Note the log's table. It counts records whose batch is yet to be published, so only a tail that was published
        after this proves that it has been reached (or the log's end).
        """
        cdef uint32_t i
        self.expecting = min(tc_read_published32(&self.reader.header.topic_count), self.reader.header.max_topics)
        for i in range(self.expecting):
            self.expected[i] = tc_read_published(&self.reader.topic_seqs[i])
        self.expected_tail = tc_read_published(&self.reader.header.tail)
        self.expected_end = 0
        self.settling = True

    cdef bint _settled(self) noexcept nogil:
        cdef uint64_t tail
        if self.expected_end == 0:
            tail = tc_read_published(&self.reader.header.tail)
            if tail != self.expected_tail:
                self.expected_end = tail
        return self.expected_end != 0 and self.reader.at >= self.expected_end

    cdef void _settle(self) noexcept nogil:
        """Whatever the table knew of and was not met is lost. A topic that keeps an older record goes on from that one's
        number: so whoever is given it sees what is missing.
        """
        cdef uint32_t i
        cdef tc_state_topic* topic
        for i in range(min(self.expecting, self.header.topics)):
            topic = &self.topics[i]
            if topic.topic_seq < self.expected[i] and topic.current == TC_STATE_NONE:
                topic.topic_seq = self.expected[i]
            if topic.schema == TC_SCHEMA_ORDER and self.books.books[i].topic_seq < topic.topic_seq:
                self.books.miss(i, topic.topic_seq)
        self.settling = False

    # --- topics -----------------------------------------------------------------------------------------------------

    def learn(self) -> None:
        """Set up the topics that the log has and this has not. Raises LogSpace."""
        cdef uint32_t count = min(tc_read_published32(&self.reader.header.topic_count), self.header.max_topics)
        cdef uint32_t i
        for i in range(self.header.topics, count):
            if self.reader.topic_entries[i].schema == TC_SCHEMA_ORDER:
                self.books.reserve(i)
            self.lasts.add(self.reader.topic_entries[i].schema, self.reader.seq)
            self._leader(i)

    def retired(self, topic_id: int) -> bool:
        """Had the topic no record for a whole session?"""
        cdef uint32_t i = topic_id
        return i < self.header.topics and self.topics[i].retired != 0

    def roll(self, now_ns: int) -> None:
        """The session rolls over behind what the log holds now: once all that is taken in, books begin anew, and topics
        without a record since the roll before are retired until they have one again. A definition or status lives as long
        as its symbol does.
        """
        self.header.before_seq = self.header.rolled_seq
        self.header.rolled_seq = tc_read_published(&self.reader.header.next_seq)
        self.header.rolled_ns = now_ns
        self.roll_at = self.header.rolled_seq
        self.retiring = True

    cdef void _roll_over(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.header.topics):
            if self.topics[i].schema == TC_SCHEMA_ORDER:
                self.books.roll(i)
        if self.retiring:
            self._retire(True)
        self.roll_at = 0
        self.retiring = False

    cdef void _retire(self, bint rolling) noexcept nogil:
        """Retire at a roll; at other times only let definition and status of symbols that came back live again."""
        cdef uint32_t i, leader
        cdef tc_state_topic* topic
        memset(self.living, 0, self.header.topics)
        for i in range(self.header.topics):
            topic = &self.topics[i]
            if rolling and topic.seq < self.header.before_seq:
                topic.retired = 1
            if not topic.retired:
                self.living[self.leaders[i]] = 1
        self.retired_symbols = 0
        for i in range(self.header.topics):
            topic = &self.topics[i]
            leader = self.leaders[i]
            if topic.retired and self.living[leader] and (
                topic.schema == TC_SCHEMA_DEFINITION or topic.schema == TC_SCHEMA_STATUS
            ):
                topic.retired = 0
            self.retired_symbols += leader == i and not self.living[leader]

    cdef uint32_t _leader(self, uint32_t topic_id) noexcept nogil:
        """The first topic of the same symbol."""
        cdef const tc_topic_entry* entry = &self.reader.topic_entries[topic_id]
        cdef const tc_topic_entry* other
        cdef uint32_t i, length = min(entry.symbol_length, <uint16_t>TC_SYMBOL_MAX)
        cdef uint64_t hash = 0xCBF29CE484222325ull
        for i in range(length):
            hash = (hash ^ <uint8_t>entry.symbol[i]) * 0x100000001B3ull
        i = <uint32_t>(hash ^ hash >> 32) & self.symbols_mask
        while self.symbols[i]:
            other = &self.reader.topic_entries[self.symbols[i] - 1]
            if other.symbol_length == length and memcmp(other.symbol, entry.symbol, length) == 0:
                break
            i = (i + 1) & self.symbols_mask
        else:
            self.symbols[i] = topic_id + 1
        self.leaders[topic_id] = self.symbols[i] - 1
        return self.leaders[topic_id]

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return self.header.epoch

    @property
    def tail(self) -> int:
        """Position behind the log's last published frame."""
        return tc_read_published(&self.reader.header.tail)

    @property
    def seq(self) -> int:
        """seq of the last record that was taken in; 0: none yet."""
        return self.reader.seq - 1

    @property
    def rolled_ns(self) -> int:
        """When the session last rolled over, wall ns; before the first time: when this state was begun."""
        return self.header.rolled_ns

    @property
    def unkept(self) -> int:
        """Topics for whose last record there was no room."""
        return self.lasts.unkept

    @property
    def books_given_up(self) -> int:
        """How often a book was given up for want of room."""
        return self.books.given_up

    @property
    def ended(self) -> bool:
        """Will this log never have another frame?"""
        return self.reader.closed()

    def _remember(self, path: Path, orders: int) -> None:
        """The books, and what only this process knows; untouched pages of it cost nothing."""
        cdef size_t n = self.header.max_topics
        cdef size_t hashed = 16
        cdef uint32_t i
        while hashed < 2 * n:
            hashed *= 2
        self.books = Books.open(
            path, epoch=self.header.epoch, limit=orders, max_topics=n,
            topics=[i for i in range(self.header.topics) if self.topics[i].schema == TC_SCHEMA_ORDER],
        )
        self._memory = mmap.mmap(-1, n * (8 + 4 + 1) + hashed * 4 + 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        cdef uint8_t[::1] view = self._memory
        self.expected = <uint64_t*>&view[0]
        self.leaders = <uint32_t*>(self.expected + n)
        self.symbols = self.leaders + n
        self.living = <uint8_t*>(self.symbols + hashed)
        self.symbols_mask = <uint32_t>(hashed - 1)
        for i in range(self.header.topics):
            self._leader(i)
        self._retire(False)

