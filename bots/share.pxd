"""Table of contents of a bot's share of a stream, for cimport."""

from libc.stdint cimport uint32_t, uint64_t

from bots.links.link cimport run_t
from bots.position cimport Position

cdef enum:
    GATE_OPEN = 0       # the stream may go on
    GATE_MEND = 1       # only with what was missing: the bot is to stop where nothing is
    GATE_SHUT = 2       # it stands still

cdef enum:
    GIVES = 0           # the record is this bot's to deal with
    GIVES_NOT = 1       # somebody else's, or dealt with before
    GIVES_HALT = 2      # its own, perhaps: the lease is over, so not now
    GIVES_END = 3       # what was to be taken over ends here

# What is known of a topic of one link.
ctypedef struct key_t:
    uint64_t hash       # of its symbol
    uint64_t first      # the first topic_seq that came here; 0: those before came too, NEVER: none has come
    uint64_t due        # topic_seq; of what is read again, all from `first` on and below it came the first time
    uint32_t stamp      # of the generation that `owner` belongs to
    uint32_t owner      # its place among the members

# A generation that is over.
ctypedef struct past_t:
    uint32_t count      # members; 0: not known any more
    int me              # -1: not one of them
    uint64_t* seeds     # of the members, then the epochs and the seqs at which they stopped: one allocation
    uint64_t* epochs
    uint64_t* seqs
    uint64_t fence_epoch, fence_seq
    uint64_t begin_epoch, begin_seq
    uint64_t over_epoch, over_seq   # nothing at or above it is touched by this generation


cdef class ShareTopics:
    cdef key_t* keys            # by the link's topic index
    cdef uint32_t room

    cdef int _put(self, uint32_t topic, str symbol, uint64_t first, uint64_t due) except -1


cdef class Share:
    cdef readonly str member
    cdef readonly bint turn
    cdef ShareTopics topics     # of the link at hand
    # --- who owns what ---
    cdef uint64_t* seeds        # of the members, in order of their names
    cdef uint32_t count, stamp
    cdef readonly int me        # among them; -1: no share at all
    cdef past_t* past
    cdef uint32_t past_count
    cdef uint64_t begin_epoch, begin_seq
    cdef uint64_t deadline_ns   # monotonic: the end of the lease
    # --- where it stands ---
    cdef readonly bint ready    # a place is known
    cdef readonly uint64_t epoch
    cdef readonly uint64_t high # behind the last record that was taken from the stream
    cdef uint64_t taken         # nothing below is missing
    cdef readonly uint64_t seq  # all of the share below has been dealt with: the bot came back for more
    cdef bint batches           # the bot is given many at once, and comes back when it is done with all of them
    cdef public bint stopping   # is to stand still as soon as nothing is missing
    cdef readonly bint stood    # it does
    # --- what is taken over: read from elsewhere, up to where the stream stands, which waits ---
    cdef readonly bint taking
    cdef readonly bint aside    # the link at hand is the one that it is read from
    cdef readonly bint healing  # only what had not come the first time
    cdef uint64_t end_epoch, end_seq
    # --- where records may be lost on the way: what has been counted, for others to prove ---
    cdef readonly bint proving
    cdef uint64_t base_epoch, base_seq      # all below has been dealt with; what comes later from there is not wanted
    cdef readonly uint64_t counted
    cdef uint64_t proven        # seq, of the base's epoch
    # --- durable ---
    cdef Position position
    cdef uint64_t handed_epoch, handed      # up to there ticks were handed out before a restart

    # Called for each step of the stream; the bot has come back, unless `batches`. `held`: something is missing; `more`: what was
    # missing is at hand.
    cdef int gate(self, bint held, bint more) noexcept nogil
    # The bot has come back for another batch.
    cdef void came_back(self, bint held) noexcept nogil
    # A live run was taken from the stream (and judged).
    cdef void note(self, const run_t* run) noexcept nogil
    # So many of its records came, for the first time; they may be held for a while.
    cdef void tally(self, const run_t* run, uint32_t records) noexcept nogil
    # So many will never come.
    cdef void lose(self, uint64_t records) noexcept nogil
    # Is the record of this run to be given to the bot? GIVES_*; sets the flag `replayed`.
    cdef int gives(self, run_t* run) noexcept nogil
    # All below `seq` has come by.
    cdef void passed(self, uint64_t seq) noexcept nogil

    cdef uint32_t _owner(self, const uint64_t* seeds, uint32_t count, uint32_t topic, uint64_t seq) noexcept nogil
    cdef void _keep(self) noexcept nogil
