"""[publish.NAME] kind = "pgm": multicast by ZeroMQ, epgm:// or pgm:// (deploy/MULTICAST.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from feed.config.values import Cpu, Duration, Idle, KindTable, Size, duration_ns, size_bytes
from feed.errors import ConfigError
from feed.multicast import Window, parse_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from feed.config.feed import FeedConfig
    from feed.config.sources import Where

__all__ = ["PgmConfig"]

_NORMAL = Window()


class PgmConfig(KindTable, frozen=True, kw_only=True, tag="pgm"):
    """[publish.NAME] kind = "pgm". ``rate`` in kbit/s, ``tpdu`` in bytes. Both ends keep rate x recovery in memory.

    Nobody tells a publisher of his wishes here, so it sends everything; and nothing is dropped at its own queue: it
    sends as fast as ``rate`` lets it, and the log is what waits.
    """

    endpoint: Annotated[str, '"epgm://INTERFACE;GROUP:PORT"']
    rate: int = _NORMAL.rate
    recovery: Duration = f"{_NORMAL.recovery_ms}ms"
    tpdu: int = _NORMAL.tpdu
    hops: int = _NORMAL.hops
    buffer: Size = f"{_NORMAL.buffer >> 20}MiB"
    hwm: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 100_000
    batch: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 64
    heartbeat: Duration = "1s"
    idle: Idle = "park"
    cpu: Cpu = -1

    slow: ClassVar[Literal["wait"]] = "wait"
    firehose: ClassVar[str] = ""

    @property
    def window(self) -> Window:
        """What both ends set."""
        return Window(
            rate=self.rate,
            recovery_ms=duration_ns(self.recovery) // 1_000_000,
            tpdu=self.tpdu,
            hops=self.hops,
            buffer=size_bytes(self.buffer),
        )

    @property
    def transport(self) -> str:
        """epgm or pgm."""
        return self.endpoint.partition("://")[0]

    def addresses(self) -> dict[str, str]:
        """It listens nowhere."""
        return {}

    def derived(self, name: str, directory: Path) -> PgmConfig:
        """It says everything itself."""
        return self

    def terms(self) -> dict[str, Any]:
        """What a bot must know to take part: the group, without our interface, and the window."""
        return {
            "endpoint": str(parse_group(self.endpoint).over("")),
            "window": msgspec.to_builtins(self.window),
        }

    def faults(self, name: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        """What libpgm would abort at, and what would mix; `name` is publish.NAME."""
        try:
            group = parse_group(self.endpoint, where=where(f"{name}.endpoint"))
        except ConfigError as error:
            yield error
            return
        for key, expected, found in self.window.faults():
            yield ConfigError("not a window for PGM", expected=expected, found=found, where=where(f"{name}.{key}"))
        if config.feed.processes == "one":
            yield ConfigError(
                "a PGM publisher is a process of its own, for libpgm may abort it",
                expected='"many"',
                found="'one'",
                where=where("feed.processes"),
            )
        for other, publisher in config.publish.items():
            if f"publish.{other}" == name:
                return
            if publisher.kind == "pgm" and _group(publisher.endpoint) == (group.transport, group.host, group.port):
                yield ConfigError(
                    "two publishers in one group would mix",
                    expected="a group or port of its own",
                    found=f"{self.endpoint!r}, which publish.{other} has too",
                    where=where(f"{name}.endpoint"),
                )


def _group(text: str) -> tuple[str, str, int] | None:
    try:
        group = parse_group(text)
    except ConfigError:
        return None  # said where it stands
    return group.transport, group.host, group.port
