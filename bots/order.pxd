"""Table of contents of the ordering of topics, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bots.links.link cimport run_t
from feed.wire.frames cimport TC_FLAG_CONFLATED

cdef enum:
    CAUSE_SLOW = 0      # dropped on the way: libzmq drops at the high-water mark and tells nobody
    CAUSE_OVERRUN = 1   # overtaken by the log's writer
    CAUSE_EPOCH = 2     # the numbering began anew
    CAUSES_END = 3

cdef enum:
    UNKNOWN = 0         # the first frame says where this topic stands
    KNOWN = 1           # `next` is due
    LOOSE = 2           # the first record may come below `next`
    REBORN = 3          # as KNOWN; the epoch began while we were there, so what is missing is the epoch's

# Bits of verdict_t.what; none set: deliver from `skip` on.
cdef enum:
    IS_DROPPED = 1      # nothing of the run is to be delivered
    IS_HOLE = 2         # first .. last (topic_seq) did not come
    IS_EPOCH = 4        # the run is the first of a new epoch

ctypedef struct verdict_t:
    uint32_t what
    uint32_t skip       # records at the start of the run that were delivered before
    uint32_t topic
    uint32_t cause
    uint64_t first
    uint64_t last

ctypedef struct topic_t:
    uint64_t next       # topic_seq that is due
    uint32_t state
    uint32_t reserved

ctypedef struct suspect_t:
    uint64_t last
    uint32_t topic


cdef class TopicOrder:
    cdef topic_t* topics            # indexed by the link's topic index
    cdef uint32_t size
    cdef suspect_t* suspects
    cdef uint32_t suspect_count, suspect_room
    cdef bint reborn                # an epoch ended while we were there
    cdef uint32_t cause             # of a hole on this link
    cdef readonly uint64_t epoch    # 0: not known yet
    cdef readonly uint64_t duplicates       # records dropped because they were delivered before
    cdef readonly uint64_t outdated         # dropped because they are of an older epoch: records, frames without any

    # What to do with a run; `topic` must be below `size` (or a heartbeat). Everything said in `out` is accounted for.
    cdef int judge(self, const run_t* run, verdict_t* out) noexcept nogil
    # The feed gave `last` in this topic before now: if it does not come with what is waiting, it is lost.
    cdef int suspect(self, uint32_t topic, uint64_t last) except -1
    # Nothing is waiting any more: the next hole among the suspects. False when there is none left.
    cdef bint settle(self, verdict_t* out) noexcept nogil
    # Room for topic indices below `topics`.
    cdef int reserve(self, uint32_t topics) except -1

    cdef int _judge_slow(self, const run_t* run, verdict_t* out) noexcept nogil
