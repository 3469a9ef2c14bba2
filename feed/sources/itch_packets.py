"""Captures of the network (pcap, pcapng; gzip or not): the MoldUDP64 datagrams in them, as ITCH messages in order."""

from __future__ import annotations

import gzip
import socket
import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import dpkt

from feed.errors import SourceError
from feed.normalize.itch_lines import ItchLines
from feed.sources.mold_sessions import MoldSessions

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from feed.sources.itch_books import ItchBooks

__all__ = ["ItchPackets", "is_capture", "udp_payload"]

_MAGICS: Final = (
    b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a"
)  # fmt: skip
_GZIP_MAGIC: Final = b"\x1f\x8b"
_LINES: Final = 4
_PACKETS_AT_ONCE: Final = 256
_FULL_BYTES: Final = 1 << 20
_GIVE_UP_NS: Final = 1_000_000_000
"""Of the capture's time: how long the other line may be behind."""

_NEVER: Final = (1 << 64) - 1
_FAR_NS: Final = 1 << 62
_ETHERNET, _RAW, _LOOP, _COOKED, _COOKED2 = 1, (12, 14, 101), (0, 108), 113, 276
_IPV4, _VLANS = 0x0800, (0x8100, 0x88A8)
_UDP = 17


def is_capture(path: Path) -> bool:
    """Does this file begin as pcap or pcapng do, unpacked if need be?"""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if packed else raw as file:
                return file.read(4) in _MAGICS
    except (OSError, EOFError, zlib.error):
        return False


def udp_payload(packet: bytes, link: int) -> tuple[bytes, int, memoryview] | str:
    """Destination address, port and content of the UDP datagram in a captured packet, or in a word why there is none.

    `link`: how its first bytes are to be read, LINKTYPE_ of pcap: Ethernet, with VLAN tags or without, Linux cooked,
    none."""
    view = memoryview(packet)
    try:
        if link == _ETHERNET:
            at, kind = 14, int.from_bytes(view[12:14], "big")
            while kind in _VLANS:
                at, kind = at + 4, int.from_bytes(view[at + 2 : at + 4], "big")
        elif link == _COOKED:
            at, kind = 16, int.from_bytes(view[14:16], "big")
        elif link == _COOKED2:
            at, kind = 20, int.from_bytes(view[0:2], "big")
        elif link in _RAW:
            at, kind = 0, _IPV4
        elif link in _LOOP:
            at, kind = 4, _IPV4
        else:
            return "unknown_link"
        if kind != _IPV4 or view[at] >> 4 != 4 or view[at + 9] != _UDP:
            return "not_udp"
        if int.from_bytes(view[at + 6 : at + 8], "big") & 0x3FFF:
            return "fragment"
        end = at + int.from_bytes(view[at + 2 : at + 4], "big")
        udp = at + 4 * (view[at] & 15)
        length = int.from_bytes(view[udp + 4 : udp + 6], "big")
        if length < 8 or udp + length > end or end > len(view):
            return "cut_packet"
        return (
            bytes(view[at + 16 : at + 20]),
            int.from_bytes(view[udp + 2 : udp + 4], "big"),
            view[udp + 8 : udp + length],
        )
    except IndexError:
        return "cut_packet"


class ItchPackets:
    """Captures one after the other into `books`, whose frames take packets. ``path`` is the one that is open.

    `groups`: as HOST:PORT, only what was sent there; none: every UDP datagram. Lines are told apart by where they were
    sent to. What is no datagram of MoldUDP64 is counted and left out. Methods raise SourceError.
    """

    def __init__(self, books: ItchBooks, groups: Sequence[str]) -> None:
        self.path: Path | None = None
        self.file_bytes = 0
        self._books = books
        self._frames = books.frames
        self._lines = ItchLines(books.frames, _LINES)
        self._sessions = MoldSessions(self._lines, books.tally)
        self._groups = {
            (socket.inet_aton(host), int(port)) for host, _, port in (group.rpartition(":") for group in groups)
        }
        self._line_of: dict[tuple[bytes, int], int] = {}
        self._day: datetime.date | None = None
        self._raw: BinaryIO | None = None
        self._link = 0
        self._packets: Iterator[tuple[Any, bytes]] = iter(())
        self._now_ns = 0
        self._told = False
        self._left_out: dict[str, int] = {}

    @property
    def read_bytes(self) -> int:
        return self._raw.tell() if self._raw is not None else self.file_bytes

    def open(self, path: Path, day: datetime.date) -> None:
        """The next capture, of that day: one of another day begins a session anew."""
        self.close()
        self.path = path
        if day != self._day:
            self._day = day
            self._lines = ItchLines(self._frames, _LINES)
            self._sessions = MoldSessions(self._lines, self._books.tally)
        try:
            self._raw = path.open("rb")
            self.file_bytes = self._raw.seek(0, 2)
            self._raw.seek(0)
            packed = self._raw.read(2) == _GZIP_MAGIC
            self._raw.seek(0)
            reader = dpkt.pcap.UniversalReader(gzip.GzipFile(fileobj=self._raw) if packed else self._raw)
            self._link = reader.datalink()
            self._packets = iter(reader)
        except _BROKEN as error:
            broken = self._broken(error)
            self.close()
            raise broken from error

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self._raw = None
        self._packets = iter(())

    def more(self, *, last: bool) -> bool:
        """More messages into the frames, with those before dealt with; False: this capture has none left.

        `last`: none of this day follows; then what is missing is waited for no more.
        """
        self._lines.release()
        if self._frames.left:
            return True
        if self._sessions.changes:
            self._begin()
            return True
        if lost := self._lines.lost:
            self._books.tally.rejected("lost_messages", lost)
            self._lines.skip()
            return True
        try:
            for _ in range(_PACKETS_AT_ONCE):
                if self._frames.left > _FULL_BYTES or self._sessions.changes:
                    break
                stamped = next(self._packets, None)
                if stamped is None:
                    return self._frames.left > 0 or (last and self._lines.arbiter.give_up(_NEVER) > 0)
                self._take(*stamped)
        except _BROKEN as error:
            raise self._broken(error) from error
        finally:
            self._lines.arbiter.give_up(max(0, self._now_ns - _GIVE_UP_NS))
            self._count()
        return True

    def _take(self, stamp: Any, packet: bytes) -> None:
        found = udp_payload(packet, self._link)
        if isinstance(found, str):
            self._left_out[found] = self._left_out.get(found, 0) + 1
            return
        host, port, payload = found
        if self._groups and (host, port) not in self._groups:
            self._left_out["other_group"] = self._left_out.get("other_group", 0) + 1
            return
        self._now_ns = max(self._now_ns, min(int(stamp * 1_000_000_000), _FAR_NS))
        line = self._line_of.setdefault((host, port), min(len(self._line_of), _LINES - 1))
        if self._lines.take(line, payload, self._now_ns):
            self._sessions.other(line, bytes(payload))

    def _begin(self) -> None:
        if self._sessions.began and not self._told:
            self._told = True
            self._frames.skip(self._frames.messages + 1)  # nobody may take the old books for right
            return
        self._told = False
        again = self._sessions.began
        _, first, kept = self._sessions.take()
        assert self._day is not None
        if again:
            self._books.begin(self._day)
        self._lines.begin(_, first)
        self._frames.number(first)
        if first > 1:
            self._books.tally.rejected("lost_messages", first - 1)
            self._frames.skip(first)
        for line, datagram in kept:
            self._lines.take(line, datagram, self._now_ns)

    def _count(self) -> None:
        for reason, n in (*self._left_out.items(), *self._lines.take_rejected()):
            self._books.tally.rejected(reason, n)
        self._left_out.clear()

    def _broken(self, error: Exception) -> SourceError:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            return SourceError("the file cannot be read", found=error.strerror or str(error), where=str(self.path))
        return SourceError(
            "the capture is damaged or cut off", found=str(error) or type(error).__name__,
            where=f"{self.path}, before byte {self.read_bytes}",
        )  # fmt: skip


_BROKEN: Final = (OSError, EOFError, ValueError, struct.error, zlib.error, dpkt.Error)
