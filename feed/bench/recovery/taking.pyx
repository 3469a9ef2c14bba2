# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, freethreading_compatible=False
"""A bot's notes of what it was given, 40 bytes for each tick. In compiled code: a bot that is busy with its notes would be
measured, and not what brings the ticks.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from bots.ticks cimport Tick
from feed.wire.frames cimport TC_FLAG_REPLAYED, TC_FLAG_SNAPSHOT

from feed.bench.recovery.ticks import COLUMNS

cdef enum:
    REPEATED = TC_FLAG_REPLAYED | TC_FLAG_SNAPSHOT
    CHUNK = 1 << 16         # ticks
    WORDS = 5               # of a tick

assert WORDS == COLUMNS

cdef class _Chunk:
    cdef uint64_t* words    # CHUNK * WORDS

    def __cinit__(self):
        self.words = <uint64_t*>malloc(CHUNK * WORDS * sizeof(uint64_t))
        if self.words == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.words)


cdef class Taking:
    """Notes ticks as they come, to be written to a file in the end.

    :ivar topics: number of each topic in the file, by name.
    :ivar watched: a topic of which a tick that is not repeated is news.
    """

    cdef readonly dict topics
    cdef public str watched
    cdef dict _numbers          # (schema, symbol) -> number
    cdef list _chunks
    cdef list _reserved         # chunks that the kernel has given memory for
    cdef _Chunk _last
    cdef uint32_t _taken        # in the last chunk

    def __init__(self) -> None:
        self.topics = {}
        self.watched = ""
        self._numbers = {}
        self._chunks = []
        self._reserved = []
        self._taken = CHUNK

    def take(self, recv, until_ns: int) -> Tick | None:
        """Note what `recv` gives, until it gives nothing or `until_ns` (of ts_bot) has come: None then.

        A tick that is news ends it sooner, and is given: the first of a topic, or one of the topic that is watched.
        """
        cdef uint64_t until = until_ns
        cdef Tick tick
        while True:
            tick = recv()
            if tick is None:
                return None
            if self._note(tick):
                return tick
            if tick.ts_bot >= until:
                return None

    cdef bint _note(self, Tick tick) except -1:
        cdef bint repeated = (tick.flags & REPEATED) != 0
        cdef bint news = False
        cdef uint64_t* words
        cdef uint64_t number
        symbols = self._numbers.get(tick.schema_id)
        if symbols is None:
            symbols = self._numbers[tick.schema_id] = {}
        found = (<dict>symbols).get(tick.symbol)
        if found is None:
            found = symbols[tick.symbol] = self.topics[tick.topic] = len(self.topics)
            news = True
        number = found
        if self._taken == CHUNK:
            self._last = self._reserved.pop() if self._reserved else _Chunk()
            self._chunks.append(self._last)
            self._taken = 0
        words = self._last.words + <size_t>self._taken * WORDS
        words[0] = number << 1 | repeated
        words[1] = tick.topic_seq
        words[2] = tick.ts_in
        words[3] = tick.ts_sent
        words[4] = tick.ts_bot
        self._taken += 1
        return news or (self.watched and not repeated and tick.topic == self.watched)

    def reserve(self, ticks: int) -> None:
        """The next `ticks` are noted in memory that is there: a page that is touched first costs as much as several ticks."""
        cdef _Chunk chunk
        while len(self._reserved) * CHUNK < ticks:
            chunk = _Chunk()
            # Not zeros: of memory that is to be zero malloc may be asked instead, which leaves it untouched.
            memset(chunk.words, 0xFF, CHUNK * WORDS * sizeof(uint64_t))
            self._reserved.append(chunk)

    def write(self, file) -> None:
        """As Taken.read() wants it."""
        cdef _Chunk chunk
        cdef size_t ticks
        with file.open("wb") as out:
            for chunk in self._chunks:
                ticks = self._taken if chunk is self._last else CHUNK
                out.write((<const char*>chunk.words)[: ticks * WORDS * sizeof(uint64_t)])
