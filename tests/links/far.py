"""A feed on one test host and bots on others, run as users run them; `Far` says what it publishes by multicast with."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from tests.e2e import processes
from tests.e2e.processes import COLLECTOR, Bot, Process, Stage

from .hosts import FEED_ADDRESS, Hosts, hosts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Far", "on_hosts"]

CONTROL = f"tcp://{FEED_ADDRESS}:5550"
SETTINGS = {
    "control__endpoint": CONTROL,
    "publish__tcp__endpoint": f"tcp://{FEED_ADDRESS}:5551",
    "publish__mc__heartbeat": "200ms",
    "source__sim__symbols": 20,
}


@dataclass(frozen=True)
class Far:
    """`multicast`: settings of the publisher ``mc``."""

    stage: Stage
    net: Hosts
    multicast: Mapping[str, object]

    def feed_args(self, **settings: object) -> list[str]:
        return self.stage.feed_args("run", **{**SETTINGS, **self.multicast, **settings})

    def feed(self, **settings: object) -> Process:
        """A feed, up."""
        return self.stage.up(self.stage.within(self.net.feed.within, *self.feed_args(**settings)))

    def bot(self, number: int, transport: str, *more: str) -> Bot:
        """A bot for everything on bot host `number`."""
        name = f"bot{number}"
        to = self.stage.temporary / f"{name}.collected"
        process = self.stage.within(
            self.net.bots[number].within,
            *("bots", "run", COLLECTOR, "--symbols", "*", "--transport", transport, "--name", name),
            *("--feed", CONTROL, "--slow", "fill", *more),
            COLLECT_TO=str(to),
        )
        return Bot(process, name, transport, to)

    def transport_of(self, number: int) -> str | None:
        """What a bot says that it takes ticks over, as control tells it."""
        process = self.stage.within(self.net.feed.within, "bots", "lag", "--json", "--feed", CONTROL)
        assert process.wait() == 0, process.said
        said = {each["name"]: each["transport"] for each in orjson.loads(process.said)}
        return said.get(f"bot{number}")


@contextlib.contextmanager
def on_hosts(multicast: Mapping[str, object], bots: int = 2) -> Iterator[Far]:
    """Hosts and what runs on them, for the length of a block."""
    with hosts(bots) as net, processes.stage() as stage:
        yield Far(stage, net, multicast)
