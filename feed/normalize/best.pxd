"""Table of contents of the consolidated quotes, for cimport."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from feed.log.ring cimport Intake
from feed.log.through cimport Through
from feed.wire.records cimport tc_quote

cdef enum:
    VENUES_MAX = 16               # of one instrument

cdef struct venue_quote:
    int64_t bid_px, ask_px
    uint32_t bid_sz, ask_sz
    uint16_t publisher
    bint told                     # has had a quote
    bint doubtful
    uint64_t ts                   # ts_recv of that quote

cdef struct best_group:
    uint32_t topic                # of quote.SYMBOL.BEST; NO_TOPIC until a second venue is there
    uint32_t number
    uint32_t count
    venue_quote venues[VENUES_MAX]
    int64_t bid_px, ask_px        # as last published
    uint32_t bid_sz, ask_sz
    uint16_t bid_pb, ask_pb
    bint published

cdef struct best_member:
    uint32_t group                # index + 1; 0: nobody's
    uint32_t venue


cdef class Best(Through):
    cdef best_member* members     # by topic id of the sink behind
    cdef uint32_t room
    cdef best_group* groups
    cdef uint32_t count, groups_room
    cdef dict _groups
    cdef list _patterns
    cdef uint64_t max_age_ns
    cdef readonly uint64_t published
    cdef public Intake intake     # where sources in threads of their own reserve topics; None: there are none

    cdef void follow(self, const best_member* member, const tc_quote* quote, uint64_t ts_in, uint16_t flags) noexcept nogil
