# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Archived records onto a sink, in their order and unchanged, with their flags, each when it is due by its ts_in
(feed/normalize/schedule.pxd). What of the archive's topics is in the sink is the label of the walk (feed/store/walk.pyx).
"""

from feed.log.layout cimport TC_FRAME_HEADER, tc_log_frame
from feed.log.through cimport TOOK
from feed.normalize.schedule cimport schedule_again, schedule_due, schedule_speed, schedule_start
from feed.store.walk cimport walk_topic

from enum import IntEnum


class Want(IntEnum):
    """What a playback needs to go on."""

    NOTHING = WANT_NOTHING
    BLOCK = WANT_BLOCK
    TOPIC = WANT_TOPIC
    ROOM = WANT_ROOM


REFUSED = <unsigned int>LABEL_REFUSED


cdef class Playback(FrameWalk):
    """A walk whose labels are topic ids of the sink, or REFUSED.

    :param speed: how many times faster than recorded; infinite is as fast as possible, and then the sink stamps ts_in.
    """

    def __cinit__(self, first_seq: int, last_seq: int, from_ns: int, to_ns: int, speed: float):
        schedule_speed(&self._times, speed)
        self.want = WANT_BLOCK

    def again(self, pause_ns: int) -> None:
        """Another pass, its first record due `pause_ns` after the last one of this."""
        schedule_again(&self._times, pause_ns)
        self.forget_topics()

    def pour(self, Sink sink not None, limit: int, now_ns: int) -> int:
        """Append up to `limit` records that are due at `now_ns`; `want` then says why it was not more."""
        cdef int64_t n, most = limit
        cdef uint64_t now = now_ns
        with nogil:
            n = self.run(sink, most, now)
        return n

    def flush(self, Sink sink not None) -> None:
        """Make what was appended visible."""
        with nogil:
            sink.flush()

    @property
    def base_ns(self) -> int:
        """ts_in of the first record of this pass, if the playback is paced."""
        return self._times.base_ts

    @property
    def due_ns(self) -> int:
        """When the next record is due, ns since 1970; 0: at once, or not known."""
        cdef const tc_log_frame* frame
        if not self._times.paced or not self._times.started:
            return 0
        frame = self.frame()
        return 0 if frame == NULL else schedule_due(&self._times, frame.ts_in)

    def take_ticks(self) -> list[tuple[int, int]]:
        """(schema id, records appended since the last call), schemas without any left away."""
        cdef int i
        taken = []
        for i in range(TC_SCHEMA_END):
            if self._ticks[i]:
                taken.append((i, self._ticks[i]))
                self._ticks[i] = 0
        return taken

    cdef int64_t run(self, Sink sink, int64_t limit, uint64_t now_ns) noexcept nogil:
        cdef int64_t n = 0
        cdef uint64_t due = 0
        cdef int took
        cdef walk_topic* topic
        cdef const tc_log_frame* frame
        self.want = WANT_NOTHING
        while n < limit:
            frame = self.frame()
            if frame == NULL:
                self.want = WANT_BLOCK if self.unknown < 0 else WANT_TOPIC
                break
            topic = &self.topics[frame.topic_id]
            if self._times.paced:
                if not self._times.started:
                    schedule_start(&self._times, frame.ts_in, now_ns)
                due = schedule_due(&self._times, frame.ts_in)
                if due > now_ns:
                    break
            if topic.label == LABEL_REFUSED:
                self.refused += 1
            else:
                took = sink.append(topic.label, &frame.record[0], frame.length - TC_FRAME_HEADER, due, frame.flags)
                if not took:
                    self.want = WANT_ROOM
                    break
                self._ticks[topic.schema] += took == TOOK
                n += 1
            self._times.last_due = due
            self.at_ns = frame.ts_in
            self.advance(frame)
        return n
