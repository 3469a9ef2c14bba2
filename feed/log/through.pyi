from feed.log.sink import Sink

class Through(Sink):
    def __init__(self, into: Sink) -> None: ...
