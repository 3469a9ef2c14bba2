# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""How far a durable bot is: what it has in its hands, and what it has dealt with, which its position then says.

A tick, or all that recv_many gave, is in the bot's hands until the bot comes for more. Until then its entry stays as it was:
after a kill the same comes again, flagged replayed.
"""

from libc.stdint cimport UINT64_MAX
from libc.stdlib cimport free, realloc

from bots.batch cimport Block
from bots.position cimport position_entry_t
from feed.wire.frames cimport TC_FLAG_REPLAYED


cdef class Progress:
    """Of the bot whose position is `position`."""

    def __init__(self, Position position not None) -> None:
        self.position = position
        self.repeated = position.handed

    def __dealloc__(self):
        free(self.marks)
        free(self.block_marks)

    cdef int meet(self, uint32_t topic, uint16_t schema_id, str symbol, uint64_t due) except -1:
        """A topic of the link was met; `due`: what is to come next, 0 where that is not known yet."""
        cdef uint32_t room
        if topic >= self.room:
            room = max(2 * self.room, topic + 1, <uint32_t>256)
            marks = <uint32_t*>realloc(self.marks, room * sizeof(uint32_t))
            if marks == NULL:
                raise MemoryError
            self.marks = marks
            self.room = room
        self.marks[topic] = self.position.put(schema_id, symbol, due)
        return 0

    cdef void begins(self, uint32_t topic, uint64_t topic_seq) noexcept nogil:
        cdef position_entry_t* entry = self.position.entry(self.marks[topic])
        if entry.due == 0:
            entry.due = topic_seq

    cdef void hand(self, uint32_t topic, uint64_t topic_seq, uint64_t seq, uint64_t stream_seq) noexcept nogil:
        self.in_hand = IN_HAND_TICK
        self.entry = self.marks[topic]
        self.due = topic_seq + 1
        self.lowest = seq
        self.seq = stream_seq
        if seq > self.position.header.handed:
            self.position.header.handed = seq

    cdef int hand_batches(self, list blocks, uint64_t stream_seq) except -1:
        cdef Block block
        cdef uint32_t i
        self.lowest = UINT64_MAX
        for block in blocks:
            for i in range(block.columns.count):
                self.lowest = min(self.lowest, block.columns.seq[i])
                if block.columns.seq[i] <= self.repeated:
                    block.columns.flags[i] |= TC_FLAG_REPLAYED
                self.position.header.handed = max(self.position.header.handed, block.columns.seq[i])
        self.blocks = list(blocks)
        self.seq = stream_seq
        self.in_hand = IN_HAND_BATCHES
        return 0

    cdef void commit(self) noexcept nogil:
        self.position.entry(self.entry).due = self.due
        self.position.header.seq = self.seq
        self.in_hand = IN_HAND_NOTHING

    cdef int commit_batches(self) except -1:
        """The bot came for more: it is done with the batches that it had."""
        cdef Block block
        cdef uint32_t* marks = self._block_marks()
        cdef uint32_t i
        for block in self.blocks:
            for i in range(block.columns.count):
                self.position.entry(marks[block.columns.topics[i]]).due = block.columns.topic_seq[i] + 1
        self.position.header.seq = self.seq
        self._let_go()
        return 0

    cdef void stands(self, uint64_t stream_seq) noexcept nogil:
        self.seq = stream_seq
        if self.in_hand == IN_HAND_NOTHING:
            self.position.header.seq = stream_seq

    cdef void prove(self, uint64_t seq) noexcept nogil:
        # What is in the bot's hands may lie below where the position stands: what a life before lacked is read again.
        if self.in_hand != IN_HAND_NOTHING:
            seq = min(seq, self.lowest)
        # Nothing came yet: the position's seq is 0.
        self.position.header.proved = max(self.position.header.proved, min(seq, self.position.header.seq))

    cdef int give_up(self, tuple topic, uint64_t due) except -1:
        """It is as good as dealt with. But not before what is in the bot's hands: then it may be told again."""
        cdef uint32_t index = self.position.put(*topic)
        cdef position_entry_t* entry = self.position.entry(index)
        cdef uint32_t* marks = self._block_marks()
        cdef Block block
        cdef uint32_t i
        if self.in_hand == IN_HAND_TICK and self.entry == index:
            return 0
        for block in self.blocks or ():
            for i in range(block.columns.count):
                if marks[block.columns.topics[i]] == index:
                    return 0
        entry.due = max(entry.due, due)
        return 0

    cdef int another_link(self) except -1:
        """Topics will have other indexes: those of the batches in hand are kept as they are."""
        if self.in_hand == IN_HAND_BATCHES and self.block_marks == NULL:
            self.block_marks, self.marks, self.room = self.marks, NULL, 0
        return 0

    cdef int another_epoch(self, uint64_t epoch) except -1:
        """All numbers begin anew; what is in the bot's hands is of the old ones."""
        self.position.begin(epoch)
        self.repeated = 0
        self._let_go()
        return 0

    cdef uint32_t* _block_marks(self) noexcept:
        return self.block_marks if self.block_marks != NULL else self.marks

    cdef int _let_go(self) except -1:
        self.in_hand = IN_HAND_NOTHING
        self.blocks = None
        free(self.block_marks)
        self.block_marks = NULL
        return 0
