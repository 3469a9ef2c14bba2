"""Every kind of source that there is, from the modules of their families."""

from __future__ import annotations

from feed.config.crypto import BinanceConfig, KrakenConfig
from feed.config.sources import (
    ArchiveReplayConfig,
    ItchConfig,
    PushConfig,
    PythonConfig,
    ReplayConfig,
    SimConfig,
)

__all__ = ["SourceConfig"]

SourceConfig = (
    SimConfig | ReplayConfig | ArchiveReplayConfig | ItchConfig | BinanceConfig | KrakenConfig | PushConfig | PythonConfig
)
