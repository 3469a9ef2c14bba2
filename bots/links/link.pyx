# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""A link brings frames in as *runs*: consecutive records of one topic, as they came, unordered and unchecked.

The base class is the link of a bot that is attached to nothing: silence.
"""

from posix.time cimport nanosleep, timespec


cdef class Link:
    """One way in; used by one thread at a time."""

    def __cinit__(self, *args, **kwargs):
        self.transport = "none"

    cdef int next(self, run_t* out) noexcept nogil:
        return LINK_NONE

    cdef bint wait(self, uint64_t timeout_ns, bint spin) noexcept nogil:
        cdef timespec pause
        pause.tv_sec = timeout_ns // 1000000000
        pause.tv_nsec = timeout_ns % 1000000000
        nanosleep(&pause, NULL)
        return False

    cdef uint64_t last_topic_seq(self, uint32_t topic) noexcept nogil:
        return 0

    def topic(self, topic: int) -> tuple[int, str]:
        """(schema id, symbol) of a topic index; id 0 is a schema we do not know."""
        raise IndexError(topic)

    def index_of_key(self, schema_id: int, symbol: str) -> int:
        """The index of a topic, which this link may not have met yet; LookupError where it can't have one."""
        raise LookupError((schema_id, symbol))

    def topics(self) -> int:
        """How many topic indices there are so far: all below it are valid."""
        return 0

    def want(self, topic: int, wanted: bool) -> None:
        """Answer to LINK_TOPIC: deliver this topic, or pass over it from now on."""

    def forget(self) -> None:
        """Somebody else reads here now: every topic is new again."""

    def unknown(self) -> list[int]:
        """Topic indices for which want() has not been said yet."""
        return []

    def baseline(self, topic: int) -> tuple[int, bool]:
        """(next topic_seq, sure) as of the moment the link was opened; (0, False) where only the first frame tells.

        Not sure: the first record may come below it, none above without a loss.
        """
        return 0, False

    def passed(self, epoch: int = 0) -> int:
        """A seq of `epoch`, 0: the one that it is at, below which everything has come by here; 0 where that is not known."""
        return 0

    def lag(self) -> int | None:
        """Ticks of all topics that the feed has written and this link has not yet looked at; None: cannot know."""
        return None

    def gone(self) -> bool:
        """Has the other side died or hung up?"""
        return False

    def line_ticks(self) -> dict[str, int]:
        """Of lines that carry the same ticks: "A.first" and so on to how many; first (before any other), late, lost."""
        return {}

    def queued_ns_max(self) -> int | None:
        """The longest that something waited in the kernel before it was read; None: this transport does not know."""
        return None

    def restless(self) -> bool:
        """Has it to be asked again soon, whether its descriptor tells of anything or not?"""
        return False

    def fileno(self) -> int:
        """A descriptor for select and asyncio: readable once something is waiting after arm()."""
        raise OSError("this link has no descriptor")

    def arm(self) -> None:
        """Nothing is waiting: make fileno() readable when something is."""

    def drain(self) -> None:
        """fileno() was readable: make it wait again."""

    def close(self) -> None:
        """Let go of everything; further calls of next() give nothing."""
