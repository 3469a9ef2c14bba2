"""Table of contents of a link that brings frames of the wire format, for cimport."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from bots.links.link cimport Link, run_t
from feed.wire.frames cimport tc_wire_frame

cdef enum:
    KEY_ROOM = 88           # a topic has at most 85 bytes

cdef enum:
    TAKE_FRAME = 0          # a whole frame
    TAKE_NONE = 1           # nothing is waiting
    TAKE_CLOSED = 2         # nothing more will come
    TAKE_PARSED = 3         # a whole frame, which is `frame` already

ctypedef struct key_t:
    uint64_t hash
    uint16_t schema
    uint8_t choice          # TOPIC_*
    uint8_t length
    uint8_t text[KEY_ROOM]


cdef class FrameLink(Link):
    cdef tc_wire_frame frame
    cdef readonly uint64_t signs    # of life: heartbeats and records. Empty frames of topics are none, publishers send them unasked
    cdef uint64_t epoch, seq        # of the last heartbeat: everything below it was sent before
    cdef bint pending               # `frame` is of a TOPIC_NEW topic and comes again
    cdef readonly str endpoint      # "" where there is none
    cdef readonly bint proved       # a heartbeat was heard: over ZeroMQ, every subscription is in force
    # --- topics seen: keys by index, and a hash table of 1 + index ---
    cdef key_t* keys
    cdef uint32_t* slots
    cdef uint32_t key_count, key_room, slot_mask
    cdef uint32_t last              # index of the last frame's topic
    cdef dict due                   # what expect() was told; None: not known
    cdef uint64_t due_epoch

    # The next whole frame, BORROWED until the next call; TAKE_*.
    cdef int take(self, const uint8_t** at, size_t* nbytes) noexcept nogil
    cdef int _find(self) noexcept nogil
    cdef bint _grow(self) noexcept nogil


cdef class Script(FrameLink):
    cdef object coming
    cdef bytes present
    cdef public bint ended          # LINK_CLOSED once all frames are taken
