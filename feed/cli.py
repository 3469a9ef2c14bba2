"""The command `feed`: reads options, calls the part that does it, prints what comes back. No logic lives here.

Exit status: 0 done, 2 what was typed or configured is wrong, 1 anything else that went wrong.
"""

import contextlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from feed import config, plan
from feed.errors import CallerError, TickcastError
from feed.logging import Format, Level, as_json, configure
from feed.metrics.words import Trends

__all__ = ["app", "main"]

app = typer.Typer(
    name="feed",
    help="Fan market data out to trading bots: run the feed, watch its latency.\n\n"
    "Begin with: feed demo --for 20, and beside it: bots watch AAPL",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and with them credentials
    rich_markup_mode=None,
)
bench_app = typer.Typer(
    name="bench",
    help="Measure this machine. Every figure comes with its inputs, and with --vs beside a peer in the same run.",
    no_args_is_help=True,
)
app.add_typer(bench_app)


ConfigFile = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="TOML file; config/feed.toml shows every key. Default: defaults."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. publish.tcp.hwm=5000; may be repeated."),
]
For = Annotated[
    float | None, typer.Option("--for", metavar="SECONDS", min=0, help="End cleanly after so long. Default: at Ctrl-C.")
]
LogLevel = Annotated[
    Level | None, typer.Option("--log-level", help="What the daemon says on stderr. Default: feed.log_level.")
]
LogFormat = Annotated[
    Format | None,
    typer.Option("--log-format", help="Lines for people, or JSON objects. Default: feed.log_format."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@app.command(epilog="Example: feed run config/feed.toml --set source.sim.rate=2000 --for 60")
def run(
    file: ConfigFile = None,
    sets: Sets = None,
    seconds: For = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run the feed daemon until Ctrl-C or SIGTERM: sources into the log, publishers, control, monitor."""
    _run(config.load(file, os.environ, [*(sets or ()), *_spoken(log_level, log_format)]), seconds)


@app.command(epilog="Example: feed demo --for 20")
def demo(seconds: For = None, sets: Sets = None, log_level: LogLevel = "warning") -> None:
    """Run the simulator (100 symbols, 50,000 ticks/s) with three bots; show rates, latency and gaps live."""
    from feed import demo as show  # noqa: PLC0415 - it loads every stage

    settings = config.load(None, os.environ, [*(sets or ()), *_spoken(log_level)])
    raise typer.Exit(show.run(settings, duration_s=seconds))


From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="TIME|SEQ",
        help="Where to begin: 2024-07-01T13:30Z (ISO 8601, UTC without a zone), ns since 1970, or a sequence number. "
        "Default: the beginning.",
    ),
]
To = Annotated[
    str, typer.Option("--to", metavar="TIME|SEQ", help="Where to end: before this time, or after this number.")
]
Symbols = Annotated[str, typer.Option("--symbols", metavar="A,B,ES*", help="Only these; ES* is all that begin so.")]
Schemas = Annotated[str, typer.Option("--schemas", metavar="quote,trade", help="Only these schemas.")]
Epoch = Annotated[
    int, typer.Option("--epoch", min=0, help="Only this epoch; where there are several, a number needs it.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The feed's TOML file. Default: defaults.")]


@app.command(epilog="Example: feed replay session.dbn.zst --speed 10 --set feed.wait_bots=1")
def replay(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...|FOLDER",
            help="DBN files, raw or zstd, merged by time; captures of live sources; or the folder of a feed's archive. "
            "Default: this configuration's own archive, which is then not written.",
        ),
    ] = None,
    *,
    speed: Annotated[str, typer.Option(help="1 as recorded, 10 ten times faster, max as fast as possible.")] = "1",
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, until Ctrl-C.")] = False,
    first: From = "",
    last: To = "",
    symbols: Symbols = "",
    epoch: Epoch = 0,
    file: Annotated[Path | None, typer.Option("--config", help="Take all but the sources from this file.")] = None,
    sets: Sets = None,
    seconds: For = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run the feed on recorded files, or on what a feed has archived; it ends when they do.

    Bots get it as they get a live feed. feed.wait_bots=N holds it until N bots are there. --from, --to, --symbols and
    --epoch are for archives (feed replay FOLDER --from 2024-07-01T13:30Z --symbols AAPL,ES*); what an archive lacks is
    told at the end. With archive.path set and "archive" in log.gating, the replay itself is archived without a loss.
    """
    own = config.own_archive(file, os.environ, sets or ())
    part = {"from": first, "to": last, "symbols": _listed(symbols), "epoch": epoch}
    source = config.played(paths or [], own, part)
    base = {"source": {source["kind"]: {**source, "speed": speed, "loop": loop}}, "feed": {"linger": False}}
    unwritten = ["archive.path="] if own is not None and source.get("path") == str(own) else []
    sets = [*(sets or ()), *unwritten, *_spoken(log_level, log_format)]
    _run(config.load(file, os.environ, sets, base=base), seconds)


@app.command(epilog="Example: feed export --format parquet ticks --archive main --from 2024-07-01 --symbols ES*")
def export(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A file (.dbn or .dbn.zst, .parquet, .csv), or for parquet and csv a folder: one file per schema.",
        ),
    ],
    *,
    kind: Annotated[
        Literal["dbn", "parquet", "csv"],
        typer.Option("--format", help="dbn: the records unchanged; parquet, csv: tables with symbols, exact prices."),
    ],
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="FOLDER", help="Default: the configuration's own archive.")
    ] = None,
    first: From = "",
    last: To = "",
    symbols: Symbols = "",
    schemas: Schemas = "",
    epoch: Epoch = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at OUT.")] = False,
    file: ConfigOption = None,
    sets: Sets = None,
) -> None:
    """Write what a feed has archived to files that other programs read; the feed may run meanwhile.

    A file gets its name when it is whole. What the archive lacks is told at the end.
    """
    from feed.archive.export import export as write  # noqa: PLC0415 - a command loads only what it needs
    from feed.position import Position  # noqa: PLC0415
    from feed.store.excerpt import Excerpt  # noqa: PLC0415

    folder = archive or config.own_archive(file, os.environ, sets or ())
    if folder is None:
        raise config.no_archive()
    wanted = _listed(symbols)
    excerpt = Excerpt(
        folder,
        first=Position.parse(first, where="--from"),
        last=Position.parse(last, where="--to"),
        epoch=epoch,
        symbols=wanted,
        schemas=_listed(schemas),
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0)
        report = write(
            excerpt,
            kind,
            out,
            overwrite=overwrite,
            asked=[each for each in wanted if not each.endswith("*")],
            show=lambda what, fraction: bar.update(task, description=what, completed=fraction),
        )
        bar.update(task, completed=1.0)
    for note in report.notes:
        typer.echo(f"warning: {note}", err=True)
    typer.echo(f"{report.records:,} records: {', '.join(str(each) for each in report.files)}")


@app.command(epilog="Example: feed check config/feed.toml --set log.bytes=64MiB")
def check(file: ConfigFile = None, sets: Sets = None) -> None:
    """Say everything that is wrong with a configuration, or show the plan it makes; starts nothing."""
    errors = config.check(file, os.environ, sets or ())
    for error in errors:
        typer.echo(f"error: {error}", err=True)
    if errors:
        raise typer.Exit(2)
    typer.echo(plan.picture(config.load(file, os.environ, sets or ())))


@app.command(epilog="Example: feed symbols 'BTC*' --config config/feed.toml")
def symbols(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATTERN]...", help="AAPL, or ES* for all that begin so. Default: all."),
    ] = None,
    *,
    file: ConfigOption = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """List instruments: what files of the configuration name and what its feed has, running, heard of them."""
    from feed import symbols as table  # noqa: PLC0415 - a command loads only what it needs

    rows = table.listing(config.load(file, os.environ, sets or ()), patterns or ["*"])
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
    else:
        Console().print(table.render(rows))


@app.command(epilog="Example: feed stat --json --interval 5")
def stat(
    file: ConfigFile = None,
    sets: Sets = None,
    *,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every interval, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Between two looks.")] = 1.0,
) -> None:
    """Show a running feed's rates, latency against targets, gaps and lags, read from its memory without its help."""
    from feed.monitor import stat as figures  # noqa: PLC0415 - a command loads only what it needs

    directory = config.load(file, os.environ, sets or ()).directory
    before = figures.snapshot(directory)
    trends = Trends() if watch else None
    with Live(auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            after = figures.snapshot(directory, before)
            if as_json:
                typer.echo(orjson.dumps(after).decode())
            else:
                live.update(figures.render(before, after, trends), refresh=True)
            if not watch:
                return
            before = after


@app.command(epilog="Example: feed doctor config/feed.toml --json")
def doctor(file: ConfigFile = None, sets: Sets = None, *, as_json: Json = False) -> None:
    """Say whether this host is fit for a configuration: processors, clock, memory, network, libzmq, limits.

    Each finding is ok, could be better, or broken (the feed will not run, or will lose something), with what it costs
    and the command that changes it; "?" is what could not be read. Changes nothing, needs no rights. Exit status 1:
    something is broken.
    """
    from feed.doctor import Host, examine, fit, show  # noqa: PLC0415 - a command loads only what it needs

    findings = examine(Host(config=config.load(file, os.environ, sets or ())))
    if as_json:
        typer.echo(msgspec.json.encode({"fit": fit(findings), "findings": findings}).decode())
    else:
        Console().print(show(findings))
    raise typer.Exit(0 if fit(findings) else 1)


Over = Annotated[
    Literal["shm", "ipc", "tcp", "epgm", "mold"] | None,
    typer.Option("--transport", help="How ticks reach the bots."),
]
HostCount = Annotated[
    int,
    typer.Option("--hosts", help="Bots on so many hosts of their own: network namespaces, as root (tcp, epgm, mold)."),
]
Idle = Annotated[Literal["spin", "park"] | None, typer.Option("--idle", help="How bots wait: spin takes a core each.")]
Use = Annotated[
    Literal["callback", "batch", "native"],
    typer.Option("--api", help="callback: one call per tick; batch: recv_many; native: no Python."),
]
Rate = Annotated[float | None, typer.Option("--rate", min=0, help="Ticks per second, 0 is flat out.")]
BotCount = Annotated[int | None, typer.Option("--bots", help="How many bots.")]
SymbolCount = Annotated[int | None, typer.Option("--symbols", help="How many symbols, of Zipf activity.")]
Ticks = Annotated[
    int | None, typer.Option("--ticks", help="How many ticks count; a tenth more warm up. Default: seconds' worth.")
]
As = Annotated[
    Literal["many", "one"], typer.Option("--processes", help="one: writer and publisher share a thread (tcp, ipc).")
]
Batch = Annotated[int, typer.Option("--batch", help="Ticks of a topic per frame at most; 1 is one frame a tick.")]
Versus = Annotated[
    Literal["libzmq-c", "pyzmq", "udp-c"] | None,
    typer.Option("--vs", help="Alternate with this peer in the same call (tcp, ipc, epgm; udp-c: mold; 1 bot)."),
]
Rounds = Annotated[int, typer.Option("--alternations", help="How often with --vs; the median counts.")]


@bench_app.command(epilog="Example: feed bench latency --transport tcp --rate 5000 --vs libzmq-c --json")
def latency(
    *,
    transport: Over = None,
    idle: Idle = None,
    api: Use = "callback",
    rate: Rate = None,
    bots: BotCount = None,
    hosts: HostCount = 0,
    symbols: SymbolCount = None,
    ticks: Ticks = None,
    processes: As = "many",
    batch: Batch = 64,
    vs: Versus = None,
    alternations: Rounds = 7,
    as_json: Json = False,
) -> None:
    """From the sender's call to the bot's callback, at a paced rate; never quoted from a saturated run.

    Unless told otherwise: shm, spinning, 10,000 ticks/s of one symbol to one bot's callback.
    """
    _bench("latency", locals())


@bench_app.command(epilog="Example: feed bench throughput --transport shm --api batch")
def throughput(
    *,
    transport: Over = None,
    idle: Idle = None,
    api: Use = "callback",
    symbols: SymbolCount = None,
    ticks: Ticks = None,
    processes: As = "many",
    batch: Batch = 64,
    vs: Versus = None,
    alternations: Rounds = 7,
    as_json: Json = False,
) -> None:
    """Ticks per second, flat out, to one bot that the writer waits for and that reads all; checksums compared.

    Unless told otherwise: shm, 100 symbols, one bot's callback; --api batch reads with recv_many.
    """
    _bench("throughput", locals())


@bench_app.command(epilog="Example: feed bench fanout --bots 24 --rate 2000")
def fanout(
    *,
    transport: Annotated[
        Literal["mixed", "shm", "ipc", "tcp", "epgm", "mold"] | None,
        typer.Option("--transport", help="mixed: shm and tcp."),
    ] = None,
    idle: Idle = None,
    api: Use = "callback",
    rate: Rate = None,
    bots: BotCount = None,
    hosts: HostCount = 0,
    symbols: SymbolCount = None,
    ticks: Ticks = None,
    batch: Batch = 64,
    as_json: Json = False,
) -> None:
    """Many bots on ten symbols each: what each got, quantiles, first-to-last skew, CPU; --rate 0: the writer's cost.

    Unless told otherwise: 24 bots, every other one over shm and over tcp, 100 symbols, 50,000 ticks/s.
    """
    _bench("fanout", locals())


@bench_app.command(epilog="Example: feed bench recovery --only fill,append --dir /var/lib/tickcast")
def recovery(
    *,
    only: Annotated[
        str, typer.Option(metavar="A,B", help="join, fill, stalled, append, catchup, restart. Default: all.")
    ] = "",
    rounds: Annotated[int, typer.Option("--rounds", help="Of each; medians count. What takes long has 3 at most.")] = 7,
    folder: Annotated[
        Path, typer.Option("--dir", metavar="FOLDER", help="Where archives are written, for so long: 2 GB of a disk.")
    ] = Path(),
    as_json: Json = False,
) -> None:
    """What it takes to miss nothing, on real feeds: late join, gap fill, a stalled bot, the archive, restarts.

    Each bot's ticks are counted by their numbers. Nothing else should run, as in all of these.
    """
    from feed.bench.recovery.plan import MEASUREMENTS, Options  # noqa: PLC0415 - a command loads only what it needs
    from feed.bench.recovery.run import run as measure  # noqa: PLC0415
    from feed.bench.recovery.show import show  # noqa: PLC0415

    options = Options(only=tuple(_listed(only)) or MEASUREMENTS, rounds=rounds, folder=folder)
    rows = measure(options, lambda what: typer.echo(what, err=True))
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
    else:
        Console().print(show(rows))


@bench_app.command(epilog="Example: feed bench ingest --kind itch --file 01302020.NASDAQ_ITCH50 --vs itch-book")
def ingest(
    *,
    kind: Annotated[Literal["itch", "binance", "kraken", "coinbase"], typer.Option("--kind", help="Whose messages.")],
    file: Annotated[
        Path, typer.Option("--file", help="An ITCH file; or a capture: `capture` of a source, lines `ns {json}`.")
    ],
    vs: Annotated[
        Literal["itch-book", "cryptofeed"] | None,
        typer.Option("--vs", help="Alternate with this program's handler in the same call."),
    ] = None,
    alternations: Rounds = 7,
    messages: Annotated[
        int, typer.Option("--messages", help="Play a short capture again until there were so many; 0: once.")
    ] = 200_000,
    peer_python: Annotated[
        str, typer.Option("--peer-python", metavar="PYTHON", help="The interpreter that has the peer.")
    ] = sys.executable,
    as_json: Json = False,
) -> None:
    """How fast captured messages become books and records in the log, on one core, in messages a second.

    Memory is the process's at its end, our log's 64 MiB included.
    """
    from feed.bench.ingest import plan as ingesting  # noqa: PLC0415 - a command loads only what it needs
    from feed.bench.ingest.run import run as measure  # noqa: PLC0415
    from feed.bench.ingest.show import show  # noqa: PLC0415

    options = ingesting.Options(
        kind=kind, file=file, vs=vs, alternations=alternations, messages=messages, peer_python=peer_python
    )
    results = measure(options, lambda what: typer.echo(what, err=True))
    if as_json:
        typer.echo(msgspec.json.encode(results).decode())
    else:
        Console().print(show(results))


@bench_app.command(epilog="Example: feed bench measuring")
def measuring(
    *,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="On and off by turns; medians count.")] = 7,
    as_json: Json = False,
) -> None:
    """What the metrics cost a tick where it is measured, in ns; clock reads are not in it."""
    from feed.bench import cost  # noqa: PLC0415 - a command loads only what it needs

    costs = cost.measure(rounds, lambda what: typer.echo(what, err=True))
    if as_json:
        typer.echo(msgspec.json.encode([{**msgspec.to_builtins(each), "ns": each.ns} for each in costs]).decode())
    else:
        Console().print(cost.show(costs))


def main() -> None:
    """The entry point: errors of ours are one line on stderr, never a traceback."""
    try:
        app()
    except CallerError as error:
        sys.exit(_complain(error, 2))
    except TickcastError as error:
        sys.exit(_complain(error, 1))


def _bench(name: str, given: dict[str, Any]) -> None:
    from feed.bench.plan import Options  # noqa: PLC0415 - a command loads only what it needs
    from feed.bench.run import run as measure  # noqa: PLC0415
    from feed.bench.show import show  # noqa: PLC0415

    as_json = given.pop("as_json")
    options = msgspec.convert({"bench": name, **given}, Options)
    results = measure(options, lambda what: typer.echo(what, err=True))
    if as_json:
        typer.echo(msgspec.json.encode(results).decode())
    else:
        Console().print(show(results))


def _listed(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


def _spoken(log_level: Level | None, log_format: Format | None = None) -> list[str]:
    given = {"feed.log_level": log_level, "feed.log_format": log_format}
    return [f"{key}={value}" for key, value in given.items() if value is not None]


def _run(settings: config.FeedConfig, seconds: float | None) -> None:
    from feed import supervisor  # noqa: PLC0415 - it loads every stage
    from feed.progress import Bar  # noqa: PLC0415

    bar = Bar()
    recorded = all(isinstance(each, config.PacedTable) for each in settings.source.values())
    shown = bool(recorded and settings.source and bar.wanted and settings.feed.log_format == "human")
    with bar if shown else contextlib.nullcontext():  # what is said from here on stands above the bar
        configure(settings.feed.log_level, settings.feed.log_format, feed=settings.feed.name)
        status = supervisor.run(settings, duration_s=seconds, **({"watch": bar} if shown else {}))
    raise typer.Exit(status)


def _complain(error: TickcastError, status: int) -> int:
    if as_json():
        logging.getLogger("tickcast.feed").error("%s", error)
    else:
        print(f"error: {error}", file=sys.stderr)
    return status
