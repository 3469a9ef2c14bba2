"""The main path of a bot: subscribe → link → order → ticks.

Subscriber ── Connection (keeps a link to the feed, asks for what is missing: mending)
     │            └────── Route (which link: links/shm, links/zmq, and links/history before them)
     └─────── Delivery   (link → stream order, conflation → topic order, recovery → tick, batch or callback)
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from bots.connection import Connection
from bots.group import Group
from bots.position import Position
from bots.report import latencies
from bots.route import TRANSPORTS, Route
from bots.slow import Policies
from feed.errors import CallerError, ConfigError
from feed.wire.topics import Pattern, check_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from bots.batch import Batch
    from bots.delivery import Delivery
    from bots.gap import Gap
    from bots.route import Start
    from bots.slow import Slow
    from bots.staleness import Stale, SymbolState
    from bots.ticks import Tick

__all__ = ["DEFAULT_FEED", "Subscriber"]

DEFAULT_FEED = "tcp://127.0.0.1:5550"
BREATH_TICKS = 256
"""Ticks that an async loop may take in a row before the other tasks get their turn."""


class Subscriber:
    """Ticks of some symbols, from whichever transport is best.

        with Subscriber(["AAPL", "ES*"], ["trade", "quote"]) as sub:
            for tick in sub: ...

    :param symbols: names, beginnings (``ES*``) or ``*``.
    :param schemas: topic words; None: all.
    :param feed: the feed's control address.
    :param transport: "auto" (shared memory on the feed's host, else multicast where the feed offers it and a heartbeat
        proves that it comes through, else tcp), or "shm", "ipc", "tcp", "mold", "epgm", "pgm".
    :param interface: which one multicast comes in by: its name or address, "A,B" for two lines; "": the one that leads
        to the group.
    :param order: "topic", or "stream": all topics in the order in which the feed had them. Over tcp and ipc a tick then
        waits for a later frame to prove its place, on a quiet feed for the next heartbeat.
    :param idle: "park" sleeps while nothing comes, "spin" burns a core for a microsecond less.
    :param name: for the feed's dashboard and `log.gating`; at most 31 bytes.
    :param timeout: seconds to wait for the feed when opening; None: for ever, saying so once in the log `bots`.
    :param on_gap: called with each Gap, in the thread that takes the ticks; without it gaps are logged.
    :param log: a log directory to read directly, without a control address.
    :param endpoint: a publisher to connect to directly, without a control address.
    :param hwm: messages that ZeroMQ keeps here for a bot that is behind.
    :param start: "live"; "snapshot", live behind the last state of each topic; "begin", the oldest tick of this epoch
        that log and archive have; a time (datetime or ISO 8601, UTC where it has no zone); or a seq of this epoch. What
        the archive gave comes flagged replayed, and `on_live` is called where it goes over to what is new.
    :param snapshot: "state" is the same as start="snapshot".
    :param durable: a name for the position that this bot keeps on this host: whatever it or the feed does, it goes on
        with the tick behind the last one that it was done with. `start` then is for the first time only.
    :param group: a name that other bots have too: they divide the ticks between them, in stream order (`order`). When
        bots come or go, the others go on where they stopped; what they take over comes flagged replayed. Of a bot that
        died some ticks may come again, flagged too. All have the same symbols, schemas and `share`. `start` counts for
        the first of them; a durable one keeps its place in the group.
    :param share: "symbol", all ticks of a symbol to the same bot as long as it is there; or "turn", tick by tick.
    :param slow: what to do when behind, for all schemas or by schema: "fill", every tick however late (the default of
        events: trades, orders, bars); "latest", the newest state, `folded` saying how many it stands for (the default
        of quotes, bbo, books and definitions); "stop", raise StaleData rather than give old ticks or not all of them.
    :param behind: seconds; a bot whose next tick is older than that is behind.
    :param patience: seconds that a missing tick is asked for until it is told as a gap.
    :param metrics_port: where to serve this bot's own figures for Prometheus: a port on this machine, or "HOST:PORT".

    Used by one thread; `stop` may be called from any.
    """

    def __init__(
        self,
        symbols: str | Sequence[str] = "*",
        schemas: Sequence[str] | None = None,
        *,
        feed: str = DEFAULT_FEED,
        transport: Literal["auto", "shm", "ipc", "tcp", "mold", "epgm", "pgm"] = "auto",
        interface: str = "",
        order: Literal["topic", "stream"] = "topic",
        idle: Literal["park", "spin"] = "park",
        name: str | None = None,
        timeout: float | None = None,
        on_gap: Callable[[Gap], object] | None = None,
        on_stale: Callable[[Stale], object] | None = None,
        on_live: Callable[[], object] | None = None,
        log: str | Path | None = None,
        endpoint: str | None = None,
        hwm: int = 100_000,
        start: Start = "live",
        snapshot: Literal["none", "state"] = "none",
        durable: str | None = None,
        group: str | None = None,
        share: Literal["symbol", "turn"] = "symbol",
        slow: Slow | None = None,
        behind: float = 0.1,
        patience: float = 10.0,
        metrics_port: int | str | None = None,
    ) -> None:
        if log is not None and endpoint is not None:
            raise ConfigError("a subscriber has one place to take ticks from", expected="log or endpoint", found="both")
        joins = _one_of("snapshot", snapshot, ("none", "state")) == "state" or start == "snapshot"
        if group is not None and (log is not None or endpoint is not None or joins):
            raise ConfigError(
                "a group begins where its bots stand, which the control address knows",
                found="a snapshot" if joins else "log or endpoint",
                where="group",
            )
        self.name = name or f"{Path(sys.argv[0]).stem or 'python'}-{os.getpid()}"[-31:]
        self.timeout = timeout
        self._opened = False
        route = Route(
            [Pattern(text) for text in ([symbols] if isinstance(symbols, str) else symbols)],
            feed=feed,
            transport=_one_of("transport", transport, TRANSPORTS),
            name=self.name,
            hwm=hwm,
            start=start,
            durable=durable is not None or group is not None,
            interface=interface,
        )
        route.schemas = None if schemas is None else [check_schema(word) for word in schemas]
        self._route = route
        self._durable = durable
        self._group = None
        if _one_of("share", share, ("symbol", "turn")) == "turn" and group is None:
            raise ConfigError("only bots of a group share", remedy="Give them all the same group", where="share")
        if group is not None:
            self._group = Group(group, share, self.name, durable)
        self._connection = Connection(
            route,
            Policies(slow),
            feed=feed,
            log_at=None if log is None else Path(log),
            endpoint=endpoint,
            name=self.name,
            state=joins,
            stream=_one_of("order", order, ("topic", "stream")) == "stream" or group is not None,
            spin=_one_of("idle", idle, ("park", "spin")) == "spin",
            behind_ns=int(behind * 1e9),
            patience_ns=int(patience * 1e9),
            group=self._group,
            metrics_port=metrics_port,
        )
        self._delivery = self._connection.delivery
        self.on_gap, self.on_stale, self.on_live = on_gap, on_stale, on_live

    # --- opening and closing --------------------------------------------------------------------------------------

    def open(self) -> Self:
        """Attach to the feed; when this returns the subscription is in force.

        :raises ControlError: no feed within `timeout`.
        :raises CallerError: it was closed.
        """
        if not self._opened:
            if self._delivery.stopped:
                raise CallerError("the subscriber is closed", remedy="Make a new one")
            if self._durable is not None:
                path = position_path(self._durable)
                self._connection.remember(Position(path), path)
                self._durable = None
            self._connection.open(self.timeout)
            self._opened = True
        return self

    def close(self) -> None:
        """Leave the feed; loops over this subscriber end."""
        self._connection.close()

    def stop(self) -> None:
        """End every loop and wait within 0.1 s. For other threads and signal handlers; `close` is still to come."""
        self._delivery.stop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self._connection.close(done=kind is None)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.open)

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self._connection.close(done=kind is None)

    # --- ticks ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Tick]:
        return iter(self.open()._delivery)

    def recv(self, timeout: float | None = None) -> Tick | None:
        """The next tick; None after `timeout` seconds without one (None: wait for ever), or once closed."""
        return self.open()._delivery.recv(timeout)

    def recv_many(self, n: int = 4096, timeout: float | None = None) -> Batch | None:
        """What is waiting as a batch of one schema, 1 to `n` ticks; None after `timeout` seconds, or once closed."""
        return self.open()._delivery.recv_many(n, timeout)

    async def __aiter__(self) -> AsyncIterator[Tick]:
        await asyncio.to_thread(self.open)
        taken = 0
        while not self._delivery.stopped:
            tick = self._delivery.poll()
            if tick is None:
                await self._something_waits()
                continue
            yield tick
            taken += 1
            if taken % BREATH_TICKS == 0:
                await asyncio.sleep(0)

    # --- what it is and how it does ---------------------------------------------------------------------------------

    @property
    def schemas(self) -> Sequence[str] | None:
        """Topic words subscribed to; None: all. To be set before opening."""
        return self._route.schemas

    @schemas.setter
    def schemas(self, words: Sequence[str] | None) -> None:
        if self._opened:
            raise CallerError("schemas are fixed once the subscriber is open")
        self._route.schemas = None if words is None else [check_schema(word) for word in words]

    @property
    def on_gap(self) -> Callable[[Gap], object] | None:
        return self._connection.on_gap

    @on_gap.setter
    def on_gap(self, callback: Callable[[Gap], object] | None) -> None:
        self._connection.on_gap = callback

    @property
    def on_stale(self) -> Callable[[Stale], object] | None:
        """Called with a Stale when the feed is not heard of any more: it is dead, or the network is cut."""
        return self._connection.on_stale

    @on_stale.setter
    def on_stale(self, callback: Callable[[Stale], object] | None) -> None:
        self._connection.on_stale = callback

    @property
    def on_live(self) -> Callable[[], object] | None:
        """Called when the feed is there: on opening, and after it was stale."""
        return self._connection.on_live

    @on_live.setter
    def on_live(self, callback: Callable[[], object] | None) -> None:
        self._connection.on_live = callback

    @property
    def delivery(self) -> Delivery:
        """The native end, for `bots.run`."""
        return self._delivery

    @property
    def opened(self) -> bool:
        return self._opened

    @property
    def live(self) -> bool:
        """Is it attached to a feed that shows signs of life?"""
        return self._connection.live

    @property
    def transport(self) -> str:
        """What it is attached over now; "none" while it is not."""
        link = self._connection.link
        return "none" if link is None else link.transport

    def state(self, symbol: str) -> SymbolState:
        """What is known of a symbol now: live, quiet, halted (where status is subscribed to) or stale, and why."""
        return self._connection.state(symbol)

    def stats(self) -> dict[str, Any]:
        """Figures since the beginning.

        `latency`: by stage (wire, total, handler) p50 p90 p99 p999 max in ns, count, and `negative`: clock differences
        below zero, which no quantile has. `lag_ns`: how old the last tick was when it came, 0 when nothing is waiting;
        `lag_ticks`: ticks of all topics that wait, None where nobody can tell. `filled`: ticks that were missing and
        came later; `waiting`: topics that wait for such; `folded`: ticks that a newer state stood for. `group`: its
        name, this `member`, the `generation` (0: none yet) and its `members`, and whether it is `taking_over` what
        others have left. `clock`: by how much this host's clock is ahead of the feed's, and how far the true offset may
        be from that, both ns; None where that is not known. Latencies are by the feed's clock. `lines`: of mold, ticks
        that line A or B brought first, late or never: "A.first" and so on. `queued_ns_max`: of mold, the longest that a
        packet waited in this host's kernel; None where that is not known.
        """
        connection, delivery, link = self._connection, self._delivery, self._connection.link
        lag_ns, lag_ticks = connection.lag()
        clock = connection.clock()
        return {
            "name": self.name,
            "transport": self.transport,
            "live": connection.live,
            "epoch": delivery.epoch,
            "ticks": delivery.ticks,
            "gaps": dict(connection.losses.gaps),
            "lost": dict(connection.losses.ticks),
            "filled": delivery.recovery.filled,
            "waiting": delivery.recovery.holes,
            "folded": delivery.folded,
            "duplicates": delivery.duplicates,
            "outdated": delivery.outdated,
            "malformed": delivery.malformed,
            "lines": {} if link is None else link.line_ticks(),
            "queued_ns_max": None if link is None else link.queued_ns_max(),
            "overruns": connection.overruns,
            "overrun_records": connection.overrun_records,
            "lag_ns": lag_ns,
            "lag_ticks": lag_ticks,
            "latency": latencies(delivery),
            "clock": None if clock is None else clock._asdict(),
            "group": None if self._group is None else self._group.figures(),
        }

    async def _something_waits(self) -> None:
        """Until the link's descriptor says so; at most 0.1 s, for there is more to look after than ticks."""
        link = self._connection.link
        if link is None or link.transport == "history" or self._delivery.mending or link.restless():
            await asyncio.sleep(0.05 if link is None else 0.001)
            return
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        fd = link.fileno()
        loop.add_reader(fd, woken.set)
        timer = loop.call_later(0.1, woken.set)
        link.arm()
        try:
            await woken.wait()
        finally:
            timer.cancel()
            loop.remove_reader(fd)
            link.drain()


def position_path(name: str) -> Path:
    """Where the durable bot of this name keeps its position: below TICKCAST_STATE, or the user's state directory."""
    if not name or "/" in name or name.startswith("."):
        raise ConfigError("not a durable name", expected="a plain file name", found=repr(name), where="durable")
    home = os.environ.get("TICKCAST_STATE") or Path(
        os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "tickcast"
    )
    return Path(home, "bots", name)


def _one_of(what: str, found: str, allowed: Sequence[str]) -> str:
    if found not in allowed:
        raise ConfigError(f"no such {what}", expected=", ".join(allowed), found=repr(found), where=what)
    return found
