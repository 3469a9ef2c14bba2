"""What a setting may be: durations, sizes, names; and the base of every table."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from feed import tables
from feed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Age",
    "Cpu",
    "Duration",
    "Idle",
    "KindTable",
    "Name",
    "Quota",
    "SchemaWord",
    "Size",
    "Speed",
    "Table",
    "duration_ns",
    "size_bytes",
]

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


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table."""


class KindTable(Table, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of a table that says its ``kind``. ``usual``: what a table is that says none."""

    usual: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


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
