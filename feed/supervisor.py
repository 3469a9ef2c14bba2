"""MAIN PATH: builds the agents in the order of the data and keeps them alive.

    sources ──▶ ingest ──▶ LOG ──▶ publish.tcp, publish.ipc, ...
                            └────▶ archive, control, monitor

Each agent is a process of its own (`feed.processes = "many"`) or a thread of this one ("one", where ingest and the
publishers share a thread, so that a tick goes to the socket without a hand-over). They share the log and the counters
file and nothing else: an agent that dies is started again while the others go on.

Order of processes, threads and locks, all of it:
  1. The supervisor starts agents in data order and ends them so that what is in flight drains: sources stop first, then
     the publishers send and the archive takes what is in the log, while the rest ends. It holds an flock on
     DIRECTORY/supervisor until the directory is cleared away, so that the next feed of this name begins after it.
  2. The log's writer holds an flock on DIRECTORY/lock for its life; allocating a row of the counters file and taking a
     reader's slot hold an flock on that file for microseconds. None of these is taken while another is held.
  3. ingest's source threads and the doorbell's thread take no lock but the GIL.
  4. The archive holds an flock on its folder for its life; its threads (syncing, sealed segments) take no other.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, cast

from feed import agent, scheduling
from feed.clock import now_ns
from feed.config import (
    ArchiveReplayConfig,
    BinanceConfig,
    CaptureConfig,
    CoinbaseConfig,
    FeedConfig,
    ItchConfig,
    ItchMoldConfig,
    ItchSoupConfig,
    KrakenConfig,
    MoldConfig,
    PgmConfig,
    PushConfig,
    PythonConfig,
    ReplayConfig,
    SimConfig,
    SourceTable,
    SymbologyConfig,
    duration_ns,
    from_json,
    size_bytes,
)
from feed.errors import AddressInUse, ArchiveBusy, CallerError, HostError, LogBusy, LogSpace, TickcastError
from feed.log.observer import log_figures
from feed.logging import configure
from feed.metrics.counters import Counters
from feed.monitor.health import agents
from feed.running import FATAL, Processes, Threads, drain_s
from feed.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from feed.agent import Agent
    from feed.log.sink import Sink
    from feed.running import Feed
    from feed.sources.ingest import Ingest
    from feed.sources.source import Source

__all__ = ["agent_names", "build", "run"]

log = logging.getLogger("tickcast.feed")

START_S = 10.0
NICE = {"archive": 5, "control": 10, "monitor": 10}
"""Agents that give way to those which a tick passes through, and by how much (nice(2))."""

SLICE_NS = 100_000
"""Of those: they wake often and run briefly."""

HORIZON_AFTER_S = 2.0


# --- 1. what there is to run, in the order of the data ----------------------------------------------------------------


def agent_names(config: FeedConfig) -> list[str]:
    """Every agent that `config` asks for."""
    names = ["ingest", *(f"publish.{name}" for name in config.publish)]
    names += ["archive", "control"] if config.archive.path else ["control"]
    return [*names, "monitor"] if config.monitor.endpoint else names


def build(
    name: str, config: FeedConfig, counters: Counters, sources: Sequence[Callable[[Sink], Source]] | None = None
) -> Agent:
    """One agent of the plan, in the process or thread that will turn it. `sources` stand in for the configuration's.

    Here and below a stage is imported where it is built: a child that loaded them all would take twice the time to
    start, and twice the memory.
    """
    if name == "ingest":
        return _ingest(config, counters, sources or _sources(config, counters))
    if name == "control":
        from feed.control.server import Control

        return Control(config, config.directory, counters)
    if name == "archive":
        from feed.archive.agent import Archive

        return Archive(config, config.directory, counters)
    publisher = name.removeprefix("publish.")
    match config.publish[publisher]:
        case PgmConfig() as settings:
            from feed.publish.pgm import PgmPublisher

            return PgmPublisher(publisher, settings, config.directory, counters)
        case MoldConfig() as settings:
            from feed.publish.mold import MoldPublisher

            return MoldPublisher(publisher, settings, config.directory, counters, config.archive_directory)
        case settings:
            from feed.publish.zmq import ZmqPublisher

            return ZmqPublisher(publisher, settings, config.directory, counters)


def _ingest(config: FeedConfig, counters: Counters, sources: Sequence[Callable[[Sink], Source]]) -> Ingest:
    from feed.log.writer import LogWriter
    from feed.sources.ingest import Ingest

    writer = LogWriter.open(
        config.directory,
        log_bytes=size_bytes(config.log.bytes),
        max_topics=config.log.max_topics,
        gating=tuple(config.log.gating),
        gate_timeout_ns=duration_ns(config.log.gate_timeout),
        wake_us=config.log.wake_us,
        group=_group_id(config.log.group),
    )
    writer.measure(counters.histogram("tickcast_latency_seconds", stage="ingest", transport="log"))
    wait_archive = bool(config.archive.path) and "archive" in config.log.gating
    best = None
    if config.best.symbols:
        from feed.normalize.best import Best

        best = Best(writer, config.best.symbols, max_age_ns=duration_ns(config.best.max_age))
    return Ingest(writer, sources, counters, wait_bots=config.feed.wait_bots, wait_archive=wait_archive, best=best)


_KINDS: dict[type[SourceTable], str] = {
    ArchiveReplayConfig: "feed.sources.archive:ArchiveReplay",
    BinanceConfig: "feed.sources.binance:BinanceSource",
    CaptureConfig: "feed.sources.captured:Captured",
    ItchConfig: "feed.sources.itch:ItchDays",
    ItchMoldConfig: "feed.sources.itch_mold:ItchMold",
    ItchSoupConfig: "feed.sources.itch_soup:ItchSoup",
    KrakenConfig: "feed.sources.kraken:KrakenSource",
    CoinbaseConfig: "feed.sources.coinbase:CoinbaseSource",
    PushConfig: "feed.sources.push:Push",
    PythonConfig: "feed.sources.own:Own",
    ReplayConfig: "feed.sources.replay:Replay",
    SimConfig: "feed.sources.sim:Sim",
    SymbologyConfig: "feed.sources.symbology:Symbology",
}
"""The source of each kind of table."""


def _sources(config: FeedConfig, counters: Counters) -> list[Callable[[Sink], Source]]:
    return [_source(name, config, counters) for name in config.source]


def _source(name: str, config: FeedConfig, counters: Counters) -> Callable[[Sink], Source]:
    settings = config.source[name]
    module, _, attribute = _KINDS[type(settings)].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    more = {"directory": config.directory} if isinstance(settings, PushConfig) else {}

    def make(sink: Sink) -> Source:
        return cast("Source", kind(name, settings, sink, counters, **more))

    if not settings.validate.actions:
        return make
    from feed.sources.checked import Checked, known_instruments

    known = known_instruments(config.source.values())
    return lambda sink: Checked(make, settings.validate, sink, counters, known)


def _group_id(group: str) -> int:
    if not group:
        return -1
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise CallerError("there is no such group", found=repr(group), where="log.group") from None


def _idle(name: str, config: FeedConfig) -> tuple[str, int]:
    """How an agent waits and the processor it stays on."""
    if name == "ingest":
        return config.log.idle, config.log.cpu
    publisher = config.publish.get(name.removeprefix("publish.")) if name.startswith("publish.") else None
    return ("park", -1) if publisher is None else (publisher.idle, publisher.cpu)


def _turn(names: list[str], config: FeedConfig, counters: Counters, stop: Callable[[], bool]) -> None:
    """Build and turn agents in this thread until `stop`, or until ingest has nothing more to bring."""
    beats = [counters.gauge("tickcast_agent_heartbeat_timestamp_seconds", agent=name) for name in names]

    def beat(wall_ns: int) -> None:
        for gauge in beats:
            gauge.set(wall_ns)

    if names[0] in NICE:
        agent.lower_priority(NICE[names[0]])
    else:
        scheduling.short_slice(SLICE_NS)
    if names == ["monitor"]:
        from feed.monitor.server import serve

        serve(config, config.directory, stop, beat)
        return
    built: list[Agent] = []
    with contextlib.ExitStack() as opened:  # what the first ones hold must not outlive a feed that can't run
        for name in names:
            one = build(name, config, counters)
            opened.callback(one.close)
            built.append(one)
        opened.pop_all()
    until = stop
    if names[0] == "ingest" and not config.feed.linger:
        sources = cast("Ingest", built[0])

        def until() -> bool:
            return stop() or sources.finished

    idle, cpu = _idle(names[0], config)
    drain_ns = int(1e9 * max(drain_s(name.partition(".")[0]) for name in names))
    agent.run(
        built,
        idle=idle,
        stop=until,
        cpu=cpu,
        drain_ns=drain_ns,
        beat=beat,
        stalls=counters.histogram("tickcast_agent_stall_seconds", agent=names[0]),
        collections=counters.histogram("tickcast_agent_gc_pause_seconds", agent=names[0]),
    )


# --- 2. the daemon ----------------------------------------------------------------------------------------------------


def run(
    config: FeedConfig,
    *,
    duration_s: float | None = None,
    watch: Callable[[Feed], None] | None = None,
) -> int:
    """Run a feed until SIGTERM or SIGINT, for `duration_s`, or until its sources have ended; the exit code.

    `watch` is called about ten times a second, once everything is up (the demo shows its screen from there).
    """
    began = time.monotonic()
    _refuse(config)
    kind = Threads if config.feed.processes == "one" else Processes
    with _signals() as (stop, fd), kind(config, agent_names(config), _turn) as feed:
        feed.watch(fd)
        if not feed.wait_ready(START_S, stop.is_set) and not feed.done and not stop.is_set():
            log.warning("not every agent is up after %.0f s; going on", START_S)
        _announce(feed)
        service = Service(os.environ)
        until = None if duration_s is None else time.monotonic() + duration_s
        told_horizon = False
        while not stop.is_set() and not feed.done and (until is None or time.monotonic() < until):
            service.look(feed.ready, lambda: _passes(feed))
            feed.tick(0.1 if until is None else min(0.1, max(0.0, until - time.monotonic())))
            if watch is not None:
                watch(feed)
            elif not told_horizon and time.monotonic() - began > HORIZON_AFTER_S:
                told_horizon = True
                _announce_horizon(feed)
        service.stopping()
        summary = None if feed.error else _summary(feed, time.monotonic() - began)
    if feed.error is not None:
        if isinstance(feed.error, TickcastError):
            raise feed.error
        raise HostError("the feed stopped", found=repr(feed.error)) from feed.error
    log.info("%s", summary)
    return 0


def _refuse(config: FeedConfig) -> None:
    """Raise HostError if this host can't run it: better now than from a child that is started again and again."""
    if any(isinstance(each, PgmConfig) for each in config.publish.values()):
        from feed.publish import pgm

        pgm.refuse(config)
    if any(isinstance(each, MoldConfig) for each in config.publish.values()):
        from feed.publish import mold

        mold.refuse(config)


@contextlib.contextmanager
def _signals() -> Iterator[tuple[threading.Event, int]]:
    """SIGTERM and SIGINT set the event and make the descriptor readable, so that waiting ends at once."""
    stop = threading.Event()
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = {s: signal.signal(s, lambda *_: stop.set()) for s in (signal.SIGTERM, signal.SIGINT)}
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield stop, read
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def _announce(feed: Feed) -> None:
    """What is running and where to find it."""
    config = feed.config
    if feed.done and feed.error:
        return
    log.info("feed %s: %s", config.feed.name, ", ".join(f"{n} ({s.kind})" for n, s in config.source.items()))
    log.info("log: %s in %s", config.log.bytes, config.directory)
    for name, source in config.source.items():
        if isinstance(source, PushConfig):
            log.info("source.%s: %s", name, ", ".join(_bound(feed, f"push.{name}", source.endpoint).split()))
    for name in config.publish:
        log.info("publish.%s: %s", name, _bound(feed, name, "not up yet"))
    log.info("bots: --feed %s", _bound(feed, "control", config.control.endpoint))
    if config.archive_directory is not None:
        log.info("archive: %s", config.archive_directory)
    if config.monitor.endpoint:
        log.info("metrics: http://%s/metrics", config.monitor.endpoint)


def _bound(feed: Feed, name: str, otherwise: str) -> str:
    """The address that a publisher or control really has: a port given as 0 or * was chosen by the kernel."""
    told = feed.config.directory / "endpoints" / name
    return told.read_text().strip() if told.exists() else otherwise


def _passes(feed: Feed) -> bool:
    """Do the agents that a tick passes through turn? One that is being started again is none that hangs.

    A disk that hangs holds up those that read or write it, and never the feed.
    """
    stuck = {each["agent"] for each in agents(feed._counters.rows(), now_ns()) if each["state"] == "stuck"}
    return not any(name.startswith(("ingest", "publish.")) for name in stuck)


def _announce_horizon(feed: Feed) -> None:
    """How far back the log reaches at the present rate."""
    before, began = log_figures(feed.config.directory), time.monotonic()
    feed.tick(0.5)
    after = log_figures(feed.config.directory)
    if before is None or after is None or after.tail <= before.tail:
        return
    rate = (after.tail - before.tail) / (time.monotonic() - began)
    log.info("the log holds the last %.0f s at the present rate (%.1f MB/s)", after.log_bytes / rate, rate / 1e6)


def _summary(feed: Feed, seconds: float) -> str:
    """One line at the end: how much, how fast, what went wrong."""
    rows = list(feed._counters.rows())
    ticks = sum(row.value for row in rows if row.name == "tickcast_ticks_total")
    restarts = sum(row.value for row in rows if row.name == "tickcast_agent_restarts_total")
    rejected = sum(row.value for row in rows if row.name == "tickcast_rejected_total")
    return f"ended cleanly after {seconds:.1f} s: {ticks:,} ticks, {rejected:,} rejected, {restarts} restarts"


# --- 3. a child process -----------------------------------------------------------------------------------------------


def _child(name: str, parent: int) -> int:
    """`python -m feed.supervisor AGENT PARENT`, the configuration on standard input: one agent until SIGTERM."""
    config = from_json(sys.stdin.buffer.read())
    configure(config.feed.log_level, config.feed.log_format, feed=config.feed.name, agent=name)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor ends us in order
    _die_with(parent)
    counters = Counters.open(config.directory)
    try:
        _turn([name], config, counters, stop.is_set)
    except (CallerError, AddressInUse, ArchiveBusy, LogBusy, LogSpace) as error:
        log.error("%s", error)
        return FATAL
    except TickcastError as error:
        log.error("%s", error)
        return 1
    return 0


def _die_with(parent: int) -> None:
    """SIGTERM for us when the supervisor is killed: no orphan keeps the log or an address (prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1], int(sys.argv[2])))
