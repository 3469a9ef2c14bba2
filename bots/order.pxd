"""Table of contents of the ordering of topics, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bots.links.link cimport run_t
from feed.wire.frames cimport TC_FLAG_CONFLATED

cdef enum:
    CAUSE_SLOW = 0      # dropped on the way: libzmq drops at the high-water mark and tells nobody
    CAUSE_OVERRUN = 1   # overtaken by the log's writer
    CAUSE_EPOCH = 2     # the numbering began anew
    CAUSE_EXPIRED = 3   # history has it no more
    CAUSES_END = 4

cdef enum:
    UNKNOWN = 0         # the first frame says where this topic stands
    KNOWN = 1           # `next` is due
    LOOSE = 2           # the first record may come below `next`
    REBORN = 3          # as KNOWN; the epoch began while we were there, so what is missing is the epoch's
    HELD = 4            # `next` is due, but what comes live is kept until what lies before it is here

# Bits of verdict_t.what; none set: deliver from `skip` on.
cdef enum:
    IS_DROPPED = 1      # nothing of the run is to be delivered
    IS_HOLE = 2         # first .. last (topic_seq) did not come
    IS_EPOCH = 4        # the run is the first of a new epoch
    IS_HELD = 8         # the run is to be kept: something before it is being fetched
    IS_FLUSH = 16       # a new epoch while topics are held: nothing is judged yet, let these go first

ctypedef struct verdict_t:
    uint32_t what
    uint32_t skip       # records at the start of the run that were delivered before
    uint32_t topic
    uint32_t cause
    uint64_t first
    uint64_t last
    uint64_t seq_from   # of a hole: its ticks lie at or above it in the stream, 0: not known
    uint32_t folded     # ticks before the run that were not delivered and that its first record stands for

ctypedef struct topic_t:
    uint64_t next       # topic_seq that is due
    uint64_t seq        # stream seq at or below the last record's: what is missing lies above it
    uint64_t sent_ns    # when the last record was sent
    uint32_t state
    bint newest         # of its holes only the end matters: state for which the policy is "latest"

ctypedef struct suspect_t:
    uint64_t last
    uint32_t topic


cdef class TopicOrder:
    cdef topic_t* topics            # indexed by the link's topic index
    cdef uint32_t size
    cdef suspect_t* suspects
    cdef uint32_t suspect_count, suspect_room
    cdef bint guarded               # a new epoch is never begun unasked: IS_FLUSH
    cdef bint reborn                # an epoch ended while we were there
    cdef uint32_t cause             # of a hole on this link
    cdef readonly uint32_t held     # topics in state HELD
    cdef readonly uint64_t epoch    # 0: not known yet
    cdef readonly uint64_t covered  # ticks that newer states stand for
    cdef readonly uint64_t duplicates       # records dropped because they were delivered before
    cdef readonly uint64_t outdated         # dropped because they are of an older epoch: records, frames without any

    # What to do with a run; `topic` must be below `size` (or a heartbeat). Everything said in `out` is accounted for.
    cdef int judge(self, const run_t* run, verdict_t* out) noexcept nogil
    # Keep what comes live in this topic from now on; `due` comes next.
    cdef void hold(self, uint32_t topic, uint64_t due) noexcept nogil
    # A run of a held topic that is to go out now, fetched or kept: skips what was delivered, tells a hole before it.
    cdef int mend(self, const run_t* run, verdict_t* out) noexcept nogil
    # Live again.
    cdef void release(self, uint32_t topic) noexcept nogil
    # The feed gave `last` in this topic before now: if it does not come with what is waiting, it is lost.
    cdef int suspect(self, uint32_t topic, uint64_t last) except -1
    # Nothing is waiting any more: the next hole among the suspects. False when there is none left.
    cdef bint settle(self, verdict_t* out) noexcept nogil
    # Room for topic indices below `topics`.
    cdef int reserve(self, uint32_t topics) except -1

    cdef int _judge_slow(self, const run_t* run, verdict_t* out) noexcept nogil
    cdef void _place(self, const topic_t* topic, const run_t* run, uint64_t behind, verdict_t* out) noexcept nogil
