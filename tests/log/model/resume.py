"""Resume: a writer that is killed at any instruction is followed by one that knows all that was committed, and no
more.

Being killed leaves the stores that came before in program order, so no weak memory is needed here: a toy log of a
few words is written store by store, and after every single store the writer is killed. The toy does what
feed/log/writer.pyx does, in the same order and under the same names. What the writer knew dies with it; the memory
stays, with what earlier laps left there.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

SEGMENTS, SEGMENT_WORDS = 4, 16
CAPACITY = SEGMENTS * SEGMENT_WORDS
HEADER = 4  # words in front of a record: length, topic or kind, seq, topic_seq
PADDING, ANNOUNCEMENT = "padding", "announcement"

Work: TypeAlias = Iterator[None]
"""A writer at work. It stands still after each store, where it may be killed."""

SLIPS = {
    "never clears": "the scan runs on into the last lap",
    "commits before the body": "the scan finds a frame that is half there",
    "topic_seq before the commit": "the topic counts a record that is not there",
    "tail before next_seq": "a seq is given twice",
    "no tail at a turn": "the scan begins where the log has been overwritten since",
    "clears before voiding": "the oldest frame is gone, and `low` still points to it",
}


class Broken(Exception):
    """Somebody found something else than what was committed."""


class Frame(NamedTuple):
    position: int
    words: tuple[Any, ...]  # length, topic or kind, seq, topic_seq, record


@dataclass
class Memory:
    """What survives the writer. `journal` is not part of it: it notes what was committed, for the judge."""

    words: list[Any] = field(default_factory=lambda: [0] * CAPACITY)
    tail: int = 0
    next_seq: int = 1
    low: int = 0
    topics: list[str] = field(default_factory=list)
    topic_seqs: dict[str, int] = field(default_factory=dict)
    journal: list[Frame] = field(default_factory=list)


class Writer:
    """LogWriter, one store at a time."""

    def __init__(self, memory: Memory, slip: str = "") -> None:
        self.memory = memory
        self.slip = slip
        self.at = self.seq = 0

    def open(self) -> Work:
        memory = self.memory
        self.at, self.seq = memory.tail, memory.next_seq
        while length := memory.words[self.at % CAPACITY]:
            at = self.at % CAPACITY
            kind, seq, topic_seq = memory.words[at + 1 : at + HEADER]
            if kind == ANNOUNCEMENT:
                if memory.words[at + HEADER] not in memory.topics:
                    memory.topics.append(memory.words[at + HEADER])
                    yield
            elif kind != PADDING:
                memory.topic_seqs[kind] = max(memory.topic_seqs.get(kind, 0), topic_seq)
                self.seq = seq + 1
                yield
            self.at += length
        yield from self.publish_tail()

    def topic(self, symbol: str) -> Work:
        self.memory.topic_seqs[symbol] = 0
        yield
        self.memory.topics.append(symbol)
        yield
        yield from self.put(ANNOUNCEMENT, 0, (symbol,))
        yield from self.flush()

    def append(self, topic: str, record: tuple[object, ...]) -> Work:
        topic_seq = self.memory.topic_seqs[topic] + 1
        if self.slip == "topic_seq before the commit":
            self.memory.topic_seqs[topic] = topic_seq
            yield
        yield from self.put(topic, topic_seq, record)
        self.memory.topic_seqs[topic] = topic_seq
        yield
        self.seq += 1

    def flush(self) -> Work:
        yield from self.publish_tail()

    def put(self, kind: str, topic_seq: int, record: tuple[object, ...]) -> Work:
        length = HEADER + len(record)
        rest = SEGMENT_WORDS - self.at % SEGMENT_WORDS
        if length + HEADER > rest:
            yield from self.turn(rest)
        if self.slip != "never clears":
            yield from self.store(self.at + length, 0)
        yield from self.frame(length, kind, topic_seq, record)

    def turn(self, rest: int) -> Work:
        following = self.at + rest
        if self.slip != "no tail at a turn":
            yield from self.publish_tail()
        if self.slip == "clears before voiding":
            yield from self.store(following, 0)
        if following >= CAPACITY:
            self.memory.low = following - CAPACITY + SEGMENT_WORDS
            yield
        yield from self.store(following, 0)
        yield from self.frame(rest, PADDING, 0, ())

    def frame(self, length: int, kind: str, topic_seq: int, record: tuple[object, ...]) -> Work:
        body = (kind, self.seq, topic_seq, *record)
        if self.slip == "commits before the body":
            yield from self.commit(length, body)
        for i, word in enumerate(body, 1):
            yield from self.store(self.at + i, word)
        if self.slip != "commits before the body":
            yield from self.commit(length, body)
        self.at += length

    def commit(self, length: int, body: tuple[object, ...]) -> Work:
        self.memory.journal.append(Frame(self.at, (length, *body)))
        yield from self.store(self.at, length)

    def publish_tail(self) -> Work:
        if self.slip == "tail before next_seq":
            self.memory.tail = self.at
            yield
        self.memory.next_seq = self.seq
        yield
        self.memory.tail = self.at
        yield

    def store(self, position: int, word: object) -> Work:
        self.memory.words[position % CAPACITY] = word
        yield


def day(memory: Memory, slip: str = "") -> Work:
    """Three laps: topics that come late, records of all lengths that look like lengths, batches longer than a lap."""
    writer = Writer(memory, slip)
    yield from writer.open()
    yield from writer.topic("A")
    for n in range(45):
        if n == 7:
            yield from writer.topic("B")
        yield from writer.append("B" if n > 7 and n % 3 else "A", (8, 0, 5, n)[: n % 4 + 1])
        if n < 15 and n % 2:
            yield from writer.flush()
    yield from writer.flush()


def judge(memory: Memory) -> None:
    """What a reader finds from the oldest frame on is what was committed.

    :raises Broken: it is not.
    """
    expected = [frame for frame in memory.journal if frame.position >= memory.low]
    at = memory.low
    for frame in expected:
        found = tuple(memory.words[(at + i) % CAPACITY] for i in range(len(frame.words)))
        if (at, found) != frame:
            raise Broken(f"at {at}: committed {frame.words}, a reader found {found}")
        at += found[0]
    if memory.words[at % CAPACITY] != 0:
        raise Broken(f"at {at}: nothing committed, a reader found the length {memory.words[at % CAPACITY]}")


def succeed(memory: Memory, slip: str = "") -> None:
    """The next writer takes up the log and goes on.

    :raises Broken: it does not know what was committed, or breaks it.
    """
    last = memory.journal[-1] if memory.journal else Frame(0, (0,))
    records = [frame.words[1] for frame in memory.journal if frame.words[1] not in {PADDING, ANNOUNCEMENT}]
    writer = Writer(memory, slip)
    finish(writer.open())
    if writer.at != last.position + last.words[0]:
        raise Broken(f"the last frame ends at {last.position + last.words[0]}, the next writer begins at {writer.at}")
    if writer.seq != len(records) + 1:
        raise Broken(f"{len(records)} records are committed, the next writer goes on with seq {writer.seq}")
    for topic in memory.topics:
        if memory.topic_seqs[topic] != records.count(topic):
            raise Broken(
                f"{topic} has {records.count(topic)} records, the next writer counts {memory.topic_seqs[topic]}"
            )
        finish(writer.append(topic, (0,)))
    finish(writer.flush())
    judge(memory)


def finish(work: Work) -> None:
    for _ in work:
        pass


def kill_everywhere(slip: str = "") -> int:
    """Kill the writer after each of its stores, and the next one after each of its own while it takes up the log.

    :returns: how many deaths there were.
    :raises Broken: one of them did harm.
    """
    deaths = 0
    memory = Memory()
    for _ in day(memory, slip):
        judge(memory)
        heir = deepcopy(memory)
        for _ in Writer(heir, slip).open():
            judge(heir)
            succeed(deepcopy(heir), slip)
            deaths += 1
        succeed(heir, slip)
        deaths += 1
    return deaths
