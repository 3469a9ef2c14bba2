"""Table of contents of a link, for cimport: the way ticks come in, whatever carries them."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    LINK_NONE = 0       # nothing is waiting
    LINK_RUN = 1        # `out` is a run
    LINK_SKIPPED = 2    # a bounded number of unwanted frames went by; more may be waiting
    LINK_TOPIC = 3      # out.topic is new here: say want(out.topic, ...), then the same run comes again
    LINK_LOST = 4       # overtaken: lost_first .. lost_last (seq, over all topics) are gone
    LINK_CLOSED = 5     # nothing more will come here

# What want() said of a topic.
cdef enum:
    TOPIC_NEW = 0
    TOPIC_WANTED = 1
    TOPIC_UNWANTED = 2

cdef enum:
    NO_TOPIC = 0xFFFFFFFF       # out.topic of a heartbeat


# Consecutive records of one topic. Pointers are BORROWED from the link: valid until its next next().
ctypedef struct run_t:
    uint32_t topic              # index of the topic, local to the link; NO_TOPIC: a heartbeat
    uint16_t schema
    uint16_t flags              # TC_FLAG_*
    uint32_t count              # 0: only news of the numbering
    uint32_t record_bytes
    uint32_t folded             # conflated: how many earlier ticks this one replaces
    uint64_t epoch
    uint64_t seq                # of the first record
    uint64_t topic_seq          # of the first record; count 0: the next to come
    uint64_t ts_in              # ns, of the first record
    uint64_t ts_sent            # ns
    const uint8_t* records      # unaligned
    const uint8_t* trailer      # count x {u32 seq delta, u32 ts_in delta}; NULL: one record


cdef class Link:
    cdef readonly str transport
    cdef readonly uint64_t frames           # heard in all, wanted or not
    cdef readonly uint64_t malformed        # refused and skipped
    cdef readonly uint64_t lost_first, lost_last
    cdef readonly bint busy                 # a thread waits in here without the GIL: not to be closed now

    cdef int next(self, run_t* out) noexcept nogil
    # Until something may be waiting, at most `timeout_ns`; false if nothing is.
    cdef bint wait(self, uint64_t timeout_ns, bint spin) noexcept nogil
    # The last topic_seq the feed itself has on record for a topic, 0 where the transport cannot know.
    cdef uint64_t last_topic_seq(self, uint32_t topic) noexcept nogil
