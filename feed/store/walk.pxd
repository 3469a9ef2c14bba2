"""Table of contents of the walk through blocks' frames, for cimport."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from feed.log.layout cimport tc_log_frame
from feed.store.reader cimport Block

cdef enum:
    LABEL_NONE = 0xFFFFFFFF       # of a topic that bind() has not named
    LABEL_LEFT_OUT = 0xFFFFFFFE   # of one whose records are passed by


cdef struct walk_topic:
    uint32_t label                # what bind() was given, or LABEL_*
    uint32_t schema


cdef class FrameWalk:
    cdef readonly int64_t unknown            # topic id that has to be bound before the walk can go on, -1: none
    cdef Block _block
    cdef size_t _offset                      # of the next frame in the block
    cdef uint64_t _first_seq, _last_seq, _from_ns, _to_ns
    cdef walk_topic* topics                  # by topic id; that of a frame that frame() gave is there
    cdef uint32_t _room

    # The next record within the bounds of a topic that is not left out. NULL: `unknown` says which topic has to be bound, or,
    # if it is -1, the block is done. The same again until advance(). BORROWED from the block.
    cdef const tc_log_frame* frame(self) noexcept nogil
    cdef void advance(self, const tc_log_frame* frame) noexcept nogil
