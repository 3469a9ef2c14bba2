from collections.abc import Iterable

from bots.links.frames import FrameLink

class ZmqLink(FrameLink):
    endpoint: str
    def __init__(self, endpoint: str, prefixes: Iterable[bytes], hwm: int = 100_000) -> None: ...
    def prove(self, timeout_ns: int) -> bool: ...
