"""When recorded ticks are due, for cimport.

A tick is due when as much time has passed since the first one as lies between the two, divided by the speed; its due time
is its ts_in. At infinite speed nothing is ever due, and the sink stamps ts_in. All times are ns since 1970.
"""

from libc.stdint cimport uint64_t

cdef enum:
    FAR = 0x4000000000000000   # a delay that no run lives to see


cdef struct schedule:
    bint paced
    bint started
    double slowness            # 1 / speed
    uint64_t base_ts           # this time of the recording ...
    uint64_t base_wall         # ... is due now
    uint64_t resume_wall       # when the next pass begins; 0: at once
    uint64_t last_due


cdef inline void schedule_speed(schedule* s, double speed) noexcept nogil:
    """`speed`: how many times faster than recorded; infinite is as fast as possible."""
    s.paced = speed <= 1e300
    s.slowness = 1.0 / speed if s.paced else 0.0


cdef inline void schedule_again(schedule* s, uint64_t pause_ns) noexcept nogil:
    """The next tick is the first of a pass; of a second pass it is due `pause_ns` after the last one of the first."""
    if s.started:
        s.resume_wall = s.last_due + pause_ns
    s.started = False


cdef inline void schedule_start(schedule* s, uint64_t ts, uint64_t now_ns) noexcept nogil:
    """The first tick of a pass is of the time `ts`."""
    s.base_ts = ts
    s.base_wall = s.resume_wall if s.resume_wall else now_ns
    s.started = True


cdef inline uint64_t schedule_due(const schedule* s, uint64_t ts) noexcept nogil:
    """When a tick of this time is due; never before one that was due already."""
    cdef uint64_t delay = ts - s.base_ts if ts > s.base_ts else 0
    cdef double scaled
    if s.slowness != 1.0:     # at recorded speed a delay stays exact, whatever its size
        scaled = <double>delay * s.slowness
        delay = <uint64_t>scaled if scaled < <double>FAR else <uint64_t>FAR
    if delay > <uint64_t>FAR:
        delay = FAR
    return max(s.base_wall + delay, s.last_due)
