"""RC11 as its authors state it, in relations, and every candidate execution of a program held against it.

Slow, but plain to compare with the paper; the tests prove on small programs that explore.py finds the same
executions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple, TypeAlias

from .program import RLX, SC, Fence, Load, Op, Point, Program, Rmw, Store, Value


class Step(NamedTuple):
    """One event; its number is its place in the list of all. Thread -1 gave the memory its first values."""

    thread: int
    op: Op
    read: Value = None
    wrote: Value = None

    @property
    def word(self) -> str | None:
        return None if isinstance(self.op, Fence) else self.op.at


Relation: TypeAlias = frozenset[tuple[int, int]]
Course: TypeAlias = tuple[tuple[Step, ...], Value]
Outcome: TypeAlias = tuple[tuple[Value, ...], tuple[Value, ...]]


def outcomes(program: Program, thin_air: bool = False) -> set[Outcome]:
    """What the threads return and what memory holds in the end, over all executions. No thread may wait for a value.

    :param thin_air: do without the last axiom, which forbids cycles of sb and rf. It has a price that compilers do not
        pay: on aarch64 a relaxed store may pass a relaxed load in front of it.
    """
    first = [Step(-1, Store(word, value, RLX), wrote=value) for word, value in program.memory.items()]
    found = set()
    for courses in product(*_courses(program)):
        steps = first + [step for course, _ in courses for step in course]
        results = tuple(result for _, result in courses)
        for rf, orders in _candidates(steps):
            outcome = results, tuple(steps[order[-1]].wrote for order in orders)
            mo = frozenset((a, b) for order in orders for i, b in enumerate(order) for a in order[:i])
            if outcome not in found and is_consistent(steps, rf, mo, thin_air):
                found.add(outcome)
    return found


def is_consistent(steps: Sequence[Step], rf: Relation, mo: Relation, thin_air: bool = False) -> bool:
    """The axioms, with a read-modify-write as one event and the release sequences of C++20."""

    def only(belongs: Callable[[Step], bool]) -> Relation:
        """[S]: the identity on those that belong."""
        return frozenset((e, e) for e, step in enumerate(steps) if belongs(step))

    def pairs(related: Callable[[Step, Step], bool]) -> Relation:
        return frozenset(
            (a, b) for a, first in enumerate(steps) for b, then in enumerate(steps) if related(first, then)
        )

    same = only(lambda _: True)
    updates = only(lambda e: isinstance(e.op, Rmw))
    fr = _by(_inverse(rf), mo) - same
    eco = rf | mo | fr | _by(mo, rf) | _by(fr, rf)
    if eco & same or _by(fr, mo) & same:
        return False  # an update is not atomic

    fences = only(lambda e: isinstance(e.op, Fence))
    writes = only(lambda e: isinstance(e.op, Store | Rmw))
    releases = only(lambda e: e.op.order.releases)
    acquires = only(lambda e: e.op.order.acquires)
    in_thread = pairs(lambda a, b: a.thread == b.thread >= 0 or a.thread < 0 <= b.thread)
    sb = frozenset((a, b) for a, b in in_thread if a < b)  # a thread's steps stand in their order
    rs = _by(writes, _closure(_by(rf, updates)) | same)
    sw = _by(releases, _by(fences, sb) | same, rs, rf, _by(sb, fences) | same, acquires)
    hb = _closure(sb | sw)
    if hb & same or _by(hb, eco) & same:
        return False  # not coherent

    strong = only(lambda e: e.op.order is SC)
    strong_fences = strong & fences
    loc = pairs(lambda a, b: a.word == b.word is not None)
    scb = sb | _by(sb - loc, hb, sb - loc) | (hb & loc) | mo | fr
    psc_base = _by(strong | _by(strong_fences, hb | same), scb, strong | _by(hb | same, strong_fences))
    psc_f = _by(strong_fences, hb | _by(hb, eco, hb), strong_fences)
    if _closure(psc_base | psc_f) & same:
        return False  # the sequentially consistent events are in no order

    return thin_air or not _closure(sb | rf) & same


# --- relations ------------------------------------------------------------------------------------------------------


def _by(*relations: Iterable[tuple[int, int]]) -> Relation:
    """r;s;t: by r, then by s, then by t."""
    joined, *others = relations
    for relation in others:
        after: dict[int, list[int]] = {}
        for a, b in relation:
            after.setdefault(a, []).append(b)
        joined = {(a, c) for a, b in joined for c in after.get(b, ())}
    return frozenset(joined)


def _inverse(relation: Relation) -> Relation:
    return frozenset((b, a) for a, b in relation)


def _closure(relation: Relation) -> Relation:
    """By the relation once or more often."""
    while not (further := _by(relation, relation)) <= relation:
        relation |= further
    return relation


# --- candidates -----------------------------------------------------------------------------------------------------

ROUNDS = 4
"""A value is handed on, from a read to a write that depends on it, fewer times than this."""


def _courses(program: Program) -> list[list[Course]]:
    """For each thread every course that it might take if a read could answer any value ever written."""
    values = {word: {value} for word, value in program.memory.items()}
    for _ in range(ROUNDS):
        courses = [list(_unfold(t, Point(thread), values)) for t, thread in enumerate(program.threads.values())]
        for step in (step for thread in courses for course, _ in thread for step in course):
            if isinstance(step.op, Store | Rmw):
                values[step.op.at].add(step.wrote)
    return courses


def _unfold(t: int, at: Point, values: dict[str, set[Value]]) -> Iterator[Course]:
    op = at.op
    if op is None:
        yield (), at.result
    elif isinstance(op, Store | Fence):
        step = Step(t, op, wrote=op.value if isinstance(op, Store) else None)
        yield from (((step, *rest), result) for rest, result in _unfold(t, at.after(None), values))
    else:
        for value in tuple(values[op.at]):
            step = Step(t, op, value, op.update(value) if isinstance(op, Rmw) else None)
            yield from (((step, *rest), result) for rest, result in _unfold(t, at.after(value), values))


def _candidates(steps: Sequence[Step]) -> Iterator[tuple[Relation, tuple[tuple[int, ...], ...]]]:
    """Every rf that agrees with the values read, with every order of each word's writes behind its first value."""
    writes: dict[str | None, list[int]] = {}
    for e, step in enumerate(steps):
        if isinstance(step.op, Store | Rmw):
            writes.setdefault(step.word, []).append(e)
    reads = [(e, step) for e, step in enumerate(steps) if isinstance(step.op, Load | Rmw)]
    sources = [[(w, e) for w in writes[step.word] if steps[w].wrote == step.read] for e, step in reads]
    orders = [[(first, *rest) for rest in permutations(others)] for first, *others in writes.values()]
    for rf in product(*sources):
        for chosen in product(*orders):
            yield frozenset(rf), chosen
