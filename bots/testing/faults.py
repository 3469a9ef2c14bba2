"""What happens to messages on the way from a publisher to a bot: some are lost, doubled, late or out of turn. No I/O.

Faults are ordered ("lose the next 3 of trade.AAPL") or left to chance, which a seed makes the same each time. They
befall frames with records only: heartbeats, empty frames and what is no tickcast frame pass, as do ZMTP's commands.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bots.testing import zmtp
from feed.wire import frames
from feed.wire.topics import HEARTBEAT, check_schema, check_symbol

__all__ = ["NONE", "Chances", "Dropped", "Faults", "Outflow", "prefix"]

Fate = Literal["passed", "lost", "duplicated", "reordered", "delayed"]

TOPIC_BYTES_MAX = 85
MAGIC = frames.heartbeat(epoch=1, seq=1)[len(HEARTBEAT) :][:2]
"""Magic byte and version, which follow a topic; two bytes further there is the count of records."""


class Dropped(NamedTuple):
    """Ticks that were lost in one frame: so many of one topic, from these numbers on."""

    topic: str
    epoch: int
    seq: int
    topic_seq: int
    ticks: int


@dataclass(frozen=True)
class Chances:
    """How likely each fault is for a message, 0 to 1. `reorder_by`: it comes 1 to so many messages later."""

    lose: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_by: int = 3


NONE = Chances()


@dataclass
class _Order:
    fate: Fate
    topic: bytes
    left: int | None
    """Messages that it still waits for; None: all."""
    by: int = 0
    """Messages to let pass, or ns to wait."""


@dataclass
class Faults:
    """What to do to the next messages, and a record of what was done.

    :ivar counts: messages by what became of them: passed, lost, duplicated, reordered, delayed.
    :ivar dropped: the ticks that were lost, in order.
    """

    seed: int = 0
    chances: Chances = NONE
    counts: Counter[Fate] = field(default_factory=Counter)
    dropped: list[Dropped] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._orders: list[_Order] = []

    def lose(self, n: int, topic: str = "") -> None:
        """Drop the next `n` messages whose topic begins with `topic`."""
        self._order("lost", topic, n)

    def duplicate(self, n: int, topic: str = "") -> None:
        """Send each of the next `n` messages twice."""
        self._order("duplicated", topic, n)

    def reorder(self, by: int, topic: str = "") -> None:
        """Send the next message behind the `by` messages that follow it."""
        self._order("reordered", topic, 1, by)

    def delay(self, delay_ns: int, n: int | None = None, topic: str = "") -> None:
        """Send the next `n` messages so much later (None: all); what follows waits behind them, as in TCP.

        It replaces the order before; 0 ends it.
        """
        self._orders = [order for order in self._orders if order.fate != "delayed"]
        if delay_ns:
            self._order("delayed", topic, n, delay_ns)

    def _order(self, fate: Fate, topic: str, n: int | None, by: int = 0) -> None:
        if n is None or n > 0:
            self._orders.append(_Order(fate, topic.encode(), n, by))

    @property
    def pending(self) -> int:
        """Messages that orders are still waiting for, but for those that concern all."""
        return sum(order.left or 0 for order in self._orders)

    def judge(self, piece: bytes) -> tuple[Fate, int]:
        """What becomes of a message, and by how many messages or ns; whoever asks has to do it."""
        if not self._orders and self.chances == NONE:
            self.counts["passed"] += 1
            return "passed", 0
        head = bytes(zmtp.body(piece)[: TOPIC_BYTES_MAX + 6])
        bar = head.find(b"|")
        fate: Fate = "passed"
        by = 0
        if head[bar + 1 : bar + 3] == MAGIC and head[bar + 5 : bar + 7] != b"\0\0":
            fate, by = self._fate(head)
        self.counts[fate] += 1
        if fate == "lost":
            frame = frames.decode(zmtp.body(piece))
            topic = frame.topic.decode().rstrip("|")
            self.dropped.append(Dropped(topic, frame.epoch, frame.seq, frame.topic_seq, frame.count))
        return fate, by

    def _fate(self, head: bytes) -> tuple[Fate, int]:
        for order in self._orders:
            if head.startswith(order.topic):
                if order.left is not None:
                    order.left -= 1
                    if order.left == 0:
                        self._orders.remove(order)
                return order.fate, order.by
        chance = self.chances
        drawn = self._random.random()
        if drawn < chance.lose:
            return "lost", 0
        if drawn < chance.lose + chance.duplicate:
            return "duplicated", 0
        if drawn < chance.lose + chance.duplicate + chance.reorder:
            return "reordered", self._random.randint(1, chance.reorder_by)
        return "passed", 0


@dataclass
class _Aside:
    """A message that lets `by` others pass."""

    by: int
    piece: bytes


class Outflow:
    """What is on its way to one subscriber.

    :ivar heard_seq: seq of the last heartbeat that went on: all records below it went before. 0: none yet.
    """

    def __init__(self, faults: Faults) -> None:
        self.heard_seq = 0
        self._faults = faults
        self._queue: deque[tuple[int, bytes]] = deque()  # (not before this time, piece)
        self._aside: list[_Aside] = []

    def put(self, piece: bytes, now_ns: int) -> None:
        """A whole command or message came."""
        if not zmtp.is_message(piece):
            self._queue.append((0, piece))
            return
        fate, by = self._faults.judge(piece)
        if fate == "lost":
            return
        if fate == "reordered":
            self._aside.append(_Aside(by, piece))
            return
        self._queue.append((now_ns + by if fate == "delayed" else 0, piece))
        if fate == "duplicated":
            self._queue.append((0, piece))
        for waiting in self._aside:
            waiting.by -= 1
            if waiting.by == 0:
                self._queue.append((0, waiting.piece))
        if self._aside:
            self._aside = [waiting for waiting in self._aside if waiting.by > 0]

    def take(self, now_ns: int) -> bytes:
        """What is to be sent now, in order."""
        queue = self._queue
        ready: list[bytes] = []
        while queue and queue[0][0] <= now_ns:
            ready.append(self._seen(queue.popleft()[1]))
        return b"".join(ready)

    def rest(self) -> bytes:
        """All that is left, at the end of a connection."""
        pieces = [piece for _, piece in self._queue] + [waiting.piece for waiting in self._aside]
        self._queue.clear()
        self._aside.clear()
        return b"".join(pieces)

    @property
    def due_ns(self) -> int | None:
        """When there is something to take; None: nothing waits for its time."""
        return self._queue[0][0] if self._queue else None

    @property
    def aside(self) -> int:
        """Messages that let others pass."""
        return len(self._aside)

    def _seen(self, piece: bytes) -> bytes:
        if piece.startswith(HEARTBEAT, 2):
            self.heard_seq = frames.decode(zmtp.body(piece)).seq
        return piece


def prefix(topic: str | None) -> str:
    """How the topics begin that are meant by "trade", "trade.ES*" or "trade.AAPL"; by None, all. Raises SymbolError."""
    if not topic:
        return ""
    schema, dot, symbol = topic.partition(".")
    check_schema(schema)
    if not dot:
        return f"{schema}."
    return topic[:-1] if symbol.endswith("*") else f"{schema}.{check_symbol(symbol)}|"
