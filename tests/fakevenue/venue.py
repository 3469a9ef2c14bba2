"""A venue on loopback: websockets and REST of one port, for tests, replays and a look by hand. It can misbehave.

A venue derives from `FakeVenue` and says what its protocol is; this is its sockets, its thread and its mischief:

    disconnect   a connection is cut                    stall    one says nothing more, until it is cut
    gap          an update goes to nobody               refuse   too many requests: 429, for a moment
    checksum     one has a wrong checksum               slow     answers take their time
    garbage      one is damaged, so that it can be seen: whose digit is another needs a checksum
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Self

import orjson
from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.fakevenue.market import Market

__all__ = ["FAULTS", "FakeVenue", "Session", "run"]

FAULTS = ("disconnect", "stall", "gap", "checksum", "garbage", "refuse", "slow")
RETRY_AFTER_S = 0.2
STALL_S = 5.0


class Session:
    """One websocket that is open."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.path = request.path
        self.query = request.query
        self.subscribed: set[str] = set()
        self.numbers: defaultdict[str, int] = defaultdict(int)
        """A venue's counters of this connection."""
        self.stalled = False
        self._transport = request.transport

    async def send(self, message: Any) -> None:
        """JSON, or bytes of it."""
        if self.stalled or self.socket.closed:
            return
        text = message if isinstance(message, bytes) else orjson.dumps(message)
        with contextlib.suppress(ConnectionError):
            await self.socket.send_str(text.decode("utf-8", "replace"))

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class FakeVenue(ABC):
    """`per_s`: how often the markets move, in turn; 0: only by `move`. Its own thread runs from `with` to the end of
    the block."""

    def __init__(self, markets: Sequence[Market], *, per_s: float = 100.0, port: int = 0, seed: int = 1) -> None:
        self.markets = {market.symbol: market for market in markets}
        self.sessions: list[Session] = []
        self.counts: Counter[str] = Counter()
        """What happened: connections, requests, and every fault."""
        self.port = port
        self.random = random.Random(seed)
        self._per_s = per_s
        self._refuse_until = self._slow_until = 0.0
        self._next: Counter[str] = Counter()
        self._moving = threading.Event()
        self._turn = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failed: list[BaseException] = []

    # --- a venue's own ----------------------------------------------------------------------------------------------

    @abstractmethod
    def routes(self) -> list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        """Paths of REST and what answers them."""

    @abstractmethod
    async def heard(self, session: Session, message: Any) -> None:
        """What a client said."""

    @abstractmethod
    async def move(self, market: Market) -> None:
        """Let a market move once, and tell those who want to know."""

    # --- for tests --------------------------------------------------------------------------------------------------

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="venue", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed:
            raise self._failed[0]
        self._moving.set()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def pause(self) -> None:
        """The markets stand still from here on; everybody has been sent everything."""
        self._moving.clear()
        self.call(self._still())

    def go_on(self) -> None:
        self._moving.set()

    def cut(self) -> None:
        """Every connection, now."""
        self._loop.call_soon_threadsafe(self._cut)

    def call(self, work: Any) -> Any:
        """Run a coroutine in the venue's thread; gives what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def misbehave(self, fault: str) -> None:
        """One of `FAULTS`, now."""
        self._loop.call_soon_threadsafe(self._misbehave, fault)

    # --- for a venue ------------------------------------------------------------------------------------------------

    def falls_to(self, fault: str) -> bool:
        """Is it the next message that a fault was ordered for?"""
        if not self._next[fault]:
            return False
        self._next[fault] -= 1
        self.counts[fault] += 1
        return True

    async def tell(self, stream: str, message: Any) -> None:
        """A message to everyone who subscribed to `stream`."""
        if self.falls_to("garbage"):
            message = self.damaged(message)
        for session in list(self.sessions):
            if stream in session.subscribed:
                await session.send(message)

    def damaged(self, message: Any) -> bytes:
        text = bytearray(message if isinstance(message, bytes) else orjson.dumps(message))
        text[self.random.randrange(len(text))] = self.random.choice(b'{}[]",:x')
        return bytes(text)

    async def dawdle(self) -> None:
        """Before an answer: nothing, or a while."""
        if self._loop.time() < self._slow_until:
            await asyncio.sleep(self.random.uniform(0.05, 0.5))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _misbehave(self, fault: str) -> None:
        now = self._loop.time()
        match fault:
            case "refuse":
                self._refuse_until = now + RETRY_AFTER_S * 2
            case "slow":
                self._slow_until = now + 2.0
            case "gap" | "checksum" | "garbage":
                self._next[fault] += 1
            case "disconnect" | "stall" if self.sessions:
                session = self.random.choice(self.sessions)
                self.counts[fault] += 1
                if fault == "disconnect":
                    session.cut()
                else:
                    session.stalled = True
                    self._loop.call_later(STALL_S, session.cut)

    def _cut(self) -> None:
        for session in list(self.sessions):
            session.cut()

    def _refused(self) -> web.Response | None:
        if self._loop.time() >= self._refuse_until:
            return None
        self.counts["refuse"] += 1
        return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_S)}, text='{"code":-1003}')

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused()) is not None:
            return refused
        socket = web.WebSocketResponse(compress=False, autoping=False)
        await socket.prepare(request)
        session = Session(socket, request)
        self.sessions.append(session)
        self.counts["connections"] += 1
        try:
            async for message in socket:
                while session.stalled:
                    await asyncio.sleep(0.05)
                if message.type == WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type == WSMsgType.TEXT:
                    await self.dawdle()
                    await self.heard(session, orjson.loads(message.data))
        except ConnectionError:
            pass
        finally:
            self.sessions.remove(session)
        return socket

    def _answering(
        self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.counts["requests"] += 1
            if (refused := self._refused()) is not None:
                return refused
            await self.dawdle()
            return await answer(request)

        return handler

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            runner = self._loop.run_until_complete(self._start())
        except BaseException as error:
            self._failed.append(error)
            self._ready.set()
            return
        moving = self._loop.create_task(self._move())
        self._ready.set()
        self._loop.run_forever()
        moving.cancel()
        self._cut()
        self._loop.run_until_complete(asyncio.wait([moving]))
        self._loop.run_until_complete(runner.cleanup())
        if left := asyncio.all_tasks(self._loop):  # those that stall
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        for path, answer in self.routes():
            app.router.add_get(path, self._answering(answer))
        app.router.add_get("/{tail:.*}", self._socket)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _move(self) -> None:
        """Move the markets in turn, as often as is to be."""
        at = self._loop.time()
        while True:
            for market in self.markets.values():
                if not self._per_s or not self._moving.is_set():
                    await asyncio.sleep(0.01)
                    at = self._loop.time()
                    continue
                at = max(at + 1 / self._per_s, self._loop.time() - 1)
                await asyncio.sleep(max(0.0, at - self._loop.time()))
                async with self._turn:
                    if self._moving.is_set():
                        await self.move(market)

    async def _still(self) -> None:
        async with self._turn:
            pass


def run(make: Callable[[argparse.Namespace], FakeVenue], arguments: argparse.ArgumentParser) -> None:
    """By hand: a venue until Ctrl-C, its addresses on the screen."""
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--per-s", type=float, default=100.0, help="how often its markets move, all together")
    arguments.add_argument("--fault", action="append", default=[], choices=FAULTS)
    arguments.add_argument("--every", type=float, default=5.0, help="seconds between two faults")
    given = arguments.parse_args()
    with make(given) as venue, contextlib.suppress(KeyboardInterrupt):
        print(f"websocket = {venue.websocket_url!r}\nrest = {venue.rest_url!r}", flush=True)
        while True:
            time.sleep(given.every)
            if given.fault:
                venue.misbehave(venue.random.choice(given.fault))
            print(dict(venue.counts), flush=True)
