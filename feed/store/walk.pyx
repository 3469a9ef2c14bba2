# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""A walk through the frames of an archive's blocks: the records that lie within four bounds, of topics that somebody wants.

A topic is asked for once in each epoch: where its announcement stands, or else at its first record.
"""

from libc.stdlib cimport free, realloc

from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, TC_KIND_TOPIC

LEFT_OUT = <uint32_t>LABEL_LEFT_OUT


cdef class FrameWalk:
    """Records with first_seq <= seq <= last_seq and from_ns <= ts_in < to_ns."""

    def __cinit__(self, first_seq: int, last_seq: int, from_ns: int, to_ns: int, *_: object):
        self._first_seq, self._last_seq = first_seq, last_seq
        self._from_ns, self._to_ns = from_ns, to_ns
        self.unknown = -1

    def __dealloc__(self):
        free(self.topics)

    def begin(self, Block block not None) -> None:
        """Go on with this block."""
        self._block = block
        self._offset = 0

    def bind(self, topic_id: int, schema_id: int, label: int) -> None:
        """Name a topic: `label` is the caller's for it, or LEFT_OUT."""
        cdef uint32_t i = topic_id
        cdef uint32_t room
        cdef walk_topic* larger
        if i >= self._room:
            room = 2 * (i + 64)
            larger = <walk_topic*>realloc(self.topics, room * sizeof(walk_topic))
            if larger == NULL:
                raise MemoryError
            self.topics = larger
            while self._room < room:
                self.topics[self._room].label = LABEL_NONE
                self._room += 1
        self.topics[i].label = label
        self.topics[i].schema = schema_id

    def forget_topics(self) -> None:
        """Another epoch: topic ids mean other topics there."""
        cdef uint32_t i
        for i in range(self._room):
            self.topics[i].label = LABEL_NONE

    cdef const tc_log_frame* frame(self) noexcept nogil:
        cdef const tc_log_frame* frame
        self.unknown = -1
        while self._block is not None and self._offset + TC_FRAME_HEADER <= self._block.nbytes:
            frame = <const tc_log_frame*>(self._block.at + self._offset)
            if self._first_seq <= frame.seq <= self._last_seq and self._from_ns <= frame.ts_in < self._to_ns:
                if frame.kind == TC_KIND_RECORD or frame.kind == TC_KIND_TOPIC:
                    if frame.topic_id >= self._room or self.topics[frame.topic_id].label == LABEL_NONE:
                        self.unknown = frame.topic_id
                        return NULL
                    if frame.kind == TC_KIND_RECORD and self.topics[frame.topic_id].label != LABEL_LEFT_OUT:
                        return frame
            self._offset += frame.length
        return NULL

    cdef void advance(self, const tc_log_frame* frame) noexcept nogil:
        self._offset += frame.length
