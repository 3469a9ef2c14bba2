"""Table of contents of the arrivals, for cimport."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from bots.batch cimport Names
from bots.links.link cimport Link, run_t
from bots.order cimport TopicOrder, verdict_t
from bots.progress cimport Progress
from bots.recovery cimport Recovery
from bots.share cimport Share, ShareTopics

cdef extern from "<stdint.h>" nogil:
    const uint64_t NEVER "UINT64_MAX"

cdef enum:
    STEP_VERDICT = 16       # beside LINK_*: a hole or a new epoch is to be told first
    STEP_CLOSE = 17         # an answer has gone out whole
    STEP_TAKEN = 18         # all that was to be taken over has come


cdef class Main:
    cdef Link source, link
    cdef TopicOrder order
    cdef Names names
    cdef set met
    cdef dict carried
    cdef ShareTopics topics
    cdef run_t run, parked
    cdef uint32_t at
    cdef int pending
    cdef bint has_parked


cdef class Arrivals:
    cdef Link source                # where ticks come from
    cdef Link link                  # the same, or stream order over it
    cdef TopicOrder order
    cdef readonly Recovery recovery
    cdef Names names
    cdef set met                    # topics of the link for which it was said whether they are wanted
    cdef run_t run
    cdef verdict_t verdict
    cdef uint32_t at                # next record of the run
    cdef readonly bint dry          # nothing was waiting when something was last looked for
    cdef uint32_t ahead             # runs that were missing, to go out before the link is looked at again,
    cdef uint32_t stride            # of so many;
    cdef uint32_t lived             # runs that came live since they went out
    cdef bint strode                # they have gone out since there was a wait
    cdef bint mended                # the run came from recovery, not live
    cdef run_t parked               # the first run of a new epoch, while what was kept of the old one goes out
    cdef bint has_parked
    cdef int pending                # what step() must be told has been dealt with
    cdef bint spin, stream
    cdef uint64_t highest           # in stream order: seq of the last tick that went out in its place
    cdef readonly uint64_t seq      # nothing below is missing in the stream, but for topics that wait
    cdef uint64_t folded_before     # over links before this one
    cdef readonly bint stopped
    cdef object hooks
    cdef object latest              # schema ids that are conflated when the bot is behind,
    cdef uint64_t behind_ns         # which it is when a tick is older than that
    cdef dict carried               # (schema id, symbol) -> (topic_seq due, last known of, seq that it lies above), from the link before
    cdef object untold              # gaps
    cdef Share share                # or None
    cdef Main main                  # the link that waits while another is read, or None
    cdef Progress progress          # of a durable bot, or None
    # --- waiting ---
    cdef uint64_t due_at            # wall ns: when look() has something to do
    cdef uint64_t look_at           # likewise, hooks.look()
    cdef uint64_t prove_at          # likewise, saying in the position what is proved
    cdef public uint64_t pause_ns   # it is due so often, at least
    cdef uint64_t gil_cycles                # awake, and waiting for the GIL,
    cdef uint64_t began_cycles, began_ns    # and since when, by counter and clock
    cdef uint64_t gil_told_ns

    cdef int step(self) noexcept nogil
    cdef int event(self, int what) except -1
    cdef bint idle(self, uint64_t deadline_ns) except -1
    cdef int ran_dry(self) except -1
    cdef int look(self, uint64_t now, bint idle) except -1
    cdef int _shared(self) noexcept nogil
    cdef void _place(self) noexcept nogil
    cdef int _resolve(self, uint32_t topic) except -1
    cdef int _judged(self) except -1
    cdef int _goes_on(self, tuple topic, uint64_t first, uint64_t last, str cause) except -1
    cdef int _overrun(self) except -1
    cdef int _suspect_all(self) except -1
    cdef int _suspect_owed(self) except -1
    cdef dict _numbering(self)
    cdef list _owed(self)
    cdef int _begin_epoch(self, uint64_t before) except -1
    cdef int _begin_all(self) except -1
    cdef void _begins(self) noexcept nogil
    cdef int _tell_gaps(self, list gaps) except -1
    cdef int _tell(self, list gaps) except -1
    cdef uint64_t _kept_epoch(self) noexcept
