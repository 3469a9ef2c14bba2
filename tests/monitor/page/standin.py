"""A stand-in for the monitor: the page's files, and /api/recent of a feed that does not exist.

As many bots and topics as wanted. Same seconds, same figures.
"""

from __future__ import annotations

import math
import random
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson
from aiohttp import web

import feed.monitor

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB = Path(feed.monitor.__file__).with_name("web")
CSP = "default-src 'self'"
SECOND = 10**9
KEPT = 900
EVENTS_KEPT = 500
TARGETS_NS = {"0.5": 13_400, "0.99": 100_000}

WAYS_NS = {
    ("ingest", "log"): 420,
    ("publish", "ipc"): 9_000,
    ("publish", "tcp"): 11_000,
    ("wire", "shm"): 3_100,
    ("wire", "ipc"): 24_000,
    ("wire", "tcp"): 31_000,
    ("total", "shm"): 7_200,
    ("total", "ipc"): 38_000,
    ("total", "tcp"): 46_000,
    ("handler", "shm"): 1_900,
    ("handler", "ipc"): 1_950,
    ("handler", "tcp"): 2_000,
}
"""Usual p50 of each stage and transport."""

SPREAD = {"p50_ns": 1.0, "p90_ns": 1.9, "p99_ns": 5.2, "p999_ns": 17.0, "max_ns": 60.0}
_chance = random.Random(1)
NOISE = [math.exp(_chance.gauss(0, 0.12)) for _ in range(4093)]
EXCHANGES = ("iex", "cme", "nasdaq")

AGENTS = ("ingest", "publish.tcp", "publish.ipc", "archive", "control", "monitor")
STRATEGIES = ("spread", "meanrev", "makers", "arb", "hedge", "vwap", "momentum")
SECONDS_KEYS = ("p50_ns", "p99_ns", "p999_ns", "max_ns")
WINDOWS = {"10s": 10, "1m": 60, "15m": 900}


def noise(*key: object) -> float:
    """A figure about 1, the same for the same key."""
    return NOISE[zlib.crc32(repr(key).encode()) % len(NOISE)]


@dataclass
class StandIn:
    """The server, up within `async with`; `url` says where.

    Its seconds are ours, or `per_poll` of them go by at each question. What a test wants to happen, it changes here:
    `bots` by name (fields that stand instead of the usual ones), `agents`, `ills`, `answers`, `stands`, `happens`.
    """

    bots_count: int = 200
    symbols: int = 10_000
    per_poll: int | None = None
    bots: dict[str, dict[str, Any]] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=lambda: dict.fromkeys(AGENTS, "up"))
    ills: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    answers: bool = True
    stands: bool = False
    """No newer sample comes."""
    polls: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._start_ns = time.time_ns() // SECOND * SECOND
        self._began = time.monotonic()
        self._newest = 0
        self._names = [f"quote.SYM{n:05}" for n in range(self.symbols)]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/api/recent", self._recent)
        app.router.add_static("/static", WEB)
        app.on_response_prepare.append(_secure)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def newest(self) -> int:
        """Number of the newest second; 0 is the one in which it began, and the past is below."""
        if self.per_poll is None and not self.stands:
            self._newest = int(time.monotonic() - self._began)
        return self._newest

    def happens(self, kind: str, level: str, text: str) -> None:
        """Something that stands among the events from the next answer on: in a second that nobody has asked for yet."""
        self.events.append({"at_ns": self._at_ns(self.newest + 1), "kind": kind, "level": level, "text": text})
        del self.events[:-EVENTS_KEPT]

    def bot(self, i: int) -> dict[str, Any]:
        """A bot's row as it is in the newest second."""
        name, second = f"{STRATEGIES[i % len(STRATEGIES)]}-{i:03}", self.newest
        way = ("shm", "shm", "tcp", "ipc")[i % 4]
        p50 = WAYS_NS["total", way] * noise(name) * noise(name, second // 5)
        usual = {
            "bot": name,
            "transport": way,
            "per_s": 50_000 / (1 + i % 7) * noise(name, second),
            "ticks": 10_000_000 + second * 1000,
            "lag_ns": 0 if noise(name, second, "lag") < 1.1 else round(p50),
            "skew_ns": None if i % 11 == 10 else round(2_000 * (1 + i % 9) * noise(name, second // 3)),
            "p50_ns": round(p50),
            "p99_ns": round(p50 * 5.2 * noise(name, second)),
            "p999_ns": round(p50 * 17 * noise(name, second)),
            "filled": 0,
            "gaps": {},
            "lost": {},
            "report_age_ns": round(0.5e9 * noise(name, second)),
            "clock_offset_ns": round(8_000 * (noise(name) - 1)) if way == "tcp" else None,
            "clock_uncertainty_ns": 4_200 if way == "tcp" else None,
        }
        return usual | self.bots.get(name, {})

    def answer(self, since_ns: int, symbols: str) -> dict[str, Any]:
        newest = self.newest
        first = max(newest - KEPT + 1, (since_ns - self._start_ns) // SECOND + 1)
        seconds = range(first, newest + 1)
        ticks = [self._ticks(second) for second in seconds]
        stages: dict[str, dict[str, Any]] = {}
        for (stage, way), p50 in WAYS_NS.items():
            spread = {key: [self._figure(stage, way, p50, key, second) for second in seconds] for key in SECONDS_KEYS}
            stages.setdefault(stage, {})[way] = {**spread, "count": ticks}
        return {
            "feed": "main",
            "version": "0.1.0",
            "at_ns": self._at_ns(newest),
            "every_ns": SECOND,
            "targets_ns": TARGETS_NS,
            "times_ns": [self._at_ns(second) for second in seconds],
            "ticks_per_s": ticks,
            "stages": stages,
            "now": self._now(newest, symbols),
            "events": [event for event in self.events if event["at_ns"] > since_ns or not since_ns],
        }

    def _now(self, newest: int, symbols: str) -> dict[str, Any]:
        per_s = self._ticks(newest)
        within = {name: {"0.5": 0.62 * noise(name, newest), "0.99": 0.9962} for name in WINDOWS}
        sources = [
            {
                "source": name,
                "per_s": per_s / len(EXCHANGES) * noise(name, newest),
                "ticks": 9_000_000 + per_s,
                "rejected": {"crossed": 12} if name == "cme" else {},
                "last_ns": self._at_ns(newest),
            }
            for name in EXCHANGES
        ]
        return {
            "windows": {name: list(self._window(newest, seconds)) for name, seconds in WINDOWS.items()},
            "within": within,
            "burn": {
                name: {q: (1 - part) / (1 - float(q)) for q, part in parts.items()} for name, parts in within.items()
            },
            "histogram": self._histogram(newest),
            "health": {"status": "ill" if self.ills else "well", "ills": self.ills},
            "log": self._log(newest),
            "archive": {
                "durable_seq": 812_000_000 + newest * 50_000,
                "bytes": 41 << 30,
                "free_bytes": 380 << 30,
                "stopped": 0,
                "errors": {},
                "missing": {},
            },
            "gaps_15m": sum(sum(bot["gaps"].values()) for bot in self.bots.values() if "gaps" in bot),
            "agents": [
                {
                    "agent": name,
                    "state": state,
                    "pid": 4100 + i,
                    "restarts": int(state != "up"),
                    "heartbeat_age_ns": 120_000_000,
                    "cpu": 0.2 * noise(name, newest),
                    "resident_bytes": 48 << 20,
                }
                for i, (name, state) in enumerate(self.agents.items())
            ],
            "sources": sources,
            "publishers": [
                {"publisher": "tcp", "per_s": per_s * 1.0, "sent": 812_000_000, "dropped": {"hwm": 1_204}},
                {"publisher": "ipc", "per_s": per_s * 1.0, "sent": 812_000_000, "dropped": {}},
            ],
            "bots": [self.bot(i) for i in range(self.bots_count)],
            "readers": [
                {
                    "name": name,
                    "pid": 5000 + i,
                    "lag_bytes": round(900 * noise(name, newest)),
                    "parked": i % 2,
                    "gating": "no",
                }
                for i, name in enumerate(("publish.tcp", "publish.ipc", "archive", "control"))
            ],
            "refused": 0,
            "symbols": self._topics(symbols, newest),
        }

    def _topics(self, wanted: str, second: int) -> dict[str, Any]:
        names = [name for name in self._names if wanted.upper() in name.upper()] if wanted else self._names
        busiest = [{"topic": name, "per_s": 2400 / (i + 1) * noise(name, second)} for i, name in enumerate(names[:100])]
        return {"total": self.symbols, "busiest": sorted(busiest, key=lambda one: -one["per_s"])}

    def _window(self, newest: int, seconds: int) -> Iterator[dict[str, Any]]:
        for (stage, way), p50 in WAYS_NS.items():
            figures = {key: round(p50 * times * noise(stage, way, newest // 3, key)) for key, times in SPREAD.items()}
            yield {"stage": stage, "transport": way, "count": seconds * 50_000, **figures, "negative": 0}

    def _histogram(self, newest: int) -> dict[str, Any]:
        edges = [round(1_000 * 10 ** (i / 12)) for i in range(49)]
        counts = [
            round(
                (
                    2.1e6 * math.exp(-(((math.log10(edge) - 3.86) / 0.11) ** 2))
                    + 9e5 * math.exp(-(((math.log10(edge) - 4.62) / 0.19) ** 2))
                    + 1e4 * math.exp(-(((math.log10(edge) - 5.2) / 0.4) ** 2))
                )
                * noise(edge, newest)
            )
            for edge in edges[:-1]
        ]
        return {"stage": "total", "window": "1m", "edges_ns": edges, "counts": counts}

    def _log(self, newest: int) -> dict[str, Any]:
        return {
            "state": "open",
            "writer_pid": 4100,
            "writer_alive": True,
            "epoch": self._start_ns,
            "next_seq": 812_000_900 + newest * 50_000,
            "tail": 9 << 30,
            "tail_ns": self._at_ns(newest),
            "alive_ns": self._at_ns(newest),
            "log_bytes": 256 << 20,
            "topics": self.symbols,
            "horizon_ns": 47 * SECOND,
            "free_bytes": 5 << 30,
        }

    def _ticks(self, second: int) -> float:
        return 50_000 * noise("ticks", second) * (1.9 if second % 400 > 380 else 1.0)

    def _figure(self, stage: str, way: str, p50: int, key: str, second: int) -> int | None:
        busy = 3.0 if second % 400 > 380 and stage in {"wire", "total"} else 1.0
        return round(p50 * SPREAD[key] * busy * noise(stage, way, key, second))

    def _at_ns(self, second: int) -> int:
        return self._start_ns + second * SECOND

    async def _page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB / "index.html")

    async def _recent(self, request: web.Request) -> web.Response:
        if not self.answers:
            raise web.HTTPServiceUnavailable
        self.polls += 1
        self._newest += self.per_poll or 0
        found = self.answer(int(request.query.get("since", 0)), request.query.get("symbols", ""))
        return web.Response(body=orjson.dumps(found), content_type="application/json")


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = CSP
