"""Was everybody told the truth? What bots wrote down, compared with what was published. Pure.

A plain bot, in each of its lives: every tick of its topics from when it was live to the last one that it had (in its
last life: to the end), once and in order, each as it was published. A durable bot: the same over all its lives
together, from when it was live first; behind a restart the one tick that was in hand may come again, flagged replayed.
A group: the same over all lives of its members together. What comes more than once is flagged replayed, but for one
time, and so is what one member was told to be missing and another one had; in a life all others keep their order.

What is missing must lie in a gap that was told, what was told to be missing must really be missing (`folded` ticks
of a conflated one are neither), and no two gaps overlap (in a group: of a life).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from feed.wire.frames import FLAG_REPLAYED, FLAG_SNAPSHOT
from feed.wire.topics import Pattern
from tests.chaos.journal import CAUSE_WORDS, DTYPE, GAP, LIVE, TICK, Entries, Life
from tests.chaos.truth import TopicTruth, Truth

__all__ = ["Kind", "Subject", "Verdict", "Violation", "check", "excerpt"]

IN_HAND = 1
"""Ticks that a durable bot may be given again after a restart: it was killed while it dealt with them."""

_NOTHING = TopicTruth(1, np.zeros(0, np.uint64), np.zeros(0, np.uint32))

Kind = Literal["plain", "durable", "group"]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """Who is judged: a bot with its lives in order, or a group with the lives of all members (`members`)."""

    name: str
    kind: Kind
    lives: Sequence[Life]
    symbols: Sequence[str] = ("*",)
    schemas: Sequence[str] | None = None

    def wants(self, topic: str) -> bool:
        schema, _, symbol = topic.partition(".")
        return (self.schemas is None or schema in self.schemas) and any(
            Pattern(text).matches(symbol) for text in self.symbols
        )


class Violation(NamedTuple):
    """`what` is wrong with topic_seqs `first` to `last` of `topic` (life from 1)."""

    subject: str
    life: int
    topic: str
    what: str
    first: int = 0
    last: int = 0

    def __str__(self) -> str:
        where = f" {self.first}" if self.first == self.last else f" {self.first} to {self.last}"
        return f"{self.subject}, life {self.life}: {self.topic}{where if self.last else ''}: {self.what}"


@dataclass
class Verdict:
    """What was found, and how much of what there was."""

    violations: list[Violation] = field(default_factory=list)
    ticks: int = 0
    replayed: int = 0
    repeated: int = 0
    folded: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    """Ticks told to be missing, by cause."""


def check(truth: Truth, subject: Subject) -> Verdict:
    """Judge one subject by the truth, up to where that goes."""
    verdict = Verdict()
    judge = _Judge(truth, subject, verdict)
    if subject.kind == "plain":
        for number, life in enumerate(subject.lives, 1):
            judge.lives([(number, life)], final=number == len(subject.lives))
    else:
        judge.lives(list(enumerate(subject.lives, 1)), final=True)
    return verdict


def excerpt(subject: Subject, violation: Violation, around: int = 3) -> list[str]:
    """What a subject wrote down of the topic just before, in and behind a violation, life by life: for people."""
    lines = []
    for number, life in enumerate(subject.lives, 1):
        if violation.topic not in life.topics:
            continue
        of_topic = life.entries["topic"] == life.topics.index(violation.topic)
        found = np.flatnonzero(of_topic & ((life.entries["kind"] == TICK) | (life.entries["kind"] == GAP)))
        entries = life.entries[found]
        last = np.where(entries["kind"] == GAP, entries["last"], entries["first"])
        meant = np.flatnonzero((entries["first"] <= violation.last) & (last >= violation.first))
        if not len(meant):
            meant = np.array([np.searchsorted(entries["first"], violation.first)])
        near = {int(i) + step for i in (*meant[:around], *meant[-around:]) for step in range(-around, around + 1)}
        shown = sorted(near & set(range(len(found))))
        lines += [f"life {number}, entry {found[i]}: {_told(entries[i])}" for i in shown]
    return lines


def _told(entry: np.void) -> str:
    if entry["kind"] == GAP:
        return f"gap {entry['first']} to {entry['last']} ({CAUSE_WORDS[entry['cause']]})"
    folded = f", for {entry['folded']} before it" if entry["folded"] else ""
    replayed = ", replayed" if entry["flags"] & FLAG_REPLAYED else ""
    return f"tick {entry['first']}, seq {entry['last']}{replayed}{folded}"


class _Judge:
    """Judges lives together, topic by topic."""

    def __init__(self, truth: Truth, subject: Subject, verdict: Verdict) -> None:
        self.truth = truth
        self.subject = subject
        self.verdict = verdict

    def lives(self, lives: list[tuple[int, Life]], final: bool) -> None:
        """Lives that have to have everything between them; `final`: to the end."""
        started = [life.live_seq for _, life in lives if life.live_seq is not None]
        live_seq = min(started, default=self.truth.until)
        for number, life in lives:
            for epoch in set(life.of(LIVE)["first"].tolist()) - {self.truth.epoch}:
                self._wrong(number, "*", f"live in epoch {epoch}, not {self.truth.epoch}")
        topics = _by_topic(lives)
        wanted = {name for name in self.truth.topics if self.subject.wants(name)} if final else set()
        again: Counter[int] = Counter()
        for name in sorted(wanted | topics.keys()):
            parts = topics.get(name, [])
            if not self.subject.wants(name):
                self._wrong(parts[0][0], name, "not subscribed to")
                continue
            topic = _Topic(self, name, self.truth.topics.get(name, _NOTHING))
            for number, part in parts:
                topic.live(number, part)
            topic.judge(live_seq, final)
            again += topic.again
        for number, n in again.items():
            if n > IN_HAND:
                self._wrong(number, "*", f"{n} ticks came again after a restart, but only one can have been in hand")

    def ranges(self, life: int, topic: str, what: str, numbers: Numbers) -> None:
        """A violation for each run of consecutive numbers."""
        numbers = np.sort(numbers)
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1) if len(numbers) else []:
            self._wrong(life, topic, what, int(run[0]), int(run[-1]))

    def _wrong(self, life: int, topic: str, what: str, first: int = 0, last: int = 0) -> None:
        self.verdict.violations.append(Violation(self.subject.name, life, topic, what, first, last))


class _Topic:
    """One topic of lives that are judged together. Arrays go by place: topic_seq less the first one's."""

    def __init__(self, judge: _Judge, name: str, truth: TopicTruth) -> None:
        size = len(truth.seqs)
        self.again: Counter[int] = Counter()
        """Ticks that an earlier life had, by life."""
        self._judge = judge
        self._verdict = judge.verdict
        self._kind = judge.subject.kind
        self._until = judge.truth.until
        self._name = name
        self._truth = truth
        self._plainly = np.zeros(size, np.int32)  # how often it came without the flag replayed
        self._flagged = np.zeros(size, np.int32)
        self._begun = np.zeros(size + 1, np.int32)  # +1 where a range begins that is excused, -1 behind it
        self._highest = 0
        self._last_life = 1

    def live(self, number: int, part: Entries) -> None:
        """What one life has had of it, in order."""
        truth = self._truth
        self._last_life = number
        ticks = part[(part["kind"] == TICK) & (part["flags"] & FLAG_SNAPSHOT == 0)]
        folded = ticks["folded"].astype(np.int64)  # one beyond where the truth ends may stand for some within it
        ends = ticks["first"].astype(np.int64) - truth.first
        self._mark(ends - folded, ends, folded > 0)
        ticks = ticks[ticks["last"] < self._until]
        numbers = ticks["first"].astype(np.int64)
        places = numbers - truth.first
        inside = (places >= 0) & (places < len(truth.seqs))
        self._wrong("never published", numbers[~inside])
        same = inside.copy()
        same[inside] = (truth.seqs[places[inside]] == ticks["last"][inside]) & (
            truth.crcs[places[inside]] == ticks["crc"][inside]
        )
        self._wrong("not as it was published", numbers[inside & ~same])
        replayed = ticks["flags"] & FLAG_REPLAYED != 0
        self._order(numbers, replayed)
        np.add.at(self._plainly, places[inside & ~replayed], 1)
        np.add.at(self._flagged, places[inside & replayed], 1)
        gaps = part[(part["kind"] == GAP) & (part["first"].astype(np.int64) <= truth.last)]
        self._gaps(gaps)
        self._verdict.ticks += len(ticks)
        self._verdict.replayed += int(replayed.sum())
        self._verdict.folded += int(folded.sum())
        self._highest = max([self._highest, *numbers[-1:].tolist()])

    def judge(self, live_seq: int, final: bool) -> None:
        """Is it complete, and is nothing told or given too often?"""
        have = self._plainly + self._flagged
        excused = np.cumsum(self._begun[:-1])
        begin = int(np.searchsorted(self._truth.seqs, live_seq))
        end = len(have)
        if not final:  # what it had not come to is nobody's business
            reached = np.flatnonzero((have > 0) | (excused > 0))
            end = int(reached[-1]) + 1 if len(reached) else 0
        lacking = begin + np.flatnonzero((have[begin:end] == 0) & (excused[begin:end] == 0))
        self._wrong("missing, and not told", self._truth.first + lacking)
        if self._kind == "group":
            self._wrong("came more than once, unflagged", self._truth.first + np.flatnonzero(self._plainly > 1))
            both = np.flatnonzero((excused > 0) & (self._plainly > 0))
            self._verdict.repeated += int(np.maximum(have - 1, 0).sum())
        else:
            both = np.flatnonzero((excused > 0) & (have + excused > 1))
        self._wrong("told to be missing or folded, and more than that", self._truth.first + both)

    def _order(self, numbers: Numbers, replayed: npt.NDArray[np.bool_]) -> None:
        if self._kind == "group":  # flagged, what it had before may come again, after others had it
            highest = np.maximum.accumulate(np.concatenate(([0], numbers)))[:-1]
            late = ~replayed & (numbers <= highest)
            self._wrong("out of order, unflagged", numbers[late])
            return
        steps = np.diff(numbers)
        self._wrong("came twice", numbers[1:][steps == 0])
        self._wrong("out of order", numbers[1:][steps < 0])
        if self._kind == "durable" and self._highest:
            again = numbers <= self._highest
            self._wrong("came again after a restart, unflagged", numbers[again & ~replayed])
            self.again[self._last_life] += int(again.sum())
            self._verdict.repeated += int(again.sum())

    def _gaps(self, gaps: Entries) -> None:
        first, last = gaps["first"].astype(np.int64), gaps["last"].astype(np.int64)
        real = (first >= self._truth.first) & (first <= last)
        for gap in gaps[~real]:
            self._wrong("a gap of ticks that there are not", np.array([gap["first"], gap["last"]], np.int64))
        self._mark(first - self._truth.first, last + 1 - self._truth.first, real)
        if self._kind == "group":  # two members may be told the same, but not one of them
            order = np.argsort(first[real], kind="stable")
            begins, ends = first[real][order], np.maximum.accumulate(last[real][order])
            self._wrong("told to be missing twice", begins[1:][begins[1:] <= ends[:-1]])
        for gap in gaps[real]:
            cause = CAUSE_WORDS[gap["cause"]]
            told = int(gap["last"] - gap["first"]) + 1
            self._verdict.gaps[cause] = self._verdict.gaps.get(cause, 0) + told

    def _mark(self, begin: Numbers, end: Numbers, which: npt.NDArray[np.bool_]) -> None:
        """Places from `begin` to before `end` are excused."""
        size = len(self._begun) - 1
        np.add.at(self._begun, np.clip(begin[which], 0, size), 1)
        np.add.at(self._begun, np.clip(end[which], 0, size), -1)

    def _wrong(self, what: str, numbers: Numbers) -> None:
        self._judge.ranges(self._last_life, self._name, what, numbers)


def _by_topic(lives: list[tuple[int, Life]]) -> dict[str, list[tuple[int, Entries]]]:
    """Ticks and gaps of each topic, life by life, in order."""
    topics: dict[str, list[tuple[int, Entries]]] = {}
    for number, life in lives:
        entries = life.entries[(life.entries["kind"] == TICK) | (life.entries["kind"] == GAP)]
        order = np.argsort(entries["topic"].astype(np.uint16), kind="stable")  # by radix
        entries = entries.view(np.uint64).reshape(-1, 4)[order].view(DTYPE)[:, 0]
        for part in np.split(entries, np.flatnonzero(np.diff(entries["topic"])) + 1) if len(entries) else []:
            topics.setdefault(life.topics[int(part["topic"][0])], []).append((number, part))
    return topics
