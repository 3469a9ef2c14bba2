"""Table of contents of the outlet to multicast groups, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.metrics.counters cimport Counter
from feed.publish.numbering cimport SHARDS_MAX, Numbering
from feed.publish.outlet cimport Outlet
from feed.wire.multicast cimport TC_BURST, sockaddr_in, tc_burst

cdef enum:
    LINES_MAX = 2
    BLOCKS_MAX = 128
    QUEUE = 16              # datagrams that share a stamp: a few tens of µs of sending
    POOL = 256              # datagrams: an open one a shard, what waits for room, and a heartbeat to all shards
    FRAME_ROOM = 1024       # the longest frame of one record has 661 bytes

ctypedef struct datagram_t:
    uint8_t* data
    uint32_t used
    uint32_t blocks             # messages, or frames of news
    uint32_t shard
    bint news                   # no message: a heartbeat, with frames behind its header
    uint64_t sequence
    uint64_t committed          # of its oldest record, wall ns; 0: not known
    uint16_t stamps[BLOCKS_MAX] # where each frame's ts_sent lies


cdef class DatagramOutlet(Outlet):
    cdef Numbering numbering
    cdef uint32_t lines, batch, room
    cdef int fds[LINES_MAX]
    cdef sockaddr_in* groups            # line by line, of each shard
    cdef tc_burst* burst
    cdef uint8_t* memory
    cdef datagram_t* pool
    cdef uint32_t spare[POOL]           # those not in use
    cdef uint32_t spares
    cdef uint32_t open[SHARDS_MAX]      # 1 + index of a shard's datagram that may take more; 0: none
    cdef uint32_t queue[POOL]
    cdef uint32_t queued, burst_end     # of the queue, its first so many are going out:
    cdef uint32_t line_at, gone         # on so many lines all of them, and so many on the next
    cdef bint broken                    # records went by uncounted: the session is over
    cdef bint greeted
    cdef uint8_t frame[FRAME_ROOM]      # at hand,
    cdef uint32_t making                # and its bytes
    cdef uint8_t* shard_of              # 1 + shard by topic id; 0: not known yet
    cdef uint32_t topic_room
    cdef object shards
    cdef uint64_t next_seq, next_at     # the stream, behind what was made last
    cdef uint64_t quiet_ns, looked_ns
    cdef uint64_t said_ns[SHARDS_MAX]   # when a shard's last datagram went, as hear() saw it, monotonic; 0: just now
    cdef uint64_t over[SHARDS_MAX]      # next sequences of the session that is over
    cdef uint8_t over_name[10]
    cdef uint32_t over_left             # how often that is still to be said
    cdef uint64_t over_due_ns
    cdef readonly uint64_t datagrams, sent_bytes, calls     # handed to the kernel, over all lines
    cdef Counter _network

    cdef void _put(self, uint32_t shard, bint news) noexcept nogil
    cdef bint _learn(self) noexcept nogil
    cdef void _close(self, uint32_t shard) noexcept nogil
    cdef void _close_all(self) noexcept nogil
    cdef void _bare(self, uint32_t shard, const uint8_t* session, uint64_t sequence, uint32_t count) noexcept nogil
    cdef void _queue(self, uint32_t index) noexcept nogil
    cdef bint _transmit(self) noexcept nogil
    cdef bint _transmit_burst(self) noexcept nogil
    cdef void _begin(self, uint64_t epoch, uint64_t seq, uint64_t position) noexcept nogil
