# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""A log's identity and topics as control tells them, without being one of its readers.

A `LogReader` would take a slot there, map all segments and, as control reads no ticks, seem to fall ever further behind.
"""

import mmap
import os

from feed.errors import LogMissing
from feed.log.fences cimport tc_read_published, tc_read_published32
from feed.log.layout cimport TC_LOG_MAGIC, TC_LOG_OPEN, TC_LOG_VERSION, tc_log_header, tc_topic_entry
from feed.wire.records import BY_ID
from libc.stdint cimport uint8_t, uint32_t


cdef class LogView:
    """The log in `directory` as it is now; LogMissing if there is none that is open."""

    cdef const tc_log_header* header       # into _maps, as long as this object lives
    cdef const tc_topic_entry* entries
    cdef object _maps

    def __init__(self, directory):
        try:
            log, topics = _mapped(directory / "log"), _mapped(directory / "topics")
        except (FileNotFoundError, ValueError):
            raise LogMissing("no feed has its log here", where=str(directory)) from None
        cdef const uint8_t[::1] log_bytes = log
        cdef const uint8_t[::1] topics_bytes = topics
        self._maps = (log, topics)
        self.header = <const tc_log_header*>&log_bytes[0]
        if len(log) < <Py_ssize_t>sizeof(tc_log_header) or tc_read_published(&self.header.magic) != TC_LOG_MAGIC:
            raise LogMissing("the log is only being made", where=str(directory))
        if self.header.version != TC_LOG_VERSION or not self.open:
            raise LogMissing("the log here is not open, or of another version", where=str(directory))
        # topics: u64 topic_seq[max_topics], then tc_topic_entry[max_topics]; feed/log/layout.h
        self.entries = <const tc_topic_entry*>(&topics_bytes[0] + 8 * <size_t>self.header.max_topics)

    @property
    def open(self) -> bool:
        """False once the feed ended or began a new log: then this one says nothing new."""
        return tc_read_published32(&self.header.state) == TC_LOG_OPEN

    @property
    def epoch(self) -> int:
        """When this numbering began, ns since 1970."""
        return self.header.epoch

    @property
    def next_seq(self) -> int:
        """seq of the next record to be written."""
        return tc_read_published(&self.header.next_seq)

    @property
    def topic_count(self) -> int:
        return tc_read_published32(&self.header.topic_count)

    def topic(self, uint32_t topic_id):
        """(schema word, symbol) of a topic id below `topic_count`."""
        if topic_id >= tc_read_published32(&self.header.topic_count):
            raise IndexError(topic_id)
        cdef const tc_topic_entry* entry = &self.entries[topic_id]
        return BY_ID[entry.schema].word, entry.symbol[: entry.symbol_length].decode("ascii")


def _mapped(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
