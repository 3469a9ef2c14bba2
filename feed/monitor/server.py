"""The monitor: HTTP for Prometheus (`/metrics`) and for whoever keeps processes alive (`/healthz`).

It only reads shared memory, in a process of its own, so that no scrape can take a hot process's time or GIL.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Self

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from feed.clock import now_ns
from feed.errors import HostError
from feed.log.observer import log_figures
from feed.metrics.counters import Counters
from feed.monitor.exporter import Exporter, state_targets
from feed.monitor.health import health
from feed.ports import Endpoint, bind_error, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from feed.config import FeedConfig

__all__ = ["Monitor", "serve"]

log = logging.getLogger("tickcast.monitor")

WHERE = "monitor.endpoint"
LOOK_S = 0.05
"""How often `serve` asks whether to stop, s."""

LOOKS_PER_BEAT = 4
SHUTDOWN_S = 0.1
"""How long a request that is being answered may hold up the end, s."""


def serve(
    config: FeedConfig, directory: Path, stop: Callable[[], bool], beat: Callable[[int], None] | None = None
) -> None:
    """Serve the feed in `directory` at `monitor.endpoint` until `stop` is true; in any thread.

    `beat` is called with the wall time in ns every 0.2 s. LogMissing: no feed has counters there; AddressInUse,
    HostError: the address can't be had.
    """

    async def body() -> None:
        async with Monitor(config, directory) as monitor:
            log.info("metrics: %s/metrics", monitor.url)
            looks = 0
            while not stop():
                if beat is not None and looks % LOOKS_PER_BEAT == 0:
                    beat(now_ns())
                looks += 1
                await asyncio.sleep(LOOK_S)

    asyncio.run(body())


class Monitor:
    """The server, up within `async with`. `url` says where: with port 0 the kernel chose."""

    url: str

    def __init__(self, config: FeedConfig, directory: Path) -> None:
        self._directory = directory
        self._endpoint = parse_endpoint(config.monitor.endpoint, where=WHERE, bare=True)
        self._counters = Counters.open(directory)
        state_targets(self._counters, config.latency.targets_ns)
        self._exporter = Exporter(directory, config.latency.targets_ns.values())
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._exporter)
        self._feed = config.feed.name
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await self._bind()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()
        self._exporter.close()
        self._counters.close()

    async def _bind(self) -> None:
        host = "0.0.0.0" if self._endpoint.host == "*" else self._endpoint.host
        try:
            await web.TCPSite(self._runner, host, self._endpoint.port).start()
        except socket.gaierror as error:
            raise HostError(
                "no address of that name", found=host, where=WHERE, remedy="Write it as a number, such as 127.0.0.1"
            ) from error
        except OSError as error:
            raise bind_error(self._endpoint, error.errno or 0, where=WHERE) from error
        port = self._runner.addresses[0][1]
        self.url = str(Endpoint("tcp", host=host, port=port)).replace("tcp", "http", 1)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _healthz(self, request: web.Request) -> web.Response:
        well, answer = health(self._counters.rows(), log_figures(self._directory), now_ns())
        body = orjson.dumps({"feed": self._feed, **answer}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return web.Response(body=body, status=200 if well else 503, content_type="application/json")
