"""The benchmarks: start the real processes, let them run, put together what they saw. `run` is the way in."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from feed.bench import peers, plan
from feed.bench.children import Child, Children, python
from feed.bench.hosts import Hosts
from feed.bench.publisher import PublisherSpec
from feed.bench.receiver import BotSpec
from feed.bench.result import Figures, Result, latency_us, result, saturated, skew_us
from feed.bench.sender import SenderSpec
from feed.errors import HostError
from feed.multicast import parse_group
from feed.wire import pgm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from feed.bench.plan import Options

__all__ = ["Progress", "run"]

Progress = Callable[[str], None]

_START_S = 60.0
_GATE = "bench"
_COST_RUNS = 3
_OTHER_BYTES = 8 << 20
_MESSAGE_BYTES = 147


def run(options: Options, progress: Progress = lambda _: None) -> list[Result]:
    """Measure; `progress` is told in a few words what comes next, never while something is measured.

    :raises ConfigError: options that do not go together.
    :raises HostError: a process failed, or this machine lacks what is needed; the remedy is in the text.
    """
    options = options.complete()
    if options.transport == "epgm":
        pgm.require(parse_group(f"epgm://{plan.GROUP}"), where="--transport")
    if options.vs:
        return _beside(options, options.vs, progress)
    if options.bench == "fanout" and not options.rate:
        return _writer_cost(options, progress)
    progress(_sentence(options))
    heard = _once(options)
    results = [result(options, [heard.figures()])]
    if options.transport == "mixed":
        for transport in dict.fromkeys(bot.transport for bot in heard.bots):
            part = heard.only(transport)
            figures = part.figures()
            del figures.detail["cpu_s"]
            results.append(result(options, [figures], transport=transport, bots=len(part.bots)))
    return results


# --- what each measurement consists of ------------------------------------------------------------------------------


def _beside(options: Options, peer: str, progress: Progress) -> list[Result]:
    """Ours and the peer's in turn, each first as often as the other."""
    ours: list[Figures] = []
    theirs: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="tickcast-peer-") as build:
        call = peers.command(peer, Path(build))
        for i in range(options.alternations):
            progress(f"{i + 1} of {options.alternations}: {_sentence(options)}, and {peer}")
            if i % 2 == 0:
                ours.append(_once(options).figures())
                theirs.append(peers.run(options, call))
            else:
                theirs.append(peers.run(options, call))
                ours.append(_once(options).figures())
    mine = result(options, ours)
    mine.ratio_p50 = _middle(mine, "p50", [each.latency_us.get("p50_us") for each in ours + theirs])
    mine.ratio_p99 = _middle(mine, "p99", [each.latency_us.get("p99_us") for each in ours + theirs])
    mine.ratio_ticks_per_s = _middle(mine, "ticks_per_s", [each.ticks_per_s for each in ours + theirs])
    return [mine, result(options, theirs, peer=peer)]


def _middle(mine: Result, name: str, values: Sequence[float | None]) -> float | None:
    """Median of ours divided by theirs, run by run; each is kept in the detail. None if any figure is missing.

    `values`: those of our runs, then those of theirs.
    """
    half = len(values) // 2
    ratios = [a / b for a, b in zip(values[:half], values[half:], strict=True) if a is not None and b]
    if len(ratios) < half:
        return None
    mine.detail.setdefault("ratios", {})[name] = [round(each, 4) for each in ratios]
    return round(median(ratios), 4)


def _writer_cost(options: Options, progress: Progress) -> list[Result]:
    """The writer's own CPU per tick with one bot and with all of them; nothing waits for the bots, so they may lose."""
    few = msgspec.structs.replace(options, bots=1)
    runs: dict[int, list[Figures]] = {1: [], options.bots or 1: []}
    rounds = min(_COST_RUNS, options.alternations)
    for i in range(rounds):
        for each in (few, options):
            progress(f"{i + 1} of {rounds}: {_sentence(each)}")
            runs[each.bots or 1].append(_once(each).figures())
    cost = {bots: float(np.median([run.detail["writer_cpu_ns_per_tick"] for run in runs[bots]])) for bots in runs}
    for bots, figures in runs.items():
        figures[-1].detail["writer_cpu_ns_per_tick"] = round(cost[bots], 2)
        figures[-1].detail["writer_cpu_ratio_to_1_bot"] = round(cost[bots] / cost[1], 3)
    return [result(options, figures, bots=bots) for bots, figures in runs.items()]


# --- one run --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bot:
    """What one bot had to get and what it got. The arrays are of its ticks after the warm-up, in order."""

    transport: str
    expected: int
    warm: int
    said: dict[str, Any]
    late: NDArray[np.uint64]
    stamps: NDArray[np.uint64]


@dataclass(frozen=True)
class _Publisher:
    """What the publishing process used, and what left its host by the network; nothing where it has no process."""

    cpu_s: float = 0.0
    packets: int = 0
    nbytes: int = 0

    @classmethod
    def of(cls, child: Child) -> _Publisher:
        """Until now."""
        sent = child.sent("eth0")
        return cls(child.cpu_s(), *sent)

    def since(self, before: _Publisher) -> _Publisher:
        return _Publisher(self.cpu_s - before.cpu_s, self.packets - before.packets, self.nbytes - before.nbytes)


@dataclass(frozen=True)
class _Heard:
    """One run of ours."""

    options: Options
    sender: dict[str, Any]
    publisher: _Publisher
    bots: list[_Bot]

    def only(self, transport: str) -> _Heard:
        return replace(self, bots=[bot for bot in self.bots if bot.transport == transport])

    def figures(self) -> Figures:
        options, sender = self.options, self.sender
        seconds = [(bot.said["last_ns"] - bot.said["first_ns"]) / 1e9 for bot in self.bots]
        lost = sum(max(0, bot.expected - bot.said["ticks"]) for bot in self.bots)
        queued = any(saturated(bot.late, s * 1e9) for bot, s in zip(self.bots, seconds, strict=True))
        late = np.concatenate([bot.late for bot in self.bots])
        detail = {
            "idle": options.idle,
            "api": options.api,
            "processes": options.processes,
            "batch": options.batch,
            "message_bytes": _MESSAGE_BYTES,
            "saturated": queued,
            "sends_behind": sender["behind"],
            "cpu_s": self._cpu(),
            "seconds": round(sender["seconds"], 3),
            "writer_cpu_ns_per_tick": round(sender["thread_cpu_ns"] / sender["sent"], 2),
            "writer_wakes_per_batch": round(sender["rings"] / sender["batches"], 4),
            **(
                {"hosts": options.hosts, "packets": self.publisher.packets, "bytes": self.publisher.nbytes}
                if options.hosts
                else {}
            ),
        }
        if len(self.bots) > 1:
            detail["per_bot"] = [
                {"transport": b.transport, "expected": b.expected, "got": b.said["ticks"], **latency_us(b.late)}
                for b in self.bots
            ]
        if options.bench == "throughput":
            detail["checksums_equal"] = self._sums_equal()
        return Figures(
            ticks=sum(bot.expected - bot.warm for bot in self.bots),
            lost=lost,
            ticks_per_s=sum(bot.said["counted"] / s for bot, s in zip(self.bots, seconds, strict=True) if s > 0),
            latency_us={} if queued else latency_us(late),
            skew_us=skew_us([bot.stamps for bot in self.bots], [bot.late for bot in self.bots]),
            detail=detail,
        )

    def _sums_equal(self) -> bool:
        """Did the bot read what the writer wrote? :raises HostError: it got every tick, but with other values."""
        sent, bot = self.sender["checksum"], self.bots[0]
        if bot.said["checksum"] != sent and bot.said["ticks"] == bot.expected:
            raise HostError("the bot read other values than were sent", expected=sent, found=bot.said["checksum"])
        return bool(bot.said["checksum"] == sent)

    def _cpu(self) -> dict[str, float]:
        """CPU seconds by role; bots: all of a transport together."""
        cpu = {"writer": self.sender["cpu_s"], "publisher": self.publisher.cpu_s}
        for bot in self.bots:
            role = f"bots {bot.transport}"
            cpu[role] = cpu.get(role, 0.0) + bot.said["cpu_s"]
        return {role: round(seconds, 3) for role, seconds in cpu.items()}


def _once(options: Options) -> _Heard:
    """Start the set, run it, end it; on hosts of their own if there are to be some."""
    with contextlib.ExitStack() as opened:
        net = opened.enter_context(Hosts(options.hosts)) if options.hosts else None
        return _on(options, net, opened.enter_context(Children(options.log_bytes + _OTHER_BYTES)))


def _on(options: Options, net: Hosts | None, children: Children) -> _Heard:
    directory = children.work / "log"
    flat, over_zmq = not options.rate, options.transport != "shm"
    address = net.feed.address if net is not None else "127.0.0.1"
    places = {
        "ipc": f"ipc://{children.work / 'bots'}",
        "epgm": f"epgm://{address};{plan.GROUP}",
        "mold": f"mold://{address if net is not None else 'lo'};{plan.group(net is not None)}",
    }
    publisher = PublisherSpec(
        directory=str(directory),
        endpoint=places.get(options.transport or "", f"tcp://{address}:0"),
        hwm=plan.HWM,
        slow="wait" if options.bench == "throughput" else "drop",
        batch=options.batch,
    )
    inline = options.processes == "one"
    sending = children.start("writer", python("feed.bench.sender"))
    at_feed = net.feed.within if net is not None else ()
    publishing = None
    if over_zmq and not inline:
        publishing = children.start("publisher", [*at_feed, *python("feed.bench.publisher")])
    hearing = []
    for i in range(options.bots or 1):
        within = net.bots[i % options.hosts].within if net is not None else ()
        hearing.append(children.start(f"bot{i}", [*within, *python("feed.bench.receiver")]))
    sending.tell(
        SenderSpec(
            directory=str(directory),
            log_bytes=options.log_bytes,
            symbols=options.symbols or 1,
            ticks=options.total,
            gap_ns=options.gap_ns,
            native=options.bench == "fanout",
            gating=_gates(options, publisher),
            publisher=publisher if inline else None,
        )
    )
    endpoint = sending.hear(_START_S)["endpoint"]
    if publishing:
        publishing.tell(publisher)
        endpoint = publishing.hear(_START_S)["endpoint"]
    if options.transport == "epgm":
        endpoint = f"epgm://{plan.GROUP}"  # each bot has an interface of its own
    specs = _bots(options, children.work, directory, endpoint)
    for bot, spec in zip(hearing, specs, strict=True):
        bot.tell(spec)
    for bot in hearing:
        bot.hear(_START_S + len(specs))
    before = _Publisher.of(publishing) if publishing else _Publisher()
    sending.tell("go")
    limit = _START_S + options.total * (1.0 / options.rate if options.rate else 1e-4) * (len(specs) if flat else 2)
    sender = sending.hear(limit)
    said = [bot.hear(limit) for bot in hearing]
    used = _Publisher.of(publishing).since(before) if publishing else _Publisher()
    bots = [
        _Bot(
            "shm" if spec.directory else spec.endpoint.partition("://")[0],
            spec.ticks,
            spec.warm,
            each,
            np.fromfile(f"{spec.out}.late", np.uint64) if spec.timed else np.empty(0, np.uint64),
            np.fromfile(f"{spec.out}.stamps", np.uint64) if spec.timed else np.empty(0, np.uint64),
        )
        for spec, each in zip(specs, said, strict=True)
    ]
    return _Heard(options, sender, used, bots)


def _gates(options: Options, publisher: PublisherSpec) -> tuple[str, ...]:
    """Whom the writer waits for, so that nothing is lost flat out; a publisher in its own thread it cannot wait for."""
    if options.bench != "throughput" or options.processes == "one":
        return ()
    return (_GATE,) if options.transport == "shm" else (publisher.gate,)


def _bots(options: Options, work: Path, directory: Path, endpoint: str) -> list[BotSpec]:
    """Which bot gets what, how and from where."""
    symbols, drawn = plan.symbols(options.symbols or 1), plan.draw(options.symbols or 1)
    counts = plan.counts(drawn, options.total, len(symbols))
    specs = []
    for i in range(options.bots or 1):
        mine = plan.wanted(i, len(symbols)) if options.bench == "fanout" else list(range(len(symbols)))
        shm = options.transport == "shm" or (options.transport == "mixed" and i % 2 == 0)
        ticks = int(counts[mine].sum())
        specs.append(
            BotSpec(
                name=_GATE if options.bench == "throughput" else f"bot{i}",
                directory=str(directory) if shm else "",
                endpoint="" if shm else endpoint,
                symbols=tuple(symbols[k] for k in mine),
                ticks=ticks,
                warm=ticks * options.warm // options.total,
                idle=options.idle or "park",
                api=options.api,
                timed=bool(options.rate),
                quiet_s=max(2.0, 20.0 / options.rate) if options.rate else 3.0,
                out=str(work / f"bot{i}"),
            )
        )
    return specs


def _sentence(options: Options) -> str:
    pace = f"at {options.rate:,.0f} ticks/s" if options.rate else "flat out"
    bots = f"{options.bots} bots" if options.bots != 1 else "1 bot"
    how = f"{options.api}, {options.idle}"
    return f"{options.bench} over {options.transport}, {options.total:,} ticks {pace}, {bots}, {how}"
