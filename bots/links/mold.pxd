"""Table of contents of the link over our own multicast, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bots.links.frames cimport FrameLink
from feed.wire.arbiter cimport arbiter_t
from feed.wire.mold cimport tc_mold_packet
from feed.wire.multicast cimport sockaddr_in, tc_burst

cdef enum:
    PACKET_ROOM = 9216          # bytes of a datagram at most
    HEARTBEAT_ROOM = 128

# A socket: of a line and a shard, or the one on which answers to requests come.
ctypedef struct inlet_t:
    int fd
    uint32_t line               # of the arbiters
    uint32_t shard              # index of a joined one; of answers the session tells

# One shard that was joined, and what is known of its session.
ctypedef struct shard_t:
    arbiter_t* arbiter
    bint begun                  # there is a session
    bint over                   # and it has ended
    uint8_t code[2]             # how its sessions' names end
    uint64_t heard_ns           # when a packet of the session came last, monotonic
    uint64_t far                # a packet came from so far ahead that only a second one is believed: where it goes on
    uint64_t seq, epoch         # of its last heartbeat; epoch 0: there was none yet
    uint64_t topic_epoch        # of its last frame

# A frame that waits for one of its topic before it.
ctypedef struct early_t:
    early_t* next
    uint64_t sequence           # of its message, or of the one that follows: no frame without a record has one of its own
    uint64_t topic_seq
    uint32_t shard
    uint32_t nbytes
    uint8_t data[1]

# A topic, by its index.
ctypedef struct track_t:
    uint64_t due                # its next topic_seq; 0: not known yet
    uint64_t epoch
    early_t* head               # waiting, by topic_seq


cdef class MoldLink(FrameLink):
    cdef readonly uint64_t foreign          # packets of another session
    cdef readonly uint64_t requested        # requests sent
    cdef public uint64_t ask_after_ns       # how long a slower line, or a packet that was overtaken, may close a hole
    cdef public uint64_t give_up_ns         # how long a hole is waited for here
    cdef readonly uint64_t given_up         # messages that no line brought, nor a request
    cdef readonly list shards_joined        # their numbers
    cdef uint32_t lines, shards
    cdef inlet_t* inlets
    cdef uint32_t inlet_count, inlet_at
    cdef int* fds
    cdef shard_t* shard
    cdef list arbiters, sockets
    cdef object poller
    # --- the packets at hand ---
    cdef tc_burst* burst
    cdef uint8_t* memory
    cdef int burst_count, burst_at
    cdef uint64_t burst_ns, stamp_ns
    cdef tc_mold_packet packet
    cdef inlet_t* inlet
    cdef uint32_t own                       # index of its shard
    cdef uint32_t range_at, range_count     # of what is fresh in it
    cdef uint64_t message                   # whose block comes next
    cdef const uint8_t* block
    cdef const uint8_t* news                # frames behind a heartbeat's header,
    cdef size_t news_left                   # and their bytes
    # --- topics that wait ---
    cdef track_t* tracks
    cdef uint32_t track_room
    cdef uint32_t* waiting                  # topic indices with a head
    cdef uint32_t waiting_count, waiting_room
    cdef uint64_t early_bytes
    cdef bint ripe                          # some may go out
    cdef early_t* gone                      # went out with the last take()
    cdef uint8_t heartbeat[HEARTBEAT_ROOM]
    # --- requests ---
    cdef int request_fd                     # -1: nobody is asked
    cdef sockaddr_in server
    cdef uint8_t request[32]
    cdef uint64_t looked_ns
    cdef uint64_t longest_queued_ns         # longest that a packet waited for us, from the kernel's time stamp

    cdef int _next_packet(self) noexcept nogil
    cdef bint _receive(self) noexcept nogil
    cdef bint _came(self, int n) noexcept nogil
    cdef bint _open(self, const uint8_t* data, uint32_t length, uint64_t now) noexcept nogil
    cdef bint _joins(self, shard_t* shard, uint64_t now) noexcept nogil
    cdef bint _judge(self, const uint8_t* at, uint32_t length, uint64_t sequence) noexcept nogil
    cdef bint _keep(self, uint32_t topic, const uint8_t* at, uint32_t length, uint64_t sequence) noexcept nogil
    cdef bint _let_go(self) noexcept nogil
    cdef bint _beat(self) noexcept nogil
    cdef bint _track(self) noexcept nogil
    cdef void _tend(self, uint64_t now) noexcept nogil
    cdef bint _holes(self) noexcept nogil
    cdef uint32_t _ears(self, bint holes) noexcept nogil
    cdef void _drop_early(self) noexcept nogil
    cdef void _prove(self, uint64_t deadline) noexcept nogil
