"""Park: no reader sleeps on while a frame waits for it.

A reader that found nothing says that it waits, and looks again; the writer commits, and looks who waits. Each of
the two has a sequentially consistent fence between its store and its load, so that at least one of them sees the
other. The writer takes all claims at once and then rings: it counts the doorbell up and wakes the sleepers. A
reader read the doorbell before it made its claim, and the kernel lets it sleep only while the doorbell still reads
the same.

A claim names nobody: one that a dead reader left costs the writer one ring in vain, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

from .explore import Execution
from .program import ACQ_REL, RLX, Program, Thread, await_value, exchange, fence, fetch_add, killed, load, store
from .protocol import Protocol


@dataclass(frozen=True)
class Park(Protocol):
    """A writer commits and flushes frame after frame; readers wait for one after the other."""

    readers: int = 2
    commits: int = 2
    kernel: bool = True
    """Sleep as futex(2) does; or, shorter, until the doorbell is changed, which Futex proves to be as good."""
    thread: bool = False
    """The sleepers are woken by a thread of the writer's own, Doorbell, which sleeps on a bell of its own."""
    dead_after: int | None = None
    """One more reader, killed after so many operations."""

    needs: ClassVar[dict[str, str]] = {
        "say_waiting_fence": "the reader looks before its claim can be seen",
        "somebody_waits_fence": "the writer looks for claims before its commit can be seen",
        "rings": "a claim made after the ring is taken by the exchange before it",
        "ring": "the same, seen from the writer",
    }
    spares: ClassVar[dict[str, str]] = {
        "commit": "the fences order it; Commit needs it",
        "committed": "the fences order it; Commit needs it",
        "ring_exchange": "the fence in front of it and the release behind it order all that it must",
    }
    slips: ClassVar[dict[str, str]] = {
        "looks before the claim": "the writer commits in between and sees no claim",
        "looks for claims before the commit": "a reader makes its claim in between and sees no frame",
        "reads the doorbell last": "the ring is over, and the reader waits for another",
        "rings before taking the claims": "a claim for the next ring is taken away",
    }

    idle: ClassVar[set[str]] = {"doorbell"}

    def program(self) -> Program:
        readers = {f"reader {r}": self.reader for r in range(1, self.readers + 1)}
        threads = {"writer": self.writer} | readers
        if self.thread:
            threads["doorbell"] = self.doorbell
        if self.dead_after is not None:
            threads["dead"] = killed(self.reader, self.dead_after)
        memory = {f"length[{n}]": 0 for n in range(self.commits)} | {"waiters": 0, "doorbell": 0, "bell": 0}
        memory |= {queue(word): 0 for word in ("doorbell", "bell")}
        return Program(threads, memory, alike=frozenset(readers))

    def fault(self, execution: Execution) -> object:
        claims = sum(event.wrote == 1 for event in execution.events if event.word == "waiters")
        rings = execution.memory["doorbell"]
        return super().fault(execution) or (f"{rings} rings for {claims} claims" if rings > claims else None)

    def flaw(self) -> str | None:
        """In the smallest company that has one."""
        sizes = product(range(1, self.readers + 1), range(1, self.commits + 1))
        return next(filter(None, (super(Park, replace(self, readers=r, commits=c)).flaw() for r, c in sizes)), None)

    # --- LogWriter.flush() and its doorbell thread ------------------------------------------------------------------

    def writer(self) -> Thread:
        for n in range(self.commits):
            commit = store(f"length[{n}]", 8, self.fences.commit)
            if self.slip != "looks for claims before the commit":
                yield commit
            yield fence(self.fences.somebody_waits_fence)
            claimed = yield load("waiters", self.fences.somebody_waits)
            if self.slip == "looks for claims before the commit":
                yield commit
            if claimed:
                yield from self.ring()
        return "all written"

    def ring(self) -> Thread:
        take = exchange("waiters", 0, self.fences.ring_exchange)
        if self.slip != "rings before taking the claims":
            yield take
        yield fetch_add("doorbell", 1, self.fences.ring)
        if self.thread:
            yield fetch_add("bell", 1, self.fences.publish)
            yield from self.wake("bell")
        else:
            yield from self.wake("doorbell")
        if self.slip == "rings before taking the claims":
            yield take

    def doorbell(self) -> Thread:
        served = 0
        while True:
            rung = yield load("bell", self.fences.read_published)
            if rung == served:
                yield from self.sleep("bell", rung)
            else:
                served = rung
                yield from self.wake("doorbell")

    # --- LogReader.park() -------------------------------------------------------------------------------------------

    def reader(self) -> Thread:
        for n in range(self.commits):
            while not (yield from self.park(n)):
                pass
        return "all read"

    def park(self, n: int) -> Thread:
        """Was the frame there? If not: slept, and woke up."""
        look = load(f"length[{n}]", self.fences.committed)
        listen = load("doorbell", self.fences.rings)
        if self.slip == "looks before the claim":
            length = yield look
        if self.slip != "reads the doorbell last":
            rung = yield listen
        yield store("waiters", 1, self.fences.say_waiting)
        yield fence(self.fences.say_waiting_fence)
        if self.slip != "looks before the claim":
            length = yield look
        if length:
            return True
        if self.slip == "reads the doorbell last":
            rung = yield listen
        yield from self.sleep("doorbell", rung)
        return False

    # --- sleeping ---------------------------------------------------------------------------------------------------

    def sleep(self, word: str, value: int) -> Thread:
        if self.kernel:
            yield from futex_wait(word, value)
        else:
            yield from until_changed(word, value)

    def wake(self, word: str) -> Thread:
        if self.kernel:
            yield from futex_wake(word)


@dataclass(frozen=True)
class Futex(Protocol):
    """What Park takes from the kernel: a sleeper is woken if the word is changed and then woken on."""

    slips: ClassVar[dict[str, str]] = {"wakes before the change": "the sleeper comes in between"}

    def program(self) -> Program:
        return Program({"waker": self.waker, "sleeper": self.sleeper}, {"word": 0, queue("word"): 0})

    def waker(self) -> Thread:
        if self.slip == "wakes before the change":
            yield from futex_wake("word")
        yield store("word", 1)
        if self.slip != "wakes before the change":
            yield from futex_wake("word")

    def sleeper(self) -> Thread:
        yield from futex_wait("word", 0)


def until_changed(word: str, value: int) -> Thread:
    yield await_value(word, lambda now: now != value)


def queue(word: str) -> str:
    """The kernel's queue of those who sleep on a word: counts the wake-ups; to update it is to take its lock."""
    return f"queue of {word}"


def futex_wait(word: str, value: int) -> Thread:
    """Under the queue's lock get in line and look at the word; sleep if it reads `value`, until a wake-up."""
    wakeups = yield fetch_add(queue(word), 0, ACQ_REL)
    if (yield load(word, RLX)) == value:
        yield await_value(queue(word), lambda now: now > wakeups)


def futex_wake(word: str) -> Thread:
    """Under the same lock wake all who are in line."""
    yield fetch_add(queue(word), 1, ACQ_REL)
