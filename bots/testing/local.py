"""A real feed inside the test's own process: its agents as threads, its ticks given by the test, its network faulty.

    with LocalFeed() as feed:
        bot = Mean()
        feed.run(bot, "AAPL")
        feed.publish("trade", "AAPL", price=10.0)
        feed.lose(1)
        feed.publish("trade", "AAPL", price=20.0)
        feed.wait_idle()                        # the bot has had everything, or knows what it did not get

Log, publishers, control and archive are those of `feed run`; only the source is another. Bots over tcp and ipc come
through relays of their own (bots.testing.proxy), where faults befall them; bots over shared memory can be overrun.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Any, Self

from bots.bot import schemas_of
from bots.subscriber import Subscriber
from bots.testing import records
from bots.testing.agents import Agents
from bots.testing.faults import prefix
from bots.testing.flow import Flow
from bots.testing.given import Fact, Given, Inbox
from bots.testing.line import Line
from bots.testing.proxy import Proxy
from bots.testing.settings import configured, new_root, variables
from bots.testing.tested import Tested
from feed.clock import now_ns
from feed.config import size_bytes
from feed.errors import CallerError
from feed.log.observer import LogObserver
from feed.wire.records import BY_WORD
from feed.wire.topics import check_schema, check_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from bots.bot import Bot
    from bots.gap import Gap
    from bots.testing.faults import Dropped
    from bots.testing.relay import Relay
    from bots.ticks import Tick

__all__ = ["LocalFeed"]

PATIENCE_S = 20.0
"""How long anything may take before a test gives up: it bounds a hang, it is no requirement."""


class LocalFeed:
    """A feed for one test; open one at a time, for bots find its shared memory through an environment variable.

    :param settings: of the configuration, by key: {"publish.tcp.heartbeat": "1s"}. Unlike `feed run`, it has a log of
        4 MiB, puts one tick in each frame, and gives signs of life every 50 ms.
    :param archive: keep everything on disk too, until the end.
    :raises ConfigError: a setting that is none.

    :ivar root: where everything lies that this feed makes; removed at the end.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None, *, archive: bool = False) -> None:
        self.root = new_root()
        try:
            self.config = configured(self.root, settings or {}, archive)
        except BaseException:
            shutil.rmtree(self.root)
            raise
        self.epoch = 0
        self._inbox = Inbox()
        self._agents = Agents(self.config, lambda sink, counters: Given(self._inbox, sink, counters))
        self._tested: list[Tested] = []
        self._lines: list[Line] = []
        self._flow = Flow(self._inbox, self._lines, self._tested)
        self._instruments: dict[str, int] = {}
        self._undo = contextlib.ExitStack()

    # --- its life ---------------------------------------------------------------------------------------------------

    def open(self) -> Self:
        """Start everything."""
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.root)
            undo.enter_context(variables(self.root))
            self._proxy = Proxy()
            undo.callback(self._proxy.close)
            self._start()
            undo.callback(self._agents.stop)
            self._own_line = self._line("own")
            undo.callback(self._end_bots)
            self._undo = undo.pop_all()
        return self

    def close(self) -> None:
        """End everything, and leave nothing behind."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.close()
        if kind is None:
            self._check()

    def restart(self) -> None:
        """Kill it and start it again, as after kill -9: the log survives, epoch and numbering go on."""
        self._kill()
        self._start()
        self._lead()

    def wipe(self) -> None:
        """Kill it, lose the log and start it again: a new epoch, whose numbers begin at 1. `log` begins anew too."""
        self._kill()
        self._agents.discard()
        self._inbox.begin_anew()
        for each in self._tested:
            each.forget()
        self._start()
        self._lead()

    # --- what it publishes ------------------------------------------------------------------------------------------

    @property
    def log(self) -> list[Fact]:
        """All that was published in this epoch, in order."""
        return self._inbox.log

    def publish(self, schema: str, symbol: str, **fields: Any) -> Fact:
        """Publish one tick; gives its place and its record.

            feed.publish("trade", "AAPL", price=189.95, size=100, side="B")
            feed.publish("quote", "AAPL", bid_px=189.95, ask_px=189.97)
            feed.publish("book", "ESZ6", bids=[(5000.25, 7)], asks=[(5000.50, 3)])

        Fields are called as on the tick that the bot gets; those not given have a sensible value.

        :raises CallerError: a field that the schema has not, or a value that it can't have.
        :raises SymbolError: the schema or the symbol is none.
        """
        record = records.make(
            schema,
            fields,
            symbol=check_symbol(symbol),
            now_ns=now_ns(),
            instrument_id=self._instruments.setdefault(symbol, 1 + len(self._instruments)),
            sequence=self._inbox.next_seq % 2**32,
        )
        return self._put(schema, [symbol], record)[0]

    def publish_records(
        self, schema: str, symbols: str | Sequence[str], data: bytes | npt.NDArray[np.void]
    ) -> list[Fact]:
        """Publish many records as they are: bytes laid end to end, or a numpy array of feed.wire.records' dtype.

        :param symbols: one for all, or one for each.
        :raises CallerError: the records are not of the schema, or the symbols do not fit them.
        """
        nbytes = BY_WORD[check_schema(schema)].record_bytes
        raw = data if isinstance(data, bytes) else bytes(data.tobytes())
        if not raw or len(raw) % nbytes or (not isinstance(data, bytes) and data.dtype.itemsize != nbytes):
            raise CallerError("not records of this schema", expected=f"{nbytes} bytes each", found=len(raw))
        n = len(raw) // nbytes
        names = [symbols] * n if isinstance(symbols, str) else list(symbols)
        if len(names) != n:
            raise CallerError("symbols do not fit the records", expected=n, found=len(names))
        for name in set(names):
            check_symbol(name)
        return self._put(schema, names, raw)

    # --- bots -------------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The control address, for bots that the test starts by other means; faults befall these too."""
        return self._own_line.address

    def subscriber(
        self,
        symbols: str | Sequence[str] = "*",
        schemas: Sequence[str] | None = None,
        *,
        transport: str = "tcp",
        **options: Any,
    ) -> Subscriber:
        """An open Subscriber; the feed closes it. `options` are the Subscriber's."""
        tested = self._test(symbols, schemas, transport, options)
        return tested.subscriber.open()

    def run(
        self,
        bot: Bot,
        symbols: str | Sequence[str] = "*",
        schemas: Sequence[str] | None = None,
        *,
        transport: str = "tcp",
        **options: Any,
    ) -> Subscriber:
        """Run `bot` in a thread, as `bots run` would, until the end of the feed; it is live when this returns.

        What it raises is raised by wait_idle(), or at the end. `options` are the Subscriber's.
        """
        tested = self._test(symbols, schemas_of(bot) if schemas is None else schemas, transport, options)
        tested.turn(bot, PATIENCE_S)
        return tested.subscriber

    def stop(self, bot: Subscriber) -> None:
        """End a bot, as when its process ends; a durable one may then be run again."""
        self._of(bot).close()

    def take(self, subscriber: Subscriber, n: int = 1, timeout: float = PATIENCE_S) -> list[Tick]:
        """The next `n` ticks of a subscriber; raises CallerError if they do not come within `timeout` seconds."""
        ticks: list[Tick] = []
        deadline = time.monotonic() + timeout
        while len(ticks) < n:
            tick = subscriber.recv(max(0.0, deadline - time.monotonic()))
            if tick is None:
                self._check()
                raise CallerError(
                    "not all of the ticks came", expected=n, found=f"{len(ticks)}: {ticks[-3:]}", where=subscriber.name
                )
            ticks.append(tick)
        return ticks

    def gaps(self, subscriber: Subscriber) -> list[Gap]:
        """All gaps that a bot was told of, in order."""
        return self._of(subscriber).gaps

    # --- faults -----------------------------------------------------------------------------------------------------

    def lose(self, n: int = 1, topic: str | None = None, *, bot: Subscriber | None = None) -> None:
        """Lose the next `n` ticks on the way to each bot, or to one.

        Like all faults it concerns what is published from now on, to bots over tcp and ipc.

        :param topic: only of "trade.AAPL", of all that begin with "trade.ES" ("trade.ES*"), of a schema ("trade").
        """
        self._fault(bot, lambda relay: relay.lose(n, prefix(topic)))

    def duplicate(self, n: int = 1, topic: str | None = None, *, bot: Subscriber | None = None) -> None:
        """Send each of the next `n` ticks twice."""
        self._fault(bot, lambda relay: relay.duplicate(n, prefix(topic)))

    def reorder(self, n: int = 1, topic: str | None = None, *, bot: Subscriber | None = None) -> None:
        """Send the next tick behind the `n` messages that follow it, heartbeats among them: it comes in the end."""
        self._fault(bot, lambda relay: relay.reorder(n, prefix(topic)))

    def delay(
        self, seconds: float, n: int | None = None, topic: str | None = None, *, bot: Subscriber | None = None
    ) -> None:
        """Send the next `n` ticks so much later (None: all from now on), and what follows behind them. 0 ends it."""
        self._fault(bot, lambda relay: relay.delay(seconds, n, prefix(topic)))

    def cut(self, seconds: float = 0.0, *, bot: Subscriber | None = None) -> None:
        """Cut the connections; who connects again within `seconds` is refused."""
        self._settle()
        for line in self._lines_of(bot):
            line.cut(seconds)

    def hold(self, seconds: float | None = None, *, bot: Subscriber | None = None) -> None:
        """Stop all bytes, and tell nobody, as when a cable is pulled: until release(), or for `seconds`."""
        self._settle()
        for line in self._lines_of(bot):
            line.hold(seconds)

    def release(self, *, bot: Subscriber | None = None) -> None:
        """Let the bytes flow again; none was lost."""
        for line in self._lines_of(bot):
            line.release()

    def overrun(self, subscriber: Subscriber, schema: str = "trade", symbol: str = "FILLER") -> list[Fact]:
        """Publish until a subscriber over shm, which takes nothing meanwhile, has been overtaken; gives what it was."""
        if subscriber.transport != "shm":
            raise CallerError("only a bot over shm can be overrun", expected="shm", found=subscriber.transport)
        size = BY_WORD[check_schema(schema)].record_bytes
        n = size_bytes(self.config.log.bytes) // size
        facts = self.publish_records(schema, symbol, records.make(schema, {}, now_ns=now_ns()) * n)
        self._wait(self._flow.unwritten, PATIENCE_S)
        return facts

    def dropped(self, bot: Subscriber) -> list[Dropped]:
        """The ticks that were lost on the way to a bot, in order."""
        return self._of(bot).line.dropped

    # --- waiting ----------------------------------------------------------------------------------------------------

    def wait_idle(self, timeout: float = PATIENCE_S) -> None:
        """Until all that was published is on its way to nobody any more.

        It is in the log; the publishers have sent it; what faults hold back has come; and bots that run here have had
        every tick of theirs, or were told of a gap. What a Subscriber has for the test to read is the test's to read.

        :raises CallerError: it takes longer than `timeout` seconds; says what is missing.
        """
        self._wait(lambda: self._flow.missing(self.epoch), timeout)

    def _settle(self) -> None:
        """Faults are to befall nothing that was published before."""
        self._wait(lambda: self._flow.unwritten() or self._flow.on_the_way(held=False), PATIENCE_S)

    def _wait(self, missing: Callable[[], str], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        pause_s = 0.0005
        while what := missing():
            self._check()
            if time.monotonic() > deadline:
                raise CallerError(f"still waiting after {timeout_s:g} s: {what}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.01)
        self._check()

    def _check(self) -> None:
        """Raise what went wrong in other threads."""
        self._agents.check()
        for each in self._tested:
            each.check()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _put(self, schema: str, symbols: Sequence[str], data: bytes) -> list[Fact]:
        self._check()
        return self._inbox.put(schema, symbols, data)

    def _test(
        self, symbols: str | Sequence[str], schemas: Sequence[str] | None, transport: str, options: dict[str, Any]
    ) -> Tested:
        self._wait(self._flow.unwritten, PATIENCE_S)
        name = str(options.pop("name", f"bot{1 + len(self._tested)}"))
        line = self._line(name)
        given: dict[str, Any] = {"timeout": PATIENCE_S, **options, "transport": transport}
        subscriber = Subscriber(symbols, schemas, feed=line.address, name=name, **given)
        wanted = [symbols] if isinstance(symbols, str) else list(symbols)
        tested = Tested(subscriber, line, wanted, options.get("group", ""), self._inbox.topic_seqs)
        self._tested.append(tested)
        return tested

    def _line(self, name: str) -> Line:
        folder = self.root / f"line{len(self._lines)}"
        folder.mkdir()
        line = Line(self._proxy, name, self._agents.control, self._agents.publishers, folder)
        self._lines.append(line)
        return line

    def _of(self, bot: Subscriber) -> Tested:
        for each in self._tested:
            if each.subscriber is bot:
                return each
        raise CallerError("not a bot of this feed", found=bot.name, remedy="Make it with subscriber() or run()")

    def _lines_of(self, bot: Subscriber | None) -> list[Line]:
        return self._lines if bot is None else [self._of(bot).line]

    def _fault(self, bot: Subscriber | None, order: Callable[[Relay], None]) -> None:
        self._settle()
        for line in self._lines_of(bot):
            line.each(order)

    def _start(self) -> None:
        self._agents.start()
        self.epoch = LogObserver(self.config.directory).epoch

    def _kill(self) -> None:
        self._check()
        for line in self._lines:
            line.cut()  # what libzmq still has for them dies with it
        self._agents.stop()

    def _lead(self) -> None:
        for line in self._lines:
            line.lead(self._agents.control, self._agents.publishers)

    def _end_bots(self) -> None:
        for each in self._tested:
            each.close()
