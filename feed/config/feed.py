"""The whole configuration as one struct: [feed], [log], [archive], [control], [monitor], [latency.targets], the named
sources and publishers; and what is wrong with it that no single key shows."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from feed import roll
from feed.config.kinds import SourceConfig  # noqa: TC001 - msgspec reads annotations when it runs
from feed.config.publishers import PublishConfig, ZmqConfig
from feed.config.sources import SimConfig, Where
from feed.config.values import Age, Cpu, Duration, Idle, Name, Quota, Size, Table, duration_ns, size_bytes
from feed.errors import ConfigError
from feed.logging import Format, Level  # noqa: TC001 - msgspec reads annotations when it runs
from feed.ports import Endpoint, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DEFAULT_ROOT",
    "LOG_SEGMENTS",
    "ArchiveConfig",
    "BestConfig",
    "ControlConfig",
    "FeedConfig",
    "FeedTable",
    "LatencyConfig",
    "LogConfig",
    "MonitorConfig",
    "faults",
]

DEFAULT_ROOT = "/dev/shm/tickcast"
LOG_SEGMENTS = 16
LOG_BYTES_MIN = LOG_SEGMENTS << 16
"""The log is 16 segments, each a power of two of at least 64 KiB."""

ARCHIVE_SEGMENT_MIN = 1 << 16


class FeedTable(Table, frozen=True, kw_only=True):
    """[feed]: the daemon itself. ``linger``: go on when all sources have ended, for bots that are not done yet.

    ``log_level``, ``log_format``: its lines on stderr, those of --log-level and --log-format.
    """

    name: Name = "main"
    processes: Literal["many", "one"] = "many"
    wait_bots: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    linger: bool = True
    roll: Annotated[str, roll.ALLOWED] = ""
    log_level: Level = "info"
    log_format: Format = "human"


class LogConfig(Table, frozen=True, kw_only=True):
    """[log]: the tick log in shared memory. ``root`` "" is /dev/shm/tickcast (or TICKCAST_LOG_ROOT)."""

    root: Annotated[str, msgspec.Meta(pattern=r"^(/.*)?\Z"), "an absolute path"] = ""
    bytes: Size = "256MiB"
    max_topics: Annotated[int, msgspec.Meta(ge=1, le=1 << 24)] = 262_144
    gating: list[Name] = msgspec.field(default_factory=list)
    gate_timeout: Duration = "100ms"
    wake_us: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    group: str = ""
    idle: Idle = "park"
    cpu: Cpu = -1


class ArchiveConfig(Table, frozen=True, kw_only=True):
    """[archive]: the journal on disk, in PATH/NAME of the feed. ``path`` "" keeps none; ``keep_`` "" keeps for ever."""

    path: str = ""
    durability: Literal["async", "interval", "every"] = "interval"
    interval: Duration = "100ms"
    segment: Size = "256MiB"
    compress: bool = True
    keep_bytes: Quota = ""
    keep_for: Age = ""


class BestConfig(Table, frozen=True, kw_only=True):
    """[best]: quotes across venues. ``symbols`` without their venues, BTC-USD or BTC*; ``max_age`` "0s": any."""

    symbols: list[str] = msgspec.field(default_factory=list)
    max_age: Duration = "0s"


class ControlConfig(Table, frozen=True, kw_only=True):
    """[control]: the one address a bot needs. ``replay_`` bounds snapshots too."""

    endpoint: str = "tcp://127.0.0.1:5550"
    replay_bytes_per_s: Size = "64MB"
    replay_waiting: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 256
    book_orders: Annotated[int, msgspec.Meta(ge=1, le=1 << 28)] = 1_000_000


class MonitorConfig(Table, frozen=True, kw_only=True):
    """[monitor]: HTTP for Prometheus and people. ``endpoint`` "" serves none."""

    endpoint: str = "127.0.0.1:9464"


class LatencyConfig(Table, frozen=True, kw_only=True):
    """[latency.targets]: quantile name (p50, p99, p999) to the longest duration that is good enough."""

    targets: dict[str, Duration] = msgspec.field(default_factory=lambda: {"p50": "13.4us", "p99": "100us"})

    @property
    def targets_ns(self) -> dict[float, int]:
        """Quantile (0.5, 0.99, 0.999) to ns."""
        return {float(f"0.{name[1:]}"): duration_ns(text) for name, text in self.targets.items()}


class FeedConfig(Table, frozen=True, kw_only=True):
    """The whole configuration; after `load` every derived value (log.root, endpoints) is filled in."""

    feed: FeedTable = FeedTable()
    source: dict[str, SourceConfig] = msgspec.field(default_factory=lambda: {"sim": SimConfig()})
    best: BestConfig = BestConfig()
    log: LogConfig = LogConfig()
    archive: ArchiveConfig = ArchiveConfig()
    publish: dict[str, PublishConfig] = msgspec.field(default_factory=lambda: {"tcp": ZmqConfig(), "ipc": ZmqConfig()})
    control: ControlConfig = ControlConfig()
    monitor: MonitorConfig = MonitorConfig()
    latency: LatencyConfig = LatencyConfig()

    @property
    def directory(self) -> Path:
        """Where the log, the counters and the unix sockets are."""
        return Path(self.log.root or DEFAULT_ROOT) / self.feed.name

    @property
    def archive_directory(self) -> Path | None:
        """Where this feed's archive is; None: it keeps none."""
        return Path(self.archive.path).absolute() / self.feed.name if self.archive.path else None


def faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    """All that is wrong with a configuration whose every key is right by itself."""
    yield from _log_faults(config, where)
    yield from _control_faults(config, where)
    yield from _endpoint_faults(config, where)
    yield from _source_faults(config, where)
    for name, publisher in config.publish.items():
        yield from publisher.faults(f"publish.{name}", config, where)
    yield from _best_faults(config, where)
    yield from _archive_faults(config, where)
    yield from _feed_faults(config, where)
    yield from _latency_faults(config, where)


def _feed_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    try:
        roll.Roll.parse(config.feed.roll, where=where("feed.roll"))
    except ConfigError as error:
        yield error


def _latency_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    for name, text in config.latency.targets.items():
        key = where(f"latency.targets.{name}")
        if not re.fullmatch(r"p\d{2,6}", name) or not int(name[1:]):
            yield ConfigError(
                "not a quantile", expected="p50, p90, p99, p999 and the like", found=repr(name), where=key
            )
        elif duration_ns(text) < 1:
            yield ConfigError("not a target", expected="at least 1ns", found=repr(text), where=key)


def _control_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    if size_bytes(config.control.replay_bytes_per_s) < 1 << 20:
        yield ConfigError(
            "not a rate that a bot can catch up with",
            expected="at least 1MiB",
            found=repr(config.control.replay_bytes_per_s),
            where=where("control.replay_bytes_per_s"),
        )


def _log_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    nbytes = size_bytes(config.log.bytes)
    if nbytes < LOG_BYTES_MIN or nbytes & (nbytes - 1):
        yield ConfigError(
            "not a log's size",
            expected="a power of two of at least 1MiB, such as 64MiB, 256MiB, 1GiB",
            found=f"{config.log.bytes!r} ({nbytes:,} bytes)",
            where=where("log.bytes"),
        )
    doubled = {name for name in config.log.gating if config.log.gating.count(name) > 1}
    for name in sorted(doubled):
        yield ConfigError("names a reader twice", expected="each once", found=repr(name), where=where("log.gating"))


def _endpoint_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    texts: dict[str, str] = {"control.endpoint": config.control.endpoint}
    if config.monitor.endpoint:
        texts["monitor.endpoint"] = config.monitor.endpoint
    for name, publisher in config.publish.items():
        if name == "control":
            yield ConfigError("not a publisher's name", expected="another", found="'control'", where="publish.control")
        texts |= {f"publish.{name}.{key}": text for key, text in publisher.addresses().items()}
    for name, source in config.source.items():
        texts |= {f"source.{name}.{key}": text for key, text in source.addresses().items()}
    known: dict[str, Endpoint] = {}
    for key, text in texts.items():
        try:
            endpoint = parse_endpoint(text, where=where(key), bare=key == "monitor.endpoint")
        except ConfigError as error:
            yield error
            continue
        known[key] = endpoint
    for (first, one), (second, other) in combinations(known.items(), 2):
        if one.overlaps(other):
            yield ConfigError(
                "the same address is given twice",
                expected="an address of its own",
                found=f"{other}, which is {first}",
                where=where(second),
            )


def _source_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    for name, source in config.source.items():
        yield from source.faults(f"source.{name}", config, where)
    for (first, one), (second, other) in combinations(config.source.items(), 2):
        clash = one.shared_with(other)
        if clash:
            yield ConfigError(
                "two sources for one topic: their sequences would mix",
                expected="each topic from one source",
                found=f"{clash}, which source.{first} has too",
                where=where(f"source.{second}"),
                remedy="Leave one out, or run it as a feed of its own with another feed.name",
            )


def _best_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    for text in config.best.symbols:
        beginning = text.removesuffix("*")
        if not re.fullmatch(r"[ -)+->@-{}~]{0,65}", beginning) or text in ("", "BEST"):
            yield ConfigError(
                "not a symbol",
                expected="BTC-USD, or BTC* for all that begin so",
                found=repr(text),
                where=where("best.symbols"),
            )


def _archive_faults(config: FeedConfig, where: Where) -> Iterator[ConfigError]:
    archive = config.archive
    segment = size_bytes(archive.segment)
    if segment < ARCHIVE_SEGMENT_MIN:
        yield ConfigError(
            "not a segment's size",
            expected="at least 64KiB",
            found=repr(archive.segment),
            where=where("archive.segment"),
        )
    if archive.keep_bytes and size_bytes(archive.keep_bytes) < segment:
        yield ConfigError(
            "less than a segment, and the one being written is always kept",
            expected=f"at least archive.segment, {archive.segment}",
            found=repr(archive.keep_bytes),
            where=where("archive.keep_bytes"),
        )
    if duration_ns(archive.interval) < 1:
        yield ConfigError(
            "not an interval", expected="at least 1ns", found=repr(archive.interval), where=where("archive.interval")
        )
    own, memory = config.archive_directory, Path(config.log.root).absolute()
    if own is not None and memory in (own, *own.parents):
        yield ConfigError(
            "lies in the log's shared memory, which is cleared when the feed ends",
            expected="a folder on a disk",
            found=repr(archive.path),
            where=where("archive.path"),
        )
