"""What a venue answers over HTTP, within its limits: as often as it allows, and not at all while it says to wait.

Proxies and certificates are the host's: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, and the system's authorities.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp

from feed.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Limited", "Pace", "Rest"]

_BODY_BYTES_MAX = 64 << 20
_WAIT_S = 5.0
"""How long a venue that says no more than "too often" is left alone."""

_WAIT_S_MAX = 3600.0


class Limited(SourceError):
    """The venue refuses for a while: too often. ``wait_s`` is how long."""

    def __init__(self, wait_s: float, where: str) -> None:
        super().__init__("the venue refuses for being asked too often", found=f"wait {wait_s:g} s", where=where)
        self.wait_s = wait_s


class Pace:
    """At most `per_s` things in a second in the long run, `burst` of them at once."""

    def __init__(self, per_s: float, burst: int = 1) -> None:
        self._each_s = 1 / per_s
        self._ahead_s = self._each_s * (burst - 1)
        self._next_s = 0.0

    async def turn(self) -> None:
        """Wait until it is the caller's turn."""
        now = asyncio.get_running_loop().time()
        at = max(self._next_s, now - self._ahead_s)
        self._next_s = at + self._each_s
        if at > now:
            await asyncio.sleep(at - now)

    def hold(self, wait_s: float) -> None:
        """Nobody's turn comes within `wait_s`."""
        self._next_s = max(self._next_s, asyncio.get_running_loop().time() + wait_s)


class Rest:
    """Questions to one venue at `url`, by one loop."""

    def __init__(self, url: str, pace: Pace, timeout_s: float) -> None:
        self._url = url
        self._pace = pace
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """The answer to one question, when its turn has come.

        :raises Limited: too often; nobody's turn comes before the venue's time is over.
        :raises SourceError: no answer, or another than 200.
        """
        await self._pace.turn()
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=True)
        where = f"{self._url}{path}"
        try:
            async with self._session.get(where, params=query) as answer:
                if answer.status in {418, 429}:
                    wait_s = waiting_s(answer.headers.get("Retry-After"))
                    self._pace.hold(wait_s)
                    raise Limited(wait_s, where)
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > _BODY_BYTES_MAX:
                        raise SourceError("the answer has no end", found=f"{len(body):,} bytes", where=where)
                if answer.status != 200:
                    raise SourceError("no answer", found=f"{answer.status}: {bytes(body[:200])!r}", where=where)
                return bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SourceError("no answer", found=str(error) or type(error).__name__, where=where) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def waiting_s(retry_after: str | None) -> float:
    """How long a venue wants to be left alone, by its Retry-After."""
    try:
        return min(_WAIT_S_MAX, max(0.0, float(retry_after or _WAIT_S)))
    except ValueError:
        return _WAIT_S
