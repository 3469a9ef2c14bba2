# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The link over shared memory: a reader of the feed's tick log on this host.

Topic indices are the log's topic ids, ts_sent is the time of commit. Frames of unwanted topics are passed over inside
the mapping; wanted ones are copied and proved whole by the reader.
"""

import os
import threading

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from bots.links.link cimport (
    LINK_CLOSED,
    LINK_LOST,
    LINK_NONE,
    LINK_RUN,
    LINK_SKIPPED,
    LINK_TOPIC,
    TOPIC_NEW,
    TOPIC_UNWANTED,
    TOPIC_WANTED,
)
from feed.log.fences cimport tc_read_published, tc_read_published32
from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, tc_log_frame
from feed.log.reader cimport READ_CLOSED, READ_FRAME, READ_LOST
from feed.wire.records cimport tc_record_bytes

from feed.log.life import Life as _Life
from feed.log.reader import LogReader as _LogReader

cdef extern from "<semaphore.h>" nogil:
    int sem_init(sem_t* sem, int shared, unsigned value)
    int sem_post(sem_t* sem)
    int sem_wait(sem_t* sem)
    int sem_trywait(sem_t* sem)
    int sem_destroy(sem_t* sem)

cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_CLOEXEC
    int EFD_NONBLOCK
    int eventfd(unsigned initial, int flags)
    int eventfd_write(int fd, uint64_t value)
    int eventfd_read(int fd, uint64_t* value)

cdef enum:
    SKIPS = 4096            # unwanted frames between two returns
    REPORT_EVERY = 256      # frames between two reports of the position

cdef uint64_t WAITER_LOOKS_NS = 100_000_000     # how often the waiter thread looks whether it is to end


cdef class ShmLink(Link):
    """A link on the log in `directory`; `name` is for the feed's people and for `log.gating`.

    :param start: as of LogReader.open().
    :raises LogMissing: no feed has its log there, or it has ended.
    """

    def __init__(self, directory, name: str = "", start: str | int = "live") -> None:
        cdef uint32_t i
        self.transport = "shm"
        self.event = -1
        self._writer = 0
        self._known = {}
        self.reader = _LogReader.open(directory, name=name, start=start)
        self.life = _Life(self.reader)
        self.max_topics = self.reader.header.max_topics
        self.choice = <uint8_t*>calloc(self.max_topics, sizeof(uint8_t))
        self.schemas = <uint16_t*>calloc(self.max_topics, sizeof(uint16_t))
        # Whatever is given out above these was committed after the reader took its place: it will come by, or is lost.
        self.floor_count = tc_read_published32(&self.reader.header.topic_count)
        self.floor = <uint64_t*>calloc(max(self.floor_count, <uint32_t>1), sizeof(uint64_t))
        if self.choice == NULL or self.schemas == NULL or self.floor == NULL:
            raise MemoryError
        for i in range(self.floor_count):
            self.floor[i] = tc_read_published(&self.reader.topic_seqs[i])
        self.gone()

    def __dealloc__(self):
        free(self.choice)
        free(self.schemas)
        free(self.floor)

    # --- reading ----------------------------------------------------------------------------------------------------

    cdef int next(self, run_t* out) noexcept nogil:
        cdef const tc_log_frame* frame
        cdef int what
        if self.reader is None:
            return LINK_CLOSED
        while True:
            if self.pending:
                self.pending = False
            else:
                if self.any_unwanted:
                    what = self._skip_unwanted()
                    if what != LINK_RUN:
                        return what
                what = self.reader.next()
                if what != READ_FRAME:
                    if self.unreported:
                        self.unreported = 0
                        self.reader.report()
                    if what == READ_LOST:
                        return self._lost()
                    return LINK_CLOSED if what == READ_CLOSED else LINK_NONE
                self.frames += 1
                self.unreported += 1
                if self.unreported >= REPORT_EVERY:
                    self.unreported = 0
                    self.reader.report()
            frame = self.reader.frame()
            if frame.kind != TC_KIND_RECORD:
                continue
            if frame.topic_id >= self.max_topics:
                self.malformed += 1
                continue
            if self.choice[frame.topic_id] != TOPIC_WANTED:
                if self.choice[frame.topic_id] == TOPIC_UNWANTED:
                    continue
                self.pending = True
                out.topic = frame.topic_id
                return LINK_TOPIC
            out.topic = frame.topic_id
            out.schema = self.schemas[frame.topic_id]
            out.flags = frame.flags
            out.count = 1
            out.record_bytes = tc_record_bytes(out.schema)
            if frame.length < TC_FRAME_HEADER + out.record_bytes:
                self.malformed += 1
                continue
            out.folded = 0
            out.epoch = self.reader.header.epoch
            out.seq = frame.seq
            out.topic_seq = frame.topic_seq
            out.ts_in = frame.ts_in
            out.ts_sent = frame.ts_in + frame.committed_delta
            out.records = <const uint8_t*>&frame.record[0]
            out.trailer = NULL
            return LINK_RUN

    cdef int _skip_unwanted(self) noexcept nogil:
        """Pass over frames of unwanted topics. LINK_RUN: another is next; LINK_SKIPPED: so many went by; LINK_LOST."""
        cdef uint64_t position = self.reader.at
        cdef uint64_t seq = self.reader.seq
        cdef const tc_log_frame* frame
        cdef uint32_t skipped = 0
        while skipped < SKIPS:
            frame = self.reader.peek()
            if frame == NULL or frame.kind != TC_KIND_RECORD or frame.topic_id >= self.max_topics:
                break
            if self.choice[frame.topic_id] != TOPIC_UNWANTED:
                break
            self.reader.advance(frame)
            skipped += 1
        if skipped == 0:
            return LINK_RUN
        if not self.reader.intact(position):
            return self._lost() if self.reader.overtaken(seq) == READ_LOST else LINK_RUN
        self.frames += skipped
        self.unreported += skipped
        if skipped < SKIPS:
            return LINK_RUN
        self.unreported = 0
        self.reader.report()
        return LINK_SKIPPED

    cdef int _lost(self) noexcept nogil:
        self.lost_first = self.reader.lost_first
        self.lost_last = self.reader.lost_last
        return LINK_LOST

    cdef bint wait(self, uint64_t timeout_ns, bint spin) noexcept nogil:
        if self.reader is None:
            return Link.wait(self, timeout_ns, spin)
        return self.reader.spin(timeout_ns) if spin else self.reader.park(timeout_ns)

    cdef uint64_t last_topic_seq(self, uint32_t topic) noexcept nogil:
        if self.reader is None or topic >= self.max_topics:
            return 0
        return tc_read_published(&self.reader.topic_seqs[topic])

    # --- topics -----------------------------------------------------------------------------------------------------

    def topic(self, topic: int) -> tuple[int, str]:
        self.reader.topic(topic)    # refuses an id that is none
        cdef uint32_t i = topic
        entry = self.reader.topic_entries[i]
        return entry.schema, entry.symbol[: entry.symbol_length].decode("ascii")

    def index_of_key(self, schema_id: int, symbol: str) -> int:
        for index in range(len(self._known), self.reader.topic_count):
            self._known[self.topic(index)] = index
        return self._known[schema_id, symbol]

    def topics(self) -> int:
        return self.reader.topic_count

    def want(self, topic: int, wanted: bool) -> None:
        cdef uint32_t i = topic
        if i >= self.max_topics:
            raise IndexError(topic)
        self.choice[i] = TOPIC_WANTED if wanted else TOPIC_UNWANTED
        self.schemas[i] = self.reader.topic_entries[i].schema
        self.any_unwanted = self.any_unwanted or not wanted

    def forget(self) -> None:
        memset(self.choice, TOPIC_NEW, self.max_topics * sizeof(uint8_t))
        self.any_unwanted = False

    def unknown(self) -> list[int]:
        cdef uint32_t i
        return [i for i in range(self.reader.topic_count) if self.choice[i] == TOPIC_NEW]

    def baseline(self, topic: int) -> tuple[int, bool]:
        cdef uint32_t i = topic
        if i >= self.floor_count:
            return 1, True
        return self.floor[i] + 1, False

    # --- the other side ---------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return self.reader.epoch

    def seek(self, seq: int) -> bool:
        """Go on at record `seq`; false: it was overwritten, and this goes on at the oldest one there is."""
        return self.reader.seek(seq)

    def behind(self) -> float:
        """How much of the log lies between here and its end, 0 to 1; more: overtaken."""
        return self.reader.lag_bytes / self.reader.log_bytes

    def passed(self, epoch: int = 0) -> int:
        return self.reader.seq if epoch in (0, self.reader.epoch) else 0

    def lag(self) -> int | None:
        return max(0, self.reader.next_seq - self.reader.seq)

    def gone(self) -> bool:
        """Has the writer's process ended? Told only of one that could be seen before: containers hide each other's."""
        pid = self.reader.writer_pid
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return pid == self._writer
        except PermissionError:
            pass
        self._writer = pid
        return False

    def silent_ns(self) -> int:
        """For how long the feed's sequencer has given no sign of life, as far as this link has looked; up to 0.1 s where it
        lives, whether ticks come or not. Looked at seldom, it counts from when the last change was found."""
        return self.life.silent()

    # --- for asyncio ------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        if self.event < 0:
            self.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
            if self.event < 0:
                raise OSError("no eventfd can be had")
            sem_init(&self.armed, 0, 0)
            self._waiter = threading.Thread(target=self._wait_for_armed, name="tickcast-waiter", daemon=True)
            self._waiter.start()
        return self.event

    def arm(self) -> None:
        self.fileno()
        sem_post(&self.armed)

    def drain(self) -> None:
        cdef uint64_t count
        eventfd_read(self.event, &count)

    def _wait_for_armed(self) -> None:
        """The waiter: armed, it sleeps on the log's doorbell and then makes the descriptor readable."""
        with nogil:
            while True:
                sem_wait(&self.armed)
                while sem_trywait(&self.armed) == 0:    # armed twice is armed
                    pass
                while not self.stopping and not self.reader.park(WAITER_LOOKS_NS):
                    pass
                if self.stopping:
                    break
                eventfd_write(self.event, 1)

    def close(self) -> None:
        if self.reader is None:
            return
        if self.event >= 0:
            self.stopping = True
            sem_post(&self.armed)
            self._waiter.join()
            sem_destroy(&self.armed)
            os.close(self.event)
            self.event = -1
        reader, self.reader = self.reader, None
        reader.close()
