"""All executions of a small program under RC11, the repaired C11 memory model.

O. Lahav, V. Vafeiadis, J. Kang, C.-K. Hur, D. Dreyer: Repairing Sequential Consistency in C/C++11, PLDI 2017. An
execution is a graph: events in program order (sb), each read tied to the write that it reads (rf), the writes of
each word in one order (mo). RC11 allows a graph if it is coherent, if nothing comes between the halves of a
read-modify-write, if the events that are sequentially consistent fit into one order (psc), and if sb and rf
together have no cycle. `axioms.py` says this in relations, as the paper does, and tries every candidate. This file
finds the same graphs fast:

* Without a cycle in sb and rf every graph can be built one event at a time, each read after the write it reads. All
  that happens before the new event is then known at once and never changes.
* A part of an allowed graph is allowed. So a branch that breaks a rule is given up where it breaks it.
* Every graph is built once. Stores and fences are added as soon as their thread comes to them. A read takes each of
  the writes there are, or else refuses them all and waits for one that is still to come.

The compilers' mappings of C11 to x86-64 and to aarch64 are proved to show nothing that RC11 forbids, so what holds
here holds on both; but for the last rule, which compilers do not pay for: aarch64 may do a relaxed store before a
relaxed load that comes first. That rule decides nothing in these models. In most of them no thread both reads and
writes; where a reader stores something, in Park, all it took from the writer before was acquired from a release, so
that a cycle of sb and rf would be one of happens-before, which coherence forbids; and Gate is judged without the rule.
In one thing this model is weaker than the paper, as C++20 is: a later relaxed store by the same thread does not carry
a release on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from .event import INITIAL, Event, mask
from .order import is_sc_ordered
from .program import RLX, SC, SLEEPS, Fence, Load, Point, Program, Rmw, Store, Value, Violation

READ = (Load, Rmw)


class Progress(NamedTuple):
    """How far a thread is."""

    at: Point
    before: int = 0  # all that happens before its next event
    fenced: int = 0  # what its relaxed stores give: all that happens before its last release fence, and the fence
    given: int = 0  # what its relaxed loads were given, to be learnt at its next acquire fence
    refused: int = 0  # the writes that its next read may not read


@dataclass(frozen=True, slots=True)
class Execution:
    """A consistent graph, whole or in the making."""

    names: tuple[str, ...]
    threads: tuple[Progress, ...]
    events: tuple[Event, ...]
    mo: dict[str, tuple[int, ...]]  # the writes of each word, in modification order
    readers: tuple[int, ...]  # of each event: who reads it
    updated: int  # the writes that a read-modify-write has read
    strong: int  # the events that are sequentially consistent
    alike: frozenset[int]

    @property
    def results(self) -> dict[str, Value]:
        """What each thread returned; SLEEPS for one that waits in vain, None for one that a violation cut short."""
        return {
            name: SLEEPS if isinstance(t.at.op, Load) and t.at.op.until else t.at.result
            for name, t in zip(self.names, self.threads, strict=True)
        }

    @property
    def violation(self) -> Violation | None:
        return next((t.at.result for t in self.threads if isinstance(t.at.result, Violation)), None)

    @property
    def memory(self) -> dict[str, Value]:
        """The values that stay."""
        return {word: self.events[writes[-1]].wrote for word, writes in self.mo.items()}

    @property
    def is_whole(self) -> bool:
        """Has every thread ended or gone to sleep for good? A read that refused all there was is in no graph."""
        return all(
            op is None
            or (isinstance(op, Load) and op.until is not None and not op.until(self.events[self.mo[op.at][-1]].wrote))
            for op in (t.at.op for t in self.threads)
        )

    def extended(self) -> list[Execution] | None:
        """Every way to go on by one event; None when no thread can move."""
        for t, thread in enumerate(self.threads):
            op = thread.at.op
            if isinstance(op, Fence):
                return [self._with_fence(t, op)]
            if isinstance(op, Store):
                return self._with_store(t, op)
        for t, thread in enumerate(self.threads):
            op = thread.at.op
            if isinstance(op, READ) and (sources := self._sources(thread, op)):
                return [self._refusing(t, op), *self._with_read(t, op, sources)]
        return None

    # --- the rules: where a write may go, what a read may read ------------------------------------------------------

    def _floor(self, word: str, before: int) -> int:
        """Coherence: the place in mo of the last write of `word` that was written or read in `before`.

        A read takes this write or a later one; a write goes behind it.
        """
        writes = self.mo[word]
        for place in range(len(writes) - 1, 0, -1):
            if (1 << writes[place] | self.readers[writes[place]]) & before:
                return place
        return 0

    def _sources(self, thread: Progress, op: Load | Rmw) -> list[int]:
        """The writes that the thread's next read may read."""
        found = [w for w in self.mo[op.at][self._floor(op.at, thread.before) :] if not thread.refused >> w & 1]
        if isinstance(op, Rmw):
            return [w for w in found if not self.updated >> w & 1]
        if op.until is not None:
            return [w for w in found if op.until(self.events[w].wrote)]
        return found

    def _places(self, thread: Progress, op: Store) -> list[int]:
        """Atomicity: the places in mo where the thread's next store may go; not between the halves of an update."""
        writes = self.mo[op.at]
        first = self._floor(op.at, thread.before) + 1
        return [place for place in range(first, len(writes) + 1) if not self.updated >> writes[place - 1] & 1]

    def _is_in_turn(self, word: str) -> bool:
        """Do the threads that are alike come to this word in the order of their names?"""
        firsts = dict.fromkeys(t for w in self.mo[word] if (t := self.events[w].thread) in self.alike)
        return list(firsts) == sorted(firsts)

    # --- one event more ---------------------------------------------------------------------------------------------

    def _with_fence(self, t: int, op: Fence) -> Execution:
        me = 1 << len(self.events)
        thread = self.threads[t]
        before = thread.before | (thread.given if op.order.acquires else 0)
        fenced = before | me if op.order.releases else thread.fenced
        moved = thread._replace(at=thread.at.after(None), before=before | me, fenced=fenced)
        return self._with(t, moved, Event(t, op, before=before))

    def _with_store(self, t: int, op: Store) -> list[Execution]:
        me = 1 << len(self.events)
        thread = self.threads[t]
        gives = thread.before | me if op.order.releases else thread.fenced
        event = Event(t, op, wrote=op.value, before=thread.before, gives=gives)
        moved = thread._replace(at=thread.at.after(None), before=thread.before | me)
        grown = (self._with(t, moved, event, place) for place in self._places(thread, op))
        return [x for x in grown if x._is_in_turn(op.at) and is_sc_ordered(x.events, x.mo, x.readers, x.strong)]

    def _with_read(self, t: int, op: Load | Rmw, sources: list[int]) -> list[Execution]:
        me = 1 << len(self.events)
        thread = self.threads[t]
        grown = []
        for w in sources:
            value, given = self.events[w].wrote, self.events[w].gives
            before = thread.before | (given if op.order.acquires else 0)
            moved = Progress(thread.at.after(value), before | me, thread.fenced, thread.given | given)
            event = Event(t, op, read=value, source=w, before=before)
            if isinstance(op, Rmw):  # carries on the release that it read
                gives = given | (before | me if op.order.releases else thread.fenced)
                event = event._replace(wrote=op.update(value), gives=gives)
                grown.append(self._with(t, moved, event, self.mo[op.at].index(w) + 1))
            else:
                grown.append(self._with(t, moved, event))
        return [x for x in grown if is_sc_ordered(x.events, x.mo, x.readers, x.strong)]

    def _refusing(self, t: int, op: Load | Rmw) -> Execution:
        thread = self.threads[t]
        waits = thread._replace(refused=thread.refused | mask(self.mo[op.at]))
        return replace(self, threads=(*self.threads[:t], waits, *self.threads[t + 1 :]))

    def _with(self, t: int, moved: Progress, event: Event, place: int | None = None) -> Execution:
        """`place`: of a write in mo."""
        number = len(self.events)
        mo, readers = self.mo, (*self.readers, 0)
        if place is not None and not isinstance(event.op, Fence):
            writes = mo[event.op.at]
            mo = {**mo, event.op.at: (*writes[:place], number, *writes[place:])}
        updated = self.updated
        if event.source >= 0:
            w = event.source
            readers = (*readers[:w], readers[w] | 1 << number, *readers[w + 1 :])
            if place is not None:
                updated |= 1 << w
        strong = self.strong | (event.op.order is SC) << number
        threads = (*self.threads[:t], moved, *self.threads[t + 1 :])
        return Execution(self.names, threads, (*self.events, event), mo, readers, updated, strong, self.alike)


def explore(program: Program) -> Iterator[Execution]:
    """Every execution of the program; one that breaks its promise comes as far as it went until then."""
    memory = [Event(INITIAL, Store(word, value, RLX), wrote=value) for word, value in program.memory.items()]
    begin = Execution(
        names=tuple(program.threads),
        threads=tuple(Progress(Point(thread), before=(1 << len(memory)) - 1) for thread in program.threads.values()),
        events=tuple(memory),
        mo={word: (number,) for number, word in enumerate(program.memory)},
        readers=(0,) * len(memory),
        updated=0,
        strong=0,
        alike=frozenset(t for t, name in enumerate(program.threads) if name in program.alike),
    )
    growing = [begin]
    while growing:
        execution = growing.pop()
        if execution.violation:
            yield execution
        elif branches := execution.extended():
            growing.extend(branches)
        elif branches is None and execution.is_whole:
            yield execution
