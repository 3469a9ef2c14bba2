# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""A bot's share of a stream that a group divides: whose is a record, and up to where has this bot dealt with its own?

    share "symbol"  owner: the member with the greatest mix(hash(member) ^ hash(symbol)); all schemas of a symbol are one bot's
    share "turn"    owner: member number seq modulo members, in order of their names

    a record is its owner's in the first generation whose owner of it stopped above it; else its owner's in this one

hash: the first 8 bytes of BLAKE2b of 8 bytes, little-endian; mix: the finaliser of MurmurHash3. The bot sees every record that
it subscribed to, in stream order, and passes over what is not its own: so where it stands is one number. No input or output;
the only clock is that of the lease. The rules for members: feed/control/groups.py.
"""

import hashlib

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from bots.links.link cimport NO_TOPIC
from feed.clock cimport mono_ns
from feed.wire.frames cimport TC_FLAG_REPLAYED

cdef uint64_t NEVER = 0xFFFFFFFFFFFFFFFF


cdef class ShareTopics:
    def __dealloc__(self):
        free(self.keys)

    def put(self, topic: int, symbol: str, known: bool) -> None:
        """A topic of the stream was met; `known`: so it was before, on another link, and nothing came in between."""
        self._put(topic, symbol, 0 if known else NEVER, 0)

    def put_again(self, topic: int, symbol: str, first: int, due: int) -> None:
        """A topic of what is read again was met: `first` (0: all) to below `due` came the first time."""
        self._put(topic, symbol, first, due)

    def first(self, topic: int) -> int:
        """The first topic_seq that came in the stream since the topic was met; 0: those before came too."""
        cdef uint32_t i = topic
        return self.keys[i].first if i < self.room else 0

    cdef int _put(self, uint32_t topic, str symbol, uint64_t first, uint64_t due) except -1:
        cdef uint32_t room
        cdef key_t* keys
        if topic >= self.room:
            room = max(2 * self.room, topic + 1, <uint32_t>64)
            keys = <key_t*>realloc(self.keys, room * sizeof(key_t))
            if keys == NULL:
                raise MemoryError
            memset(keys + self.room, 0, (room - self.room) * sizeof(key_t))
            self.keys = keys
            self.room = room
        self.keys[topic].hash = hash_of(symbol)
        self.keys[topic].first = first
        self.keys[topic].due = due
        return 0


cdef class Share:
    """`member`: this bot's name in its group; `turn`: the group shares in turn, not by symbol."""

    def __init__(self, member: str, turn: bool = False) -> None:
        self.member = member
        self.turn = turn
        self.topics = ShareTopics()
        self.me = -1

    def __dealloc__(self):
        self._free()

    # --- who owns what ----------------------------------------------------------------------------------------------

    def own(self, members: list, past: list, begin: tuple) -> None:
        """Be one of `members` from now on. `past`: generations that are over, as (members, places at which they stopped,
        fence, begin), the oldest first; `begin`: the place below which nothing is the group's.
        """
        cdef uint32_t i, n
        cdef past_t* each
        me = members.index(self.member)
        self._free()
        self.seeds = <uint64_t*>malloc(max(1, len(members)) * sizeof(uint64_t))
        self.past = <past_t*>calloc(max(1, len(past)), sizeof(past_t))
        if self.seeds == NULL or self.past == NULL:
            raise MemoryError
        for i in range(len(members)):
            self.seeds[i] = hash_of(members[i])
        self.count = len(members)
        for names, stops, fence, began in past:
            each = &self.past[self.past_count]
            n = len(names)
            each.seeds = <uint64_t*>malloc(max(1, 3 * n) * sizeof(uint64_t))
            if each.seeds == NULL:
                raise MemoryError
            each.epochs = each.seeds + n
            each.seqs = each.epochs + n
            each.count = n
            each.me = names.index(self.member) if self.member in names else -1
            for i in range(n):
                each.seeds[i] = hash_of(names[i])
                each.epochs[i], each.seqs[i] = stops[i]
            each.fence_epoch, each.fence_seq = fence
            each.begin_epoch, each.begin_seq = began
            each.over_epoch, each.over_seq = max([tuple(place) for place in [fence] + list(stops)])
            self.past_count += 1
        self.begin_epoch, self.begin_seq = begin
        self.stamp += 1
        self.me = me

    def disown(self) -> None:
        """Have no share: everything is passed over."""
        self.me = -1

    def lease(self, deadline_ns: int) -> None:
        """The share may be dealt with until then, monotonic ns."""
        self.deadline_ns = deadline_ns

    def owns(self, symbol: str) -> bool:
        """May a tick of this symbol be this bot's?"""
        cdef uint64_t key = hash_of(symbol)
        return self.me >= 0 and (self.turn or _highest(self.seeds, self.count, key) == <uint32_t>self.me)

    def prune(self) -> None:
        """Forget generations that touch nothing any more that may still come."""
        cdef uint32_t n = 0
        while n < self.past_count and not _before(
                self.epoch, self.seq, self.past[n].over_epoch, self.past[n].over_seq):
            free(self.past[n].seeds)
            n += 1
        if n:
            self.past_count -= n
            for i in range(self.past_count):
                self.past[i] = self.past[i + n]

    def _free(self) -> None:
        cdef uint32_t i
        for i in range(self.past_count):
            free(self.past[i].seeds)
        free(self.past)
        free(self.seeds)
        self.past = NULL
        self.seeds = NULL
        self.past_count = 0
        self.count = 0

    # --- where it stands --------------------------------------------------------------------------------------------

    @property
    def place(self) -> tuple[int, int]:
        """(epoch, seq): all of the share below has been dealt with."""
        return self.epoch, self.seq

    @property
    def main(self) -> tuple[int, int]:
        """Where the stream itself stands: it waits there while something is taken over."""
        return (self.end_epoch, self.end_seq) if self.taking else (self.epoch, self.taken)

    @property
    def still(self) -> bool:
        """Does it stand, with nothing in the bot's hands?"""
        return self.stood and self.seq == self.taken

    @property
    def base(self) -> tuple[int, int]:
        """From where it counts."""
        return self.base_epoch, self.base_seq

    def remember(self, Position position not None) -> None:
        """Keep the place in `position`."""
        self.position = position
        self.handed_epoch, self.handed = position.epoch, position.handed

    def keep(self) -> None:
        """What is kept from now on is of this generation: begin it where this bot stands."""
        if self.position is not None:
            self.position.begin(self.epoch, self.seq)

    def prove(self, epoch: int, seq: int) -> None:
        """So far it was found true that nothing is missing."""
        if epoch == self.base_epoch and seq > self.proven:
            self.proven = seq
        self._keep()

    def attach(self, epoch: int, seq: int, exact: bool) -> None:
        """The stream goes on over another link.

        :param seq: the next record there, where it is known.
        :param exact: nothing is lost there in silence.
        """
        self.detach()
        if not self.ready and exact and epoch:
            self.ready = True
            self.stopping = True    # until it is known what is its own, nothing is passed over
            self.begin(epoch, max(1, seq))
        if not self.proving and not exact and self.ready:
            self._base(*self.main)
        self.proving = not exact

    def detach(self) -> None:
        """There is no link now. What was held over the old one is let go of, and will be missing."""
        self.topics = ShareTopics()
        self.high = self.taken

    def begin(self, epoch: int, seq: int = 1) -> None:
        """The stream goes on in this epoch from there."""
        if self.taking and not self.aside:
            self.end_epoch, self.end_seq = epoch, seq
        else:
            self.epoch = epoch
            self.high = self.taken = self.seq = seq
            if self.position is not None and self.me >= 0:
                self.position.begin(epoch, seq)
        if not self.aside:
            self._base(epoch, seq)

    def go_back(self, epoch: int, seq: int) -> None:
        """From there up to where the stream stands there is something to be read elsewhere first."""
        self.end_epoch, self.end_seq = self.main
        self.taking = True
        self.healing = False
        self.epoch = epoch
        self.high = self.taken = self.seq = seq

    def heal(self) -> None:
        """The same, from what was proved, for what did not come the first time."""
        self.go_back(self.base_epoch, self.proven)
        self.healing = True

    def stand_at(self) -> None:
        """What was taken over ends where the stream stands; or there was nothing. Nothing below is wanted any more."""
        self.epoch, self.seq = self.main
        self.high = self.taken = self.seq
        self.taking = self.healing = False
        self._base(self.epoch, self.seq)

    def read_aside(self, topics: ShareTopics) -> None:
        """The link at hand is another one from now on, to be read up to where the stream stands."""
        self.topics = topics
        self.aside = True

    def read_main(self, topics: ShareTopics) -> None:
        """The link at hand is that of the stream again."""
        self.topics = topics
        self.aside = False
        self.high = self.taken

    def reached(self, epoch: int, seq: int) -> bool:
        """Is all that was to be taken over below there?"""
        return not _before(epoch, seq, self.end_epoch, self.end_seq)

    def _base(self, epoch: int, seq: int) -> None:
        self.base_epoch = epoch
        self.base_seq = self.proven = seq
        self.counted = 0

    # --- the way of a record ------------------------------------------------------------------------------------------

    cdef int gate(self, bint held, bint more) noexcept nogil:
        if not held:
            self.taken = self.high
        if not self.batches:
            self.seq = self.taken
            self._keep()
        if self.taking and not self.aside:
            self.stood = True
            return GATE_SHUT
        if self.stopping:
            if held or more:
                return GATE_MEND
            self.stood = True
            return GATE_SHUT
        self.stood = False
        return GATE_OPEN

    cdef void came_back(self, bint held) noexcept nogil:
        if not held:
            self.taken = self.high
        self.seq = self.taken
        self._keep()

    cdef void _keep(self) noexcept nogil:
        cdef uint64_t seq = self.seq
        if self.position is None or self.me < 0 or self.position.header.epoch != self.epoch:
            return
        if seq > self.position.header.seq:
            self.position.header.seq = seq
        if self.proving and not self.taking:
            seq = min(seq, self.proven)
        if seq > self.position.header.proved:
            self.position.header.proved = seq

    cdef void note(self, const run_t* run) noexcept nogil:
        if run.topic == NO_TOPIC and not self.ready:
            # Over ZeroMQ, the first heartbeat: all from its seq on comes here.
            self.ready = True
            self.epoch = self.base_epoch = run.epoch
            self.high = self.taken = self.base_seq = self.proven = run.seq
        if run.epoch == self.epoch:
            self.high = max(self.high, run.seq + (run.count != 0))

    cdef void tally(self, const run_t* run, uint32_t records) noexcept nogil:
        cdef key_t* key = &self.topics.keys[run.topic] if run.topic < self.topics.room else NULL
        if not self.proving or self.aside or not self.ready or key == NULL:
            return
        if key.first == NEVER:
            key.first = run.topic_seq
        if not _before(run.epoch, run.seq, self.base_epoch, self.base_seq):
            self.counted += records

    cdef void lose(self, uint64_t records) noexcept nogil:
        if not self.aside:
            self.counted += records

    cdef void passed(self, uint64_t seq) noexcept nogil:
        self.high = max(self.high, seq)

    cdef int gives(self, run_t* run) noexcept nogil:
        cdef uint64_t seq = run.seq
        cdef bint again = self.aside
        cdef key_t* key
        cdef past_t* each
        cdef uint32_t i, owner
        if self.aside and not _before(run.epoch, seq, self.end_epoch, self.end_seq):
            return GIVES_END
        if self.me < 0 or run.topic >= self.topics.room:
            return GIVES_NOT
        key = &self.topics.keys[run.topic]
        if self.aside:
            if self.healing and key.first <= run.topic_seq < key.due:
                return GIVES_NOT
        elif _before(run.epoch, seq, self.base_epoch, self.base_seq):
            return GIVES_NOT
        if _before(run.epoch, seq, self.begin_epoch, self.begin_seq):
            return GIVES_NOT
        if self.turn:
            owner = seq % self.count
        else:
            if key.stamp != self.stamp:
                key.owner = _highest(self.seeds, self.count, key.hash)
                key.stamp = self.stamp
            owner = key.owner
        if owner != <uint32_t>self.me:
            return GIVES_NOT
        for i in range(self.past_count):
            each = &self.past[i]
            if each.count:
                owner = self._owner(each.seeds, each.count, run.topic, seq)
                if _before(run.epoch, seq, each.epochs[owner], each.seqs[owner]) and not _before(
                        run.epoch, seq, each.begin_epoch, each.begin_seq):
                    return GIVES_NOT
            if not again and not _before(run.epoch, seq, each.begin_epoch, each.begin_seq) and _before(run.epoch, seq, each.fence_epoch, each.fence_seq):
                again = each.count == 0 or owner != <uint32_t>each.me
        if mono_ns() >= self.deadline_ns:
            self.stood = True
            return GIVES_HALT
        if self.position is not None:
            if run.epoch == self.handed_epoch and seq <= self.handed:
                again = True
            if self.position.header.epoch == run.epoch and seq > self.position.header.handed:
                self.position.header.handed = seq
        if again:
            run.flags |= TC_FLAG_REPLAYED
        return GIVES

    cdef uint32_t _owner(self, const uint64_t* seeds, uint32_t count, uint32_t topic, uint64_t seq) noexcept nogil:
        return seq % count if self.turn else _highest(seeds, count, self.topics.keys[topic].hash)


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


cdef uint32_t _highest(const uint64_t* seeds, uint32_t count, uint64_t key) noexcept nogil:
    """Rendezvous hashing: a member that goes leaves its symbols to the others, and no other symbol changes its owner."""
    cdef uint32_t best = 0
    cdef uint64_t weight, highest = 0
    cdef uint32_t i
    for i in range(count):
        weight = seeds[i] ^ key
        weight = (weight ^ (weight >> 33)) * <uint64_t>0xFF51AFD7ED558CCD
        weight = (weight ^ (weight >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53
        weight ^= weight >> 33
        if weight > highest:
            highest = weight
            best = i
    return best


cdef bint _before(uint64_t epoch, uint64_t seq, uint64_t other_epoch, uint64_t other_seq) noexcept nogil:
    return epoch < other_epoch or (epoch == other_epoch and seq < other_seq)
