"""Every kind of source that there is, from the modules of their families."""

from __future__ import annotations

from feed.config.crypto import BinanceConfig, CoinbaseConfig, KrakenConfig
from feed.config.nasdaq import ItchConfig, ItchMoldConfig, ItchSoupConfig
from feed.config.sources import (
    ArchiveReplayConfig,
    CaptureConfig,
    PushConfig,
    PythonConfig,
    ReplayConfig,
    SimConfig,
    SymbologyConfig,
)

__all__ = ["SourceConfig"]

SourceConfig = (
    SimConfig
    | ReplayConfig
    | ArchiveReplayConfig
    | CaptureConfig
    | ItchConfig
    | ItchMoldConfig
    | ItchSoupConfig
    | BinanceConfig
    | KrakenConfig
    | CoinbaseConfig
    | PushConfig
    | PythonConfig
    | SymbologyConfig
)
