# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""What subscribers want and what they are owed, topic by topic.

An XPUB socket in verbose mode tells of every subscription and, for each prefix, when the last subscriber has left; so a
prefix is either subscribed to or not, and a topic counts the prefixes that match it. Frames are owed besides ticks:

- a new subscriber, one empty frame for each topic there is that its prefix matches, and a heartbeat;
- every subscriber of a topic that has gone quiet, an empty frame one heartbeat after its last record, and again after
  2, 4, 8 ... heartbeats, at most 60 s: a loss at a quiet topic's tail would show nowhere else.
"""

import mmap
from collections import deque

from libc.stdint cimport UINT64_MAX
from libc.string cimport memcmp, memcpy, strlen

from feed.log.fences cimport tc_read_published, tc_read_published32
from feed.log.layout cimport TC_SYMBOL_MAX, tc_topic_entry
from feed.wire.frames cimport TC_WIRE_TOPIC_MAX
from feed.wire.records cimport tc_record_bytes, tc_schema_word

from feed.wire.topics import HEARTBEAT

cdef enum:
    SEARCH = 16_384             # topics that one call of owed() looks at
    SWEEP = 4_096               # topics that one poll looks at for overdue()
    SWEEPS_PER_HEARTBEAT = 8    # how exact "one heartbeat after" is

cdef uint64_t REST_MAX_NS = 60_000_000_000


cdef class Interest:
    """`heartbeat_ns`: how long a topic rests before its first empty frame."""

    def __init__(self, heartbeat_ns: int) -> None:
        self.heartbeat_ns = heartbeat_ns
        self._prefixes = set()
        self._lengths = {}

    cdef int attach(self, LogReader reader, uint64_t now) except -1:
        cdef size_t max_topics = reader.header.max_topics
        # Untouched pages of it cost nothing: what counts is how many topics there are, not how many there may be.
        self._memory = mmap.mmap(
            -1, max_topics * (sizeof(Topic) + sizeof(uint64_t)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        cdef uint8_t[::1] view = self._memory
        self.topics = <Topic*>&view[0]
        self.due_ns = <uint64_t*>(&view[0] + max_topics * sizeof(Topic))
        self.known = 0
        self._ids = {}
        self._walks = deque()
        self._walking = set()
        self._walk_at = self._walk_end = 0
        self._hand = self._steps = 0
        self._swept_ns = now
        self.learn(reader, False)
        for prefix in self._prefixes:
            self._owe(prefix)
        return 0

    cdef int learn(self, LogReader reader, bint loss) except -1:
        cdef uint32_t count = tc_read_published32(&reader.header.topic_count)
        cdef const tc_topic_entry* entry
        cdef const char* word
        cdef size_t n, symbol_length
        cdef Topic* topic
        while self.known < count:
            entry = &reader.topic_entries[self.known]
            topic = &self.topics[self.known]
            word = tc_schema_word(entry.schema)
            if word != NULL:
                n = strlen(word)
                symbol_length = min(entry.symbol_length, <uint16_t>TC_SYMBOL_MAX)
                memcpy(topic.text, word, n)
                topic.text[n] = b"."
                memcpy(&topic.text[n + 1], entry.symbol, symbol_length)
                topic.text[n + 1 + symbol_length] = b"|"
                topic.length = <uint8_t>(n + symbol_length + 2)
                topic.record_bytes = <uint16_t>tc_record_bytes(entry.schema)
                text = (<const char*>topic.text)[: topic.length]
                self._ids[text] = self.known
                for length in self._lengths:
                    topic.wanted += text[:length] in self._prefixes
            # A schema newer than this code has no text: nobody can want it.
            topic.next_seq = 1
            topic.loss = loss
            self.due_ns[self.known] = UINT64_MAX
            self.known += 1
        return 0

    # --- subscriptions ----------------------------------------------------------------------------------------------

    cdef int hear(self, bytes event) except -1:
        # ZMTP 3.0 (RFC 23): 1 and a prefix subscribes, 0 and a prefix takes it back. A prefix that is longer than any topic
        # matches none.
        cdef bytes prefix = event[1:]
        if len(event) == 0 or len(prefix) > TC_WIRE_TOPIC_MAX:
            return 0
        if event[0] == 1:
            if prefix not in self._prefixes:
                self._prefixes.add(prefix)
                self._lengths[len(prefix)] = self._lengths.get(len(prefix), 0) + 1
                self._mark(prefix, 1)
            self._owe(prefix)
        elif event[0] == 0 and prefix in self._prefixes:
            self._prefixes.remove(prefix)
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]
            self._mark(prefix, -1)
        return 0

    cdef int64_t owed(self) except -3:
        cdef int64_t found
        cdef uint32_t end
        while True:
            if self._walk_at == self._walk_end:
                if not self._walks:
                    return OWED_NONE
                self._walk = self._walks.popleft()
                self._walking.remove(self._walk)
                self._walk_at, self._walk_end = self._span(self._walk)
            end = min(self._walk_end, self._walk_at + SEARCH)
            found = self._match(<const uint8_t*><const char*>self._walk, len(self._walk), self._walk_at, end)
            if found >= 0:
                self._walk_at = <uint32_t>found + 1
                return found
            self._walk_at = end
            if end != self._walk_end:
                return OWED_LATER

    # --- quiet topics -----------------------------------------------------------------------------------------------

    cdef void turn(self, uint64_t now) noexcept nogil:
        """A hand goes round the topics; how far it may go by now."""
        cdef uint64_t elapsed = min(now - self._swept_ns, self.heartbeat_ns)
        cdef uint64_t steps = self.known * elapsed * SWEEPS_PER_HEARTBEAT // self.heartbeat_ns
        if steps:
            self._steps = <uint32_t>min(steps, <uint64_t>min(self.known, <uint32_t>SWEEP))
            self._swept_ns = now

    cdef int64_t overdue(self, uint64_t now) noexcept nogil:
        cdef uint32_t at
        while self._steps:
            self._steps -= 1
            self._hand = self._hand + 1 if self._hand + 1 < self.known else 0
            at = self._hand
            if self.due_ns[at] <= now:
                if self.topics[at].wanted:
                    return at
                self.due_ns[at] = UINT64_MAX
        return OWED_NONE

    cdef void rest(self, uint32_t topic_id, uint64_t now) noexcept nogil:
        cdef Topic* topic = &self.topics[topic_id]
        cdef uint64_t pause = self.heartbeat_ns << (topic.quiet + 1)
        topic.quiet = <uint8_t>min(topic.quiet + 1, 16)
        self.due_ns[topic_id] = now + min(pause, max(REST_MAX_NS, self.heartbeat_ns))

    # --- losses -----------------------------------------------------------------------------------------------------

    cdef void lose(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.known):
            self.topics[i].loss = 1

    cdef void renumber(self, LogReader reader) noexcept nogil:
        cdef uint32_t i
        for i in range(self.known):
            self.topics[i].next_seq = tc_read_published(&reader.topic_seqs[i]) + 1

    # --- inside -----------------------------------------------------------------------------------------------------

    def _owe(self, bytes prefix):
        """Queue the empty frames of a new subscription. One that waits already serves this subscriber too: XPUB sends to all."""
        if HEARTBEAT.startswith(prefix):
            self.greet = True
        if prefix not in self._walking:
            self._walking.add(prefix)
            self._walks.append(prefix)

    def _span(self, bytes prefix):
        """Topic ids among which those that match a prefix lie: a whole topic is looked up, not searched for."""
        if not prefix.endswith(b"|"):
            return 0, self.known
        found = self._ids.get(prefix)
        return (0, 0) if found is None else (found, found + 1)

    cdef void _mark(self, bytes prefix, int32_t by):
        cdef const uint8_t* text = <const uint8_t*><const char*>prefix
        cdef size_t length = len(prefix)
        cdef uint32_t start, end
        cdef int64_t at
        if HEARTBEAT.startswith(prefix):
            self.heartbeat += by
        start, end = self._span(prefix)
        while start < end:
            at = self._match(text, length, start, end)
            if at < 0:
                break
            self.topics[at].wanted += by
            start = <uint32_t>at + 1

    cdef int64_t _match(self, const uint8_t* prefix, size_t length, uint32_t start, uint32_t end) noexcept nogil:
        """The first topic from `start` to below `end` that begins with the prefix; OWED_NONE: none does."""
        cdef uint32_t i
        for i in range(start, end):
            if self.topics[i].length > 0 and length <= self.topics[i].length and memcmp(self.topics[i].text, prefix, length) == 0:
                return i
        return OWED_NONE
