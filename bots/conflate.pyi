from collections.abc import Iterable
from typing import NamedTuple

from bots.links.link import Link

class Run(NamedTuple):
    what: str
    topic: int | None
    flags: int
    ticks: int
    folded: int
    epoch: int
    seqs: list[int]
    topic_seq: int
    ts_ins: list[int]
    ts_sent: int
    records: bytes

class Conflate(Link):
    folded: int
    drains: int
    def __init__(self, source: Link, schemas: Iterable[int], behind_ns: int) -> None: ...
    def read(self) -> Run: ...
