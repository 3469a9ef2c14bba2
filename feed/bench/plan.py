"""What a benchmark is asked to do, checked and completed; and the ticks that it will send, known beforehand.

Every option has a default for each benchmark, so that the bare command is a measurement worth quoting. What is sent is
drawn from a fixed seed, so what each bot must get is known to the tick.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from feed.errors import ConfigError
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FIELDS_AT",
    "GROUP",
    "HWM",
    "LOG_BYTES",
    "PROBE",
    "SCHEMA",
    "STAMP_AT",
    "START",
    "Idle",
    "Options",
    "counts",
    "draw",
    "record",
    "symbols",
    "wanted",
]

SCHEMA = BY_WORD["quote"]
STAMP_AT = SCHEMA.dtype.fields["ts_event"][1] if SCHEMA.dtype.fields else 0
"""Offset of the sender's stamp in a record, bytes."""
FIELDS_AT = SCHEMA.dtype.fields["bid_px"][1] if SCHEMA.dtype.fields else 0
"""Offset of the two prices, side by side, that receivers read and sum."""

GROUP = "239.192.0.1:5560"
HWM = 100_000
LOG_BYTES = 256 << 20

PROBE = 0
"""ts_event of a tick that only asks whether somebody listens."""
START = 1
"""ts_event of the last tick of each topic before those that count."""

Idle = Literal["spin", "park"]

_CYCLE = 1 << 16
_SEED = 20_241


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One ``feed bench`` call. None stands for the benchmark's own default; :meth:`complete` fills it in.

    `hosts`: how many the bots are on, besides the feed's own; 0: all are on this one.
    """

    bench: Literal["latency", "throughput", "fanout"]
    transport: Literal["shm", "ipc", "tcp", "mixed", "epgm", "mold"] | None = None
    hosts: int = 0
    idle: Idle | None = None
    api: Literal["callback", "batch", "native"] = "callback"
    rate: float | None = None
    bots: int | None = None
    symbols: int | None = None
    processes: Literal["one", "many"] = "many"
    batch: int = 64
    ticks: int | None = None
    vs: Literal["libzmq-c", "pyzmq", "udp-c"] | None = None
    alternations: int = 7
    log_bytes: int = LOG_BYTES

    def complete(self) -> Options:
        """The same with every None filled in.

        :raises ConfigError: options that do not go together; it names the option.
        """
        base = _DEFAULTS[self.bench]
        given = {key: getattr(self, key) for key in base if getattr(self, key) is not None}
        done = msgspec.structs.replace(self, **{**base, **given})
        if done.transport == "epgm":  # which never reaches its own host
            done = msgspec.structs.replace(done, hosts=done.hosts or self.bots or 1)
        if done.hosts and self.bots is None:
            done = msgspec.structs.replace(done, bots=done.hosts)
        idle = done.idle or (
            "spin" if done.transport == "shm" and (done.bench != "fanout" or not done.rate) else "park"
        )
        if done.ticks is None:
            done = msgspec.structs.replace(done, ticks=_ticks(done))
        done = msgspec.structs.replace(done, idle=idle)
        _check(done)
        return done

    @property
    def gap_ns(self) -> float:
        """Between two ticks; 0 is flat out."""
        return 1e9 / self.rate if self.rate else 0.0

    @property
    def total(self) -> int:
        """All ticks of a run: those that count and those that only warm up before them."""
        return (self.ticks or 0) + self.warm

    @property
    def warm(self) -> int:
        """Ticks sent first and left out of every quantile and rate: a tenth, at least 100."""
        return max(100, (self.ticks or 0) // 10)


def group(alone: bool) -> str:
    """A group and port for mold; on a host that is not for this benchmark alone one that nobody else has."""
    if alone:
        return GROUP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"239.194.{port >> 8}.{port & 255}:{port}"


def symbols(count: int) -> list[str]:
    """Names of four characters, so that each message is as long as one of AAPL: 147 bytes of a quote on the wire."""
    return ["AAPL"] if count == 1 else [f"S{i:03d}" for i in range(count)]


def draw(count: int) -> NDArray[np.uint32]:
    """Which symbol each tick is of, over and over: Zipf activity (exponent 1), the same at every call."""
    weight = 1.0 / np.arange(1, count + 1)
    chosen = np.random.default_rng(_SEED).choice(count, size=_CYCLE, p=weight / weight.sum())
    return chosen.astype(np.uint32)


def counts(topics: NDArray[np.uint32], ticks: int, count: int) -> NDArray[np.int64]:
    """How many of the first `ticks` ticks each of `count` symbols gets."""
    whole, rest = divmod(ticks, len(topics))
    return whole * np.bincount(topics, minlength=count) + np.bincount(topics[:rest], minlength=count)


def wanted(bot: int, count: int, each: int = 10) -> list[int]:
    """The symbols of one bot of a fan-out: one that all have, to compare by, and others from busy to quiet."""
    if count <= each:
        return list(range(count))
    shared = each - 1
    step = count // each
    others = [(bot + k) % step + k * step for k in range(each)]
    return sorted({shared, *[i for i in others if i != shared][: each - 1]})


def record(**values: int) -> bytes:
    """A quote of the simulator's kind with these fields set."""
    row: NDArray[Any] = np.zeros(1, SCHEMA.dtype)
    row["length"] = SCHEMA.record_bytes // 4
    row["rtype"] = SCHEMA.rtypes[0]
    row["instrument_id"] = 1
    row["action"], row["side"] = b"A", b"N"
    for name in ("bid_sz", "ask_sz", "bid_ct", "ask_ct"):
        row[name] = 1
    for name, value in values.items():
        row[name] = value
    return row.tobytes()


_DEFAULTS: dict[str, dict[str, Any]] = {
    "latency": {"transport": "shm", "rate": 10_000.0, "bots": 1, "symbols": 1},
    "throughput": {"transport": "shm", "rate": 0.0, "bots": 1, "symbols": 100},
    "fanout": {"transport": "mixed", "rate": 50_000.0, "bots": 24, "symbols": 100},
}


def _ticks(options: Options) -> int:
    """Some seconds' worth: enough for a quantile or a rate that stands, 7 alternations in some minutes."""
    if options.rate:
        return max(2_000, int(options.rate * (10 if options.vs is None else 4)))
    if options.bench == "fanout":
        return 10_000_000
    if options.transport == "shm":
        return 10_000_000 if options.api == "callback" else 40_000_000
    return 2_000_000 if options.vs or options.batch == 1 else 10_000_000


def _check(options: Options) -> None:
    _require(options.bots is not None and 1 <= options.bots <= 500, "--bots", "1 to 500", options.bots)
    _require(options.symbols is not None and 1 <= options.symbols <= 1000, "--symbols", "1 to 1000", options.symbols)
    _require(1 <= options.batch <= 65_535, "--batch", "1 to 65535", options.batch)
    _require((options.ticks or 0) > 0, "--ticks", "at least 1", options.ticks)
    _require((options.rate or 0) >= 0, "--rate", "ticks per second, 0 for flat out", options.rate)
    _require(options.alternations >= 1, "--alternations", "at least 1", options.alternations)
    match options.bench:
        case "latency":
            _require(bool(options.rate), "--rate", "above 0: a saturated run has no latency to quote", options.rate)
        case "throughput":
            _require(not options.rate, "--rate", "none: throughput is flat out", options.rate)
            _require(options.bots == 1, "--bots", "1: each further bot would only share the cores", options.bots)
        case "fanout":
            _require(options.api != "native", "--api", "callback or batch", options.api)
            _require(options.vs is None, "--vs", "none: the peers have one receiver", options.vs)
            if not options.rate:
                found = options.transport
                _require(found == "shm", "--transport", "shm when flat out (--rate 0): nothing waits for bots", found)
    _require(0 <= options.hosts <= 200, "--hosts", "1 to 200", options.hosts)
    if options.hosts:
        found = options.transport
        _require(found in {"tcp", "epgm", "mold"}, "--hosts", "--transport tcp, epgm or mold", found)
    if options.transport == "mold":
        _require(options.api != "native", "--api", "callback or batch over mold", options.api)
        _require(options.vs in {None, "udp-c"}, "--vs", "udp-c over mold", options.vs)
        _require(options.batch <= 128, "--batch", "at most 128 over mold", options.batch)
    if options.transport == "epgm":
        _require(options.bench != "throughput", "--transport", "not epgm: PGM sends as fast as its rate says", "epgm")
        _require(options.api != "native", "--api", "callback or batch over epgm", options.api)
        _require(options.vs != "pyzmq", "--vs", "libzmq-c over epgm", options.vs)
    _require(
        options.transport != "mixed" or (options.bench == "fanout" and (options.bots or 0) >= 2),
        "--transport",
        "shm, ipc, tcp, epgm or mold; mixed is for fanout with two bots or more",
        options.transport,
    )
    if options.processes == "one":
        _require(
            options.transport in {"ipc", "tcp", "mold"} and options.bench != "fanout",
            "--processes",
            '"one" (writer and publisher in one thread) only with --transport tcp, ipc or mold, not in fanout',
            "one",
        )
    if options.vs:
        _require(
            options.transport in {"ipc", "tcp", "epgm", "mold"} and options.bots == 1,
            "--vs",
            "--transport tcp, ipc, epgm or mold and one bot: the peers have no shared memory",
            options.vs,
        )
        _require((options.vs == "udp-c") == (options.transport == "mold"), "--vs", "udp-c with mold only", options.vs)


def _require(holds: bool, option: str, expected: str, found: object) -> None:
    if not holds:
        raise ConfigError("not something this benchmark does", expected=expected, found=found, where=option)
