"""What the models of the log's protocols have in common: their orders, and what becomes of them without each one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar, Self

from .explore import Execution, explore
from .fences import Fences
from .program import SLEEPS, Program
from .show import show

FEW = 10
WHOLE = Fences()


@dataclass(frozen=True)
class Protocol:
    """A protocol of the log as a small program, whole or with one mistake in it."""

    fences: Fences = WHOLE
    slip: str = ""

    needs: ClassVar[dict[str, str]] = {}
    """Each order that it cannot do without, and what happens when it is weakened."""
    spares: ClassVar[dict[str, str]] = {}
    """Each order that it could do without, and why."""
    slips: ClassVar[dict[str, str]] = {}
    """Steps left out or in the wrong place, and what happens then."""
    idle: ClassVar[set[str]] = set()
    """Threads that may sleep for ever."""

    def program(self) -> Program:
        raise NotImplementedError

    def weakened(self, name: str) -> Self:
        """The same with one order of `fences` weakened by one step."""
        weaker = self.fences.weaker(name)
        if weaker is None:
            raise ValueError(f"{name} is relaxed already")
        return replace(self, fences=replace(self.fences, **{name: weaker}))

    def slipped(self, slip: str) -> Self:
        return replace(self, slip=slip)

    def mistakes(self) -> Iterator[tuple[str, Self, str]]:
        """Each that must break it: its name, the protocol with it, what happens."""
        for name, what in self.needs.items():
            weakened = self.weakened(name)
            yield f"{name} weakened to {getattr(weakened.fences, name).value}", weakened, what
        for slip, what in self.slips.items():
            yield slip, self.slipped(slip), what

    def fault(self, execution: Execution) -> object:
        """What is wrong with an execution: a promise broken, or a thread asleep for ever."""
        asleep = [t for t, result in execution.results.items() if result == SLEEPS and t not in self.idle]
        return execution.violation or (f"{' and '.join(asleep)} {SLEEPS}" if asleep else None)

    def flaw(self) -> str | None:
        """A faulty execution, for people to read: the shortest of the first few; None if the protocol holds."""
        faulty = islice((x for x in explore(self.program()) if self.fault(x)), FEW)
        shortest = min(faulty, key=lambda x: len(x.events), default=None)
        return f"{self.fault(shortest)}\n{show(shortest)}" if shortest else None
