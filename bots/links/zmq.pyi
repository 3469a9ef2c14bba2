from collections.abc import Iterable

from bots.links.frames import FrameLink
from feed.wire.pgm import Window

class ZmqLink(FrameLink):
    def __init__(
        self, endpoint: str, prefixes: Iterable[bytes], hwm: int = 100_000, window: Window | None = None
    ) -> None: ...
