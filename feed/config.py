"""The configuration: one TOML file, one name everywhere.

``publish.tcp.hwm`` in the file is ``TICKCAST_PUBLISH__TCP__HWM`` in the environment and ``--set publish.tcp.hwm=``;
a setting on the command line beats the environment, that beats the file, that beats the default. A file that names any
source, publisher or latency target names them all; one that names none gets the defaults (``sim``; ``tcp``, ``ipc``).
The environment and ``--set`` change what is there; they add a table only when they give its ``kind``.

To add a table: write its struct, give FeedConfig a field, document its keys in config/feed.toml (a test compares them).
"""

from __future__ import annotations

import datetime
import math
import re
import tomllib
import types
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from feed import classes, roll, tables
from feed.errors import ConfigError
from feed.logging import Format, Level  # noqa: TC001 - msgspec reads annotations when it runs
from feed.ports import Endpoint, parse_endpoint
from feed.position import Position
from feed.trading_day import date_of_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "ArchiveConfig",
    "ArchiveReplayConfig",
    "ControlConfig",
    "FeedConfig",
    "FeedTable",
    "ItchConfig",
    "LatencyConfig",
    "LogConfig",
    "MonitorConfig",
    "PublishConfig",
    "PushConfig",
    "PythonConfig",
    "ReplayConfig",
    "SimConfig",
    "SourceConfig",
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

DEFAULT_ROOT = "/dev/shm/tickcast"
LOG_SEGMENTS = 16
LOG_BYTES_MIN = LOG_SEGMENTS << 16
"""The log is 16 segments, each a power of two of at least 64 KiB."""

ARCHIVE_SEGMENT_MIN = 1 << 16

_DURATION = r"\d+(\.\d+)?\s?(ns|us|µs|ms|s|min|h|d)"
_SIZE = r"\d+(\.\d+)?\s?([KMGT]iB|[kMGT]?B)"

# The text behind each Annotated is what an error shows as allowed.
Duration = Annotated[str, msgspec.Meta(pattern=rf"^{_DURATION}\Z"), 'a duration such as "100ms" (ns us ms s min h d)']
Size = Annotated[str, msgspec.Meta(pattern=rf"^{_SIZE}\Z"), 'a size such as "256MiB" (B KiB MiB GiB, kB MB GB)']
Age = Annotated[str, msgspec.Meta(pattern=rf"^({_DURATION})?\Z"), '"" (for ever) or a duration such as "30d"']
Quota = Annotated[str, msgspec.Meta(pattern=rf"^({_SIZE})?\Z"), '"" (without end) or a size such as "500GB"']
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,30}\Z"), "a name of 1 to 31 letters, digits, _ . -"
]
Speed = Annotated[
    Annotated[str, msgspec.Meta(pattern=r"^(max|(?=.*[1-9])\d{0,9}(\.\d{1,9})?)\Z")]
    | Annotated[float, msgspec.Meta(ge=1e-9, le=1e9)],
    '"max" or a positive number',
]
Cpu = Annotated[int, msgspec.Meta(ge=-1, le=4095), "-1 (not pinned) or the number of a processor"]
Idle = Literal["park", "spin", "yield"]
SchemaWord = Literal[
    "trade",
    "quote",
    "bbo",
    "book",
    "order",
    "bar1s",
    "bar1m",
    "bar1h",
    "bar1d",
    "status",
    "stat",
    "imbalance",
    "definition",
]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table."""


class _KindTable(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of a table that says its ``kind``."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class FeedTable(_Table, frozen=True, kw_only=True):
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


class SimConfig(_KindTable, frozen=True, kw_only=True, tag="sim"):
    """[source.NAME] kind = "sim": the simulator. ``rate`` in ticks/s, 0 is flat out; ``ticks`` 0 is endless."""

    symbols: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    rate: Annotated[float, msgspec.Meta(ge=0)] = 50_000.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 1
    arrivals: Literal["poisson", "bursty", "flat"] = "poisson"
    zipf: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    ticks: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    halts_per_million: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 1.0
    crossed: bool = False


class _PacedTable(_KindTable, frozen=True, kw_only=True):
    """Base of sources that play what was recorded."""

    speed: Speed = "1"
    loop: bool = False

    def __post_init__(self) -> None:
        if self.speed != "max":  # 10, 10.0 and "10" are the same setting, so they must compare equal
            msgspec.structs.force_setattr(self, "speed", f"{Decimal(repr(float(self.speed))):f}".removesuffix(".0"))

    @property
    def factor(self) -> float:
        """How many times faster than recorded; inf is as fast as possible."""
        return math.inf if self.speed == "max" else float(self.speed)


class _PlayedTable(_PacedTable, frozen=True, kw_only=True):
    """Base of sources that play normalised records. Empty ``schemas`` (and ``symbols``) is all of them."""

    schemas: list[SchemaWord] = []


class ReplayConfig(_PlayedTable, frozen=True, kw_only=True, tag="replay"):
    """[source.NAME] kind = "replay": recorded DBN files, merged by time."""

    files: Annotated[list[str], "a list of DBN files"]


class ArchiveReplayConfig(_PlayedTable, frozen=True, kw_only=True, tag="archive"):
    """[source.NAME] kind = "archive": what a feed's archive holds. ``from`` and ``to`` "" are its ends, else a time
    (ISO 8601, UTC where it names no zone; or ns since 1970) or a sequence number; ``epoch`` 0: all."""

    path: Annotated[str, "the folder of a feed's archive"]
    from_: str = msgspec.field(default="", name="from")
    to: str = ""
    symbols: list[str] = []
    epoch: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


class ItchConfig(_PacedTable, frozen=True, kw_only=True, tag="itch"):
    """[source.NAME] kind = "itch": files of Nasdaq TotalView-ITCH 5.0. Empty ``schemas``: all but book and order."""

    files: Annotated[list[str], "a list of ITCH files"]
    schemas: list[Literal["quote", "trade", "status", "definition", "book", "order"]] = []
    symbols: list[str] = []
    date: Annotated[str, msgspec.Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?\Z"), '"" or a date such as "2020-01-30"'] = ""
    market: Literal["XNAS", "XBOS", "XPSX"] = "XNAS"


class PushConfig(_KindTable, frozen=True, kw_only=True, tag="push"):
    """[source.NAME] kind = "push": your own processes (feed.push). ``endpoint`` "" is a socket by the log; ``tcp``
    another besides. ``window``: bytes that one pusher may have without acknowledgement; ``topics``: as many as all may
    name."""

    endpoint: str = ""
    tcp: str = ""
    window: Size = "4MiB"
    topics: Annotated[int, msgspec.Meta(ge=1, le=1 << 24)] = 65_536


class PythonConfig(_KindTable, frozen=True, kw_only=True, tag="python"):
    """[source.NAME] kind = "python:package.module:Class": a class of your own (feed.sources.Source); the table's other
    keys are its constructor's arguments, ``settings`` here."""

    class_: Annotated[str, 'kind = "python:package.module:Class"'] = msgspec.field(name="class")
    settings: Annotated[dict[str, Any], "the arguments of the class"] = {}


SourceConfig = SimConfig | ReplayConfig | ArchiveReplayConfig | ItchConfig | PushConfig | PythonConfig


class LogConfig(_Table, frozen=True, kw_only=True):
    """[log]: the tick log in shared memory. ``root`` "" is /dev/shm/tickcast (or TICKCAST_LOG_ROOT)."""

    root: Annotated[str, msgspec.Meta(pattern=r"^(/.*)?\Z"), "an absolute path"] = ""
    bytes: Size = "256MiB"
    max_topics: Annotated[int, msgspec.Meta(ge=1, le=1 << 24)] = 262_144
    gating: list[Name] = []
    gate_timeout: Duration = "100ms"
    wake_us: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    group: str = ""
    idle: Idle = "park"
    cpu: Cpu = -1


class ArchiveConfig(_Table, frozen=True, kw_only=True):
    """[archive]: the journal on disk, in PATH/NAME of the feed. ``path`` "" keeps none; ``keep_`` "" keeps for ever."""

    path: str = ""
    durability: Literal["async", "interval", "every"] = "interval"
    interval: Duration = "100ms"
    segment: Size = "256MiB"
    compress: bool = True
    keep_bytes: Quota = ""
    keep_for: Age = ""


class ZmqConfig(_KindTable, frozen=True, kw_only=True, tag="zmq"):
    """[publish.NAME] kind = "zmq". ``endpoint`` "" is tcp://127.0.0.1:5551 for "tcp", else a socket by the log."""

    endpoint: str = ""
    hwm: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 100_000
    slow: Literal["drop", "wait"] = "drop"
    batch: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 64
    heartbeat: Duration = "1s"
    idle: Idle = "park"
    cpu: Cpu = -1
    firehose: str = ""


PublishConfig = ZmqConfig


class ControlConfig(_Table, frozen=True, kw_only=True):
    """[control]: the one address a bot needs. ``replay_`` bounds snapshots too."""

    endpoint: str = "tcp://127.0.0.1:5550"
    replay_bytes_per_s: Size = "64MB"
    replay_waiting: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 256
    book_orders: Annotated[int, msgspec.Meta(ge=1, le=1 << 28)] = 1_000_000


class MonitorConfig(_Table, frozen=True, kw_only=True):
    """[monitor]: HTTP for Prometheus and people. ``endpoint`` "" serves none."""

    endpoint: str = "127.0.0.1:9464"


class LatencyConfig(_Table, frozen=True, kw_only=True):
    """[latency.targets]: quantile name (p50, p99, p999) to the longest duration that is good enough."""

    targets: dict[str, Duration] = msgspec.field(default_factory=lambda: {"p50": "13.4us", "p99": "100us"})

    @property
    def targets_ns(self) -> dict[float, int]:
        """Quantile (0.5, 0.99, 0.999) to ns."""
        return {float(f"0.{name[1:]}"): duration_ns(text) for name, text in self.targets.items()}


class FeedConfig(_Table, frozen=True, kw_only=True):
    """The whole configuration; after `load` every derived value (log.root, endpoints) is filled in."""

    feed: FeedTable = FeedTable()
    source: dict[str, SourceConfig] = msgspec.field(default_factory=lambda: {"sim": SimConfig()})
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


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = types.MappingProxyType({}),
    sets: Sequence[str] = (),
    *,
    base: Mapping[str, Any] | None = None,
) -> FeedConfig:
    """Read `path`, put `base` (a document of the same shape; its sources are all there are), `environ`, `sets` over it.

    A set is "key=value". Raises ConfigError for the first fault; it says how many more there are.
    """
    config, errors = _resolve(path, environ, sets, base)
    if errors:
        first, more = errors[0], len(errors) - 1
        if more:
            hint = f"{more} more: `feed check {path or ''}".rstrip() + "` lists them all"
            first = ConfigError(
                first.what,
                expected=first.expected,
                found=first.found,
                where=first.where,
                remedy=f"{first.remedy}. {hint}" if first.remedy else hint,
            )
        raise first
    assert config is not None
    return config


def check(
    path: Path | None,
    environ: Mapping[str, str] = types.MappingProxyType({}),
    sets: Sequence[str] = (),
    *,
    base: Mapping[str, Any] | None = None,
) -> list[ConfigError]:
    """Every fault of a configuration at once; empty if it is good."""
    return _resolve(path, environ, sets, base)[1]


def own_archive(path: Path | None, environ: Mapping[str, str], sets: Sequence[str]) -> Path | None:
    """Where the archive of a configuration is, whatever is said there of sources; None: it has none. As `load`."""
    elsewhere = {key: value for key, value in environ.items() if not key.startswith("TICKCAST_SOURCE__")}
    others = [each for each in sets if not each.startswith("source.")]
    return load(path, elsewhere, others, base={"source": {}}).archive_directory


def played(paths: Sequence[Path], own: Path | None, part: Mapping[str, Any]) -> dict[str, Any]:
    """The source that plays `paths`: DBN files, or the one folder of an archive; none stands for `own`, this feed's.

    `part`: which part of an archive (keys of its table; those at their defaults change nothing). Raises ConfigError.
    """
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise ConfigError("either DBN files or one archive", expected="files, or a single folder", found=len(paths))
    if paths and not folders:
        if set_here := [key for key, value in part.items() if value]:
            raise ConfigError(
                f"--{set_here[0]} is for archives",
                expected="the folder of an archive",
                found=str(paths[0]),
                remedy="DBN files are played whole",
            )
        return {"kind": "replay", "files": [str(path) for path in paths]}
    folder = folders[0] if folders else own
    if folder is None:
        raise no_archive()
    if own is not None and folder.resolve() in {own.resolve(), own.parent.resolve()}:
        folder = own
    return {"kind": "archive", "path": str(folder), **{key: value for key, value in part.items() if value}}


def no_archive() -> ConfigError:
    """Nothing says which archive is meant."""
    return ConfigError(
        "no archive is configured",
        expected="archive.path, or the folder of an archive",
        found="none",
        remedy="Name one, or the configuration with --config",
    )


def to_json(config: FeedConfig) -> bytes:
    """The resolved configuration, to hand to a child process."""
    return msgspec.json.encode(config)


def from_json(text: bytes | str) -> FeedConfig:
    """What `to_json` wrote. Raises ConfigError."""
    try:
        return msgspec.json.decode(text, type=FeedConfig)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError(f"not a configuration of this version: {error}") from None


_LONG_UNITS = {"min": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}


def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as "13.4us"; fractions of a nanosecond are rounded. Raises ConfigError."""
    return _scaled(
        text,
        Duration,
        {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, **_LONG_UNITS},
    )


def size_bytes(text: str) -> int:
    """Bytes of a size such as "256MiB"; KiB MiB GiB TiB are powers of 1024, kB MB GB TB of 1000. Raises ConfigError."""
    binary = {f"{letter}iB": 1024**n for n, letter in enumerate("KMGT", 1)}
    decimal = {f"{letter}B": 1000**n for n, letter in enumerate("kMGT", 1)}
    return _scaled(text, Size, {"B": 1, **binary, **decimal})


def _scaled(text: str, allowed: Any, units: Mapping[str, int]) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s?(\S+)", text)
    if match is None or match[2] not in units:
        raise ConfigError("not understood", expected=tables.allowed_text(allowed), found=repr(text))
    return round(Decimal(match[1]) * units[match[2]])


# --- layers, derived values, faults that no single key has ---------------------------

_DEFAULT_NAMES: dict[tuple[str, ...], dict[str, Any]] = {
    ("source",): {"sim": {"kind": "sim"}},
    ("publish",): {"tcp": {"kind": "zmq"}, "ipc": {"kind": "zmq"}},
    ("latency", "targets"): {"p50": "13.4us", "p99": "100us"},
}


def _resolve(
    path: Path | None, environ: Mapping[str, str], sets: Sequence[str], base: Mapping[str, Any] | None
) -> tuple[FeedConfig | None, list[ConfigError]]:
    document: tables.Document = {}
    if path is not None:
        try:
            document = tables.wrap(tomllib.loads(path.read_text(encoding="utf-8")), f"{path}: ")
        except OSError as error:
            return None, [ConfigError(f"can't be read: {error.strerror}", where=str(path))]
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            return None, [ConfigError(f"is not TOML: {error}", where=str(path))]
    for key, table in tables.wrap(base or {}, "").items():
        below = document.get(key)
        document[key] = {**below, **table} if isinstance(below, dict) and key != "source" else table
    for (*parents, last), names in _DEFAULT_NAMES.items():
        at: Any = document
        for part in parents:
            at = at.setdefault(part, {}) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at.setdefault(last, tables.wrap(names, ""))
    settings, errors = tables.overlays(environ, sets, "TICKCAST")
    if root := environ.get("TICKCAST_LOG_ROOT"):  # the bots' name for log.root; everything else has two underscores
        settings.insert(0, (("log", "root"), tables.Given(root, "TICKCAST_LOG_ROOT: ", text=True)))
    errors += filter(None, [tables.put(document, key, given) for key, given in settings])
    _fold_python(document)
    config = tables.build(FeedConfig, document, "", errors)
    if config is None:
        return None, errors
    config = _derived(config)
    errors += _faults(config, lambda key: tables.where(document, key))
    return config, errors


def _derived(config: FeedConfig) -> FeedConfig:
    log = msgspec.structs.replace(config.log, root=config.log.root or DEFAULT_ROOT)
    config = msgspec.structs.replace(config, log=log)
    publish = {name: _with_endpoint(name, each, config.directory) for name, each in config.publish.items()}
    source = {name: _with_entrance(each, config.directory) for name, each in config.source.items()}
    return msgspec.structs.replace(config, publish=publish, source=source)


def _fold_python(document: tables.Document) -> None:
    """Tables of kind "python:..." as the struct has them: the class, and all other keys as its settings."""
    sources = document.get("source")
    if not isinstance(sources, dict):
        return
    for name, table in sources.items():
        kind = table.get("kind") if isinstance(table, dict) else None
        if not isinstance(kind, tables.Given) or not str(kind.value).startswith("python:"):
            continue
        settings = tables.plain({key: value for key, value in table.items() if key != "kind"})
        sources[name] = {
            "kind": tables.Given("python", kind.origin),
            "class": tables.Given(kind.value.removeprefix("python:"), kind.origin),
            "settings": tables.Given(settings, kind.origin),
        }


def _with_entrance(source: SourceConfig, directory: Path) -> SourceConfig:
    if not isinstance(source, PushConfig):
        return source
    return msgspec.structs.replace(source, endpoint=source.endpoint or f"ipc://{directory}/push")


def _with_endpoint(name: str, publisher: PublishConfig, directory: Path) -> PublishConfig:
    derived = "tcp://127.0.0.1:5551" if name == "tcp" else f"ipc://{directory}/{name}"
    return msgspec.structs.replace(publisher, endpoint=publisher.endpoint or derived)


def _faults(config: FeedConfig, where: Callable[[str], str]) -> Iterator[ConfigError]:
    yield from _log_faults(config, where)
    yield from _control_faults(config, where)
    yield from _endpoint_faults(config, where)
    yield from _source_faults(config, where)
    yield from _archive_faults(config, where)
    try:
        roll.Roll.parse(config.feed.roll, where=where("feed.roll"))
    except ConfigError as error:
        yield error
    for name, text in config.latency.targets.items():
        key = where(f"latency.targets.{name}")
        if not re.fullmatch(r"p\d{2,6}", name) or not int(name[1:]):
            yield ConfigError(
                "not a quantile", expected="p50, p90, p99, p999 and the like", found=repr(name), where=key
            )
        elif duration_ns(text) < 1:
            yield ConfigError("not a target", expected="at least 1ns", found=repr(text), where=key)


def _control_faults(config: FeedConfig, where: Callable[[str], str]) -> Iterator[ConfigError]:
    if size_bytes(config.control.replay_bytes_per_s) < 1 << 20:
        yield ConfigError(
            "not a rate that a bot can catch up with",
            expected="at least 1MiB",
            found=repr(config.control.replay_bytes_per_s),
            where=where("control.replay_bytes_per_s"),
        )


def _log_faults(config: FeedConfig, where: Callable[[str], str]) -> Iterator[ConfigError]:
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


def _endpoint_faults(config: FeedConfig, where: Callable[[str], str]) -> Iterator[ConfigError]:
    texts: dict[str, str] = {"control.endpoint": config.control.endpoint}
    if config.monitor.endpoint:
        texts["monitor.endpoint"] = config.monitor.endpoint
    for name, publisher in config.publish.items():
        if name == "control":
            yield ConfigError("not a publisher's name", expected="another", found="'control'", where="publish.control")
        texts[f"publish.{name}.endpoint"] = publisher.endpoint
        if publisher.firehose:
            texts[f"publish.{name}.firehose"] = publisher.firehose
    for name, source in config.source.items():
        if isinstance(source, PushConfig):
            texts[f"source.{name}.endpoint"] = source.endpoint
            if source.tcp:
                texts[f"source.{name}.tcp"] = source.tcp
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


def _source_faults(config: FeedConfig, where: Callable[[str], str]) -> Iterator[ConfigError]:
    for name, source in config.source.items():
        if isinstance(source, ReplayConfig):
            key = where(f"source.{name}.files")
            if not source.files:
                yield ConfigError("names no file", expected="at least one DBN file", found="[]", where=key)
            for file in source.files:
                if not Path(file).is_file():
                    yield ConfigError("no such file", expected="a DBN file", found=repr(file), where=key)
        elif isinstance(source, ArchiveReplayConfig):
            yield from _played_archive_faults(config, f"source.{name}", source, where)
        elif isinstance(source, ItchConfig):
            yield from _itch_faults(f"source.{name}", source, where)
        elif isinstance(source, PythonConfig):
            try:
                cls = classes.find(source.class_, where(f"source.{name}.kind"))
                classes.settings_of(cls, source.settings, f"source.{name}")
            except ConfigError as error:
                yield error
        elif isinstance(source, PushConfig):
            yield from _push_faults(config, f"source.{name}", source, where)
    for (first, one), (second, other) in combinations(config.source.items(), 2):
        clash = _same_topics(one, other)
        if clash:
            yield ConfigError(
                "two sources for one topic: their sequences would mix",
                expected="each topic from one source",
                found=f"{clash}, which source.{first} has too",
                where=where(f"source.{second}"),
                remedy="Leave one out, or run it as a feed of its own with another feed.name",
            )


def _itch_faults(table: str, source: ItchConfig, where: Callable[[str], str]) -> Iterator[ConfigError]:
    key = where(f"{table}.files")
    if not source.files:
        yield ConfigError("names no file", expected="at least one ITCH file", found="[]", where=key)
    for file in source.files:
        if not Path(file).is_file():
            yield ConfigError("no such file", expected="an ITCH file", found=repr(file), where=key)
        elif date_of_name(Path(file).name) is None and not source.date:
            yield ConfigError(
                "nothing says of which day the file is",
                expected="a name such as 01302020.NASDAQ_ITCH50, or a date",
                found=repr(file),
                where=where(f"{table}.date"),
            )
    if source.date:
        try:
            datetime.date.fromisoformat(source.date)
        except ValueError:
            yield ConfigError(
                "not a date", expected="such as 2020-01-30", found=repr(source.date), where=where(f"{table}.date")
            )


def _push_faults(
    config: FeedConfig, table: str, source: PushConfig, where: Callable[[str], str]
) -> Iterator[ConfigError]:
    if not 1 << 16 <= size_bytes(source.window) <= 1 << 30:
        yield ConfigError(
            "not a window", expected="64KiB to 1GiB", found=repr(source.window), where=where(f"{table}.window")
        )
    if source.topics > config.log.max_topics:
        yield ConfigError(
            "more topics than the log has room for",
            expected=f"at most log.max_topics, {config.log.max_topics:,}",
            found=f"{source.topics:,}",
            where=where(f"{table}.topics"),
        )
    if source.tcp and not source.tcp.startswith("tcp://"):
        yield ConfigError(
            "not a TCP address", expected='"tcp://HOST:PORT"', found=repr(source.tcp), where=where(f"{table}.tcp")
        )


def _played_archive_faults(
    config: FeedConfig, table: str, source: ArchiveReplayConfig, where: Callable[[str], str]
) -> Iterator[ConfigError]:
    folder, own = Path(source.path), config.archive_directory
    if not folder.is_dir():
        yield ConfigError(
            "no such folder", expected="a feed's archive", found=repr(source.path), where=where(f"{table}.path")
        )
    elif own is not None and folder.resolve() in {own.resolve(), own.parent.resolve()}:
        yield ConfigError(
            "a feed can't play the archive that it writes",
            found=repr(source.path),
            where=where(f"{table}.path"),
            remedy="Give this feed another feed.name or archive.path, or none",
        )
    for key, text in (("from", source.from_), ("to", source.to)):
        try:
            Position.parse(text, where=where(f"{table}.{key}"))
        except ConfigError as error:
            yield error


def _archive_faults(config: FeedConfig, where: Callable[[str], str]) -> Iterator[ConfigError]:
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


def _same_topics(one: SourceConfig, other: SourceConfig) -> str | None:
    """What two sources certainly share, as far as their settings tell; only running them tells everything."""
    if isinstance(one, SimConfig) and isinstance(other, SimConfig):
        return "the simulator's symbols"
    if isinstance(one, ReplayConfig) and isinstance(other, ReplayConfig):
        return None if _apart(one.schemas, other.schemas) else _same_file(one.files, other.files)
    if isinstance(one, ArchiveReplayConfig) and isinstance(other, ArchiveReplayConfig):
        if _apart(one.schemas, other.schemas) or _apart(one.symbols, other.symbols):
            return None
        return f"the archive {one.path}" if Path(one.path).resolve() == Path(other.path).resolve() else None
    if isinstance(one, ItchConfig) and isinstance(other, ItchConfig):
        apart = _apart(one.schemas, other.schemas) or _apart(one.symbols, other.symbols)
        return None if apart else _same_file(one.files, other.files)
    return None


def _apart(one: Sequence[str], other: Sequence[str]) -> bool:
    """Have two choices nothing in common? Empty is all."""
    return bool(one) and bool(other) and not set(one) & set(other)


def _same_file(one: Sequence[str], other: Sequence[str]) -> str | None:
    files = {Path(file).resolve() for file in one} & {Path(file).resolve() for file in other}
    return f"the file {min(files)}" if files else None
