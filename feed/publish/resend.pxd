"""Table of contents of the server of requests, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.layout cimport tc_log_frame, tc_topic_entry
from feed.log.reader cimport LogReader
from feed.metrics.counters cimport Counter
from feed.publish.numbering cimport Numbering, mark_t
from feed.wire.mold cimport tc_mold_request
from feed.wire.multicast cimport sockaddr_in, tc_burst

cdef enum:
    PACKET_ROOM = 9216
    PACKETS_MAX = 64            # that one request gets at most: who needs more asks again


cdef class Finder:
    cdef Numbering numbering
    cdef LogReader reader
    cdef int fd
    cdef tc_burst* requests
    cdef uint8_t* incoming
    cdef uint8_t outgoing[PACKET_ROOM]
    cdef uint32_t used, blocks, room, batch
    cdef uint8_t* shard_of          # 1 + shard by topic id; 0: not known yet, 255: not numbered
    cdef uint32_t topic_room
    cdef object shards, archive, directory
    cdef uint64_t tokens, filled_ns, rate
    # --- the request at hand ---
    cdef tc_mold_request request
    cdef uint32_t shard, packets
    cdef uint64_t at, first         # sequence of the shard's next record that is met; of the packet's first message
    cdef uint64_t end               # of what is wanted
    cdef const sockaddr_in* peer
    cdef Counter _answered, _resent, _malformed, _foreign, _limited, _gone

    cdef void _receive(self) noexcept nogil
    cdef int _answer(self, const uint8_t* data, uint32_t length) noexcept nogil
    cdef bint _from_log(self, const mark_t* mark) noexcept nogil
    cdef int _from_archive(self, const mark_t* mark) except -1
    cdef bint _take(self, const tc_log_frame* frame, uint64_t epoch) noexcept nogil
    cdef bint _is_ours(self) noexcept nogil
    cdef bint _send(self) noexcept nogil
    cdef uint8_t _shard(self, uint32_t topic_id) noexcept nogil
    cdef uint8_t _shard_by_name(self, const tc_topic_entry* entry)
    cdef bint _may(self) noexcept nogil
