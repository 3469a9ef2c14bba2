from bots.links.link import Link

class FrameLink(Link):
    signs: int
    proved: bool
    endpoint: str
    def prove(self, timeout_ns: int) -> bool: ...

class Script(FrameLink):
    ended: bool
    def __init__(self, transport: str = ...) -> None: ...
    def put(self, frame: bytes) -> None: ...
