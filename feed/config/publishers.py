"""[publish.NAME]: how ticks leave, one table for each kind; what could be wrong with it stands in its `faults`.

To add a kind: write its struct here (or, for a family, in a module of its own beside this one), add it to PublishConfig
and to `feed.supervisor`, and document its keys in config/feed.toml (a test compares them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec

from feed.config.mold import MoldConfig
from feed.config.pgm import PgmConfig
from feed.config.values import Cpu, Duration, Idle, KindTable
from feed.ports import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from feed.config.feed import FeedConfig
    from feed.config.sources import Where
    from feed.errors import ConfigError

__all__ = ["MoldConfig", "PgmConfig", "PublishConfig", "ZmqConfig"]


class ZmqConfig(KindTable, frozen=True, kw_only=True, tag="zmq"):
    """[publish.NAME] kind = "zmq". ``endpoint`` "" is tcp://127.0.0.1:5551 for "tcp", else a socket by the log."""

    endpoint: str = ""
    hwm: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 100_000
    slow: Literal["drop", "wait"] = "drop"
    batch: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 64
    heartbeat: Duration = "1s"
    idle: Idle = "park"
    cpu: Cpu = -1
    firehose: str = ""

    usual: ClassVar[bool] = True

    def addresses(self) -> dict[str, str]:
        """Key to address, for what it listens at."""
        return {"endpoint": self.endpoint, **({"firehose": self.firehose} if self.firehose else {})}

    def derived(self, name: str, directory: Path) -> ZmqConfig:
        """With what follows from its name and the feed's `directory` filled in."""
        endpoint = "tcp://127.0.0.1:5551" if name == "tcp" else f"ipc://{directory}/{name}"
        return msgspec.structs.replace(self, endpoint=self.endpoint or endpoint)

    @property
    def transport(self) -> str:
        """tcp or ipc, once derived."""
        return parse_endpoint(self.endpoint).transport

    def faults(self, name: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        """Its addresses are looked at with all others."""
        return iter(())


PublishConfig = ZmqConfig | PgmConfig | MoldConfig
