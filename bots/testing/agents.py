"""The agents of a feed, each turned by a thread of this process: they can be stopped as if they had been killed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from feed import supervisor
from feed.clock import now_ns
from feed.log.lifetime import discard
from feed.metrics.counters import Counters

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.agent import Agent
    from feed.config import FeedConfig
    from feed.log.sink import Sink
    from feed.metrics.counters import Gauge
    from feed.sources.source import Source

__all__ = ["Agents"]

PARK_NS = 10_000_000


class Agents:
    """What `feed run` would run for `config`, with one source that `source` makes.

    :ivar control: where the control address is now.
    :ivar publishers: endpoint by name, as bound now.
    """

    def __init__(self, config: FeedConfig, source: Callable[[Sink, Counters], Source]) -> None:
        self.control = ""
        self.publishers: dict[str, str] = {}
        self._config = config
        self._source = source
        self._running: list[_Turned] = []

    def start(self) -> None:
        """Take up the log, or begin one, and turn everything that belongs to it.

        :raises TickcastError: an agent can't run.
        """
        at = self._config.directory
        at.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._counters = Counters.open(at, create=True)
        try:
            for name in supervisor.agent_names(self._config):
                agent = supervisor.build(
                    name, self._config, self._counters, [lambda sink: self._source(sink, self._counters)]
                )
                beat = self._counters.gauge("tickcast_agent_heartbeat_timestamp_seconds", agent=name)
                self._running.append(_Turned(agent, beat))
        except BaseException:
            self.stop()
            raise
        bound = {file.name: file.read_text() for file in (at / "endpoints").iterdir() if not file.name.startswith(".")}
        self.control = bound.pop("control")
        self.publishers = {name: bound[name] for name in self._config.publish}

    def stop(self) -> None:
        """All at once, and nothing is drained or cleared away."""
        for each in self._running:
            each.stop.set()
        for each in self._running:
            each.thread.join()
        self._running = []
        self._counters.close()

    def discard(self) -> None:
        """Clear the log away; nothing may be running."""
        discard(self._config.directory)

    def check(self) -> None:
        """Raise what an agent has died of."""
        for each in self._running:
            if each.error is not None:
                raise each.error


class _Turned:
    """An agent and its thread; `beat` is where it says that it turns, for whoever waits for it."""

    def __init__(self, agent: Agent, beat: Gauge) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._agent = agent
        self._beat = beat
        self.thread = threading.Thread(target=self._turn, name=agent.name, daemon=True)
        self.thread.start()

    def _turn(self) -> None:
        agent = self._agent
        try:
            while not self.stop.is_set():
                self._beat.set(now_ns())
                if not agent.poll():
                    agent.park(PARK_NS)
        except BaseException as error:
            error.add_note(f"in agent {agent.name}")
            self.error = error
        finally:
            agent.close()
