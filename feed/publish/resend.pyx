# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The server of requests: what a receiver of our multicast lost, sent to it alone, from the log or the archive.

A request names a session, a first message and how many. The numbering knows a place in the log before that message; from
there the shard's records are counted. The answer has the same messages with the same frames, but for ts_sent. Requests for
another session, for what was not sent yet or is nowhere any more, and bytes that are no request are counted and get no
answer; nor does more than `rate` packets a second.

It is a thread that holds the GIL only to look into the archive: the sender never waits for it.
"""

import threading

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset, strlen

from feed.clock cimport mono_ns, wall_ns
from feed.log.fences cimport tc_read_published, tc_read_published32
from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, TC_SYMBOL_MAX, tc_topic_entry
from feed.log.reader cimport READ_FRAME
from feed.metrics.counters cimport tc_counter_add
from feed.store.reader cimport Block
from feed.wire.frames cimport TC_WIRE_TOPIC_MAX, tc_wire_header, tc_wire_put_head, tc_wire_size
from feed.wire.mold cimport (
    TC_MOLD_HEADER,
    TC_MOLD_LENGTH,
    TC_MOLD_OK,
    tc_mold_parse_request,
    tc_mold_put_header,
    tc_mold_put_length,
)
from feed.wire.multicast cimport TC_BURST, tc_burst_arm, tc_burst_length, tc_burst_receive, tc_send, tc_wait
from feed.wire.records cimport tc_record_bytes, tc_schema_word

from feed.errors import LogMissing, StoreError
from feed.log.reader import LogReader as _LogReader
from feed.store.reader import StoreReader

cdef extern from "<poll.h>" nogil:
    short POLLIN

cdef enum:
    REQUEST_ROOM = 64           # a request has 20 bytes
    NOT_NUMBERED = 255
    BURST_OF_TOKENS = 64        # packets that may go out at once

cdef uint64_t SECOND_NS = 1_000_000_000
cdef uint64_t TURN_NS = 100_000_000


cdef class Finder:
    """Answers requests that come to `fd`, in the thread that calls serve(); see Resender."""

    def __init__(
        self,
        int fd,
        directory,
        Numbering numbering not None,
        shards,
        archive,
        room: int,
        batch: int,
        rate: int,
        counters,
        str name,
    ) -> None:
        self.fd = fd
        self.directory = directory
        self.numbering = numbering
        self.shards = shards
        self.archive = archive
        self.room = min(room, PACKET_ROOM)
        self.batch = batch
        self.rate = rate
        self.requests = <tc_burst*>calloc(1, sizeof(tc_burst))
        self.incoming = <uint8_t*>calloc(TC_BURST, REQUEST_ROOM)
        if self.requests == NULL or self.incoming == NULL:
            raise MemoryError
        tc_burst_arm(self.requests, self.incoming, REQUEST_ROOM)

        def outcome(word: str) -> Counter:
            return counters.counter("tickcast_requests_total", publisher=name, outcome=word)

        self._answered = outcome("answered")
        self._malformed = outcome("malformed")
        self._foreign = outcome("foreign")
        self._limited = outcome("limited")
        self._gone = outcome("gone")
        self._resent = counters.counter("tickcast_resent_total", publisher=name)

    def __dealloc__(self):
        free(self.requests)
        free(self.incoming)
        free(self.shard_of)

    def attach(self) -> None:
        """Read the log that there is now. Raises LogMissing."""
        if self.reader is not None:
            self.reader.close()
        self.reader = None
        if self.shard_of != NULL:
            memset(self.shard_of, 0, self.topic_room)
        self.reader = _LogReader.open(self.directory)

    def serve(self) -> None:
        """Wait for requests, 100 ms at most, and answer those that came."""
        with nogil:
            if tc_wait(&self.fd, 1, POLLIN, TURN_NS):
                self._receive()

    cdef void _receive(self) noexcept nogil:
        cdef int i
        for i in range(tc_burst_receive(self.requests, self.fd)):
            self.peer = &self.requests.peers[i]
            self._answer(self.incoming + i * REQUEST_ROOM, tc_burst_length(self.requests, i))

    def close(self) -> None:
        """Leave the log."""
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    cdef int _answer(self, const uint8_t* data, uint32_t length) noexcept nogil:
        cdef mark_t mark
        if tc_mold_parse_request(data, length, &self.request) != TC_MOLD_OK:
            tc_counter_add(self._malformed.slot, 1)
            return 0
        if not self._is_ours() or self.reader is None:
            tc_counter_add(self._foreign.slot, 1)
            return 0
        if not self._may():
            tc_counter_add(self._limited.slot, 1)
            return 0
        self.end = min(self.request.sequence + self.request.count, self.numbering.next[self.shard])
        if self.request.sequence >= self.end or not self.numbering.find(self.shard, self.request.sequence, &mark):
            tc_counter_add(self._gone.slot, 1)
            return 0
        self.at = mark.next[self.shard]
        self.packets = self.used = self.blocks = 0
        if not self._from_log(&mark):
            if self.archive is None:
                tc_counter_add(self._gone.slot, 1)
                return 0
            with gil:
                self._from_archive(&mark)
        if self.blocks:
            self._send()
        tc_counter_add(self._answered.slot if self.packets else self._gone.slot, 1)
        return 0

    cdef bint _is_ours(self) noexcept nogil:
        cdef uint8_t name[10]
        for self.shard in range(self.numbering.shards):
            self.numbering.name(self.shard, name)
            if memcmp(name, self.request.session, 10) == 0:
                return True
        return False

    cdef bint _may(self) noexcept nogil:
        """Is there a packet left for this moment? A bucket that fills at `rate`."""
        cdef uint64_t now = mono_ns()
        cdef uint64_t room = BURST_OF_TOKENS * SECOND_NS
        if self.filled_ns:
            self.tokens = min(room, self.tokens + min(now - self.filled_ns, SECOND_NS) * self.rate)
        else:
            self.tokens = room
        self.filled_ns = now
        return self.tokens >= SECOND_NS

    cdef bint _from_log(self, const mark_t* mark) noexcept nogil:
        """Send what is wanted; false: the log does not have it any more."""
        cdef bint more = True
        if mark.position > tc_read_published(&self.reader.header.tail) or not self.reader.intact(mark.position):
            return False
        self.reader.at = mark.position
        self.reader.seq = mark.seq
        while more:
            if self.reader.next() != READ_FRAME:
                # Overtaken: what was met by now is right, the rest has to come from elsewhere.
                return self.at >= self.end
            if self.reader.frame().seq >= mark.seq:
                more = self._take(self.reader.frame(), self.reader.header.epoch)
        return True

    cdef int _from_archive(self, const mark_t* mark) except -1:
        """The same from the archive's files. What they do not have is not sent."""
        cdef Block block
        cdef const uint8_t* at
        cdef const tc_log_frame* frame
        cdef size_t left
        cdef bint more = True
        self.at = mark.next[self.shard]
        self.used = self.blocks = 0
        try:
            with StoreReader(self.archive, epoch=self.reader.epoch, seq=mark.seq) as store:
                while more:
                    block = store.read_block()
                    # Whatever is missing there was numbered too: from here on nothing is certain.
                    if block is None or block.missing or block.epoch != self.reader.epoch:
                        return 0
                    at = block.at
                    left = block.nbytes
                    with nogil:
                        while more and left >= TC_FRAME_HEADER:
                            frame = <const tc_log_frame*>at
                            if frame.length < TC_FRAME_HEADER or frame.length > left:
                                break
                            if frame.seq >= mark.seq:
                                more = self._take(frame, block.epoch)
                            at += frame.length
                            left -= frame.length
        except StoreError:
            pass
        return 0

    cdef bint _take(self, const tc_log_frame* frame, uint64_t epoch) noexcept nogil:
        """A frame of the log goes by; false: that was all."""
        cdef tc_wire_header header
        cdef uint8_t topic[TC_WIRE_TOPIC_MAX]
        cdef const tc_topic_entry* entry
        cdef uint32_t topic_length, record_bytes, size
        cdef uint64_t now
        cdef uint8_t* to
        if frame.kind != TC_KIND_RECORD:
            return True
        entry = &self.reader.topic_entries[frame.topic_id]
        if self._shard(frame.topic_id) != self.shard + 1:
            return True
        record_bytes = tc_record_bytes(entry.schema)
        if frame.length != TC_FRAME_HEADER + record_bytes:
            return True     # a misfit: it was not sent either
        self.at += 1
        if self.at <= self.request.sequence:
            return True
        topic_length = _topic(entry, topic)
        size = <uint32_t>tc_wire_size(topic_length, record_bytes, 1)
        if self.blocks and (self.blocks == self.batch or self.used + TC_MOLD_LENGTH + size > self.room):
            if not self._send():
                return False
        if self.blocks == 0:
            self.used = TC_MOLD_HEADER
            self.first = self.at - 1
        now = wall_ns()
        memset(&header, 0, sizeof(header))
        header.flags = frame.flags
        header.count = 1
        header.record_bytes = <uint16_t>record_bytes
        header.epoch = epoch
        header.seq = frame.seq
        header.topic_seq = frame.topic_seq
        header.ts_in = frame.ts_in
        header.ts_sent = now
        to = tc_mold_put_length(self.outgoing + self.used, size)
        to = tc_wire_put_head(to, topic, topic_length, &header)
        memcpy(to, &frame.record[0], record_bytes)
        self.used += TC_MOLD_LENGTH + size
        self.blocks += 1
        return self.at < self.end

    cdef bint _send(self) noexcept nogil:
        """The packet at hand goes out; false: that is enough for now."""
        cdef int sent
        if not self._may() or not self._is_ours():
            self.blocks = 0
            return False
        self.tokens -= SECOND_NS
        tc_mold_put_header(self.outgoing, self.request.session, self.first, self.blocks)
        sent = tc_send(self.fd, self.outgoing, self.used, self.peer)
        if sent == 1:
            tc_counter_add(self._resent.slot, self.blocks)
            self.packets += 1
        self.blocks = 0
        return sent == 1 and self.packets < PACKETS_MAX

    cdef uint8_t _shard(self, uint32_t topic_id) noexcept nogil:
        """1 + the shard of a topic, which the log's table names."""
        cdef uint32_t room
        cdef uint8_t* grown
        if topic_id >= tc_read_published32(&self.reader.header.topic_count):
            return NOT_NUMBERED
        if topic_id >= self.topic_room:
            room = max(2 * self.topic_room, topic_id + 64)
            grown = <uint8_t*>realloc(self.shard_of, room)
            if grown == NULL:
                return NOT_NUMBERED
            memset(grown + self.topic_room, 0, room - self.topic_room)
            self.shard_of = grown
            self.topic_room = room
        if self.shard_of[topic_id] == 0:
            with gil:   # once for each topic
                self.shard_of[topic_id] = self._shard_by_name(&self.reader.topic_entries[topic_id])
        return self.shard_of[topic_id]

    cdef uint8_t _shard_by_name(self, const tc_topic_entry* entry):
        if tc_schema_word(entry.schema) == NULL:
            return NOT_NUMBERED
        return 1 + <uint8_t>self.shards.of(entry.symbol[: entry.symbol_length].decode("ascii"))


cdef uint32_t _topic(const tc_topic_entry* entry, uint8_t* out) noexcept nogil:
    """The topic's text; its length."""
    cdef const char* word = tc_schema_word(entry.schema)
    cdef size_t n = strlen(word)
    cdef size_t symbol_length = min(entry.symbol_length, <uint16_t>TC_SYMBOL_MAX)
    memcpy(out, word, n)
    out[n] = b"."
    memcpy(out + n + 1, entry.symbol, symbol_length)
    out[n + 1 + symbol_length] = b"|"
    return <uint32_t>(n + symbol_length + 2)


class Resender:
    """The thread of a Finder. `serving` is bound and outlives it; `rate` packets a second at most."""

    def __init__(self, serving, directory, numbering, shards, *, archive, payload_bytes, batch, rate, counters, name):
        self._finder = Finder(
            serving.fileno(), directory, numbering, shards, archive, payload_bytes, batch, rate, counters, name)
        self._finder.attach()
        self._renewed = self._ended = False
        self._thread = threading.Thread(target=self._turn, name=f"requests.{name}", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """The log is another."""
        self._renewed = True

    def close(self) -> None:
        """Within 0.1 s, or what an archive takes."""
        self._ended = True
        self._thread.join()
        self._finder.close()

    def _turn(self) -> None:
        while not self._ended:
            if self._renewed:
                self._renewed = False
                try:
                    self._finder.attach()
                except LogMissing:
                    self._renewed = True
            self._finder.serve()
