"""The command `bots`: reads options, calls the part that does it, prints what comes back. No logic lives here.

Exit status: 0 done, 2 what was typed is wrong, 1 anything else that went wrong, a bot that raised among it.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator  # noqa: TC003 - typer reads annotations when it runs
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.live import Live

from bots import loader
from bots.bot import run as run_bot
from bots.directory import ControlClient
from bots.screen import Screen, console_for, lag_table
from bots.subscriber import DEFAULT_FEED, Subscriber
from bots.watch import Watch
from feed.clock import now_ns
from feed.errors import CallerError, ConfigError, TickcastError
from feed.metrics.words import Trends, duration

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["app", "main"]

ANSWER_S = 5.0
"""How long `bots lag` waits for the feed."""

IMPATIENT_S = 1.0
"""Ctrl-C may come twice at once, from the terminal and from whoever started us; later it is meant."""

app = typer.Typer(
    name="bots",
    help="Subscribe to a tickcast feed: watch symbols, run a bot of your own, see how far behind each is.\n\n"
    "Begin with: feed demo --for 60, and beside it: bots watch AAPL MSFT",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and with them credentials
    rich_markup_mode=None,
)


class Transport(StrEnum):
    auto = "auto"
    shm = "shm"
    ipc = "ipc"
    tcp = "tcp"
    mold = "mold"
    epgm = "epgm"
    pgm = "pgm"


class Order(StrEnum):
    topic = "topic"
    stream = "stream"


class Idle(StrEnum):
    park = "park"
    spin = "spin"


class Share(StrEnum):
    symbol = "symbol"
    turn = "turn"


Feed = Annotated[str, typer.Option(metavar="ADDRESS", help="The feed's control address.")]
Schemas = Annotated[
    str | None, typer.Option(metavar="WORDS", help="Such as trade,quote (trade quote bbo book order bar1s bar1m ...).")
]
Over = Annotated[
    Transport,
    typer.Option(
        help="auto: shared memory on the feed's own host, else multicast that comes through, else tcp.",
        show_choices=True,
    ),
]
Interface = Annotated[
    str, typer.Option(metavar="NAME", help="Where multicast comes in: name or address. Default: where the route leads.")
]


@app.command(epilog="Example: bots watch AAPL 'ES*' --schemas quote,trade --for 10")
def watch(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="Names, beginnings ('ES*') or '*'.")],
    schemas: Schemas = None,
    transport: Over = Transport.auto,
    interface: Interface = "",
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Default: until Ctrl-C.")
    ] = None,
    feed: Feed = DEFAULT_FEED,
) -> None:
    """Show each symbol's last prices, rate, age, latency and gaps, live; without a terminal, once at the end."""
    with Screen() as screen:  # before anything else: its process should have as little of ours as possible
        subscriber = _subscriber(symbols, schemas, transport, feed, name=f"watch-{os.getpid()}", interface=interface)
        watching = Watch(subscriber, screen, feed)
        _log_to(watching if screen.live else logging.StreamHandler())
        with _ended_by_signals(subscriber):
            try:
                watching.run(seconds)
            finally:
                subscriber.close()


@app.command(
    epilog="Example: bots run mean.py --symbols AAPL,MSFT        bots run my/bots.py:Mean --symbols '*' --group means"
)
def run(
    target: Annotated[
        str, typer.Argument(metavar="FILE[:CLASS]", help="A Python file with a class derived from bots.Bot.")
    ],
    symbols: Annotated[str, typer.Option(metavar="NAMES", help="Such as AAPL,MSFT or 'ES*' or '*'.")],
    schemas: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Such as trade,quote. Default: what the bot has callbacks for.")
    ] = None,
    transport: Over = Transport.auto,
    interface: Interface = "",
    order: Annotated[
        Order, typer.Option(help="topic: each symbol's ticks in order; stream: all symbols in the feed's order.")
    ] = Order.topic,
    idle: Annotated[
        Idle, typer.Option(help="park: sleep while nothing comes; spin: a whole core, for a microsecond less.")
    ] = Idle.park,
    name: Annotated[
        str | None, typer.Option(help="On the feed's dashboard, at most 31 letters. Default: CLASS-PROCESS.")
    ] = None,
    start: Annotated[
        str, typer.Option(metavar="WHERE", help="live; snapshot (last states first); begin; a time; or a seq.")
    ] = "live",
    durable: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep the position: after any restart go on with the next tick.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Divide the ticks with all bots of this name; if one dies, others go on."),
    ] = None,
    share: Annotated[
        Share, typer.Option(help="In a group, symbol: all ticks of a symbol to the same bot; turn: tick by tick.")
    ] = Share.symbol,
    metrics_port: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Serve this bot's own figures there for Prometheus."),
    ] = None,
    slow: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="When behind: fill, latest or stop, or by schema: quote=fill,trade=stop."),
    ] = None,
    feed: Feed = DEFAULT_FEED,
) -> None:
    """Run a bot until Ctrl-C. It waits for a feed that is not running, and for one that goes away."""
    _log_to(logging.StreamHandler(), logging.INFO)
    path, wanted = loader.split(target)
    with _own_traceback(path):
        kind = loader.load(path, wanted)
        sys.argv = [str(path)]  # what the bot's own code should see
        bot = kind()
    options = {
        "name": name or f"{kind.__name__[:20]}-{os.getpid()}",
        "interface": interface,
        "order": order.value,
        "idle": idle.value,
        "start": int(start) if start.isdigit() else start,
        "durable": durable,
        "group": group,
        "share": share.value,
        "metrics_port": metrics_port,
        "slow": _slow(slow),
    }
    subscriber = _subscriber(symbols.split(","), schemas, transport, feed, **options)
    gc.collect()
    gc.freeze()  # what is there now stays; later collections need not look at it again
    try:
        with _own_traceback(path), _ended_by_signals(subscriber):
            run_bot(bot, subscriber)
    finally:
        typer.echo(_summary(subscriber.stats()), err=True)


@app.command(epilog="Example: bots lag --watch        bots lag --json | jq '.[].lag_ns'")
def lag(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table.")] = False,
    again: Annotated[bool, typer.Option("--watch", help="Again every second, until Ctrl-C.")] = False,
    feed: Feed = DEFAULT_FEED,
) -> None:
    """Show how far behind each bot is, what it lost and its latency, as it last reported to the feed."""
    control = ControlClient(_address(feed))
    console = console_for(sys.stdout)
    try:
        trends = Trends()
        with Live(console=console, auto_refresh=False) if again and not as_json else nullcontext() as live:
            while True:
                bots: list[dict[str, Any]] = control.ask("bots", ANSWER_S)["bots"]
                if as_json:
                    typer.echo(orjson.dumps(bots, option=None if again else orjson.OPT_INDENT_2))
                elif live is not None:
                    live.update(lag_table(bots, now_ns(), trends), refresh=True)
                else:
                    console.print(lag_table(bots, now_ns()))
                if not again:
                    return
                time.sleep(1)
    except KeyboardInterrupt:
        return
    finally:
        control.close()


def main() -> None:
    """The entry point: errors of ours are one line on stderr, never a traceback."""
    try:
        app()
    except CallerError as error:
        sys.exit(_complain(error, 2))
    except TickcastError as error:
        sys.exit(_complain(error, 1))


def _subscriber(symbols: list[str], schemas: str | None, transport: Transport, feed: str, **options: Any) -> Subscriber:
    words = None if schemas is None else schemas.split(",")
    return Subscriber(symbols, words, feed=_address(feed), transport=transport.value, **options)


def _slow(text: str | None) -> str | dict[str, str] | None:
    """One policy, or some by schema: `quote=fill,trade=stop`."""
    if text is None or "=" not in text:
        return text
    return dict(each.partition("=")[::2] for each in text.split(","))


def _address(feed: str) -> str:
    """`feed`, if it looks like an address: a typing error should not be waited for."""
    scheme, _, place = feed.partition("://")
    if scheme not in {"tcp", "ipc"} or not place or (scheme == "tcp" and not place.rpartition(":")[2].isdigit()):
        raise ConfigError("not an address", expected=f"such as {DEFAULT_FEED}", found=repr(feed), where="--feed")
    return feed


@contextmanager
def _own_traceback(path: Path) -> Iterator[None]:
    """What the user's file at `path` raises is shown without our part of the way; exit code 1."""
    try:
        yield
    except Exception as error:
        own = loader.own_traceback(error, path)
        if not own:
            raise
        typer.echo(own, err=True, nl=False)
        raise typer.Exit(1) from None


@contextmanager
def _ended_by_signals(subscriber: Subscriber) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the bot between two ticks. Ctrl-C a second later still ends it wherever it is."""
    first = 0.0

    def stop(number: int, _: object) -> None:
        nonlocal first
        subscriber.stop()
        first = first or time.monotonic()
        if number == signal.SIGINT and time.monotonic() - first > IMPATIENT_S:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log_to(handler: logging.Handler, level: int = logging.WARNING) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S", handlers=[handler])


def _summary(stats: dict[str, Any]) -> str:
    """One line: how much came, what was lost, how long it took."""
    gaps, lost = sum(stats["gaps"].values()), sum(stats["lost"].values())
    total = stats["latency"].get("total", {})
    text = f"{stats['name']}: {stats['ticks']:,} ticks, {gaps:,} gaps, {lost:,} lost"
    return f"{text}, latency p50 {duration(total.get('p50'))} p99 {duration(total.get('p99'))}"


def _complain(error: TickcastError, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status
