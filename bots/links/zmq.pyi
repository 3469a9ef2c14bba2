from collections.abc import Iterable

from bots.links.link import Link

class ZmqLink(Link):
    endpoint: str
    proved: bool
    def __init__(self, endpoint: str, prefixes: Iterable[bytes], hwm: int = 100_000) -> None: ...
    def prove(self, timeout_ns: int) -> bool: ...
