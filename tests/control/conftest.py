"""A log and the control agent over it, turned by a thread."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from feed import config
from feed.config import FeedConfig
from feed.control import Control, replay
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from tests.control.asking import Asker
from tests.turned import Turned


class Served:
    """A small log (1 MiB, 16 segments of 64 KiB) with control over it; both can end and begin again."""

    def __init__(self, root: Path, *sets: str) -> None:
        self.config: FeedConfig = config.load(
            None, {"TICKCAST_LOG_ROOT": str(root)}, ["control.endpoint=tcp://127.0.0.1:0", *sets]
        )
        self.at = self.config.directory
        self.writer = LogWriter.open(self.at, log_bytes=1 << 20, max_topics=4096)
        self.counters = Counters.open(self.at, create=True)
        self._askers: list[Asker] = []
        self.start()

    def start(self) -> None:
        self.control = Control(self.config, self.at, self.counters)
        self._turned = Turned(self.control)
        self.asker = self.connect()

    def stop(self) -> None:
        self._turned.close()
        for asker in self._askers:
            asker.close()
        self._askers = []

    def connect(self) -> Asker:
        self._askers.append(Asker(self.control.endpoint))
        return self._askers[-1]

    def new_epoch(self) -> None:
        """The log ends and another begins."""
        self.writer.close(remove=True)
        self.at.mkdir(parents=True)
        self.writer = LogWriter.open(self.at, log_bytes=1 << 20, max_topics=4096)
        (self.at / "endpoints").mkdir(exist_ok=True)

    def lap(self, topic_id: int, record: bytes, laps: int = 2) -> None:
        """Write until everything that was in the log is overwritten."""
        end = self.writer.position + (laps << 20)
        while self.writer.position < end:
            self.writer.publish(topic_id, record)

    def close(self) -> None:
        self.stop()
        self.writer.close()


@pytest.fixture
def root() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search runs out of time: a thread that stands still for 3 ms would leave less in an answer."""
    monkeypatch.setattr(replay, "WITHIN_NS", 60_000_000_000)


@pytest.fixture
def serve(root: Path, unhurried: None) -> Iterator[Callable[..., Served]]:
    """Makes a `Served` with settings; all are closed afterwards."""
    made: list[Served] = []

    def one(*sets: Any) -> Served:
        made.append(Served(root, *sets))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()
