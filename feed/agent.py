"""The duty loop: agents are polled in turn; when all are idle the thread spins, yields or parks.

An agent is one stage's work in one thread. `poll` does a bounded amount and never blocks; waiting is `park`'s business,
so that several agents can share a thread and a test can turn the loop by hand. Signals are the supervisor's: the loop
only asks `stop`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from feed.clock import monotonic_ns, now_ns, set_timer_slack_ns
from feed.errors import ConfigError
from feed.metrics.garbage import GarbagePauses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feed.metrics.histogram import Histogram

__all__ = ["DRAIN_NS", "PARK_NS", "Agent", "Idle", "lower_priority", "pin", "run"]

Idle = Literal["park", "spin", "yield"]

PARK_NS = 50_000_000
"""The longest sleep, ns: how late `stop` may be noticed."""

SHARED_PARK_NS = 1_000_000
"""The longest sleep of all agents of a thread together, ns, where there are several: one can't wake another."""

DRAIN_NS = 1_000_000_000
"""How long agents may take to finish what is waiting once `stop` is true, ns."""

BEAT_NS = 200_000_000

STALL_NS = 1_000_000
"""A turn of the loop should take µs; one that takes so long held up what was waiting, ns."""


@runtime_checkable
class Agent(Protocol):
    """What the loop turns."""

    name: str

    def poll(self) -> int:
        """Do a bounded amount of work without blocking; how much was done, 0 for nothing."""

    def park(self, timeout_ns: int) -> None:
        """Sleep until work is likely, at most `timeout_ns`; may return early."""

    def drain(self) -> bool:
        """True once nothing is left that must be done before the end; polled until then."""

    def close(self) -> None:
        """Give everything back; may be called twice."""


def run(
    agents: Sequence[Agent],
    *,
    idle: Idle | str,
    stop: Callable[[], bool],
    cpu: int = -1,
    drain_ns: int = DRAIN_NS,
    beat: Callable[[int], None] | None = None,
    stalls: Histogram | None = None,
    collections: Histogram | None = None,
) -> None:
    """Turn `agents` in this thread until `stop` is true, then drain and close them; they are closed on errors too.

    `idle`: ``spin`` (a core, lowest latency), ``yield`` (a core, gives way) or ``park`` (sleeps; a few µs to wake).
    `cpu`: the processor to stay on, -1 for any. `beat` gets the wall time in ns every 0.2 s while the loop turns;
    `stalls` takes the turns with work that lasted `STALL_NS` or longer, `collections` Python's garbage collections.
    What an agent raises ends the loop and names the agent in a note.
    """
    if idle not in {"park", "spin", "yield"}:
        raise ConfigError("not an idle strategy", expected='"park", "spin" or "yield"', found=repr(idle))
    pin(cpu)
    set_timer_slack_ns(1)
    gc.collect()
    gc.freeze()  # what is there now stays; later collections need not look at it again
    garbage = GarbagePauses(collections)
    try:
        _turn(agents, idle, stop, beat, stalls)
        deadline = monotonic_ns() + drain_ns
        while monotonic_ns() < deadline and (left := [agent for agent in agents if not agent.drain()]):
            for agent in left:
                _poll(agent)
    finally:
        garbage.close()
        for agent in agents:
            agent.close()


def pin(cpu: int) -> None:
    """Keep this thread on processor `cpu`; -1 leaves it alone. Raises ConfigError if there is none of that number."""
    if cpu < 0:
        return
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise ConfigError(
            "this process may not run on that processor", expected=f"one of {allowed}", found=str(cpu), where="cpu"
        ) from None


def lower_priority(by: int) -> None:
    """Add to the niceness of this thread; threads that it starts inherit that. Linux keeps it for each thread."""
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + by)


def _turn(
    agents: Sequence[Agent],
    idle: str,
    stop: Callable[[], bool],
    beat: Callable[[int], None] | None,
    stalls: Histogram | None,
) -> None:
    park_ns = PARK_NS if len(agents) == 1 else SHARED_PARK_NS // max(len(agents), 1)
    next_beat = 0
    began = 0  # when the last turn began, if no sleep followed it
    while not stop():
        now = monotonic_ns()
        if began and now - began >= STALL_NS and stalls is not None:
            stalls.record(now - began)
        if beat is not None and now >= next_beat:
            next_beat = now + BEAT_NS
            beat(now_ns())
        work = 0
        for agent in agents:
            work += _poll(agent)
        began = now if work or idle != "park" else 0
        if work or idle == "spin":
            continue
        if idle == "yield":
            os.sched_yield()
            continue
        for agent in agents:
            agent.park(park_ns)


def _poll(agent: Agent) -> int:
    try:
        return agent.poll()
    except Exception as error:
        error.add_note(f"in agent {agent.name}")
        raise
