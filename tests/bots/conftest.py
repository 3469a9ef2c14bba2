"""A feed behind a control address: log, publishers and control, each agent in a thread."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bots import Subscriber
from feed import config
from feed.control import Control
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from feed.publish.zmq import ZmqPublisher
from tests.turned import Pulse, Turned

if TYPE_CHECKING:
    from collections.abc import Iterator


PATIENCE_S = 20.0
"""How long anything may take before a test gives up: it bounds a hang, it is no requirement."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class WholeFeed:
    """Started and ended as a whole; addresses and name stay the same."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = f"tcp://127.0.0.1:{free_port()}"
        sets = [
            f"control.endpoint={self.address}",
            f"publish.tcp.endpoint=tcp://127.0.0.1:{free_port()}",
            "publish.tcp.heartbeat=50ms",
            "publish.ipc.heartbeat=50ms",
        ]
        self.config = config.load(None, {"TICKCAST_LOG_ROOT": str(root)}, sets)
        self._running: list[Turned] = []
        self.subscribers: list[Subscriber] = []

    def start(self) -> None:
        at = self.config.directory
        self.writer = LogWriter.open(at, log_bytes=1 << 20, max_topics=1024)
        self.counters = Counters.open(at, create=True)
        self.control = Control(self.config, at, self.counters)
        publishers = [ZmqPublisher(name, each, at, self.counters) for name, each in self.config.publish.items()]
        self._running = [Turned(agent) for agent in (Pulse(lambda: self.writer), self.control, *publishers)]

    def stop(self, remove: bool = True) -> None:
        for each in self._running:
            each.close()
        self._running = []
        self.counters.close()
        self.writer.close(remove=remove)

    def send(self, *topics: str) -> None:
        for topic in topics:
            schema, _, symbol = topic.partition(".")
            size = {"quote": 80, "trade": 48}[schema]
            self.writer.publish(self.writer.topic(schema, symbol), bytes(size))

    def subscriber(self, *what: Any, **more: Any) -> Subscriber:
        sub = Subscriber(*what, **{"feed": self.address, "timeout": PATIENCE_S, **more})
        self.subscribers.append(sub)
        return sub

    def close(self) -> None:
        for sub in self.subscribers:
            sub.close()
        if self._running:
            self.stop()


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeFeed]:
    """Not started yet."""
    root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    monkeypatch.setenv("TICKCAST_LOG_ROOT", str(root))
    feed = WholeFeed(root)
    yield feed
    feed.close()
    shutil.rmtree(root)
