"""Table of contents of recovery, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bots.links.history cimport HistoryLink
from bots.links.link cimport Link, run_t
from bots.order cimport TopicOrder, verdict_t

cdef enum:
    MEND_NONE = 0       # nothing is ready to go out
    MEND_RUN = 1        # a run of a held topic, judged
    MEND_CLOSE = 2      # all that the answer at hand held has gone out: call close_answer()

# A run that came live in a held topic, its bytes copied.
ctypedef struct kept_t:
    kept_t* next
    size_t nbytes
    run_t run

# A topic that waits.
ctypedef struct hold_t:
    uint32_t topic
    uint32_t what           # WAITS_*
    uint64_t last           # of the hole; all up to it was delivered or given up once the order's next lies behind
    uint64_t seq_from       # the missing lie at or above it, in the stream,
    uint64_t seq_to         # and below it; 0: not known
    uint64_t since_ns       # of the first look at it since there was progress; 0: none yet
    uint64_t begins, seen   # the first topic_seq that came live, and the last that is known of, kept or not; 0: none
    uint32_t folded         # ticks that the only one asked for stands for
    uint32_t state_before   # WAITS_STATE: of the order
    uint64_t next_before
    kept_t* head
    kept_t* tail


cdef class Recovery:
    cdef TopicOrder order
    cdef Link link
    cdef readonly bint ready            # give() has something to do
    cdef readonly bint answering        # the last run that it gave is an answer's, not one that was kept
    cdef hold_t* holds
    cdef uint32_t hold_count, hold_room
    cdef uint32_t* slots                # by topic: 1 + index in `holds`
    cdef uint32_t slot_room
    cdef uint32_t going                 # holds that are WAITS_NOT: what they kept goes out
    cdef kept_t* gone                   # went out with the last give()
    cdef HistoryLink fill               # the answer at hand
    cdef object answer
    cdef uint32_t* topic_of             # of the answer -> of the link
    cdef uint32_t topic_room
    cdef readonly size_t kept_bytes
    cdef size_t kept_limit
    cdef readonly uint64_t filled       # ticks delivered that had been missing
    cdef readonly uint64_t overflowed   # runs not kept for want of room: they will be asked for again
    cdef object request                 # what the answer is awaited for
    cdef uint64_t ask_at_ns, patience_ns
    cdef uint64_t full_since_ns         # since when answers have been full, 0: they are not
    cdef uint32_t tries
    cdef readonly bint joining          # states of new topics are awaited
    cdef uint64_t joining_ns            # since when, without progress; 0: not looked at yet
    cdef bint refused                   # so was the last request
    cdef uint32_t turn                  # of the holds that go out
    cdef object cursor, rng, meet

    # The last topic_seq that is known of in a topic that waits, 0: it does not.
    cdef uint64_t seen(self, uint32_t topic) noexcept nogil
    # The feed has given `last` in this topic, whether it comes here or not.
    cdef void saw(self, uint32_t topic, uint64_t last) noexcept nogil
    # A live run of a held topic, to go out later.
    cdef void keep(self, const run_t* run) noexcept nogil
    cdef void keep_first(self, const run_t* run) noexcept nogil
    # MEND_RUN: `run` is to be delivered as `verdict` says, its pointers BORROWED until the next call.
    cdef int give(self, run_t* run, verdict_t* verdict) noexcept nogil
    cdef int _give_answer(self, run_t* run, verdict_t* verdict) noexcept nogil
    cdef int _give_kept(self, run_t* run, verdict_t* verdict) noexcept nogil
    cdef kept_t* _copy(self, const run_t* run) noexcept nogil
    cdef hold_t* _hold(self, uint32_t topic) noexcept nogil
    cdef void _let_go(self, hold_t* hold) noexcept nogil
    cdef void _drop(self, uint32_t index) noexcept nogil
    cdef bint _state(self, hold_t* hold, const run_t* run) noexcept nogil
    cdef str answered(self)
    cdef list _give_up(self, hold_t* hold, str cause)
    cdef int _map(self, uint32_t theirs) except -1
    cdef int _open(self, uint32_t topic, uint32_t what) except -1
    cdef void _clear(self, hold_t* hold) noexcept nogil
    cdef void _forget(self) noexcept nogil
