"""MAIN PATH: builds the agents in the order of the data and keeps them alive.

    sources ──▶ ingest ──▶ LOG ──▶ publish.tcp, publish.ipc, ...
                            └────▶ control, monitor

Each agent is a process of its own (`feed.processes = "many"`) or a thread of this one ("one", where ingest and the
publishers share a thread, so that a tick goes to the socket without a hand-over). They share the log and the counters
file and nothing else: an agent that dies is started again while the others go on.

Order of processes, threads and locks, all of it:
  1. The supervisor starts agents in data order and ends them so that what is in flight drains: sources stop first, then
     the publishers send what is in the log while the rest ends. It holds an flock on DIRECTORY/supervisor until the
     directory is cleared away, so that the next feed of this name begins after it.
  2. The log's writer holds an flock on DIRECTORY/lock for its life; allocating a row of the counters file and taking a
     reader's slot hold an flock on that file for microseconds. None of these is taken while another is held.
  3. ingest's source threads and the doorbell's thread take no lock but the GIL.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from feed import agent
from feed.clock import now_ns
from feed.config import FeedConfig, duration_ns, from_json, size_bytes, to_json
from feed.errors import AddressInUse, CallerError, HostError, LogBusy, LogSpace, TickcastError
from feed.log.lifetime import discard, hold, require_free
from feed.log.observer import log_figures
from feed.metrics.counters import Counters
from feed.monitor.exporter import state_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feed.agent import Agent
    from feed.log.sink import Sink
    from feed.sources.ingest import Ingest
    from feed.sources.source import Source

__all__ = ["Feed", "Processes", "Threads", "run"]

log = logging.getLogger("tickcast.feed")

FATAL = 3
"""Exit code of an agent that would fail again in the same way: a wrong setting, an address that is taken."""

BACKOFF_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the first restart, the second, ...; counted anew once an agent has lived for STEADY_S."""

STEADY_S = 10.0
DRAIN_S = {"ingest": 0.3, "publish": 0.7}
"""How long an agent of a kind may drain, OTHER_DRAIN_S where none is named. ingest goes first, the others together;
with EXIT_S each time for processes to end, that is less than the 2 s that SIGTERM may take."""

OTHER_DRAIN_S = 0.1
EXIT_S = 0.4
ORPHANS_S = 2.0
START_S = 10.0
HORIZON_AFTER_S = 2.0


# --- 1. what there is to run, in the order of the data ----------------------------------------------------------------


def _agent_names(config: FeedConfig) -> list[str]:
    names = ["ingest", *(f"publish.{name}" for name in config.publish), "control"]
    return [*names, "monitor"] if config.monitor.endpoint else names


def _build(name: str, config: FeedConfig, counters: Counters) -> Agent:
    """One agent of the plan, in the process or thread that will turn it.

    Here and below a stage is imported where it is built: a child that loaded them all would take twice the time to
    start, and twice the memory.
    """
    if name == "ingest":
        return _ingest(config, counters)
    if name == "control":
        from feed.control.server import Control

        return Control(config, config.directory, counters)
    from feed.publish.zmq import ZmqPublisher

    publisher = name.removeprefix("publish.")
    return ZmqPublisher(publisher, config.publish[publisher], config.directory, counters)


def _ingest(config: FeedConfig, counters: Counters) -> Ingest:
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
    return Ingest(writer, _sources(config, counters), counters, wait_bots=config.feed.wait_bots)


def _sources(config: FeedConfig, counters: Counters) -> list[Callable[[Sink], Source]]:
    from feed.sources.replay import Replay
    from feed.sources.sim import Sim

    kinds = {"sim": Sim, "replay": Replay}

    def maker(name: str) -> Callable[[Sink], Source]:
        settings = config.source[name]
        return lambda sink: kinds[settings.kind](name, settings, sink, counters)

    return [maker(name) for name in config.source]


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
    publisher = config.publish.get(name.removeprefix("publish."))
    return ("park", -1) if publisher is None else (publisher.idle, publisher.cpu)


def _drain_s(kind: str) -> float:
    return DRAIN_S.get(kind, OTHER_DRAIN_S)


def _turn(names: list[str], config: FeedConfig, counters: Counters, stop: Callable[[], bool]) -> None:
    """Build and turn agents in this thread until `stop`, or until ingest has nothing more to bring."""
    beats = [counters.gauge("tickcast_agent_heartbeat_timestamp_seconds", agent=name) for name in names]

    def beat(wall_ns: int) -> None:
        for gauge in beats:
            gauge.set(wall_ns)

    if names == ["monitor"]:
        from feed.monitor.server import serve

        serve(config, config.directory, stop, beat)
        return
    built: list[Agent] = []
    with contextlib.ExitStack() as opened:  # what the first ones hold must not outlive a feed that can't run
        for name in names:
            one = _build(name, config, counters)
            opened.callback(one.close)
            built.append(one)
        opened.pop_all()
    until = stop
    if names[0] == "ingest" and not config.feed.linger:
        sources = cast("Ingest", built[0])

        def until() -> bool:
            return stop() or sources.finished

    idle, cpu = _idle(names[0], config)
    drain_ns = int(1e9 * max(_drain_s(name.partition(".")[0]) for name in names))
    agent.run(built, idle=idle, stop=until, cpu=cpu, drain_ns=drain_ns, beat=beat)


# --- 2. a running feed ------------------------------------------------------------------------------------------------


class Feed(ABC):
    """A feed that runs from `with` to the end of its block and leaves nothing in shared memory behind.

    :ivar done: there is nothing more to do: the sources have ended (and `feed.linger` is off), or `error` is set.
    :ivar error: why it can't go on.
    """

    def __init__(self, config: FeedConfig, log_level: str = "info") -> None:
        self.config = config
        self.log_level = log_level
        self.done = False
        self.error: BaseException | None = None
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        """:raises LogBusy: a feed of this name is running."""
        with contextlib.ExitStack() as undo:
            self.config.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            undo.callback(os.close, hold(self.config.directory / "supervisor"))
            undo.callback(self._discard)
            self._await_orphans()
            self._counters = Counters.open(self.config.directory, create=True)
            undo.callback(self._counters.close)
            state_targets(self._counters, self.config.latency.targets_ns)
            self._retire_strangers()
            undo.callback(self._selector.close)
            undo.callback(self._finish)
            self._begin()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._undo.close()

    def watch(self, fd: int) -> None:
        """Let `tick` return when `fd` can be read."""
        self._selector.register(fd, selectors.EVENT_READ)

    def wait_ready(self, timeout_s: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Until every agent turns; false if that took too long, one can't, or `stop` is true."""
        deadline = time.monotonic() + timeout_s
        while not self.ready() and not self.done and not stop() and time.monotonic() < deadline:
            self.tick(0.005)
        return self.ready()

    def ready(self) -> bool:
        """Does every agent turn?"""
        return all(self._turns(name) for name in _agent_names(self.config))

    @abstractmethod
    def tick(self, timeout_s: float) -> None:
        """Wait for something to happen, at most `timeout_s`, and put right what has died."""

    @abstractmethod
    def pid(self, name: str) -> int:
        """The process in which agent `name` runs now, 0 if in none."""

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    @abstractmethod
    def _turns(self, name: str) -> bool: ...

    def _beat_since(self, name: str, monotonic_s: float) -> bool:
        """Has the agent's loop said that it turns since `monotonic_s`?"""
        beat = self._counters.gauge("tickcast_agent_heartbeat_timestamp_seconds", agent=name).value
        return beat > now_ns() - int(1e9 * (time.monotonic() - monotonic_s))

    def _discard(self) -> None:
        with contextlib.suppress(LogBusy):
            discard(self.config.directory)

    def _await_orphans(self) -> None:
        """The agents of a supervisor that was killed end by themselves, and soon."""
        deadline = time.monotonic() + ORPHANS_S
        while True:
            try:
                return require_free(self.config.directory)
            except LogBusy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _retire_strangers(self) -> None:
        """Rows of agents that an earlier run had and this one has not."""
        names = _agent_names(self.config)
        for row in list(self._counters.rows()):
            if row.name.startswith("tickcast_agent_") and row.labels["agent"] not in names:
                self._counters.retire(row.name, **row.labels)

    def _note(self, name: str, pid: int) -> None:
        self._counters.gauge("tickcast_agent_pid", agent=name).set(pid)
        self._counters.gauge("tickcast_agent_up", agent=name).set(int(pid != 0))


@dataclass
class _Child:
    """An agent's process and its history."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    started: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    finished: bool = False


class Processes(Feed):
    """Every agent a process of its own; one that dies is started again."""

    def _begin(self) -> None:
        self._children = {name: _Child(name) for name in _agent_names(self.config)}
        self._log_was_there = False

    def _finish(self) -> None:
        running = [child for child in self._children.values() if child.process is not None]
        self._end([child for child in running if child.name == "ingest"], _drain_s("ingest"))
        self._end([child for child in running if child.name != "ingest"], _drain_s("publish"))

    def pid(self, name: str) -> int:
        process = self._children[name].process
        return process.pid if process is not None else 0

    def _turns(self, name: str) -> bool:
        child = self._children[name]
        return child.finished or (child.process is not None and self._beat_since(name, child.started))

    def tick(self, timeout_s: float) -> None:
        waiting = [child for child in self._children.values() if child.process is None and not child.finished]
        if not self._log_was_there:  # the others read the log
            self._log_was_there = self._turns("ingest")
            waiting = [child for child in waiting if child.name == "ingest" or self._log_was_there]
        pauses = [child.restart_at - time.monotonic() for child in waiting]
        for key, _ in self._selector.select(max(0.0, min([timeout_s, *pauses]))):
            if isinstance(key.data, _Child):
                self._died(key.data)
        for child in waiting:
            if not self.done and time.monotonic() >= child.restart_at:
                self._start(child)

    def _start(self, child: _Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            [sys.executable, "-m", "feed.supervisor", child.name, self.log_level, str(os.getpid())],
            stdin=subprocess.PIPE,
        )
        assert child.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.process.stdin.write(to_json(self.config))
            child.process.stdin.close()
        child.pidfd = os.pidfd_open(child.process.pid)
        self._selector.register(child.pidfd, selectors.EVENT_READ, child)
        self._note(child.name, child.process.pid)

    def _died(self, child: _Child) -> None:
        """Its process has ended: finished, not to be run at all, or to be started again."""
        was_up = self._turns(child.name)
        code = self._reap(child)
        if code == 0 and child.name == "ingest":
            child.finished = self.done = True
            return
        if code == FATAL and not was_up:
            child.finished = self.done = True
            self.error = HostError(f"agent {child.name} cannot run", remedy="Its own message above says why")
            return
        if time.monotonic() - child.started > STEADY_S:
            child.failures = 0
        pause = BACKOFF_S[min(child.failures, len(BACKOFF_S) - 1)]
        child.failures += 1
        child.restart_at = time.monotonic() + pause
        self._counters.counter("tickcast_agent_restarts_total", agent=child.name).add(1)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        log.warning("agent %s %s; starting it again%s", child.name, how, f" in {pause:.1f} s" if pause else "")

    def _end(self, children: list[_Child], drain_s: float) -> None:
        """SIGTERM, time to drain, SIGKILL."""
        for child in children:
            assert child.process is not None
            child.process.terminate()
        deadline = time.monotonic() + drain_s + EXIT_S
        for child in children:
            assert child.process is not None
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("agent %s did not end in time; killed", child.name)
                child.process.kill()
            self._reap(child)

    def _reap(self, child: _Child) -> int:
        assert child.process is not None
        code = child.process.wait()
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.process = None
        self._note(child.name, 0)
        return code


class Threads(Feed):
    """All agents in this process: ingest and publishers in one thread, the rest in one each. An error ends the feed."""

    def _begin(self) -> None:
        names = _agent_names(self.config)
        hot = [name for name in names if name.startswith(("ingest", "publish."))]
        self._stops = [threading.Event() for _ in range(1 + len(names) - len(hot))]
        self._started = time.monotonic()
        self._threads: list[threading.Thread] = []
        for group, stop in zip([hot, *([name] for name in names if name not in hot)], self._stops, strict=True):
            thread = threading.Thread(target=self._work, args=(group, stop), name=group[0], daemon=True)
            self._threads.append(thread)
            thread.start()
            while thread.is_alive() and not self.done and not all(self._turns(name) for name in group):
                time.sleep(0.001)
            for name in group:
                self._note(name, os.getpid())

    def _finish(self) -> None:
        for thread, stop in zip(self._threads, self._stops, strict=False):
            stop.set()
            thread.join()

    def pid(self, name: str) -> int:
        return os.getpid() if name in _agent_names(self.config) else 0

    def _turns(self, name: str) -> bool:
        return self._beat_since(name, self._started)

    def tick(self, timeout_s: float) -> None:
        self._selector.select(timeout_s) if self._selector.get_map() else time.sleep(timeout_s)

    def _work(self, names: list[str], stop: threading.Event) -> None:
        try:
            _turn(names, self.config, self._counters, stop.is_set)
            self.done = self.done or "ingest" in names
        except BaseException as error:
            self.error = error
            self.done = True


# --- 3. the daemon ----------------------------------------------------------------------------------------------------


def run(
    config: FeedConfig,
    *,
    duration_s: float | None = None,
    log_level: str = "info",
    watch: Callable[[Feed], None] | None = None,
) -> int:
    """Run a feed until SIGTERM or SIGINT, for `duration_s`, or until its sources have ended; the exit code.

    `watch` is called about ten times a second, once everything is up (the demo shows its screen from there).
    """
    began = time.monotonic()
    kind = Threads if config.feed.processes == "one" else Processes
    with _signals() as (stop, fd), kind(config, log_level) as feed:
        feed.watch(fd)
        if not feed.wait_ready(START_S, stop.is_set) and not feed.done and not stop.is_set():
            log.warning("not every agent is up after %.0f s; going on", START_S)
        _announce(feed)
        until = None if duration_s is None else time.monotonic() + duration_s
        told_horizon = False
        while not stop.is_set() and not feed.done and (until is None or time.monotonic() < until):
            feed.tick(0.1 if until is None else min(0.1, max(0.0, until - time.monotonic())))
            if watch is not None:
                watch(feed)
            elif not told_horizon and time.monotonic() - began > HORIZON_AFTER_S:
                told_horizon = True
                _announce_horizon(feed)
        summary = None if feed.error else _summary(feed, time.monotonic() - began)
    if feed.error is not None:
        if isinstance(feed.error, TickcastError):
            raise feed.error
        raise HostError("the feed stopped", found=repr(feed.error)) from feed.error
    log.info("%s", summary)
    return 0


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
    for name in config.publish:
        log.info("publish.%s: %s", name, _bound(feed, name, "not up yet"))
    log.info("bots: --feed %s", _bound(feed, "control", config.control.endpoint))
    if config.monitor.endpoint:
        log.info("metrics: http://%s/metrics", config.monitor.endpoint)


def _bound(feed: Feed, name: str, otherwise: str) -> str:
    """The address that a publisher or control really has: a port given as 0 or * was chosen by the kernel."""
    told = feed.config.directory / "endpoints" / name
    return told.read_text().strip() if told.exists() else otherwise


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


# --- 4. a child process -----------------------------------------------------------------------------------------------


def _child(name: str, log_level: str, parent: int) -> int:
    """`python -m feed.supervisor AGENT LEVEL PARENT`, the configuration on standard input: one agent until SIGTERM."""
    config = from_json(sys.stdin.buffer.read())
    logging.basicConfig(level=log_level.upper(), format=f"%(levelname)s {name}: %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor ends us in order
    _die_with(parent)
    counters = Counters.open(config.directory)
    try:
        _turn([name], config, counters, stop.is_set)
    except (CallerError, AddressInUse, LogBusy, LogSpace) as error:
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
    sys.exit(_child(sys.argv[1], sys.argv[2], int(sys.argv[3])))
