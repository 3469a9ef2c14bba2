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
    log_bytes: int
    topics: int
    readers: list[ReaderFigures]

def log_figures(directory: Path) -> LogFigures | None: ...
