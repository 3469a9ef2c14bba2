"""The publishing process of a benchmark: the feed's own ZeroMQ publisher, turned by the feed's own loop."""

from __future__ import annotations

from pathlib import Path

import msgspec

from feed import agent
from feed.bench import children
from feed.config import PgmConfig, ZmqConfig
from feed.metrics.counters import Counters
from feed.multicast import PGM
from feed.publish.pgm import PgmPublisher
from feed.publish.zmq import ZmqPublisher

__all__ = ["NAME", "PublisherSpec", "open_publisher"]

NAME = "bench"


class PublisherSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`slow` as in [publish.NAME]; `endpoint` may leave the port to the kernel (port 0), or be a group of PGM."""

    directory: str
    endpoint: str
    hwm: int
    slow: str
    batch: int

    @property
    def gate(self) -> str:
        """What this publisher is called among the log's readers."""
        return f"publish.{NAME}"


def open_publisher(spec: PublisherSpec) -> ZmqPublisher:
    directory = Path(spec.directory)
    counters = Counters.open(directory, create=True)
    if spec.endpoint.partition("://")[0] in PGM:
        return PgmPublisher(
            NAME, PgmConfig(endpoint=spec.endpoint, hwm=spec.hwm, batch=spec.batch), directory, counters
        )
    config = msgspec.convert(
        {"kind": "zmq", "endpoint": spec.endpoint, "hwm": spec.hwm, "slow": spec.slow, "batch": spec.batch}, ZmqConfig
    )
    return ZmqPublisher(NAME, config, directory, counters)


def main() -> None:
    publisher = open_publisher(children.begin(PublisherSpec))
    children.say(endpoint=publisher.endpoint)

    agent.run([publisher], idle="park", stop=lambda: False)


if __name__ == "__main__":
    main()
