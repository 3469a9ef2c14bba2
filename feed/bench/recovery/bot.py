"""The bot of these benchmarks, a process of its own: the public SDK, and notes of what it gave.

It says when its subscription is in force, when it has joined, when a gap was filled; then it does what it is told:

    ["miss", topic]    give up the subscription to a topic, so that its ticks go by
    ["fill", topic]    take it up again, and say when all is there that went by
    ["figures"]        say how it is
    ["end"]            write down what it was given, and end
"""

from __future__ import annotations

import functools
import gc
from pathlib import Path
from typing import Any

import msgspec
import zmq

from bots import Subscriber
from feed.bench import children, plan
from feed.bench.recovery.taking import Taking
from feed.clock import now_ns

__all__ = ["BotSpec"]

_LOOK_NS = 10_000_000
_MANY = 8192
_RESERVE = 1_000_000
"""Ticks that are noted without a page fault from when a topic goes by until it is there again and a while after."""

_FIRST_S = 60.0
_QUIET_S = 5.0
"""Whoever hears nothing for so long will hear nothing more: asking for what is missing is given up later than that."""


class BotSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`states`: it has joined when it is live and has quotes of so many topics. `count`: it only counts, up to so many
    ticks, and ends; else each tick goes to the file `out`.
    """

    name: str
    feed: str
    transport: str
    symbols: tuple[str, ...] = ("*",)
    schemas: tuple[str, ...] | None = None
    start: str | int = "live"
    states: int = 0
    count: int = 0
    out: str = ""


def main() -> None:
    spec = children.begin(BotSpec)
    sub = Subscriber(
        spec.symbols,
        spec.schemas,
        feed=spec.feed,
        transport=spec.transport,  # type: ignore[arg-type]
        start=spec.start,
        slow="fill",  # else quotes that are late would stand for others
        name=spec.name,
        hwm=plan.HWM,
    )
    gc.collect()
    gc.freeze()
    if spec.count:
        _count(sub, spec.count)
    else:
        _Recorder(sub, spec).run()


class _Recorder:
    def __init__(self, sub: Subscriber, spec: BotSpec) -> None:
        self._sub = sub
        self._spec = spec
        self._taking = Taking()
        self._opened_ns = self._live_ns = self._stated_ns = 0
        self._states = 0
        self._joined = self._ended = False
        self._filling_ns = 0
        self._subscription: zmq.Socket[bytes] | None = None
        """Looked for when ticks are to go by, not when they are to be fetched: that would be timed."""
        sub.on_live = self._on_live

    def run(self) -> None:
        self._opened_ns = now_ns()
        with self._sub as sub:
            children.say(open_ms=(now_ns() - self._opened_ns) / 1e6)
            look_ns = 0
            recv = functools.partial(sub.delivery.recv, _LOOK_NS / 1e9)
            while not self._ended:
                tick = self._taking.take(recv, look_ns)
                if tick is not None and not self._stated_ns and tick.schema == "quote":
                    self._met(tick.ts_bot)
                if tick is not None and tick.topic == self._taking.watched:
                    self._filled(tick.ts_bot)
                if tick is None:
                    look_ns = now_ns() + _LOOK_NS
                    self._look()

    def _on_live(self) -> None:
        self._live_ns = self._live_ns or now_ns()

    def _met(self, when_ns: int) -> None:
        self._states += 1
        if self._states == self._spec.states:
            self._stated_ns = when_ns

    def _look(self) -> None:
        if not self._joined and self._stated_ns and self._live_ns:
            self._joined = True
            stated, live = ((each - self._opened_ns) / 1e6 for each in (self._stated_ns, self._live_ns))
            children.say(stated_ms=stated, live_ms=live)
        match children.told():
            case ["miss", topic]:
                self._subscription = _subscription()
                self._subscription.unsubscribe(f"{topic}|")
                self._taking.reserve(_RESERVE)
            case ["fill", topic]:
                assert self._subscription is not None
                self._taking.watched, self._filling_ns = topic, now_ns()
                self._subscription.subscribe(f"{topic}|")
            case ["figures"]:
                children.say(**self._figures())
            case ["end"] | "end":
                self._taking.write(Path(self._spec.out))
                self._ended = True
                children.say(topics=list(self._taking.topics), **self._figures())

    def _filled(self, when_ns: int) -> None:
        """The topic goes on: all that went by has been given, for order is kept, or was told as a gap."""
        self._taking.watched = ""
        children.say(first_ns=self._filling_ns, last_ns=when_ns)

    def _figures(self) -> dict[str, Any]:
        stats = self._sub.stats()
        return {key: stats[key] for key in ("live", "lost", "filled", "waiting", "lag_ns", "duplicates", "overruns")}


def _subscription() -> zmq.Socket[bytes]:
    """The SUB socket of the only link here. The SDK keeps it to itself: users have no business with it."""
    return next(each for each in gc.get_objects() if isinstance(each, zmq.Socket) and each.socket_type == zmq.SUB)


def _count(sub: Subscriber, ticks: int) -> None:
    """As many as there are, in batches, with the sum of their numbers: whoever has each once has both right."""
    opened_ns = now_ns()
    with sub:
        children.say(open_ms=(now_ns() - opened_ns) / 1e6)
        got = total = first_ns = last_ns = 0
        while got < ticks and (batch := sub.recv_many(_MANY, _QUIET_S if got else _FIRST_S)) is not None:
            last_ns = now_ns()
            first_ns = first_ns or last_ns
            got += len(batch)
            total += int(batch.seq.sum())
        stats = sub.stats()
    children.say(ticks=got, seqs=total, opened_ns=opened_ns, first_ns=first_ns, last_ns=last_ns, lost=stats["lost"])


if __name__ == "__main__":
    main()
