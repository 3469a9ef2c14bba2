from feed.log.sink import Sink

class Through(Sink):
    def __init__(self, into: Sink) -> None: ...

class Restamped(Through):
    ts_in: int
