from pathlib import Path
from typing import NamedTuple

class ReaderFigures(NamedTuple):
    name: str
    pid: int
    lag_bytes: int
    parked: bool
    gating: str

class LogFigures(NamedTuple):
    state: str
    writer_pid: int
    writer_alive: bool
    epoch: int
    next_seq: int
    tail: int
    tail_ns: int
    alive_ns: int
    log_bytes: int
    topics: int
    readers: list[ReaderFigures]

def log_figures(directory: Path) -> LogFigures | None: ...

class LogObserver:
    def __init__(self, directory: Path) -> None: ...
    def figures(self) -> LogFigures: ...
    def topic(self, topic_id: int) -> tuple[str, str]: ...
    def topic_seq(self, topic_id: int) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def next_seq(self) -> int: ...
    @property
    def alive_ns(self) -> int: ...
    @property
    def topic_count(self) -> int: ...

class Alive:
    def holds(self, pid: int, since: int) -> bool: ...

def start_time(pid: int) -> int: ...
