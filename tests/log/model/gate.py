"""Gate: the writer overwrites what a gating reader has dealt with, and nothing that it is still reading.

A reader reports how far it is with release, after its last look at what lies below; the writer acquires that before
it overwrites. (A ring's producer and consumer do the same.) Read, then let write: only RC11's last axiom would
forbid that the two change places if the orders were weaker, and compilers for aarch64 do not keep it for relaxed
accesses. So this one is judged without that axiom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .axioms import outcomes
from .program import Program, Thread, Violation, load, store
from .protocol import Protocol


@dataclass(frozen=True)
class Gate(Protocol):
    """A gating reader deals with a frame; the writer, once it may, overwrites it."""

    needs: ClassVar[dict[str, str]] = {
        "report": "the report is seen before the frame is read",
        "read_published": "the frame is overwritten before the report is read",
    }
    slips: ClassVar[dict[str, str]] = {"reports before reading": "the frame is overwritten in between"}

    def program(self) -> Program:
        return Program({"reader": self.reader, "writer": self.writer}, {"position": 0, "body": "lap 1"})

    def reader(self) -> Thread:
        report = store("position", 1, self.fences.report)
        if self.slip == "reports before reading":
            yield report
        body = yield load("body")
        if self.slip != "reports before reading":
            yield report
        if body != "lap 1":
            raise Violation("the frame was overwritten under the reader that was waited for")
        return "read"

    def writer(self) -> Thread:
        if (yield load("position", self.fences.read_published)) == 1:
            yield store("body", "lap 2")
        return "written"

    def flaw(self) -> str | None:
        results = [result for results, _ in outcomes(self.program(), thin_air=True) for result in results]
        return next((str(result) for result in results if isinstance(result, Violation)), None)
