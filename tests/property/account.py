"""What a bot was given and told, topic by topic, as it came: every tick once and in order, or in one gap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from feed.wire.frames import FLAG_CONFLATED, FLAG_REPLAYED, FLAG_SNAPSHOT

if TYPE_CHECKING:
    from tests.property.model import Key

ASIDE = FLAG_SNAPSHOT | FLAG_REPLAYED


class Given(NamedTuple):
    """A tick as the bot got it; `epoch` is the one that its record names."""

    epoch: int
    key: Key
    topic_seq: int
    seq: int
    flags: int
    folded: int


class Told(NamedTuple):
    """A gap as the bot was told."""

    epoch: int
    key: Key
    first: int
    last: int
    cause: str


@dataclass
class Account:
    """One per run of a bot. Each thing that comes must begin exactly where the one before it ended.

    :ivar begins: (epoch, topic) -> the first topic_seq that was accounted for.
    :ivar due: (epoch, topic) -> the one that is due.
    """

    begins: dict[tuple[int, Key], int] = field(default_factory=dict)
    due: dict[tuple[int, Key], int] = field(default_factory=dict)
    given: list[Given] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    stated: dict[tuple[int, Key], int] = field(default_factory=dict)

    def tick(self, given: Given) -> None:
        at = given.epoch, given.key
        self.given.append(given)
        if given.flags & FLAG_SNAPSHOT:
            assert at not in self.begins, f"{given} is a state, and its ticks came before"
            assert self.stated.setdefault(at, given.topic_seq) == given.topic_seq
            self.due[at] = given.topic_seq + 1
            return
        assert bool(given.folded) <= bool(given.flags & FLAG_CONFLATED)
        first = given.topic_seq - given.folded
        assert first == self.due.get(at, first), f"{given}, and {self.due[at]} was due"
        self.begins.setdefault(at, first)
        self.due[at] = given.topic_seq + 1

    def gap(self, told: Told) -> None:
        at = told.epoch, told.key
        self.told.append(told)
        assert told.first <= told.last, told
        assert told.first == self.due.get(at, told.first), f"{told}, and {self.due[at]} was due"
        self.begins.setdefault(at, told.first)
        self.due[at] = told.last + 1
