"""The configuration: one TOML file, one name everywhere.

``publish.tcp.hwm`` in the file is ``TICKCAST_PUBLISH__TCP__HWM`` in the environment and ``--set publish.tcp.hwm=``;
a setting on the command line beats the environment, that beats the file, that beats the default. A file that names any
source, publisher or latency target names them all; one that names none gets the defaults (``sim``; ``tcp``, ``ipc``).
The environment and ``--set`` change what is there; they add a table only when they give its ``kind``.

values      what a setting may be              sources     [source.NAME], by kind
publishers  [publish.NAME], by kind            feed        the rest, and FeedConfig, which holds them all
validation  [source.NAME.validate]
loading     file, environment, --set           played      what `feed replay` plays
"""

from feed.config.crypto import BinanceConfig, CoinbaseConfig, CryptoTable, KrakenConfig
from feed.config.feed import (
    DEFAULT_ROOT,
    LOG_SEGMENTS,
    ArchiveConfig,
    ControlConfig,
    FeedConfig,
    FeedTable,
    LatencyConfig,
    LogConfig,
    MonitorConfig,
)
from feed.config.kinds import SourceConfig
from feed.config.loading import check, from_json, load, own_archive, to_json
from feed.config.nasdaq import ItchConfig, ItchMoldConfig, ItchSoupConfig
from feed.config.played import no_archive, played
from feed.config.publishers import MoldConfig, PgmConfig, PublishConfig, ZmqConfig
from feed.config.sources import (
    CAPTURE_SUFFIX,
    ArchiveReplayConfig,
    CaptureConfig,
    LiveTable,
    PacedTable,
    PushConfig,
    PythonConfig,
    ReplayConfig,
    SimConfig,
    SourceTable,
    SymbologyConfig,
)
from feed.config.validation import ValidateTable
from feed.config.values import Idle, duration_ns, size_bytes

__all__ = [
    "CAPTURE_SUFFIX",
    "DEFAULT_ROOT",
    "LOG_SEGMENTS",
    "ArchiveConfig",
    "ArchiveReplayConfig",
    "BinanceConfig",
    "CaptureConfig",
    "CoinbaseConfig",
    "ControlConfig",
    "CryptoTable",
    "FeedConfig",
    "FeedTable",
    "Idle",
    "ItchConfig",
    "ItchMoldConfig",
    "ItchSoupConfig",
    "KrakenConfig",
    "LatencyConfig",
    "LiveTable",
    "LogConfig",
    "MoldConfig",
    "MonitorConfig",
    "PacedTable",
    "PgmConfig",
    "PublishConfig",
    "PushConfig",
    "PythonConfig",
    "ReplayConfig",
    "SimConfig",
    "SourceConfig",
    "SourceTable",
    "SymbologyConfig",
    "ValidateTable",
    "ZmqConfig",
    "check",
    "duration_ns",
    "from_json",
    "load",
    "no_archive",
    "own_archive",
    "played",
    "size_bytes",
    "to_json",
]
