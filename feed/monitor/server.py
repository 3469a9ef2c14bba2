"""The monitor: HTTP for Prometheus (`/metrics`, `/sd`), for whoever keeps processes alive (`/healthz`) and for people
(the page at `/`, which asks `/api/recent`).

It only reads shared memory, in a process of its own, so that no scrape can take a hot process's time or GIL. It looks
once a second; whatever it answers is of the last look, but for `/healthz`, which looks for itself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, Self

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from feed.clock import monotonic_ns, now_ns
from feed.errors import HostError
from feed.log.observer import log_figures
from feed.metrics.counters import Counters
from feed.monitor.assets import assets
from feed.monitor.exporter import Exporter, state_targets
from feed.monitor.health import health
from feed.monitor.reading import Probe
from feed.monitor.recent import EVERY_NS, Recent
from feed.monitor.targets import service_targets
from feed.monitor.windows import Windows
from feed.ports import Endpoint, bind_error, is_address, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from feed.config import FeedConfig

__all__ = ["Monitor", "serve"]

log = logging.getLogger("tickcast.monitor")

WHERE = "monitor.endpoint"
LOOK_S = 0.05
"""How often `serve` asks whether to stop, s."""

LOOKS_PER_BEAT = 4
SHUTDOWN_S = 0.1
"""How long a request that is being answered may hold up the end, s."""

TEXT_MAX = 71
"""The longest symbol there is; nothing longer can be looked for."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


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
                await asyncio.wait([monitor.looking], timeout=LOOK_S)
                if monitor.looking.done():
                    monitor.looking.result()

    asyncio.run(body())


class Monitor:
    """The server, up within `async with`. `url` says where: with port 0 the kernel chose."""

    url: str
    looking: asyncio.Task[None]
    """Looks at the feed once a second; ends only by failing."""

    def __init__(self, config: FeedConfig, directory: Path) -> None:
        self._directory = directory
        self._endpoint = parse_endpoint(config.monitor.endpoint, where=WHERE, bare=True)
        targets_ns = config.latency.targets_ns
        self._counters = Counters.open(directory)
        state_targets(self._counters, targets_ns)
        self._feed = config.feed.name
        self._probe = Probe(directory, config.archive_directory)
        self._reading = self._probe.read()
        self._windows = Windows(self._reading.histograms())
        self._recent = Recent(directory, self._feed, self._windows, targets_ns)
        self._exporter = Exporter(self._windows, targets_ns)
        self._assets = assets()
        self._hosts = {"localhost", self._endpoint.host.casefold(), socket.gethostname().casefold()}
        app = web.Application(middlewares=[self._refuse_strange_hosts])
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/sd", self._sd)
        app.router.add_get("/api/recent", self._api_recent)
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", self._static)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def __aenter__(self) -> Self:
        await self._look()
        await self._runner.setup()
        try:
            await self._bind()
        except BaseException:
            await self._close()
            raise
        self.looking = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.looking.cancel()
        await self._close()

    async def _close(self) -> None:
        await self._runner.cleanup()
        self._probe.close()
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

    async def _look_on(self) -> None:
        """At each whole second; the first time it is left out where the last look was just now."""
        while True:
            left_ns = EVERY_NS - monotonic_ns() % EVERY_NS
            await asyncio.sleep((left_ns if left_ns > EVERY_NS // 2 else left_ns + EVERY_NS) / 1e9)
            await self._look()

    async def _look(self) -> None:
        """With 200 bots each step takes some 10 ms; who asks meanwhile is answered in between."""
        reading = self._reading = self._probe.read()
        await asyncio.sleep(0)
        self._windows.put(reading.steady_ns, reading.histograms())
        await asyncio.sleep(0)
        self._recent.put(reading)
        await asyncio.sleep(0)
        self._exporter.put(reading)

    @web.middleware
    async def _refuse_strange_hosts(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A page from elsewhere may have its name lead here (DNS rebinding) and then read what we answer."""
        host = request.headers.get("Host")
        if host is None or _host_of(host) in self._hosts or is_address(_host_of(host)):
            return await handler(request)
        raise web.HTTPForbidden(text=f"Not known here as {host}: use the IP address, or the name in {WHERE}\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        _, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = self._exporter.text(openmetrics=content_type.startswith("application/openmetrics-text"))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, request: web.Request) -> web.Response:
        well, answer = health(self._counters.rows(), log_figures(self._directory), now_ns())
        body = orjson.dumps({"feed": self._feed, **answer}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return web.Response(body=body, status=200 if well else 503, content_type="application/json")

    async def _sd(self, request: web.Request) -> web.Response:
        body = orjson.dumps(service_targets(self._reading, self._feed))
        return web.Response(body=body, content_type="application/json")

    async def _api_recent(self, request: web.Request) -> web.Response:
        since, symbols = request.query.get("since", "0"), request.query.get("symbols", "")
        if not since.isdecimal() or not since.isascii() or len(since) > 20 or len(symbols) > TEXT_MAX:
            raise web.HTTPBadRequest(text=f"since: ns since 1970; symbols: at most {TEXT_MAX} characters\n")
        return web.Response(body=self._recent.answer(int(since), symbols), content_type="application/json")

    async def _page(self, request: web.Request) -> web.Response:
        return self._asset(request, "index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return self._asset(request, request.match_info["name"])

    def _asset(self, request: web.Request, name: str) -> web.Response:
        asset = self._assets.get(name)
        if asset is None:
            raise web.HTTPNotFound
        headers = {"ETag": asset.etag}
        if asset.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.body, headers=headers | {"Content-Type": asset.content_type})


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _host_of(header: str) -> str:
    """The name or address of a Host header, without its port."""
    host = header.casefold()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
