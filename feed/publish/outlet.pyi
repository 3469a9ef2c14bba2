import zmq

from feed.metrics.counters import Counter
from feed.metrics.histogram import Histogram

class Outlet:
    pending: bool
    error: int
    def __init__(self, socket: zmq.Socket[bytes], sent: Counter, publish: Histogram | None) -> None: ...
