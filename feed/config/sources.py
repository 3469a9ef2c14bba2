"""[source.NAME]: where ticks come from, one table for each kind; what no single key shows to be wrong stands in its
`faults`.

To add a kind: write its struct here (or, for a family of venues, in a module of its own beside this one), add it to
SourceConfig in kinds.py and to `feed.supervisor`, and document its keys in config/feed.toml (a test compares them).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from feed import classes
from feed.config.validation import ValidateTable
from feed.config.values import Duration, KindTable, SchemaWord, Size, Speed, size_bytes
from feed.errors import ConfigError
from feed.position import Position

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from feed.config.feed import FeedConfig

__all__ = [
    "CAPTURE_SUFFIX",
    "ArchiveReplayConfig",
    "CaptureConfig",
    "LiveTable",
    "PacedTable",
    "PushConfig",
    "PythonConfig",
    "ReplayConfig",
    "SimConfig",
    "SourceTable",
    "SymbologyConfig",
    "Where",
    "apart",
    "same_file",
]

CAPTURE_SUFFIX = ".capture.zst"
"""Of the names of files that ``capture`` makes."""

Where = Callable[[str], str]
"""Of a key's path, with what set it: what errors show."""


class SourceTable(KindTable, frozen=True, kw_only=True):
    """Base of every source's table."""

    validate: ValidateTable = ValidateTable()

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        """What no single key shows; `table` is its path, ``source.NAME``."""
        return iter(())

    def addresses(self) -> dict[str, str]:
        """Key to address, for what it listens at."""
        return {}

    def derived(self, directory: Path) -> SourceTable:
        """With what follows from the feed's `directory` filled in."""
        return self

    def shared_with(self, other: SourceTable) -> str | None:
        """The topics that both certainly have, as far as settings tell; only running them tells everything."""
        return None


class LiveTable(SourceTable, frozen=True, kw_only=True):
    """Base of sources that listen to somebody. ``capture``: the folder that keeps all that comes in; "": none."""

    capture: str = ""

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        if self.capture and Path(self.capture).exists() and not Path(self.capture).is_dir():
            yield ConfigError(
                "not a folder", expected="a folder", found=repr(self.capture), where=where(f"{table}.capture")
            )


class SimConfig(SourceTable, frozen=True, kw_only=True, tag="sim"):
    """[source.NAME] kind = "sim": the simulator. ``rate`` in ticks/s, 0 is flat out; ``ticks`` 0 is endless."""

    symbols: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    rate: Annotated[float, msgspec.Meta(ge=0)] = 50_000.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 1
    arrivals: Literal["poisson", "bursty", "flat"] = "poisson"
    zipf: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0
    ticks: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    halts_per_million: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 1.0
    crossed: bool = False

    def shared_with(self, other: SourceTable) -> str | None:
        return "the simulator's symbols" if isinstance(other, SimConfig) else None


class PacedTable(SourceTable, frozen=True, kw_only=True):
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


class _PlayedTable(PacedTable, frozen=True, kw_only=True):
    """Base of sources that play normalised records. Empty ``schemas`` (and ``symbols``) is all of them."""

    schemas: list[SchemaWord] = msgspec.field(default_factory=list)


class ReplayConfig(_PlayedTable, frozen=True, kw_only=True, tag="replay"):
    """[source.NAME] kind = "replay": recorded DBN files, merged by time."""

    files: Annotated[list[str], "a list of DBN files"]

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        key = where(f"{table}.files")
        if not self.files:
            yield ConfigError("names no file", expected="at least one DBN file", found="[]", where=key)
        for file in self.files:
            if not Path(file).is_file():
                yield ConfigError("no such file", expected="a DBN file", found=repr(file), where=key)

    def shared_with(self, other: SourceTable) -> str | None:
        if not isinstance(other, ReplayConfig) or apart(self.schemas, other.schemas):
            return None
        return same_file(self.files, other.files)


class ArchiveReplayConfig(_PlayedTable, frozen=True, kw_only=True, tag="archive"):
    """[source.NAME] kind = "archive": what a feed's archive holds. ``from`` and ``to`` "" are its ends, else a time
    (ISO 8601, UTC where it names no zone; or ns since 1970) or a sequence number; ``epoch`` 0: all."""

    path: Annotated[str, "the folder of a feed's archive"]
    from_: str = msgspec.field(default="", name="from")
    to: str = ""
    symbols: list[str] = msgspec.field(default_factory=list)
    epoch: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        folder, own = Path(self.path), config.archive_directory
        if not folder.is_dir():
            yield ConfigError(
                "no such folder", expected="a feed's archive", found=repr(self.path), where=where(f"{table}.path")
            )
        elif own is not None and folder.resolve() in {own.resolve(), own.parent.resolve()}:
            yield ConfigError(
                "a feed can't play the archive that it writes",
                found=repr(self.path),
                where=where(f"{table}.path"),
                remedy="Give this feed another feed.name or archive.path, or none",
            )
        for key, text in (("from", self.from_), ("to", self.to)):
            try:
                Position.parse(text, where=where(f"{table}.{key}"))
            except ConfigError as error:
                yield error

    def shared_with(self, other: SourceTable) -> str | None:
        if not isinstance(other, ArchiveReplayConfig):
            return None
        if apart(self.schemas, other.schemas) or apart(self.symbols, other.symbols):
            return None
        return f"the archive {self.path}" if Path(self.path).resolve() == Path(other.path).resolve() else None


class CaptureConfig(PacedTable, frozen=True, kw_only=True, tag="capture"):
    """[source.NAME] kind = "capture": what ``capture`` of a live source kept, through that source's decoder once more,
    one file after the other."""

    files: Annotated[list[str], "a list of captures"]

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        key = where(f"{table}.files")
        if not self.files:
            yield ConfigError("names no file", expected="at least one capture", found="[]", where=key)
        for file in self.files:
            if not Path(file).is_file():
                yield ConfigError("no such file", expected="a capture", found=repr(file), where=key)

    def shared_with(self, other: SourceTable) -> str | None:
        return same_file(self.files, other.files) if isinstance(other, CaptureConfig) else None


class SymbologyConfig(SourceTable, frozen=True, kw_only=True, tag="symbology"):
    """[source.NAME] kind = "symbology": instruments, from TOML files (config/venues.toml) or DBN definitions.
    ``watch``: how often it is looked whether a file has changed; "0s": never."""

    files: Annotated[list[str], "a list of TOML or DBN files"]
    watch: Duration = "5s"

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        key = where(f"{table}.files")
        if not self.files:
            yield ConfigError("names no file", expected="at least one file of instruments", found="[]", where=key)
        for file in self.files:
            if not Path(file).is_file():
                yield ConfigError("no such file", expected="a file of instruments", found=repr(file), where=key)

    def shared_with(self, other: SourceTable) -> str | None:
        return same_file(self.files, other.files) if isinstance(other, SymbologyConfig) else None


class PushConfig(LiveTable, frozen=True, kw_only=True, tag="push"):
    """[source.NAME] kind = "push": your own processes (feed.push). ``endpoint`` "" is a socket by the log; ``tcp``
    another besides. ``window``: bytes that one pusher may have without acknowledgement; ``topics``: as many as all may
    name."""

    endpoint: str = ""
    tcp: str = ""
    window: Size = "4MiB"
    topics: Annotated[int, msgspec.Meta(ge=1, le=1 << 24)] = 65_536

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        yield from super().faults(table, config, where)
        if not 1 << 16 <= size_bytes(self.window) <= 1 << 30:
            yield ConfigError(
                "not a window", expected="64KiB to 1GiB", found=repr(self.window), where=where(f"{table}.window")
            )
        if self.topics > config.log.max_topics:
            yield ConfigError(
                "more topics than the log has room for",
                expected=f"at most log.max_topics, {config.log.max_topics:,}",
                found=f"{self.topics:,}",
                where=where(f"{table}.topics"),
            )
        if self.tcp and not self.tcp.startswith("tcp://"):
            yield ConfigError(
                "not a TCP address", expected='"tcp://HOST:PORT"', found=repr(self.tcp), where=where(f"{table}.tcp")
            )

    def addresses(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, **({"tcp": self.tcp} if self.tcp else {})}

    def derived(self, directory: Path) -> PushConfig:
        return msgspec.structs.replace(self, endpoint=self.endpoint or f"ipc://{directory}/push")


class PythonConfig(SourceTable, frozen=True, kw_only=True, tag="python"):
    """[source.NAME] kind = "python:package.module:Class": a class of your own (feed.sources.Source); the table's other
    keys are its constructor's arguments, ``settings`` here."""

    class_: Annotated[str, 'kind = "python:package.module:Class"'] = msgspec.field(name="class")
    settings: Annotated[dict[str, Any], "the arguments of the class"] = msgspec.field(default_factory=dict)

    def faults(self, table: str, config: FeedConfig, where: Where) -> Iterator[ConfigError]:
        try:
            cls = classes.find(self.class_, where(f"{table}.kind"))
            classes.settings_of(cls, self.settings, table)
        except ConfigError as error:
            yield error


def apart(one: Sequence[str], other: Sequence[str]) -> bool:
    """Have two choices nothing in common? Empty is all."""
    return bool(one) and bool(other) and not set(one) & set(other)


def same_file(one: Sequence[str], other: Sequence[str]) -> str | None:
    """The first file that both lists name."""
    files = {Path(file).resolve() for file in one} & {Path(file).resolve() for file in other}
    return f"the file {min(files)}" if files else None
