"""Table of contents of the arbiter between lines that carry the same messages, for cimport."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    LINES_MAX = 4           # and one more for what was asked for
    HOLES_MAX = 1024        # of one numbering; beyond, the oldest is given up

# Messages `first` to below `end`.
ctypedef struct range_t:
    uint64_t first, end
    uint64_t since_ns       # when it was found to be missing, monotonic
    uint64_t asked_ns       # when it was asked for last; 0: never

# What of one numbering has come: all below `next` but the holes, which rise.
ctypedef struct seen_t:
    uint64_t next           # 0: nothing has come, the first message says where it begins
    uint64_t given_up       # messages in holes that are waited for no more
    uint32_t count
    range_t hole[HOLES_MAX]

ctypedef struct line_t:
    seen_t seen
    uint64_t first          # messages that this line brought before any other
    uint64_t late           # messages that had come already

ctypedef struct arbiter_t:
    uint32_t line_count
    uint8_t session[10]
    seen_t seen                         # over all lines
    range_t fresh[HOLES_MAX + 1]        # of the last offer(): what had not come before, rising
    line_t lines[LINES_MAX + 1]

# What Arbiter's methods of these names do, for who has many.
cdef uint32_t arbiter_offer(arbiter_t* arbiter, uint32_t line, uint64_t first, uint32_t count, uint64_t now) noexcept nogil
cdef const range_t* arbiter_due(arbiter_t* arbiter, uint64_t found_ns, uint64_t asked_ns, uint64_t now) noexcept nogil
cdef uint64_t arbiter_expire(arbiter_t* arbiter, uint64_t found_ns) noexcept nogil
cdef void arbiter_begin(arbiter_t* arbiter, const uint8_t* session, uint64_t sequence) noexcept nogil


cdef inline uint64_t arbiter_complete(const arbiter_t* arbiter) noexcept nogil:
    return arbiter.seen.hole[0].first if arbiter.seen.count else arbiter.seen.next


cdef class Arbiter:
    cdef readonly uint32_t line_count
    cdef bytes _session
    cdef arbiter_t* state
    # --- BORROWED from `state` ---
    cdef uint8_t* session
    cdef seen_t* seen                       # over all lines
    cdef range_t* fresh                     # of the last offer(): what had not come before, rising

    # Messages `first` to below `first + count` came on a line; count 0: `first` is the next to come. How many ranges of them
    # are `fresh`. `now` is monotonic.
    cdef uint32_t offer(self, uint32_t line, uint64_t first, uint32_t count, uint64_t now) noexcept nogil
    # The oldest hole that was found before `found_ns` and asked for last before `asked_ns`; it counts as asked for `now`. NULL:
    # there is none. BORROWED until the next offer().
    cdef const range_t* due(self, uint64_t found_ns, uint64_t asked_ns, uint64_t now) noexcept nogil
    # Wait no longer for what was found to be missing before `found_ns`; how many messages that were.
    cdef uint64_t expire(self, uint64_t found_ns) noexcept nogil
    # All messages below have come or were given up.
    cdef uint64_t complete(self) noexcept nogil


ctypedef struct kept_message_t:
    uint64_t sequence       # 0: nothing is kept here
    uint32_t length
    uint8_t* data


cdef class HoldBack:
    cdef kept_message_t* slots              # by sequence, round and round
    cdef uint32_t slot_mask
    cdef readonly uint32_t kept             # messages
    cdef readonly size_t kept_bytes
    cdef size_t limit_bytes
    cdef readonly uint64_t refused          # that there was no room for
    cdef uint8_t* given                     # by give(), freed with the next

    # Copy a message that came too early; `due` is the one that is awaited. False: it is too far ahead, too much, or no memory.
    cdef bint keep(self, uint64_t sequence, uint64_t due, const uint8_t* data, uint32_t length) noexcept nogil
    # The kept message of this sequence, BORROWED until the next call; NULL: it is not here.
    cdef const uint8_t* give(self, uint64_t sequence, uint32_t* length) noexcept nogil
    cdef void clear(self) noexcept nogil
    cdef void _drop(self, kept_message_t* slot) noexcept nogil
