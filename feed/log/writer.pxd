"""Table of contents of the log's writer (the sequencer), for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from feed.log.doorbell cimport Doorbell
from feed.log.layout cimport tc_log_header, tc_readers, tc_topic_entry
from feed.log.sink cimport Sink
from feed.metrics.histogram cimport Histogram, tc_histogram


cdef class LogWriter(Sink):
    # --- the mapping, valid until close() ---
    cdef tc_log_header* header
    cdef uint8_t* data
    cdef uint64_t* topic_seqs
    cdef tc_topic_entry* topic_entries
    cdef tc_readers* readers
    # --- where the numbering stands ---
    cdef uint64_t at                 # position of the next frame
    cdef uint64_t seq                # seq of the next record
    cdef uint32_t topic_count
    cdef uint64_t capacity, segment_bytes
    # --- one clock read serves up to CLOCK_EVERY appends ---
    cdef uint64_t now
    cdef uint32_t stamped
    # --- stage "ingest" (ts_in to committed), where somebody asked for it ---
    cdef tc_histogram* ingest
    cdef uint64_t unmeasured         # appended since the last flush with a ts_in of our own: their stage took 0 ns
    # --- waking and waiting ---
    cdef Doorbell doorbell
    cdef char gates[16][32]
    cdef uint32_t gate_count
    cdef uint64_t gate_timeout_ns
    cdef readonly uint64_t evictions, rings, refused_topics
    cdef readonly bint resumed
    cdef dict _topic_ids
    cdef object _directory, _lock, _maps, _ingest

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil
    cdef void flush(self) noexcept nogil
    cdef void _put(self, uint32_t topic, uint16_t kind, uint16_t flags, uint64_t topic_seq, const void* record, uint32_t nbytes, uint64_t ts_in, uint64_t now) noexcept nogil
    cdef void _announce(self, uint32_t topic_id) noexcept nogil
    cdef void _turn(self, uint64_t rest) noexcept nogil
    cdef void _publish_tail(self) noexcept nogil
    cdef void _wake(self) noexcept nogil
    cdef void _wait_for_gates(self, uint64_t low) noexcept nogil
    cdef int _slowest_gate(self, uint64_t low, bint evict) noexcept nogil
