"""The plan of a feed as a small picture: what flows from where to where, at which addresses, with which bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.config import (
    LOG_SEGMENTS,
    ArchiveReplayConfig,
    BinanceConfig,
    CaptureConfig,
    CryptoTable,
    ItchConfig,
    ItchMoldConfig,
    ItchSoupConfig,
    LiveTable,
    MoldConfig,
    PgmConfig,
    PushConfig,
    PythonConfig,
    ReplayConfig,
    SimConfig,
    SymbologyConfig,
    size_bytes,
)
from feed.ports import parse_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from feed.config import FeedConfig, PublishConfig, SourceConfig

__all__ = ["picture"]


def picture(config: FeedConfig) -> str:
    """Sources, log, publishers, control and monitor of a loaded configuration, one line each; ends with the targets."""
    lines = [f"feed {config.feed.name}: agents as {_PROCESSES[config.feed.processes]}", ""]
    lines += [f"  {f'source.{name}':<16} {_source(each)}{_rules(each)}" for name, each in config.source.items()]
    if config.best.symbols:
        lines.append(f"  {'best':<16} bid and offer across venues of {', '.join(config.best.symbols)}")
    if not config.source:
        lines.append("  no source: only a program of yours that writes the log")
    lines += ["    │", "    ▼", f"  {'log':<16} {_log(config)}"]
    readers = [(f"publish.{name}", _publisher(each)) for name, each in config.publish.items()]
    if config.archive_directory is not None:
        readers.append(("archive", _archive(config, config.archive_directory)))
    readers.append(("control", _address(config.control.endpoint)))
    if config.monitor.endpoint:
        readers.append(("monitor", f"http://{config.monitor.endpoint}/metrics{_open_to_all(config.monitor.endpoint)}"))
    readers.append(("bots here", f"shared memory at {config.directory}"))
    for number, (name, text) in enumerate(readers, 1):
        lines.append(f"    {'└' if number == len(readers) else '├'}─▶ {name:<12} {text}")
    targets = " · ".join(f"{name} ≤ {text}" for name, text in config.latency.targets.items())
    return "\n".join([*lines, "", f"  {'latency targets':<16} {targets or 'none'}"])


_PROCESSES = {"many": "processes", "one": "threads of one process"}


def _source(source: SourceConfig) -> str:
    if isinstance(source, SimConfig):
        rate = f"{source.rate:,.0f} ticks/s, {source.arrivals}" if source.rate else "flat out"
        length = f"{source.ticks:,} ticks" if source.ticks else "endless"
        return f"simulator: {source.symbols:,} symbols, {rate}, zipf {source.zipf:g}, seed {source.seed}, {length}"
    if isinstance(source, PushConfig):
        doors = " and ".join(_address(text) for text in (source.endpoint, source.tcp) if text)
        return f"pushers at {doors}, each ≤ {source.window} ahead of the log, {source.topics:,} topics"
    if isinstance(source, CryptoTable):
        return _venue(source)
    if isinstance(source, PythonConfig):
        given = ", ".join(f"{key} = {value!r}" for key, value in source.settings.items())
        return f"{source.class_}({given})"
    if isinstance(source, SymbologyConfig):
        return f"instruments of {', '.join(source.files)}, looked at every {source.watch}"
    return _live_itch(source) if isinstance(source, ItchMoldConfig | ItchSoupConfig) else _played(source)


def _played(source: ReplayConfig | ArchiveReplayConfig | CaptureConfig | ItchConfig) -> str:
    speed = "as fast as possible" if source.speed == "max" else f"{source.speed} times as recorded"
    again = ", again and again" if source.loop else ""
    if isinstance(source, CaptureConfig):
        return f"captures: {', '.join(source.files)}, {speed}{again}"
    normal = "all but book and order" if isinstance(source, ItchConfig) else "all schemas"
    what = ", ".join(source.schemas) or normal
    if isinstance(source, ItchConfig):
        symbols = ", ".join(source.symbols) or "all symbols"
        return f"{source.market} ITCH: {', '.join(source.files)} ({symbols}, {what}), {speed}{again}"
    if isinstance(source, ArchiveReplayConfig):
        part = f"{source.from_ or 'its beginning'} to {source.to or 'its end'}"
        symbols = ", ".join(source.symbols) or "all symbols"
        return f"archive: {source.path} from {part} ({symbols}, {what}), {speed}{again}"
    return f"replay: {', '.join(source.files)} ({what}), {speed}{again}"


def _live_itch(source: ItchMoldConfig | ItchSoupConfig) -> str:
    what = f"{', '.join(source.symbols) or 'all symbols'}, {', '.join(source.schemas) or 'all but book and order'}"
    start = f", snapshot from {source.glimpse}" if source.glimpse else ""
    if isinstance(source, ItchSoupConfig):
        session = f"session {source.session}" if source.session else "the session that runs"
        return f"{source.market} ITCH over SoupBinTCP: {source.address} ({what}), {session}{start}"
    over = f" over {source.interface}" if source.interface else ""
    again = f"asks {source.request}" if source.request else "asks nobody"
    return (
        f"{source.market} ITCH over MoldUDP64: {' and '.join(source.groups)}{over} ({what}), {again}, "
        f"gives up after {source.give_up}{start}"
    )


def _rules(source: SourceConfig) -> str:
    """What is done with ticks that break rules, and where what comes in is kept."""
    rules = [f"{rule} {action}" for rule, action in source.validate.actions.items()]
    kept = f"; kept in {source.capture}" if isinstance(source, LiveTable) and source.capture else ""
    return (f"; rules: {', '.join(rules)}" if rules else "") + kept


def _venue(source: CryptoTable) -> str:
    what = ", ".join(source.schemas) or "all schemas"
    market = f" {source.market}" if isinstance(source, BinanceConfig) else ""
    lines = -(-len(source.symbols) // source.per_connection)
    at = f"{source.websocket_url} and {source.rest_url}"
    return (
        f"{source.VENUE.capitalize()}{market}: {', '.join(source.symbols)} ({what}) at {at}, "
        f"{lines} connection{'s' if lines > 1 else ''}, stale after {source.stale_after}"
    )


def _log(config: FeedConfig) -> str:
    segment_kib = size_bytes(config.log.bytes) // LOG_SEGMENTS // 1024
    size = f"{segment_kib // 1024}MiB" if segment_kib >= 1024 else f"{segment_kib}KiB"
    waits = (
        f"waits ≤ {config.log.gate_timeout} for {', '.join(config.log.gating)}"
        if config.log.gating
        else "waits for nobody"
    )
    idle = _idle(config.log.idle, config.log.cpu)
    return f"{config.log.bytes} = {LOG_SEGMENTS} segments of {size}, {config.log.max_topics:,} topics, {waits}, {idle}"


def _archive(config: FeedConfig, folder: Path) -> str:
    archive = config.archive
    durable = {
        "async": "durable when the kernel has written it",
        "interval": f"durable every {archive.interval}",
        "every": "durable with each batch",
    }
    segments = f"segments of {archive.segment}{', compressed' if archive.compress else ''}"
    bounds = [text for text in (archive.keep_bytes, archive.keep_for) if text]
    kept = f"kept up to {' and '.join(bounds)}" if bounds else "kept for ever"
    roll = f", sealed at {config.feed.roll}" if config.feed.roll else ""
    return f"{folder}, {durable[archive.durability]}, {segments}{roll}, {kept}"


def _publisher(publisher: PublishConfig) -> str:
    if isinstance(publisher, PgmConfig):
        window = f"{publisher.window.size / 1e6:,.0f} MB"
        return (
            f"{publisher.endpoint} (open to the network), {publisher.rate:,} kbit/s for {publisher.recovery} = "
            f"{window} kept at each end, packets ≤ {publisher.tpdu}, {publisher.hops} hop{'s' * (publisher.hops > 1)}, "
            f"batch ≤ {publisher.batch}, heartbeat {publisher.heartbeat}, {_idle(publisher.idle, publisher.cpu)}"
        )
    if isinstance(publisher, MoldConfig):
        shards = f", {publisher.address.shards.count} shards" if publisher.address.shards.count > 1 else ""
        resent = f"{publisher.request_rate:,}/s at {publisher.requests}" if publisher.requests else "none"
        return (
            f"{publisher.endpoint}{'' if publisher.address.loopback else ' (open to the network)'}{shards}, "
            f"packets ≤ {publisher.mtu}, batch ≤ {publisher.batch}, ttl {publisher.ttl}, sent again ≤ {resent}, "
            f"heartbeat {publisher.heartbeat}, {_idle(publisher.idle, publisher.cpu)}"
        )
    full = "drops" if publisher.slow == "drop" else "waits"
    hose = f", firehose {_address(publisher.firehose)}" if publisher.firehose else ""
    return (
        f"{_address(publisher.endpoint)}, batch ≤ {publisher.batch}, {full} beyond {publisher.hwm:,} per bot, "
        f"heartbeat {publisher.heartbeat}, {_idle(publisher.idle, publisher.cpu)}{hose}"
    )


def _idle(idle: str, cpu: int) -> str:
    return f"{idle}s on processor {cpu}" if cpu >= 0 else f"{idle}s"


def _address(text: str) -> str:
    return f"{text}{_open_to_all(text)}"


def _open_to_all(text: str) -> str:
    return "" if parse_endpoint(text, bare="://" not in text).loopback else " (open to the network)"
