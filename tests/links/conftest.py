"""A feed for bots to subscribe to: a real log, and real publishers turned by a thread each."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from bots import Gap, Subscriber, Tick
from feed.config import MoldConfig, PgmConfig, ZmqConfig
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from feed.publish.mold import MoldPublisher
from feed.publish.pgm import PgmPublisher
from feed.publish.zmq import ZmqPublisher
from feed.wire.records import BY_WORD
from tests.e2e.processes import free_port
from tests.turned import Pulse, Turned

from .hosts import Hosts, hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 20.0
"""How long anything may take before a test gives up: it bounds a hang, it is no requirement."""

TRANSPORTS = ("shm", "ipc", "tcp", "mold", *(("epgm",) if zmq.has("pgm") else ()))
"""PGM is not in the wheel of pyzmq: these tests run in .venv-pgm too, which has it (make test)."""

GROUP = "epgm://239.192.0.1:5560"

collect_ignore = [] if zmq.has("pgm") else ["test_epgm.py"]


def group_of_ours() -> dict[str, str]:
    """Settings of a mold publisher that no other test has at the time."""
    port = free_port()
    return {
        "endpoint": f"mold://lo;239.193.{port >> 8}.{port & 255}:{port}",
        "requests": f"127.0.0.1:{free_port()}",
    }


class Publisher(Turned):
    """A publisher in a thread."""

    def __init__(
        self, name: str, config: ZmqConfig | PgmConfig | MoldConfig, directory: Path, counters: Counters
    ) -> None:
        agent: ZmqPublisher | MoldPublisher
        if isinstance(config, MoldConfig):
            agent = MoldPublisher(name, config, directory, counters)
        else:
            kind = PgmPublisher if isinstance(config, PgmConfig) else ZmqPublisher
            agent = kind(name, config, directory, counters)
        self.endpoint = agent.endpoint
        super().__init__(agent)


class LiveFeed:
    """One feed over one transport. What is published is kept in `sent`: (topic, seq, topic_seq, record).

    Multicast by ZeroMQ needs `net`: the publisher is on its feed host, and the test's thread on that of the first bot.
    """

    def __init__(self, root: Path, transport: str, log_bytes: int, net: Hosts | None = None) -> None:
        self.net = net
        self.mold: dict[str, Any] = {}
        self.directory = root / "feed"
        self.transport = transport
        self.log_bytes = log_bytes
        self.writer = LogWriter.open(self.directory, log_bytes=log_bytes, max_topics=4096)
        self.counters = Counters.open(self.directory, create=True)
        self.sent: list[tuple[str, int, int, bytes]] = []
        self.gaps: list[Gap] = []
        self.publisher: Publisher | None = None
        self.endpoint = ""
        self._topic_seqs: dict[str, int] = {}
        self._sending = threading.Lock()
        self._rng = np.random.default_rng(7)
        self._subscribers: list[Subscriber] = []
        self._publishers = 0
        self._pulse = Turned(Pulse(lambda: self.writer))
        if transport != "shm":
            self.publish("main")

    # --- the feed's side ----------------------------------------------------------------------------------------

    def publish(self, name: str = "main", **settings: Any) -> None:
        """Start the publisher; of another name, it begins live and not where the last one was."""
        if self.net is not None:
            self.endpoint = GROUP
            with self.net.feed.entered():
                pgm = PgmConfig(endpoint=GROUP, **{"heartbeat": "50ms", **settings})
                self.publisher = Publisher(name, pgm, self.directory, self.counters)
            return
        if self.transport == "mold":
            self.mold = self.mold or group_of_ours()
            mold = MoldConfig(**{"heartbeat": "50ms", **self.mold, **settings})
            self.publisher = Publisher(name, mold, self.directory, self.counters)
            self.endpoint = self.publisher.endpoint
            return
        endpoint = self.endpoint or ("tcp://127.0.0.1:0" if self.transport == "tcp" else f"ipc://{self.directory}/ipc")
        config = ZmqConfig(endpoint=endpoint, **{"heartbeat": "50ms", **settings})
        self.publisher = Publisher(name, config, self.directory, self.counters)
        self.endpoint = self.publisher.endpoint

    def unpublish(self) -> None:
        if self.publisher is not None:
            self.publisher.close()
            self.publisher = None

    def send(self, *topics: str) -> None:
        """A record of random bytes on each topic ("quote.AAPL"), told to readers one by one."""
        with self._sending:  # a bot that is given a tick may send before the thread that sent it has noted it
            for topic in topics:
                schema, _, symbol = topic.partition(".")
                record = self._rng.bytes(BY_WORD[schema].record_bytes)
                seq = self.writer.publish(self.writer.topic(schema, symbol), record)
                self._topic_seqs[topic] = self._topic_seqs.get(topic, 0) + 1
                self.sent.append((topic, seq, self._topic_seqs[topic], record))

    def settle(self) -> None:
        """Until the publisher has sent what there is."""
        deadline = time.monotonic() + PATIENCE_S
        while self.publisher is not None and not self.publisher.agent.drain():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def renew(self) -> None:
        """End the log and begin another: a new epoch."""
        self.writer.close(remove=True)
        self.writer = LogWriter.open(self.directory, log_bytes=self.log_bytes, max_topics=4096)
        self._topic_seqs = {}
        self.sent = []

    # --- the bot's side -------------------------------------------------------------------------------------------

    def subscriber(self, symbols: Any = "*", schemas: Any = None, **more: Any) -> Subscriber:
        """Not open yet. Gaps go to `gaps`."""
        place: dict[str, Any] = {"log": self.directory} if self.transport == "shm" else {"endpoint": self.endpoint}
        given = {"timeout": PATIENCE_S, "on_gap": self.gaps.append, "slow": "fill", **place, **more}
        sub = Subscriber(symbols, schemas, **given)
        self._subscribers.append(sub)
        return sub

    def close(self) -> None:
        for sub in self._subscribers:
            sub.close()
        self.unpublish()
        self._pulse.close()
        self.counters.close()
        self.writer.close()


def facts(tick: Tick) -> tuple[str, int, int, bytes]:
    return tick.topic, tick.seq, tick.topic_seq, tick.record


def take(sub: Subscriber, n: int) -> list[Tick]:
    """The next `n` ticks."""
    ticks = []
    for _ in range(n):
        tick = sub.recv(PATIENCE_S)
        assert tick is not None, f"only {len(ticks)} of {n} came"
        ticks.append(tick)
    return ticks


def until(sub: Subscriber, holds: Callable[[], bool]) -> list[Tick]:
    """Receive until something holds; what came."""
    ticks: list[Tick] = []
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        tick = sub.recv(0.02)
        if tick is not None:
            ticks.append(tick)
    return ticks


@pytest.fixture
def root() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=TRANSPORTS)
def feed(root: Path, request: pytest.FixtureRequest) -> Iterator[LiveFeed]:
    """The same feed over each transport."""
    with contextlib.ExitStack() as stack:
        net = None
        if request.param == "epgm":
            net = stack.enter_context(hosts())
            stack.enter_context(net.bots[0].entered())
        live = LiveFeed(root, request.param, 1 << 20, net)
        stack.callback(live.close)
        yield live
