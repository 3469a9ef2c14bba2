"""ZMTP 3.x as it lies in a stream of bytes, without I/O: where the greeting, commands and messages end.

    greeting   64 octets: signature (10), version (2), mechanism (20), as-server (1), filler (31)
    frame      flags (1): bit 0 more, bit 1 long, bit 2 command · length (1, or 8 big-endian if long) · body
    message    frames with the bit `more`, and one without

Under the mechanism NULL nothing else is to be known. Specification: ZeroMQ RFC 23 (ZMTP 3.0) and 37 (3.1), section
"Framing".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from feed.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GREETING_BYTES", "Splitter", "body", "is_message", "mapped"]

GREETING_BYTES = 64
MORE, LONG, COMMAND = 1, 2, 4
PIECE_BYTES_MAX = 256 << 20

_long = struct.Struct(">Q")


class Splitter:
    """Cuts one direction of a connection into pieces: whole commands and whole messages, headers and all.

    `greeting` is what of the last bytes still belonged to the greeting. It has to travel on as it comes: a peer waits
    for the first half of it before it says the second.
    """

    def __init__(self) -> None:
        self.greeting = b""
        self._greeting_left = GREETING_BYTES
        self._waiting = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of a piece that is not whole yet."""
        return len(self._waiting)

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that are whole with these bytes.

        :raises WireError: this is no ZMTP 3.
        """
        self.greeting = b""
        if self._greeting_left:
            self.greeting = data[: self._greeting_left]
            data = data[self._greeting_left :]
            self._check(self.greeting)
            self._greeting_left -= len(self.greeting)
        if self._waiting:
            self._waiting += data
            data = bytes(self._waiting)
        pieces, end = _pieces(data)
        self._waiting = bytearray(data[end:])
        return pieces

    def _check(self, part: bytes) -> None:
        at = GREETING_BYTES - self._greeting_left
        for offset, allowed in ((0, b"\xff"), (10, b"\x03")):
            if at <= offset < at + len(part) and part[offset - at : offset - at + 1] != allowed:
                raise WireError(
                    "this is no ZMTP 3", expected=allowed.hex(), found=part[offset - at], where=f"greeting, {offset}"
                )


def _pieces(data: bytes) -> tuple[list[bytes], int]:
    """The whole pieces at the head of `data`, and where they end."""
    pieces: list[bytes] = []
    size = len(data)
    begin = at = 0  # of the piece, of the frame
    while at + 2 <= size:
        flags = data[at]
        if flags & LONG:
            if at + 9 > size:
                break
            (length,) = _long.unpack_from(data, at + 1)
            if length > PIECE_BYTES_MAX:
                raise WireError("a frame is too long", expected=f"at most {PIECE_BYTES_MAX} bytes", found=length)
            end = at + 9 + length
        else:
            end = at + 2 + data[at + 1]
        if end > size:
            break
        at = end
        if not flags & MORE:
            pieces.append(data[begin:end])
            begin = end
    return pieces, begin


def is_message(piece: bytes) -> bool:
    """Is it a message? Else it is a command: the handshake, PING, PONG."""
    return not piece[0] & COMMAND


def body(piece: bytes) -> memoryview:
    """What the first frame of a piece carries."""
    if piece[0] & LONG:
        return memoryview(piece)[9 : 9 + _long.unpack_from(piece, 1)[0]]
    return memoryview(piece)[2 : 2 + piece[1]]


def mapped(piece: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A message whose frames carry what `change` makes of what they carried."""
    made = []
    at = 0
    changed = False
    while at < len(piece):
        before = body(piece[at:])
        after = change(bytes(before))
        changed = changed or after != before
        made.append(_frame(piece[at] & MORE, after))
        at += (9 if piece[at] & LONG else 2) + len(before)
    return b"".join(made) if changed else piece


def _frame(flags: int, content: bytes) -> bytes:
    if len(content) > 255:
        return bytes([flags | LONG]) + _long.pack(len(content)) + content
    return bytes([flags, len(content)]) + content
