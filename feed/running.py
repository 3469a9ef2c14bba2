"""A feed that runs: its agents as processes that are started again when they die, or as threads.

What the agents are, and in which order, is the supervisor's to say.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from feed.clock import now_ns
from feed.config import FeedConfig, to_json
from feed.errors import HostError, LogBusy
from feed.log.lifetime import discard, hold, require_free
from feed.metrics.counters import Counters
from feed.monitor.exporter import state_targets

__all__ = ["FATAL", "Feed", "Processes", "Threads", "Turn", "drain_s"]

log = logging.getLogger("tickcast.feed")

Turn = Callable[[list[str], FeedConfig, Counters, Callable[[], bool]], None]

FATAL = 3
"""Exit code of an agent that would fail again in the same way: a wrong setting, an address that is taken."""

BACKOFF_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the first restart, the second, ...; counted anew once an agent has lived for STEADY_S."""

STEADY_S = 10.0
DRAIN_S = {"ingest": 0.3, "publish": 0.7, "monitor": 0.7, "archive": 5.0}
"""How long an agent of a kind may drain, OTHER_DRAIN_S where none is named. ingest goes first, the others together;
with EXIT_S each time for processes to end, that is less than the 2 s that SIGTERM may take. Only an archive that is
behind takes longer: what it has not taken by then is cleared away with the log. The monitor drains nothing, but has
connections to close and much to let go of."""

OTHER_DRAIN_S = 0.1
START_S = 10.0
"""How long an archive may take to start when the feed ends meanwhile."""

EXIT_S = 0.4
ORPHANS_S = 2.0
"""How long the agents of a supervisor that was killed may take to end before the next feed gives up on them."""


def drain_s(kind: str) -> float:
    """How long an agent of a kind ("ingest", "publish", ...) may drain when it is told to stop."""
    return DRAIN_S.get(kind, OTHER_DRAIN_S)


class Feed(ABC):
    """A feed that runs from `with` to the end of its block and leaves nothing in shared memory behind.

    `names` are the agents in data order; `turn` builds and turns some of them in the thread that calls it, until its
    last argument says stop.

    :ivar done: there is nothing more to do: the sources have ended (and `feed.linger` is off), or `error` is set.
    :ivar error: why it can't go on.
    """

    def __init__(self, config: FeedConfig, names: list[str], turn: Turn) -> None:
        self.config = config
        self.names = names
        self._turn = turn
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
        return all(self._turns(name) for name in self.names)

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
        for row in list(self._counters.rows()):
            if row.name.startswith("tickcast_agent_") and row.labels["agent"] not in self.names:
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


def _drain_s(child: _Child) -> float:
    return drain_s(child.name.partition(".")[0])


class Processes(Feed):
    """Every agent a process of its own; one that dies is started again."""

    def _begin(self) -> None:
        self._children = {name: _Child(name) for name in self.names}
        self._log_was_there = False

    def _finish(self) -> None:
        self._end([child for child in self._children.values() if child.name == "ingest" and child.process is not None])
        log_is_there = self._log_was_there or self._children["ingest"].finished
        if "archive" in self._children and log_is_there and self.error is None:
            self._await_archive(self._children["archive"])
        self._end([child for child in self._children.values() if child.process is not None])

    def _await_archive(self, child: _Child) -> None:
        """What an archive that is only starting has not begun to take would be cleared away with the log."""
        if child.process is None and not child.finished:
            self._start(child)
        deadline = time.monotonic() + START_S
        while child.process is not None and not self._turns(child.name) and time.monotonic() < deadline:
            if child.process.poll() is not None:
                self._reap(child)
            time.sleep(0.005)

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
            [sys.executable, "-m", "feed.supervisor", child.name, str(os.getpid())],
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
        log.warning(
            "agent %s %s; starting it again%s",
            child.name,
            how,
            f" in {pause:.1f} s" if pause else "",
            extra={"ended": child.name, "code": code, "pause_s": pause},
        )

    def _end(self, children: list[_Child]) -> None:
        """SIGTERM, time to drain, SIGKILL."""
        for child in children:
            assert child.process is not None
            child.process.terminate()
        began = time.monotonic()
        for child in sorted(children, key=_drain_s):
            assert child.process is not None
            try:
                child.process.wait(max(0.0, began + _drain_s(child) + EXIT_S - time.monotonic()))
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
        hot = [name for name in self.names if name.startswith(("ingest", "publish."))]
        self._stops = [threading.Event() for _ in range(1 + len(self.names) - len(hot))]
        self._started = time.monotonic()
        self._threads: list[threading.Thread] = []
        for group, stop in zip([hot, *([name] for name in self.names if name not in hot)], self._stops, strict=True):
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
        return os.getpid() if name in self.names else 0

    def _turns(self, name: str) -> bool:
        return self._beat_since(name, self._started)

    def tick(self, timeout_s: float) -> None:
        self._selector.select(timeout_s) if self._selector.get_map() else time.sleep(timeout_s)

    def _work(self, names: list[str], stop: threading.Event) -> None:
        try:
            self._turn(names, self.config, self._counters, stop.is_set)
            self.done = self.done or "ingest" in names
        except BaseException as error:
            self.error = error
            self.done = True
