"""Where a feed's own multicast (`mold`) goes: lines that carry the same packets, and groups that divide the symbols.

An address says all that a receiver needs, so a directory hands on its text:

    mold://[INTERFACE;]GROUP:PORT[,[INTERFACE;]GROUP:PORT][?shards=N][&list=A,B*...][&requests=HOST:PORT]

Each GROUP stands for the first shard of a line; shard i has the group that many further, on the same port. A symbol
is in the shard of the first `list` that has it, else in the last one; without lists in CRC-32 of the symbol modulo
`shards`.
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from feed.errors import ConfigError
from feed.multicast import check_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["SCHEME", "SHARDS_MAX", "Line", "MoldAddress", "Shards", "check_shards", "parse_line", "parse_mold"]

SCHEME = "mold://"
SHARDS_MAX = 64
LINES_MAX = 2
_ALLOWED = '"[INTERFACE;]GROUP:PORT" such as "eth0;239.192.7.1:5560"'
_PATTERN = re.compile(r"[ -)+\-->@-{}~]{1,71}\*?|\*")
_LINE = re.compile(r"(?:(?P<interface>[A-Za-z0-9_.@-]{1,15});)?(?P<group>[0-9.]{7,15}):(?P<port>\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One way on which all packets go: over an interface (name or address; "": the one that leads there)."""

    interface: str
    group: str
    port: int

    def __str__(self) -> str:
        interface = f"{self.interface};" if self.interface else ""
        return f"{interface}{self.group}:{self.port}"

    def shard(self, number: int) -> str:
        """The group of a shard."""
        return str(ipaddress.IPv4Address(self.group) + number)


@dataclass(frozen=True, slots=True)
class Shards:
    """Which shard a symbol is in."""

    count: int = 1
    lists: tuple[tuple[str, ...], ...] = ()

    def of(self, symbol: str) -> int:
        """The shard of a symbol; the same on every host and in every version."""
        if not self.lists:
            return zlib.crc32(symbol.encode("ascii")) % self.count
        named = (i for i, texts in enumerate(self.lists) if any(_matches(text, symbol) for text in texts))
        return next(named, self.count - 1)

    def of_patterns(self, patterns: Iterable[str]) -> list[int]:
        """The shards in which there may be symbols of any of `patterns`: names, beginnings (``ES*``), ``*``."""
        found: set[int] = set()
        for pattern in patterns:
            if not pattern.endswith("*"):
                found.add(self.of(pattern))
            elif not self.lists:
                found.update(range(self.count))
            else:
                found.add(self.count - 1)
                found.update(i for i, texts in enumerate(self.lists) if any(_meet(pattern, text) for text in texts))
        return sorted(found)


@dataclass(frozen=True, slots=True)
class MoldAddress:
    """One or two lines, the shards, and where missing messages are asked for ("": nowhere)."""

    lines: tuple[Line, ...]
    shards: Shards = Shards()
    requests: str = ""

    def __str__(self) -> str:
        query = [f"shards={self.shards.count}"] if self.shards.count > 1 and not self.shards.lists else []
        query += ["list=" + ",".join(quote(text, safe="*") for text in named) for named in self.shards.lists]
        query += [f"requests={self.requests}"] if self.requests else []
        return SCHEME + ",".join(map(str, self.lines)) + ("?" + "&".join(query) if query else "")

    @property
    def loopback(self) -> bool:
        """Does it stay on this host?"""
        return all(line.interface == "lo" or line.interface.startswith("127.") for line in self.lines)

    def over(self, interfaces: Sequence[str]) -> MoldAddress:
        """The same over other interfaces, one for each line or one for all."""
        if len(interfaces) not in (1, len(self.lines)):
            raise ConfigError(
                "as many interfaces as lines", expected=f"1 or {len(self.lines)}", found=", ".join(interfaces)
            )
        names = list(interfaces) * len(self.lines) if len(interfaces) == 1 else interfaces
        lines = tuple(replace(line, interface=name) for line, name in zip(self.lines, names, strict=False))
        return replace(self, lines=lines)


def parse_line(text: str, *, where: str | None = None, shards: int = 1) -> Line:
    """Read a line whose shards all have a group. Raises ConfigError naming what is allowed."""
    match = _LINE.fullmatch(text)
    if match is None:
        raise ConfigError("not a multicast line", expected=_ALLOWED, found=repr(text), where=where)
    port = int(match["port"])
    if not 1 <= port <= 65_535:
        raise ConfigError("no such port", expected="1 to 65535", found=port, where=where)
    line = Line(match["interface"] or "", check_group(match["group"], where=where), port)
    check_group(line.shard(shards - 1), where=where)
    return line


def parse_mold(text: str, *, where: str | None = None) -> MoldAddress:
    """Read an address. Raises ConfigError naming what is allowed."""
    if not text.startswith(SCHEME):
        raise ConfigError("not an address of mold", expected=f"{SCHEME}{_ALLOWED}", found=repr(text), where=where)
    place, _, query = text.removeprefix(SCHEME).partition("?")
    lists: list[tuple[str, ...]] = []
    count, requests = 1, ""
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "list":
            lists.append(tuple(filter(None, value.split(","))))
        elif key == "shards" and value.isdecimal():
            count = int(value)
        elif key == "requests" and re.fullmatch(r"[A-Za-z0-9._*-]+:\d{1,5}", value):
            requests = value
        else:
            raise ConfigError("not an address of mold", found=f"{key}={value}", where=where)
    shards = check_shards(len(lists) + 1 if lists else count, lists, where=where)
    lines = tuple(parse_line(each, where=where, shards=shards.count) for each in place.split(","))
    if len(lines) > LINES_MAX or len(set(lines)) < len(lines):
        raise ConfigError("not the lines of one feed", expected="one or two, not the same", found=place, where=where)
    return MoldAddress(lines, shards, requests)


def check_shards(count: int, lists: Sequence[Sequence[str]], *, where: str | None = None) -> Shards:
    """Raises ConfigError for a number or a list that can't be."""
    if not 1 <= count <= SHARDS_MAX:
        raise ConfigError("not a number of shards", expected=f"1 to {SHARDS_MAX}", found=count, where=where)
    for text in (text for named in lists for text in named):
        if _PATTERN.fullmatch(text) is None:
            expected = "a symbol without a comma, or its beginning and *"
            raise ConfigError("not a symbol for a list", expected=expected, found=repr(text[:100]), where=where)
    return Shards(count, tuple(tuple(named) for named in lists))


def _matches(pattern: str, symbol: str) -> bool:
    return symbol.startswith(pattern[:-1]) if pattern.endswith("*") else symbol == pattern


def _meet(open_one: str, pattern: str) -> bool:
    """Is there a symbol that both may select?"""
    beginning, other = open_one[:-1], pattern.removesuffix("*")
    return other.startswith(beginning) or (pattern.endswith("*") and beginning.startswith(other))
