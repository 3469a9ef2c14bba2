"""Table of contents of the log's writer (the sequencer), for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.layout cimport tc_log_header, tc_readers, tc_topic_entry
from feed.log.sink cimport Sink


cdef class LogWriter(Sink):
    cdef tc_log_header* header
    cdef uint8_t* data
    cdef uint64_t* topic_seqs
    cdef tc_topic_entry* topic_entries
    cdef tc_readers* readers
    cdef uint64_t at                 # position of the next frame
    cdef uint64_t seq                # seq of the next record
    cdef uint64_t mask, segment_mask, segment_bytes
    cdef uint32_t topic_count, max_topics
    cdef uint64_t gate_timeout_ns
    cdef uint32_t wake_us
    cdef bint has_gates
    cdef readonly uint64_t evictions, rings, refused_topics
    cdef readonly bint resumed
    cdef object _maps, _lock, _topic_ids, _directory, _gating, _doorbell

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil
    cdef void flush(self) noexcept nogil
    cdef void _frame(self, uint32_t topic, uint16_t kind, uint16_t flags, const void* record, uint32_t nbytes, uint64_t ts_in, uint64_t committed) noexcept nogil
    cdef void _turn(self) noexcept nogil
    cdef void _wait_for_gates(self, uint64_t low) noexcept nogil
