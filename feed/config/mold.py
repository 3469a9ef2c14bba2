"""[publish.NAME] kind = "mold": our own multicast, MoldUDP64 over plain UDP (deploy/MULTICAST.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from feed.config.values import Cpu, Duration, Idle, KindTable, Size
from feed.errors import ConfigError
from feed.ports import parse_endpoint
from feed.shards import MoldAddress, Shards, check_shards, parse_line, parse_mold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from feed.config.feed import FeedConfig
    from feed.config.sources import Where

__all__ = ["MoldConfig"]

HEADERS_BYTES = 28
"""Of IPv4 and UDP, in each packet."""

MTU_MIN, MTU_MAX = HEADERS_BYTES + 20 + 2 + 85 + 56 + 520, 9216
"""The longest frame has a topic of 85 bytes, its header and a definition."""


class MoldConfig(KindTable, frozen=True, kw_only=True, tag="mold"):
    """[publish.NAME] kind = "mold". ``endpoint``: one line, or two that carry the same; ``mtu`` bytes of an IP packet,
    ``batch`` ticks in one at most, ``request_rate`` packets a second that are sent again at most.
    """

    endpoint: Annotated[str, '"mold://INTERFACE;GROUP:PORT[,INTERFACE;GROUP:PORT]"'] = "mold://lo;239.192.7.1:5560"
    shards: int = 1
    lists: tuple[tuple[str, ...], ...] = ()
    mtu: int = 1500
    ttl: int = 1
    loopback: bool = True
    batch: Annotated[int, msgspec.Meta(ge=1, le=128)] = 64
    requests: str = "127.0.0.1:0"
    request_rate: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 10_000
    buffer: Size = "4MiB"
    heartbeat: Duration = "1s"
    idle: Idle = "park"
    cpu: Cpu = -1

    firehose: ClassVar[str] = ""

    @property
    def transport(self) -> str:
        """As bots name it."""
        return "mold"

    @property
    def address(self) -> MoldAddress:
        """Lines, shards and where to ask, with the interfaces of the feed's host."""
        return replace(parse_mold(self.endpoint), shards=self._shards(None), requests=self.requests)

    @property
    def payload_bytes(self) -> int:
        """Of a datagram."""
        return self.mtu - HEADERS_BYTES

    def announced(self, requests: str) -> str:
        """What bots are told, who have other interfaces unless they are on this host; `requests`: where it is bound."""
        address = replace(self.address, requests=requests)
        return str(address if address.loopback else address.over([""]))

    def addresses(self) -> dict[str, str]:
        """It listens nowhere by TCP."""
        return {}

    def derived(self, name: str, directory: Path) -> MoldConfig:
        """It says everything itself."""
        return self

    def faults(self, name: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        """What no host could do; `name` is publish.NAME."""
        try:
            shards = self._shards(where(f"{name}.{'lists' if self.lists else 'shards'}"))
            address = parse_mold(self.endpoint, where=where(f"{name}.endpoint"))
            for line in address.lines:
                parse_line(str(line), where=where(f"{name}.endpoint"), shards=shards.count)
            if address.requests or address.shards != Shards():
                yield ConfigError(
                    "shards, lists and requests are keys of their own",
                    found=repr(self.endpoint),
                    where=where(f"{name}.endpoint"),
                )
        except ConfigError as error:
            yield error
            return
        for key, low, high in (("mtu", MTU_MIN, MTU_MAX), ("ttl", 0, 255)):
            value = getattr(self, key)
            if not low <= value <= high:
                what = "too small for the longest tick" if key == "mtu" and value < low else f"not a {key.upper()}"
                yield ConfigError(what, expected=f"{low} to {high}", found=value, where=where(f"{name}.{key}"))
        if self.requests:
            try:
                parse_endpoint(self.requests, where=where(f"{name}.requests"), bare=True)
            except ConfigError as error:
                yield error
        groups = {(line.group, line.port) for line in address.lines}
        for other, publisher in config.publish.items():
            if f"publish.{other}" == name:
                return
            if isinstance(publisher, MoldConfig) and groups & _groups(publisher.endpoint):
                yield ConfigError(
                    "two publishers in one group would mix",
                    expected="a group or port of its own",
                    found=f"{self.endpoint!r}, of which publish.{other} has one too",
                    where=where(f"{name}.endpoint"),
                )

    def _shards(self, where: str | None) -> Shards:
        return check_shards(len(self.lists) + 1 if self.lists else self.shards, self.lists, where=where)


def _groups(text: str) -> set[tuple[str, int]]:
    try:
        return {(line.group, line.port) for line in parse_mold(text).lines}
    except ConfigError:
        return set()  # said where it stands
