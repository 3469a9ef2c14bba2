"""Topics: ``<schema>.<symbol>|``, so that a plain ZeroMQ prefix subscription selects them.

The bar ends the symbol, so ``quote.AAPL|`` never matches AAPLW. A symbol is 1 to 71 printable ASCII characters (a space
is one) but ``|``, ``*`` and ``?``. Two topics belong to no schema: the heartbeat and the firehose. Specification:
README.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from feed.errors import SymbolError
from feed.wire.records import BY_WORD

__all__ = ["FIREHOSE", "HEARTBEAT", "SYMBOL_MAX", "Pattern", "check_schema", "check_symbol", "parse_topic", "topic"]

HEARTBEAT = b"heartbeat|"
FIREHOSE = b"*|"
SYMBOL_MAX = 71


def topic(schema: str, symbol: str) -> bytes:
    """The topic of a schema and a symbol: ``topic("quote", "AAPL") == b"quote.AAPL|"``. Raises SymbolError."""
    return f"{check_schema(schema)}.{check_symbol(symbol)}|".encode("ascii")


def parse_topic(text: bytes) -> tuple[str, str]:
    """Schema word (maybe newer than this code) and symbol. Raises SymbolError, also for heartbeat and firehose."""
    match = _TOPIC.fullmatch(text)
    if match is None:
        raise SymbolError("this is no topic", expected="<schema>.<symbol>|", found=repr(text[:100]))
    return match[1].decode("ascii"), match[2].decode("ascii")


def check_symbol(symbol: str) -> str:
    """Give `symbol` back, or raise SymbolError naming the character that is not allowed."""
    if _SYMBOL.fullmatch(symbol):
        return symbol
    if not symbol:
        raise SymbolError("a symbol is empty")
    for c in symbol:
        if not _SYMBOL.fullmatch(c):
            raise SymbolError(
                "a symbol has a character that is not allowed",
                expected="printable ASCII but | * ?",
                found=f"{c!r} in {symbol[:100]!r}",
            )
    raise SymbolError("a symbol is too long", expected=f"at most {SYMBOL_MAX} characters", found=len(symbol))


def check_schema(word: str) -> str:
    """Give the topic word of one of our schemas back, or raise SymbolError naming all of them."""
    if word in BY_WORD:
        return word
    raise SymbolError("there is no such schema", expected=", ".join(BY_WORD), found=repr(word))


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a subscriber names: one symbol (``AAPL``), a beginning (``ES*``) or all (``*``). Else raises SymbolError."""

    text: str

    def __post_init__(self) -> None:
        if self.text != "*":
            check_symbol(self._beginning if self.open else self.text)

    @property
    def open(self) -> bool:
        """True if more than one symbol can match."""
        return self.text.endswith("*")

    def matches(self, symbol: str) -> bool:
        """Does the pattern select `symbol`?"""
        return symbol.startswith(self._beginning) if self.open else symbol == self.text

    def prefix(self, schema: str) -> bytes:
        """The ZeroMQ prefix that selects the same topics of `schema`: ``quote.AAPL|``, ``quote.ES``, ``quote.``"""
        end = "" if self.open else "|"
        return f"{check_schema(schema)}.{self._beginning}{end}".encode("ascii")

    @property
    def _beginning(self) -> str:
        return self.text[:-1] if self.open else self.text


_SYMBOL = re.compile(rf"[ -)+->@-{{}}~]{{1,{SYMBOL_MAX}}}")
_TOPIC = re.compile(rb"([a-z][a-z0-9]{0,11})\.([ -)+->@-{}~]{1,71})\|")
