"""What a pusher and the feed say to each other: one ZeroMQ message of one frame each, little-endian. Sans-IO.

The words, the rules and a worked example: feed/sources/PUSH.md. Here stand the bytes.

A pusher's message is 24 bytes and a body:

| offset | type | field | meaning |
|---|---|---|---|
| 0 | u8 | magic | 0x50 |
| 1 | u8 | version | 1 |
| 2 | u8 | kind | 1 hello, 2 records, 3 JSON |
| 3 | u8 | again | hello: 1 if this session has said hello before; else 0 |
| 4 | u32 | count | records in the body, 1 to 65,535; hello: a number of its own, which the answer repeats |
| 8 | u64 | session | of this run of the pusher, any number but 0 |
| 16 | u64 | seq | the first record's number, from 1; hello: up to where the pusher knows its records committed |
| 24 | | body | hello: the pusher's name, 1 to 31 letters, digits, _ . - |

A body of records: u16 symbols S, 1 to 65,535; S times {u8 bytes, symbol}; if S > 1, count times {u16 which of them,
from 0}; then `count` records of DBN v3, end to end. A body of JSON: an array of `count` objects with ``schema``,
``symbol`` and fields of feed/wire/fields.py.

An answer is 40 bytes; a refusal has 16 and a text more:

| offset | type | field | meaning |
|---|---|---|---|
| 0 | u8 | magic | 0x50 |
| 1 | u8 | version | 1 |
| 2 | u8 | kind | 17 welcome, 18 acknowledged, 19 refused, 20 again, 21 replaced |
| 3 | u8 | hello | welcome: the low byte of the hello's number; else 0 |
| 4 | u32 | window | bytes of messages that may be without acknowledgement |
| 8 | u64 | committed | every record up to this one is in the log, or was refused |
| 16 | u64 | received | every record up to this one need not be sent again on this connection |
| 24 | u64 | refused | how many of this pusher's records were refused, ever |
| 32 | u64 | epoch | of the log |
| 40 | u64 | first | refused: number of the first record of the message |
| 48 | u32 | count | refused: how many records went with it |
| 52 | u32 | at | refused: which record was at fault, from 0 |
| 56 | | text | refused: why, UTF-8; begins with one of REASONS and a colon |
"""

from __future__ import annotations

import re
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from feed.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ANSWER_BYTES",
    "HEADER_BYTES",
    "MESSAGE_BYTES_MAX",
    "NAME",
    "REASONS",
    "RECORDS_MAX",
    "Answer",
    "Kind",
    "Message",
    "answer",
    "body",
    "message",
    "parse_answer",
    "parse_message",
]

MAGIC = 0x50
VERSION = 1
MESSAGE_BYTES_MAX = 1 << 20
"""A longer message is refused."""

RECORDS_MAX = 65_535
NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.-]{0,30}")

REASONS = (
    "malformed",
    "too_large",
    "wrong_length",
    "unknown_rtype",
    "bad_symbol",
    "bad_json",
    "topic_refused",
)
"""Why a message is refused: no message of this protocol; longer than 1 MiB; a record's length byte is not its schema's;
an rtype that no schema carries; not a symbol; no JSON of ticks; no room for a new topic."""

_MESSAGE = struct.Struct("<BBBBIQQ")
_ANSWER = struct.Struct("<BBBBIQQQQ")
_REFUSAL = struct.Struct("<QII")
HEADER_BYTES = _MESSAGE.size
ANSWER_BYTES = _ANSWER.size
assert (HEADER_BYTES, ANSWER_BYTES, _REFUSAL.size) == (24, 40, 16)


class Kind(IntEnum):
    """What a message is."""

    HELLO = 1
    RECORDS = 2
    JSON = 3
    WELCOME = 17
    ACKNOWLEDGED = 18
    REFUSED = 19
    AGAIN = 20
    """Unknown on this connection, or a record before it is missing: say hello, and send again what is not received."""
    REPLACED = 21
    """Another session goes by this name: be quiet."""


class Message(NamedTuple):
    """A pusher's message without its body."""

    kind: Kind
    again: bool
    records: int
    session: int
    seq: int


class Answer(NamedTuple):
    """A feed's answer; the last four only where it is a refusal."""

    kind: Kind
    hello: int
    window: int
    committed: int
    received: int
    refused: int
    epoch: int
    first: int = 0
    records: int = 0
    at: int = 0
    text: str = ""


def message(kind: Kind, count: int, session: int, seq: int, content: bytes = b"", *, again: bool = False) -> bytes:
    """A pusher's message."""
    return _MESSAGE.pack(MAGIC, VERSION, kind, again, count, session, seq) + content


def parse_message(data: bytes) -> Message:
    """The header of a pusher's message. Raises WireError."""
    if len(data) < HEADER_BYTES:
        raise WireError("too short", expected=f"at least {HEADER_BYTES} bytes", found=len(data))
    magic, version, kind, again, count, session, seq = _MESSAGE.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise WireError("no message of a pusher", expected="bytes 0x50 0x01", found=data[:2].hex(" "))
    if kind not in _ASKED:
        raise WireError("an unknown kind of message", expected="1, 2 or 3", found=kind)
    return Message(Kind(kind), bool(again), count, session, seq)


def body(symbols: Sequence[bytes], which: bytes, records: bytes | bytearray) -> bytes:
    """A body of records; `which`: u16 for each record, empty where there is one symbol."""
    table = b"".join(bytes((len(symbol),)) + symbol for symbol in symbols)
    return b"".join((len(symbols).to_bytes(2, "little"), table, which, records))


def answer(told: Answer) -> bytes:
    """The bytes of an answer."""
    head = _ANSWER.pack(MAGIC, VERSION, *told[:7])
    if told.kind != Kind.REFUSED:
        return head
    return head + _REFUSAL.pack(told.first, told.records, told.at) + told.text.encode("utf-8", "replace")


def parse_answer(data: bytes) -> Answer:
    """What the feed said. Raises WireError."""
    if len(data) < ANSWER_BYTES or data[0] != MAGIC or data[1] != VERSION or data[2] not in _TOLD:
        raise WireError("no answer to a pusher", expected="bytes 0x50 0x01 and a known kind", found=data[:4].hex(" "))
    _, _, kind, hello, *figures = _ANSWER.unpack_from(data)
    if kind != Kind.REFUSED:
        return Answer(Kind(kind), hello, *figures)
    if len(data) < ANSWER_BYTES + _REFUSAL.size:
        raise WireError("a refusal is cut off", expected="at least 56 bytes", found=len(data))
    text = data[ANSWER_BYTES + _REFUSAL.size :].decode("utf-8", "replace")
    first, records, at = _REFUSAL.unpack_from(data, ANSWER_BYTES)
    return Answer(Kind(kind), hello, *figures)._replace(first=first, records=records, at=at, text=text)


_ASKED = frozenset((Kind.HELLO, Kind.RECORDS, Kind.JSON))
_TOLD = frozenset(Kind) - _ASKED
