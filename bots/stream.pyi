from bots.links.link import Link

class StreamHold(Link):
    waiting: int
    refused: int
    def __init__(self, source: Link) -> None: ...
