"""Table of contents of a durable bot's progress, for cimport."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from bots.position cimport Position

cdef enum:
    IN_HAND_NOTHING = 0
    IN_HAND_TICK = 1
    IN_HAND_BATCHES = 2


cdef class Progress:
    cdef readonly Position position
    cdef int in_hand            # IN_HAND_*
    cdef uint64_t repeated      # up to this seq ticks were handed out before a restart
    cdef uint64_t seq           # what the position may say once the bot is done with what is in its hands,
    cdef uint64_t lowest        # and the lowest number of that
    cdef uint32_t entry         # of the tick in hand,
    cdef uint64_t due           # and the next one of its topic
    cdef list blocks            # of the batches in hand
    cdef uint32_t* marks        # by topic of the link: entry of the position
    cdef uint32_t room
    cdef uint32_t* block_marks  # `marks` of the link that `blocks` came from, if it is gone

    cdef int meet(self, uint32_t topic, uint16_t schema_id, str symbol, uint64_t due) except -1
    # Where a topic begins, said before anything of it is handed out: from there on nothing may be lost.
    cdef void begins(self, uint32_t topic, uint64_t topic_seq) noexcept nogil
    # A tick is handed out; `stream_seq`: nothing below is missing.
    cdef void hand(self, uint32_t topic, uint64_t topic_seq, uint64_t seq, uint64_t stream_seq) noexcept nogil
    cdef int hand_batches(self, list blocks, uint64_t stream_seq) except -1
    # The bot came for more: it is done with the tick that it had.
    cdef void commit(self) noexcept nogil
    cdef int commit_batches(self) except -1
    # Nothing was waiting, and nothing below `stream_seq` is missing.
    cdef void stands(self, uint64_t stream_seq) noexcept nogil
    cdef void prove(self, uint64_t seq) noexcept nogil
    # The bot was told that what lies below `due` does not come.
    cdef int give_up(self, tuple topic, uint64_t due) except -1
    cdef int another_link(self) except -1
    cdef int another_epoch(self, uint64_t epoch) except -1

    cdef uint32_t* _block_marks(self) noexcept
    cdef int _let_go(self) except -1
