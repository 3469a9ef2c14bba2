"""Captures of crypto venues as messages, the same for all who take part: from lines ``ns {json}`` (plain or gzip), from
cryptofeed's recordings (lines ``seconds: {json}``), or from captures of our own sources.

Who takes part reads them from one file: u64 received (ns since 1970) · u32 length · bytes, little-endian. Kraken's
version 1 is put into the words of version 2 with all its digits, which is what its venue speaks today; of Binance only
updates of books and their snapshots count.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from feed.config import CAPTURE_SUFFIX
from feed.errors import SourceError
from feed.sources.capture import CaptureFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["instruments", "messages", "read", "write"]

_HEAD = struct.Struct("<QI")
_GZIP = b"\x1f\x8b"
_KRAKEN_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


def messages(kind: str, path: Path) -> list[tuple[int, bytes]]:
    """(received ns, message) of what a decoder of `kind` takes, in order. Raises SourceError: there is none."""
    found = [each for each in map(_PREPARED[kind], _received(path)) if each is not None]
    if not found:
        raise SourceError("no message of this venue", expected=f"a capture of {kind}", where=str(path))
    return found


def instruments(kind: str, made: Iterable[tuple[int, bytes]]) -> list[str]:
    """The venue's names of the instruments that these messages are about, in order of appearance."""
    names: dict[str, None] = {}
    for _, payload in made:
        said = orjson.loads(payload)
        if kind == "binance":
            if "stream" in said:
                names[said["stream"].partition("@")[0].upper()] = None
        elif kind == "kraken":
            names |= dict.fromkeys(each["symbol"] for each in said.get("data", ()) if "symbol" in each)
        else:
            names |= dict.fromkeys(each["product_id"] for each in said.get("events", ()) if "product_id" in each)
    return list(names)


def write(path: Path, made: Iterable[tuple[int, bytes]]) -> None:
    with path.open("wb") as file:
        for received_ns, payload in made:
            file.write(_HEAD.pack(received_ns, len(payload)))
            file.write(payload)


def read(path: Path) -> list[tuple[int, bytes]]:
    """What `write` wrote."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        received_ns, n = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        found.append((received_ns, data[at : at + n]))
        at += n
    return found


# --- what was received ------------------------------------------------------------------------------------------------


def _received(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.name.endswith(CAPTURE_SUFFIX):
        file = CaptureFile(path)
        try:
            yield from ((each.received_ns, each.payload) for each in file if each.payload)
        finally:
            file.close()
        return
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
    with gzip.open(path) if packed else path.open("rb") as lines:
        for line in lines:
            when, _, payload = line.strip().partition(b" ")
            if when.endswith(b":"):  # cryptofeed's; its lines of what was sent begin with an address
                when = when[:-1]
                if when.replace(b".", b"").isdigit():
                    yield int(Decimal(when.decode()) * 10**9), payload
            elif when.isdigit():
                yield int(when), payload


def _binance(received: tuple[int, bytes]) -> tuple[int, bytes] | None:
    return received if b'"depthUpdate"' in received[1] or b'"lastUpdateId"' in received[1] else None


def _coinbase(received: tuple[int, bytes]) -> tuple[int, bytes] | None:
    return received if b'"sequence_num"' in received[1] else None


def _kraken(received: tuple[int, bytes]) -> tuple[int, bytes] | None:
    received_ns, payload = received
    if b'"channel":"book"' in payload or b'"channel": "book"' in payload:
        return received
    if not payload.startswith(b"["):
        return None
    said = orjson.loads(payload)
    if not str(said[-2]).startswith("book"):
        return None
    parts: dict[str, Any] = {key: value for part in said[1:-2] for key, value in part.items()}
    symbol = "/".join(_KRAKEN_NAMES.get(each, each) for each in said[-1].split("/"))
    kind = "snapshot" if "as" in parts or "bs" in parts else "update"
    sides = [
        ",".join(f'{{"price":{level[0]},"qty":{level[1]}}}' for level in parts.get(side, parts.get(f"{side}s", ())))
        for side in "ba"
    ]
    total = int(parts["c"]) if "c" in parts else _checksum(parts)
    text = (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],'
        f'"checksum":{total},"timestamp":"2021-04-17T16:48:52.000000Z"}}]}}'
    )
    return received_ns, text.encode()


def _checksum(snapshot: dict[str, Any]) -> int:
    """Version 1 says none with a snapshot, version 2 does: asks from the lowest, bids from the highest, ten each."""
    asks = sorted(snapshot.get("as", ()), key=lambda level: Decimal(level[0]))[:10]
    bids = sorted(snapshot.get("bs", ()), key=lambda level: -Decimal(level[0]))[:10]
    digits = (text.replace(".", "").lstrip("0") for level in (*asks, *bids) for text in level[:2])
    return zlib.crc32("".join(digits).encode())


_PREPARED = {"binance": _binance, "kraken": _kraken, "coinbase": _coinbase}
