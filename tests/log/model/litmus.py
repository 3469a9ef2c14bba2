"""The classic litmus tests, with what RC11 says to each: they show that the checker is no stronger and no weaker.

A program is a line of text: threads parted by "|", operations by ";".

    Wx1      store 1 in x                  Rx       load x
    Xx1      exchange x for 1              F.sc     fence
    Wx1.rel  with that order; relaxed where none is given

An outcome is what the loads and exchanges read, in the order of the text, and what memory holds at last: "1 0 x=2".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .explore import Execution
from .program import Fence, Load, Op, Order, Program, Rmw, Thread, exchange, fence, load, store

ALLOWED, FORBIDDEN = True, False


class Litmus(NamedTuple):
    name: str
    text: str
    outcome: str
    verdict: bool


TESTS = [
    # One word alone is always coherent.
    Litmus("CoRR", "Wx1 | Rx ; Rx", "1 0", FORBIDDEN),
    Litmus("CoWW", "Wx1 ; Wx2", "x=1", FORBIDDEN),
    Litmus("CoRW1", "Rx ; Wx1", "1", FORBIDDEN),
    Litmus("CoRW2", "Rx ; Wx1 | Wx2", "2 x=2", FORBIDDEN),
    Litmus("CoWR", "Wx1 ; Rx | Wx2", "2 x=1", FORBIDDEN),
    Litmus("CoRR2", "Wx1 | Wx2 | Rx ; Rx | Rx ; Rx", "1 2 2 1", FORBIDDEN),
    Litmus("atomicity", "Xx1 | Xx2", "0 0", FORBIDDEN),
    Litmus("atomicity with a store", "Xx1 | Wx2", "0 x=2", ALLOWED),
    # Message passing: the log's commit.
    Litmus("MP", "Wx1 ; Wy1 | Ry ; Rx", "1 0", ALLOWED),
    Litmus("MP release only", "Wx1 ; Wy1.rel | Ry ; Rx", "1 0", ALLOWED),
    Litmus("MP acquire only", "Wx1 ; Wy1 | Ry.acq ; Rx", "1 0", ALLOWED),
    Litmus("MP release acquire", "Wx1 ; Wy1.rel | Ry.acq ; Rx", "1 0", FORBIDDEN),
    Litmus("MP fences", "Wx1 ; F.rel ; Wy1 | Ry ; F.acq ; Rx", "1 0", FORBIDDEN),
    Litmus("MP no release fence", "Wx1 ; Wy1 | Ry ; F.acq ; Rx", "1 0", ALLOWED),
    Litmus("MP no acquire fence", "Wx1 ; F.rel ; Wy1 | Ry ; Rx", "1 0", ALLOWED),
    Litmus("MP fences the wrong way round", "Wx1 ; F.acq ; Wy1 | Ry ; F.rel ; Rx", "1 0", ALLOWED),
    Litmus("MP fence and acquire", "Wx1 ; F.rel ; Wy1 | Ry.acq ; Rx", "1 0", FORBIDDEN),
    Litmus("MP release and fence", "Wx1 ; Wy1.rel | Ry ; F.acq ; Rx", "1 0", FORBIDDEN),
    Litmus("MP fence behind the flag", "Wx1 ; Wy1 ; F.rel | Ry ; F.acq ; Rx", "1 0", ALLOWED),
    # Release sequences: carried on by any read-modify-write; by the same thread's stores only before C++20.
    Litmus("MP through an exchange", "Wx1 ; Wy1.rel | Xy2 | Ry.acq ; Rx", "1 2 0", FORBIDDEN),
    Litmus("MP through a store", "Wx1 ; Wy1.rel | Ry ; Wy2 | Ry.acq ; Rx", "1 2 0", ALLOWED),
    Litmus("MP through a later store of its own", "Wx1 ; Wy1.rel ; Wy2 | Ry.acq ; Rx", "2 0", ALLOWED),
    # Store buffering: the log's parking.
    Litmus("SB", "Wx1 ; Ry | Wy1 ; Rx", "0 0", ALLOWED),
    Litmus("SB release acquire", "Wx1.rel ; Ry.acq | Wy1.rel ; Rx.acq", "0 0", ALLOWED),
    Litmus("SB sc", "Wx1.sc ; Ry.sc | Wy1.sc ; Rx.sc", "0 0", FORBIDDEN),
    Litmus("SB sc fences", "Wx1 ; F.sc ; Ry | Wy1 ; F.sc ; Rx", "0 0", FORBIDDEN),
    Litmus("SB one fence missing", "Wx1 ; F.sc ; Ry | Wy1 ; Rx", "0 0", ALLOWED),
    Litmus("SB acq_rel fences", "Wx1 ; F.acq_rel ; Ry | Wy1 ; F.acq_rel ; Rx", "0 0", ALLOWED),
    Litmus("SB exchanges are no fences", "Xx1.acq_rel ; Ry | Xy1.acq_rel ; Rx", "0 0 0 0", ALLOWED),
    Litmus("SB sc against sc fence", "Wx1.sc ; Ry.sc | Wy1 ; F.sc ; Rx", "0 0", FORBIDDEN),
    # Load buffering: RC11 forbids it; that is its price for having nothing out of thin air.
    Litmus("LB", "Rx ; Wy1 | Ry ; Wx1", "1 1", FORBIDDEN),
    # Two words, other shapes.
    Litmus("S", "Wx2 ; Wy1 | Ry ; Wx1", "1 x=2", ALLOWED),
    Litmus("S release acquire", "Wx2 ; Wy1.rel | Ry.acq ; Wx1", "1 x=2", FORBIDDEN),
    Litmus("R", "Wx1.rel ; Wy1.rel | Wy2.rel ; Rx.acq", "0 y=2", ALLOWED),
    Litmus("R sc fences", "Wx1 ; F.sc ; Wy1 | Wy2 ; F.sc ; Rx", "0 y=2", FORBIDDEN),
    Litmus("2+2W", "Wx1 ; Wy2 | Wy1 ; Wx2", "x=1 y=1", ALLOWED),
    Litmus("2+2W release", "Wx1.rel ; Wy2.rel | Wy1.rel ; Wx2.rel", "x=1 y=1", ALLOWED),
    Litmus("2+2W sc fences", "Wx1 ; F.sc ; Wy2 | Wy1 ; F.sc ; Wx2", "x=1 y=1", FORBIDDEN),
    Litmus("2+2W sc", "Wx1.sc ; Wy2.sc | Wy1.sc ; Wx2.sc", "x=1 y=1", FORBIDDEN),
    # Three threads and more.
    Litmus("WRC", "Wx1 | Rx ; Wy1 | Ry ; Rx", "1 1 0", ALLOWED),
    Litmus("WRC release acquire", "Wx1 | Rx ; Wy1.rel | Ry.acq ; Rx", "1 1 0", FORBIDDEN),
    Litmus("ISA2", "Wx1 ; Wy1.rel | Ry ; Wz1.rel | Rz.acq ; Rx", "1 1 0", ALLOWED),
    Litmus("ISA2 release acquire", "Wx1 ; Wy1.rel | Ry.acq ; Wz1.rel | Rz.acq ; Rx", "1 1 0", FORBIDDEN),
    Litmus("RWC", "Wx1.rel | Rx.acq ; Ry.acq | Wy1.rel ; Rx.acq", "1 0 0", ALLOWED),
    Litmus("RWC sc fences", "Wx1 | Rx ; F.sc ; Ry | Wy1 ; F.sc ; Rx", "1 0 0", FORBIDDEN),
    Litmus("IRIW", "Wx1 | Rx ; Ry | Wy1 | Ry ; Rx", "1 0 1 0", ALLOWED),
    Litmus("IRIW release acquire", "Wx1.rel | Rx.acq ; Ry.acq | Wy1.rel | Ry.acq ; Rx.acq", "1 0 1 0", ALLOWED),
    Litmus("IRIW acq_rel fences", "Wx1 | Rx ; F.acq_rel ; Ry | Wy1 | Ry ; F.acq_rel ; Rx", "1 0 1 0", ALLOWED),
    Litmus("IRIW sc fences", "Wx1 | Rx ; F.sc ; Ry | Wy1 | Ry ; F.sc ; Rx", "1 0 1 0", FORBIDDEN),
    Litmus("IRIW sc", "Wx1.sc | Rx.sc ; Ry.sc | Wy1.sc | Ry.sc ; Rx.sc", "1 0 1 0", FORBIDDEN),
    # Where RC11 parted from C11 because the machines do.
    Litmus("IRIW acq sc", "Wx1.sc | Rx.acq ; Ry.sc | Wy1.sc | Ry.acq ; Rx.sc", "1 0 1 0", ALLOWED),
    Litmus("Z6.U", "Wx1.sc ; Wy1.rel | Xy2.sc ; Ry | Wy3.sc ; Rx.sc", "1 3 0", ALLOWED),
]


def parse(text: str) -> Program:
    """The program that a line of text describes; each thread returns the tuple of what it read."""
    bodies = [[_operation(op.strip()) for op in thread.split(";")] for thread in text.split("|")]
    words = sorted({op.at for body in bodies for op in body if not isinstance(op, Fence)})
    return Program({f"thread {t}": _thread(body) for t, body in enumerate(bodies, 1)}, dict.fromkeys(words, 0))


def shows(execution: Execution, outcome: str) -> bool:
    """Did this execution end in that outcome?"""
    reads = [str(value) for result in execution.results.values() for value in result]
    memory = {f"{word}={value}" for word, value in execution.memory.items()}
    asked = outcome.split()
    return [part for part in asked if "=" not in part] in (reads, []) and {
        part for part in asked if "=" in part
    } <= memory


def _operation(text: str) -> Op:
    match = re.fullmatch(r"([WRXF])(?:([a-z])(\d*))?(?:\.(\w+))?", text)
    if not match:
        raise ValueError(f"not an operation: {text!r}")
    word, value, order = match[2], int(match[3] or 0), Order(match[4] or "rlx")
    operations: dict[str, Op] = {
        "W": store(word, value, order),
        "R": load(word, order),
        "X": exchange(word, value, order),
        "F": fence(order),
    }
    return operations[match[1]]


def _thread(body: list[Op]) -> Callable[[], Thread]:
    def run() -> Thread:
        reads = []
        for op in body:
            answer = yield op
            if isinstance(op, Load | Rmw):
                reads.append(answer)
        return tuple(reads)

    return run
