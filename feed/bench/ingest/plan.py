"""What a measurement of ingest is asked to do, checked and completed."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - msgspec reads annotations when it runs
from typing import Final, Literal, get_args

import msgspec

from feed.errors import ConfigError

__all__ = ["PEERS", "Kind", "Options", "Peer"]

Kind = Literal["itch", "binance", "kraken", "coinbase"]
Peer = Literal["itch-book", "cryptofeed"]

PEERS: Final[dict[str, tuple[str, ...]]] = {"itch-book": ("itch",), "cryptofeed": ("binance", "kraken")}
"""What each peer can take part in."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One call. ``messages``: captures that are shorter are played again until there were so many; 0: once.
    ``peer_python``: the interpreter that has the peer."""

    kind: Kind
    file: Path
    vs: Peer | None = None
    alternations: int = 7
    messages: int = 200_000
    peer_python: str = sys.executable

    def check(self) -> None:
        """Raises ConfigError naming the option."""
        _require(self.kind in get_args(Kind), "--kind", ", ".join(get_args(Kind)), self.kind)
        _require(self.file.is_file(), "--file", "a captured file", str(self.file))
        _require(self.alternations >= 1, "--alternations", "at least 1", self.alternations)
        _require(self.messages >= 0, "--messages", "at least 0", self.messages)
        if self.vs is not None:
            _require(
                self.kind in PEERS[self.vs],
                "--vs",
                f"{self.vs} only with --kind {' or '.join(PEERS[self.vs])}",
                self.kind,
            )


def _require(holds: bool, option: str, expected: str, found: object) -> None:
    if not holds:
        raise ConfigError("not something this benchmark does", expected=expected, found=found, where=option)
