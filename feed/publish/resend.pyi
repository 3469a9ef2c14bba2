import socket
from pathlib import Path

from feed.metrics.counters import Counters
from feed.publish.numbering import Numbering
from feed.shards import Shards

class Resender:
    def __init__(
        self,
        serving: socket.socket,
        directory: Path,
        numbering: Numbering,
        shards: Shards,
        *,
        archive: Path | None,
        payload_bytes: int,
        batch: int,
        rate: int,
        counters: Counters,
        name: str,
    ) -> None: ...
    def renew(self) -> None: ...
    def close(self) -> None: ...
