"""Table of contents of the validation of records, for cimport."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from feed.log.through cimport Through
from feed.wire.records cimport tc_level

cdef enum:                        # in this order: of several broken rules the first one counts. Words in validation.pyx
    OFF_TICK
    OFF_BAND
    SIZE_ZERO
    SIZE_ABSURD
    CROSSED
    LOCKED
    TIME_FUTURE
    TIME_OLD
    SEQUENCE_BACK
    DUPLICATE
    RULES_END

cdef enum:
    SEEN = 8                      # the last records of a topic that a new one may repeat


cdef struct checked_instrument:
    int64_t tick                  # 1e-9; 0: not known
    int64_t low, high             # 1e-9, the limits themselves allowed


cdef struct checked_topic:
    uint32_t instrument
    uint16_t schema
    bint numbered                 # has had a sequence
    uint32_t sequence
    uint64_t sequence_ts          # ts_event of that record
    double price                  # the last that was within the band, 1e-9; 0: none
    double astray                 # the last that was not
    uint64_t seen[SEEN]
    uint32_t seen_at


cdef class Validator(Through):
    cdef checked_topic* topics    # by topic id of the sink behind
    cdef uint32_t room
    cdef checked_instrument* instruments
    cdef uint32_t known, instruments_room
    cdef dict _by_symbol
    cdef uint32_t drops, flags, looks         # bit sets of rules
    cdef uint64_t dropped[RULES_END]
    cdef uint64_t flagged[RULES_END]
    cdef readonly bint broken     # a rule, since take_broken()
    cdef double band
    cdef uint32_t size_max
    cdef int64_t ahead_ns, behind_ns
    cdef uint64_t now
    cdef uint32_t stamped

    cdef uint32_t look(self, const checked_topic* topic, const void* record, uint64_t ts_in, uint64_t* seen, double* price) noexcept nogil
    cdef void note(self, checked_topic* topic, const void* record, uint32_t broken, uint64_t seen, double price) noexcept nogil
    cdef uint32_t _price(self, const checked_topic* topic, int64_t price) noexcept nogil
    cdef uint32_t _size(self, uint32_t size) noexcept nogil
    cdef uint32_t _levels(self, const checked_topic* topic, const tc_level* levels, int n, double* price) noexcept nogil
    cdef uint32_t _times(self, const checked_topic* topic, uint64_t ts_event, uint64_t ts_in) noexcept nogil
    cdef uint32_t _number(self, const checked_topic* topic, uint32_t sequence, uint64_t ts_event) noexcept nogil
