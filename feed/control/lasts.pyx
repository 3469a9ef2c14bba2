# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The last record of every topic whose last record is a state, in the file `state` (layout.h).

It outlives a control that is killed at any moment: a record is written beside the one that counts, and then counts.
"""

import errno
import fcntl
import logging
import mmap
import os
from pathlib import Path

from libc.string cimport memcpy, memset

from feed.control.layout cimport (
    TC_STATE_FIRST,
    TC_STATE_HEADER_BYTES,
    TC_STATE_MAGIC,
    TC_STATE_NONE,
    TC_STATE_SECOND,
    tc_keep_order,
)
from feed.log.fences cimport tc_publish, tc_publish32, tc_read_published, tc_read_published32
from feed.log.layout cimport TC_FRAME_HEADER
from feed.log.reader cimport LogReader
from feed.wire.frames cimport tc_wire_log_header
from feed.wire.records cimport tc_record_bytes

from feed.errors import LogBusy, LogSpace

cdef enum:
    RESERVE = 1024 * 1024   # bytes of shared memory taken at a time
    RECORD_MAX = 520        # of a state

log = logging.getLogger("tickcast.control")


cdef class Lasts:
    """The file at `path`; make it with :meth:`open`. One thread uses it."""

    @staticmethod
    def open(path: Path, *, reader: LogReader, now_ns: int) -> Lasts:
        """Take up the file if it is of the log that `reader` reads, else begin with an empty one.

        :param now_ns: wall time, when a state that is begun now was begun.
        :raises LogBusy: another process keeps it.
        :raises LogSpace: shared memory is too small.
        """
        cdef Lasts self = Lasts.__new__(Lasts)
        cdef LogReader log = reader
        cdef size_t max_topics = log.header.max_topics
        self._path = path
        self.slots_at = (TC_STATE_HEADER_BYTES + max_topics * sizeof(tc_state_topic) + 4095) & ~<size_t>4095
        self.nbytes = self.slots_at + 2 * max_topics * (TC_FRAME_HEADER + RECORD_MAX)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            self._lock()
            if not self._taken_up(log):
                self._begin(log, now_ns)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        self.file = NULL
        self.header = NULL
        self.topics = NULL
        self._map = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    cdef int add(self, uint16_t schema, uint64_t seq) except -1:
        cdef uint32_t i = self.header.topics
        cdef tc_state_topic* topic
        cdef size_t nbytes = TC_FRAME_HEADER + tc_record_bytes(schema)
        self._reserve_entries(i + 1)
        topic = &self.topics[i]
        memset(topic, 0, sizeof(tc_state_topic))
        topic.schema = schema
        topic.seq = seq
        if is_state(schema):
            if self._reserve_slots(2 * nbytes):
                topic.slots = <uint32_t>((self.slots_at + self.header.slots_used) // 8)
                topic.slot_bytes = <uint16_t>nbytes
                self.header.slots_used += 2 * nbytes
            else:
                if not self.unkept:
                    log.warning("no room in shared memory for all last records: snapshots name the topics that lack theirs")
                self.unkept += 1
        tc_publish32(&self.header.topics, i + 1)
        return 0

    cdef const uint8_t* last(self, uint32_t topic_id) noexcept nogil:
        cdef const tc_state_topic* topic = &self.topics[topic_id]
        if topic.current == TC_STATE_NONE:
            return NULL
        return self.file + 8 * <size_t>topic.slots + (topic.slot_bytes if topic.current == TC_STATE_SECOND else 0)

    cdef uint8_t* beside(self, const tc_state_topic* topic) noexcept nogil:
        if topic.slots == 0:
            return NULL
        return self.file + 8 * <size_t>topic.slots + (topic.slot_bytes if topic.current == TC_STATE_FIRST else 0)

    cdef void turn(self, tc_state_topic* topic) noexcept nogil:
        tc_publish32(&topic.current, TC_STATE_SECOND if topic.current == TC_STATE_FIRST else TC_STATE_FIRST)
        tc_keep_order()

    # --- taking up, and beginning -----------------------------------------------------------------------------------

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LogBusy(
                "another process keeps the snapshot cache of this feed", holder=0, where=str(self._path),
                remedy="Two control agents for one feed: stop one",
            ) from None

    def _taken_up(self, LogReader log) -> bool:
        """Is what is there the state of this log, as far as one can see?"""
        if os.fstat(self._fd).st_size != self.nbytes:
            return False
        self._map_file()
        if (
            tc_read_published(&self.header.magic) != TC_STATE_MAGIC or self.header.epoch != log.header.epoch
            or self.header.max_topics != log.header.max_topics or self.header.slots_used > self.nbytes - self.slots_at
            or self.header.topics > tc_read_published32(&log.header.topic_count)
        ):
            return False
        self._reserve_entries(self.header.topics)
        if not self._sound(log.topic_entries) or not self._reserve_slots(0):
            return False
        self._repair()
        return True

    def _begin(self, LogReader log, now_ns: int) -> None:
        os.ftruncate(self._fd, 0)
        os.ftruncate(self._fd, self.nbytes)
        self._map_file()
        self.header.max_topics = log.header.max_topics
        self.header.epoch = log.header.epoch
        self.header.rolled_ns = now_ns
        tc_publish(&self.header.magic, TC_STATE_MAGIC)

    def _map_file(self) -> None:
        self._map = mmap.mmap(self._fd, self.nbytes)
        cdef uint8_t[::1] view = self._map
        self.file = &view[0]
        self.header = <tc_state_header*>self.file
        self.topics = <tc_state_topic*>(self.file + TC_STATE_HEADER_BYTES)
        self.entries_reserved = 0
        self.slots_reserved = self.slots_at
        self._reserve_entries(0)

    cdef bint _sound(self, const tc_topic_entry* entries) noexcept nogil:
        """Do all entries lead to slots of their own? Nobody else writes the file, but a wrong number would lead anywhere."""
        cdef size_t begin
        cdef uint32_t i
        cdef tc_state_topic* topic
        for i in range(self.header.topics):
            topic = &self.topics[i]
            if topic.schema != entries[i].schema or topic.current > TC_STATE_SECOND:
                return False
            begin = 8 * <size_t>topic.slots
            if topic.slots == 0:
                if topic.current != TC_STATE_NONE:
                    return False
            elif (
                topic.slot_bytes != TC_FRAME_HEADER + tc_record_bytes(topic.schema) or begin < self.slots_at
                or begin + 2 * topic.slot_bytes > self.slots_at + self.header.slots_used
            ):
                return False
        return True

    def _repair(self) -> None:
        """A record may count without its number: its writer was killed in between."""
        cdef tc_wire_log_header head
        cdef uint32_t i
        for i in range(self.header.topics):
            if self.last(i) != NULL:
                memcpy(&head, self.last(i), TC_FRAME_HEADER)
                if head.topic_seq > self.topics[i].topic_seq:
                    self.topics[i].seq = head.seq
                    self.topics[i].topic_seq = head.topic_seq

    # --- memory -----------------------------------------------------------------------------------------------------

    cdef int _reserve_entries(self, uint32_t count) except -1:
        """Take shared memory for so many entries: touching a page that can't be had would be the end (SIGBUS)."""
        cdef size_t end = TC_STATE_HEADER_BYTES + <size_t>count * sizeof(tc_state_topic)
        if end > self.entries_reserved:
            end = min(end + RESERVE, self.slots_at)
            try:
                os.posix_fallocate(self._fd, self.entries_reserved, end - self.entries_reserved)
            except OSError as error:
                raise LogSpace(
                    "no room in shared memory for the snapshot cache", expected=f"{end} bytes", found=error.strerror,
                    where=str(self._path), remedy="Enlarge /dev/shm, or set a smaller log.bytes",
                ) from None
            self.entries_reserved = end
        return 0

    cdef bint _reserve_slots(self, size_t more) except -1:
        """The same for slots; false where there is no room."""
        cdef size_t end = self.slots_at + self.header.slots_used + more
        if end > self.slots_reserved:
            end = min(end + RESERVE, self.nbytes)
            try:
                os.posix_fallocate(self._fd, self.slots_reserved, end - self.slots_reserved)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return False
            self.slots_reserved = end
        return True
