"""The publishing process of a benchmark: the feed's own ZeroMQ publisher, turned by the feed's own loop."""

from __future__ import annotations

from pathlib import Path

import msgspec

from feed import agent
from feed.bench import children
from feed.config import MoldConfig, PgmConfig, ZmqConfig
from feed.metrics.counters import Counters
from feed.multicast import PGM
from feed.publish.mold import MoldPublisher
from feed.publish.pgm import PgmPublisher
from feed.publish.zmq import ZmqPublisher
from feed.shards import SCHEME

__all__ = ["NAME", "PublisherSpec", "open_publisher"]

NAME = "bench"


class PublisherSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`slow` as in [publish.NAME]; `endpoint` may leave the port to the kernel (port 0), or be a multicast group."""

    directory: str
    endpoint: str
    hwm: int
    slow: str
    batch: int

    @property
    def gate(self) -> str:
        """What this publisher is called among the log's readers."""
        return f"publish.{NAME}"


def open_publisher(spec: PublisherSpec) -> ZmqPublisher | MoldPublisher:
    directory = Path(spec.directory)
    counters = Counters.open(directory, create=True)
    if spec.endpoint.startswith(SCHEME):
        interface = spec.endpoint.removeprefix(SCHEME).partition(";")[0]
        asked = "127.0.0.1:0" if interface == "lo" else f"{interface}:0"
        config = MoldConfig(endpoint=spec.endpoint, requests=asked, batch=spec.batch)
        return MoldPublisher(NAME, config, directory, counters)
    if spec.endpoint.partition("://")[0] in PGM:
        return PgmPublisher(
            NAME, PgmConfig(endpoint=spec.endpoint, hwm=spec.hwm, batch=spec.batch), directory, counters
        )
    zmq = msgspec.convert(
        {"kind": "zmq", "endpoint": spec.endpoint, "hwm": spec.hwm, "slow": spec.slow, "batch": spec.batch}, ZmqConfig
    )
    return ZmqPublisher(NAME, zmq, directory, counters)


def main() -> None:
    publisher = open_publisher(children.begin(PublisherSpec))
    children.say(endpoint=publisher.endpoint)

    agent.run([publisher], idle="park", stop=lambda: False)


if __name__ == "__main__":
    main()
