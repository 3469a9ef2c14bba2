"""Table of contents of the delivery, for cimport."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from bots.batch cimport Names, columns_t
from bots.links.link cimport Link, run_t
from bots.order cimport TopicOrder, verdict_t
from bots.progress cimport Progress
from bots.recovery cimport Recovery
from bots.samples cimport Samples
from bots.share cimport Share, ShareTopics
from bots.ticks cimport Tick
from feed.metrics.histogram cimport Histogram

cdef enum:
    STEP_VERDICT = 16       # beside LINK_*: a hole or a new epoch is to be told first
    STEP_BLOCK = 17         # a block is needed for the run's schema
    STEP_FULL = 18          # as many as were asked for
    STEP_CLOSE = 19         # an answer has gone out whole
    STEP_TAKEN = 20         # all that was to be taken over has come
    SCHEMAS_ROOM = 14       # schema ids are below

cdef enum:
    POOL = 2                # objects per schema that take turns: who asks for the next tick still holds the last one


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


cdef class Delivery:
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
    cdef uint32_t stride            # of so many
    cdef bint strode                # they have gone out since there was a wait
    cdef bint mended                # the run came from recovery, not live
    cdef run_t parked               # the first run of a new epoch, while what was kept of the old one goes out
    cdef bint has_parked
    cdef int pending                # what step() must be told has been dealt with
    cdef bint spin, stream
    cdef uint64_t highest           # in stream order: seq of the last tick that went out in its place
    cdef readonly bint stopped
    cdef readonly uint64_t ticks    # delivered
    cdef readonly uint64_t last_lag_ns      # ts_bot - ts_sent of the last one, 0 if negative
    cdef readonly Histogram wire, total, handler
    cdef readonly Samples samples           # of when ticks were here
    cdef public int64_t offset_ns           # this host's clock minus the feed's; all that is measured is by the feed's
    cdef uint64_t gil_cycles                # awake, and waiting for the GIL,
    cdef uint64_t began_cycles, began_ns    # and since when, by counter and clock
    cdef uint64_t gil_told_ns
    cdef readonly Tick current      # given to a callback last
    cdef uint64_t due_at            # wall ns: when look() has something to do
    cdef uint64_t look_at           # likewise, hooks.look()
    cdef uint64_t prove_at          # likewise, saying in the position what is proved
    cdef public uint64_t pause_ns   # it is due so often, at least
    # --- work sharing ---
    cdef Share share                # or None
    cdef Main main                  # the link that waits while another is read, or None
    cdef Progress progress          # of a durable bot, or None
    cdef readonly uint64_t seq      # nothing below is missing in the stream, but for topics that wait
    cdef uint64_t folded_before     # over links before this one
    cdef object hooks
    cdef object latest              # schema ids that are conflated when the bot is behind,
    cdef uint64_t behind_ns         # which it is when a tick is older than that
    cdef uint32_t stops             # bit per schema id: its ticks are refused then
    cdef bint late
    cdef dict carried               # (schema id, symbol) -> (topic_seq due, last known of, seq that it lies above), from the link before
    cdef object untold              # gaps
    cdef object ready               # batches that are done
    cdef list blocks                # by schema id: blocks to fill again
    cdef list open_blocks           # those being filled, in the order of their first ticks
    cdef columns_t* filling[SCHEMAS_ROOM]   # by schema id: inside one of them, or NULL
    cdef uint16_t first_schema      # of the batch in stream order
    cdef PyObject* pool[SCHEMAS_ROOM][POOL] # OWNED

    cdef int step(self) noexcept nogil
    cdef int _shared(self) noexcept nogil
    cdef int _goes_on(self, tuple topic, uint64_t first, uint64_t last, str cause) except -1
    cdef int _passed(self) except -1
    cdef int collect(self, uint32_t n, uint32_t* total) noexcept nogil
    cdef int event(self, int what) except -1
    cdef bint idle(self, uint64_t deadline_ns) except -1
    cdef int look(self, uint64_t now, bint idle) except -1
    cdef Tick next_tick(self, uint64_t deadline_ns)
    cdef Tick tick(self)
    cdef void measure(self, Tick tick, uint64_t now) noexcept
    cdef void measure_columns(self, columns_t* columns, uint64_t now) noexcept
    cdef int refuse(self, Tick tick) except -1
    cdef int finish(self) except -1
    cdef int open_block(self, uint16_t schema_id, uint32_t room) except -1
    cdef int resolve(self, uint32_t topic) except -1
    cdef int overrun(self) except -1
    cdef int suspect_all(self) except -1
    cdef int judged(self) except -1
    cdef dict numbering(self)
    cdef list owed(self)
    cdef int suspect_owed(self) except -1
    cdef int begin_epoch(self, uint64_t before) except -1
    cdef int _begin_all(self) except -1
    cdef void _begins(self) noexcept nogil
    cdef int _came_back(self) except -1
    cdef void place(self) noexcept nogil
    cdef int tell_gaps(self, list gaps) except -1
    cdef int tell(self, list gaps) except -1
    cdef uint64_t _kept_epoch(self) noexcept
