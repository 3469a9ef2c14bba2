"""The language of the models: a thread is a generator that yields one memory operation at a time.

    def reader():
        if (yield load("length", ACQ)):
            return (yield load("body"))

A load and a read-modify-write answer with the value they read; what a thread returns is its result, and a thread
that finds its protocol broken raises Violation. A thread may depend on nothing but those answers: the checker runs
it anew for every course that it can take.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

Value: TypeAlias = Any  # that can be hashed


class Order(Enum):
    """How an access or a fence orders memory, as in C11. A fence of order NONE is not there at all."""

    NONE = "none"
    RLX = "rlx"
    ACQ = "acq"
    REL = "rel"
    ACQ_REL = "acq_rel"
    SC = "sc"

    @property
    def acquires(self) -> bool:
        return self in {Order.ACQ, Order.ACQ_REL, Order.SC}

    @property
    def releases(self) -> bool:
        return self in {Order.REL, Order.ACQ_REL, Order.SC}


NONE, RLX, ACQ, REL, ACQ_REL, SC = Order


@dataclass(frozen=True, slots=True)
class Load:
    at: str
    order: Order
    until: Callable[[Value], bool] | None = None  # waits for a value that satisfies it


@dataclass(frozen=True, slots=True)
class Store:
    at: str
    value: Value
    order: Order


@dataclass(frozen=True, slots=True)
class Rmw:
    at: str
    update: Callable[[Value], Value]
    order: Order


@dataclass(frozen=True, slots=True)
class Fence:
    order: Order


Op: TypeAlias = Load | Store | Rmw | Fence
Thread: TypeAlias = Generator[Op, Value, Value]


def load(at: str, order: Order = RLX) -> Load:
    return Load(at, order)


def await_value(at: str, until: Callable[[Value], bool], order: Order = RLX) -> Load:
    """Goes on when it reads a value that satisfies `until`; a thread for which none ever comes sleeps for ever."""
    return Load(at, order, until)


def store(at: str, value: Value, order: Order = RLX) -> Store:
    return Store(at, value, order)


def exchange(at: str, value: Value, order: Order) -> Rmw:
    return Rmw(at, lambda _: value, order)


def fetch_add(at: str, n: int, order: Order) -> Rmw:
    return Rmw(at, lambda old: old + n, order)


def fence(order: Order) -> Fence:
    return Fence(order)


class Violation(Exception):
    """A thread saw what the protocol promises never to show."""


SLEEPS = "sleeps for ever"
"""The result of a thread that waits for a value nobody will store."""


@dataclass(frozen=True)
class Program:
    """Named threads, the memory's words with their first values, and which threads run the same code.

    Of executions that differ only in the names of threads that are alike, one is enough.
    """

    threads: Mapping[str, Callable[[], Thread]]
    memory: Mapping[str, Value]
    alike: frozenset[str] = frozenset()


def killed(thread: Callable[[], Thread], after: int) -> Callable[[], Thread]:
    """The same thread, dead after `after` operations."""

    def cut() -> Thread:
        running, answer = thread(), None
        for _ in range(after):
            try:
                answer = yield running.send(answer)
            except StopIteration:
                break
        running.close()
        return "killed"

    return cut


class Point:
    """Where a thread stands: before `op`, or, when `op` is None, at its end with `result`."""

    def __init__(self, thread: Callable[[], Thread], answers: tuple[Value, ...] = ()) -> None:
        self.op: Op | None = None
        self.result: Value | Violation = None
        self._thread = thread
        self._answers = answers
        self._after: dict[Value, Point] = {}
        running = thread()
        ahead = iter(answers)
        try:
            op = next(running)
            while True:
                if op == Fence(NONE):
                    op = running.send(None)
                    continue
                try:
                    answer = next(ahead)
                except StopIteration:
                    break
                op = running.send(answer)
            self.op = op
        except StopIteration as end:
            self.result = end.value
        except Violation as broken:
            self.result = broken

    def after(self, answer: Value) -> Point:
        """Where it stands once its operation has answered; None for those that answer nothing."""
        if answer not in self._after:
            self._after[answer] = Point(self._thread, (*self._answers, answer))
        return self._after[answer]
