"""Table of contents of a multicast publisher's numbering, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    SHARDS_MAX = 64
    MARKS = 16_384          # the newest are kept
    MARK_EVERY = 1_024      # records of all shards together between two marks

# Where the stream stood: all records of the log below `seq` are numbered, each shard's below `next`.
ctypedef struct mark_t:
    uint64_t seq
    uint64_t position       # in the log, of record `seq` or of a frame before it
    uint64_t next[SHARDS_MAX]

ctypedef struct numbering_header_t:
    uint64_t magic
    uint64_t rule           # which records are in which shard
    uint64_t epoch
    uint64_t session_ms     # since 1970, when it began: its name
    uint64_t marks          # made in this session; the i-th is at i modulo MARKS
    uint64_t versions       # of `now`; the present one is at `versions` modulo 2


cdef class Numbering:
    cdef readonly uint32_t shards
    cdef numbering_header_t* header
    cdef mark_t* now            # two
    cdef mark_t* marks
    cdef uint64_t next[SHARDS_MAX]          # sequence of each shard's next message
    cdef uint64_t since                     # records since the last mark
    cdef uint8_t session[10]                # but its last two characters, which are the shard's
    cdef object _memory

    # Another session, whose first record is `seq`, at `position`.
    cdef void begin(self, uint64_t epoch, uint64_t wall, uint64_t seq, uint64_t position) noexcept nogil
    # Record `seq`, at `position` in the log, takes the next sequence of a shard, which this gives.
    cdef uint64_t number(self, uint32_t shard, uint64_t seq, uint64_t position) noexcept nogil
    # Everything below `seq` is on its way: a publisher that begins anew goes on there.
    cdef void note(self, uint64_t seq, uint64_t position) noexcept nogil
    # The last mark at which a shard had not passed `sequence`; false: there is none any more. From any thread.
    cdef bint find(self, uint32_t shard, uint64_t sequence, mark_t* out) noexcept nogil
    # The session's 10 bytes for a shard.
    cdef void name(self, uint32_t shard, uint8_t* out) noexcept nogil
    cdef void _spell(self) noexcept nogil
