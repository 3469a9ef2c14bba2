"""Ticks of your own process into a feed:

    from feed.push import Pusher

    with Pusher("tcp://127.0.0.1:5550", name="desk") as push:    # its control address, or its push source's
        push.trade("AAPL", price="189.98", size=100, side="B")
        push.quote("AAPL", bid_px="189.97", bid_sz=300, ask_px="189.99", ask_sz=200)
        push.records(array, "MSFT")                              # numpy, of feed.wire.records.BY_WORD["quote"].dtype
        push.flush()                                             # all of it is in the feed's log

Each record gets a number, from 1; `committed` says up to which of them the feed has them in its log. What it has not is
kept here and sent again when the feed is back. Nothing is dropped in silence: when the feed is behind, calls wait and
then raise PushBehind; what it refuses raises PushError.

Prices are exact as text, Decimal, whole number or ``price_raw`` in 1e-9, and rounded to 1e-9 as float
(feed/wire/fields.py). Nothing of the feed's daemon is imported. The protocol: feed/sources/PUSH.md.
"""

from __future__ import annotations

import collections
import os
import re
import secrets
import threading
from typing import TYPE_CHECKING, Any, Self

import orjson
import zmq

from feed.clock import boot_id, monotonic_ns, now_ns, sleep_until_ns
from feed.errors import CallerError, PeerError, PushBehind, PushError, WireError
from feed.wire.batching import Batch, bodies
from feed.wire.fields import encode
from feed.wire.pushing import NAME, RECORDS_MAX, Answer, Kind, message, parse_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import numpy as np
    from typing_extensions import Buffer

__all__ = ["CONTROL", "Pusher"]

CONTROL = "tcp://127.0.0.1:5550"
_HELLO_NS = 200_000_000
"""How long nothing may be heard of what is on its way before the pusher asks; also between two attempts to connect."""

_LOOK_MS = 50


class Pusher:
    """A connection to a feed's push source; open when it has been made. Any thread may push; calls take µs.

    :param address: the feed's control address, or the push source's own (``ipc://...``, ``tcp://HOST:PORT``).
    :param name: who this is, 1 to 31 letters, digits, _ . -; a pusher that is started again under its name goes on with
        the numbers of the one before. Default: one of its own.
    :param batch: records that go together at most, and ``delay_us`` how long the first of them waits for others.
    :param timeout: s that a call waits for the feed before it raises PushBehind; 0: not at all.
    :param source: which push source, where the feed has several and `address` is its control address.
    :param on_refused: called in another thread with each refusal (feed.wire.pushing.Answer), instead of PushError.
    :raises PushError: nobody answers at `address` within `timeout`, or at least 1 s, or the feed has no push source.
    """

    def __init__(
        self,
        address: str = CONTROL,
        *,
        name: str = "",
        batch: int = 256,
        delay_us: int = 500,
        timeout: float = 5.0,
        source: str = "",
        on_refused: Callable[[Answer], None] | None = None,
    ) -> None:
        self.name = name or f"pusher-{secrets.token_hex(8)}"
        if not NAME.fullmatch(self.name.encode("utf-8", "replace")):
            raise CallerError("not a pusher's name", expected="1 to 31 letters, digits, _ . -", found=repr(name))
        if not 1 <= batch <= RECORDS_MAX or delay_us < 0:
            raise CallerError("not a batch", expected=f"1 to {RECORDS_MAX} records, 0 µs or more", found=batch)
        self._batch_max, self._delay_ns, self._timeout = batch, delay_us * 1000, timeout
        self._on_refused = on_refused
        self._session = secrets.randbits(63) | 1
        self._changed = threading.Condition()
        # --- what the lock of `_changed` guards ---
        self._open = Batch()
        self._opened_ns = 0
        self._kept: collections.deque[tuple[int, int, bytes]] = collections.deque()
        """(first, count, message) of all that is not committed, oldest first."""
        self._unsent = 0  # of those, the last so many
        self._kept_bytes = 0
        self._last = self._committed = 0
        self._window = 0
        self._refused = self._refusals_told = 0
        self._failure: PeerError | None = None
        self._rung = self._closing = False
        self.epoch = 0
        # --- the thread's own ---
        self._hellos = 0
        self._hello_ns = self._heard_ns = 0
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._context = zmq.Context(io_threads=1)
        try:
            self.endpoint = _entrance(self._context, address, source, max(timeout, 1.0))
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.immediate = True  # nothing is queued for a feed that is not there: it is kept here
            self._socket.linger = 0
            self._socket.reconnect_ivl = 20
            self._socket.reconnect_ivl_max = 500
            self._socket.sndhwm = 0  # the window bounds it
            self._socket.ipv6 = "[" in self.endpoint
            self._socket.connect(self.endpoint)
            self._thread = threading.Thread(target=self._run, name=f"push {self.name}", daemon=True)
            self._thread.start()
            with self._changed:
                if not self._changed.wait_for(lambda: self._window or self._failure, max(timeout, 1.0)):
                    raise PushError("the feed does not answer", found="no welcome", where=self.endpoint)
                self._raise()
        except BaseException:
            self._end()
            raise

    # --- pushing ----------------------------------------------------------------------------------------------------

    def trade(self, symbol: str, **fields: Any) -> int:
        """``price``, ``size``, ``side`` ("B", "A", "N"), ... as `tick`."""
        return self.tick("trade", symbol, **fields)

    def quote(self, symbol: str, **fields: Any) -> int:
        """``bid_px``, ``ask_px``, ``bid_sz``, ``ask_sz``, ... as `tick`."""
        return self.tick("quote", symbol, **fields)

    def tick(self, schema: str, symbol: str, **fields: Any) -> int:
        """One record of any schema; its number. ``ts_event`` and ``ts_recv`` are now, unless given.

        :raises CallerError: a field or the symbol is wrong; nothing was pushed.
        :raises PushBehind: the feed did not take enough in within the time-out; nothing was pushed.
        :raises PushError: it refused something since the last call, and says why; nothing was pushed.
        """
        now = now_ns()
        fields.setdefault("ts_event", now)
        if schema not in _WITHOUT_TS_RECV:
            fields.setdefault("ts_recv", now)
        record = encode(schema, fields)
        with self._changed:
            self._wait_for_room()
            self._open.add(symbol, record)
            self._last += 1
            if self._open.count == 1:
                self._opened_ns = monotonic_ns()
                self._ring()
            if self._open.count >= self._batch_max or self._open.full:
                self._seal()
                self._ring()
            return self._last

    def records(
        self,
        records: np.ndarray[Any, Any] | Buffer,
        symbols: str | Sequence[str] | np.ndarray[Any, Any],
        *,
        schema: str = "",
    ) -> int:
        """Many at once, unchanged: an array of a schema's dtype, or bytes of DBN v3 records; the number of the last.

        `symbols`: one for all, or one for each. With `schema`, an array's length and rtype are filled in. Errors as
        `tick`; an array that is larger than a message may have been pushed up to `last` when PushBehind is raised.
        """
        for count, content in bodies(records, symbols, schema):
            with self._changed:
                self._wait_for_room()
                self._seal()
                self._keep(count, content)
                self._ring()
        return self._last

    def flush(self, timeout: float | None = None) -> int:
        """Wait until all that was pushed is in the feed's log; the number of the last. Errors as `tick`."""
        within = self._timeout if timeout is None else timeout
        with self._changed:
            self._seal()
            self._ring()
            last = self._last
            if not self._changed.wait_for(lambda: self._committed >= last or self._failure, within):
                raise PushBehind(
                    "the feed has not taken all of it in",
                    expected=f"all up to {last}",
                    found=f"{self._committed} after {within:g} s",
                    where=self.endpoint,
                )
            self._raise()
            return last

    @property
    def last(self) -> int:
        """The number of the record that was pushed last."""
        return self._last

    @property
    def committed(self) -> int:
        """Every record up to this number is in the feed's log, or was refused."""
        return self._committed

    @property
    def refused(self) -> int:
        """Records that the feed has refused, of all that ever came under this name."""
        return self._refused

    def close(self) -> None:
        """Go at once; what is not committed by then may or may not be in the feed's log. `with` flushes first."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    # --- under the lock ---------------------------------------------------------------------------------------------

    def _wait_for_room(self) -> None:
        self._raise()
        if self._kept_bytes + self._open.nbytes < self._window:
            return
        self._seal()
        self._ring()
        if not self._changed.wait_for(lambda: self._kept_bytes < self._window or self._failure, self._timeout):
            raise PushBehind(
                "the feed does not keep up, or is not there",
                expected=f"at most {self._window:,} bytes without acknowledgement",
                found=f"all after record {self._committed}",
                where=self.endpoint,
            )
        self._raise()

    def _raise(self) -> None:
        if self._closing:
            raise CallerError("this pusher is closed")
        if self._failure is not None:
            failure = self._failure
            if not isinstance(failure, _Final):
                self._failure = None
            raise failure

    def _seal(self) -> None:
        if self._open.count:
            count = self._open.count
            self._last -= count
            self._keep(count, self._open.take())

    def _keep(self, count: int, content: bytes) -> None:
        data = message(Kind.RECORDS, count, self._session, self._last + 1, content)
        self._kept.append((self._last + 1, count, data))
        self._kept_bytes += len(data)
        self._last += count
        self._unsent += 1

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._turn()
        except BaseException as error:
            with self._changed:
                self._failure = _Final("the pusher's thread has failed", found=repr(error), where=self.endpoint)
                self._changed.notify_all()
            raise
        finally:
            self._socket.close()

    def _turn(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        self._hello()
        while not self._closing:
            blocked = self._send()
            for at, _ in poller.poll(1 if blocked else _LOOK_MS):
                if at == self._bell:
                    os.eventfd_read(self._bell)
                    self._gather()
                else:
                    self._hear_all()
            waiting = not self._window or (self._kept and not isinstance(self._failure, _Final))
            if waiting and monotonic_ns() - max(self._hello_ns, self._heard_ns) > _HELLO_NS:
                self._hello()

    def _gather(self) -> None:
        """Somebody pushed: let the batch wait for others, if it may, and seal it."""
        with self._changed:
            self._rung = False
            due = self._opened_ns + self._delay_ns if self._open.count and not self._unsent else 0
        left = due - monotonic_ns() if due else 0
        if left > 0:
            sleep_until_ns(now_ns() + min(left, self._delay_ns))
        with self._changed:
            if self._open.count and monotonic_ns() - self._opened_ns >= self._delay_ns:
                self._seal()
            elif self._open.count:
                self._ring()

    def _send(self) -> bool:
        """What is unsent; True: there is more, and nobody takes it now."""
        with self._changed:
            if not self._window or not self._unsent:
                return False
            unsent = [self._kept[-i][2] for i in range(self._unsent, 0, -1)]
        for data in unsent:
            try:
                self._socket.send(data, zmq.NOBLOCK)
            except zmq.Again:
                return True
            with self._changed:
                self._unsent = max(0, self._unsent - 1)
        return False

    def _hear_all(self) -> None:
        while True:
            try:
                told = parse_answer(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return
            except WireError:
                continue  # somebody else listens there now; no welcome will come
            self._heard_ns = monotonic_ns()
            with self._changed:
                self._hear(told)
                self._changed.notify_all()
            if told.kind == Kind.REFUSED and self._on_refused is not None:
                self._on_refused(told)

    def _hear(self, told: Answer) -> None:
        match told.kind:
            case Kind.AGAIN:
                self._hello()
                return
            case Kind.REPLACED:
                self._failure = _Final("another process pushes under this name", found=self.name, where=self.endpoint)
                return
            case Kind.WELCOME if told.hello != self._hellos & 0xFF:
                return
            case Kind.WELCOME:
                if not self._window:  # the first one: go on where this name was left
                    self._last, self._committed = told.received, told.committed
                if told.epoch != self.epoch:
                    self.epoch = told.epoch
                    self._refused = self._refusals_told = told.refused
                self._window = told.window
                self._unsent = sum(first + count - 1 > told.received for first, count, _ in self._kept)
            case Kind.REFUSED if told.first:
                self._refusals_told += told.records
                if self._on_refused is None:
                    self._failure = self._failure or PushError(
                        "the feed refused records",
                        found=told.text,
                        where=f"records {told.first} to {told.first + told.records - 1}, of these number {told.at}",
                    )
            case Kind.REFUSED:
                self._failure = _Final("the feed does not understand this pusher", found=told.text, where=self.endpoint)
                return
        if told.refused > self._refusals_told:  # why has not reached us
            self._refusals_told = told.refused
            self._failure = self._failure or PushError(
                "the feed refused records", found=f"{told.refused - self._refused}", where=f"up to {told.committed}"
            )
        self._refused = told.refused
        self._committed = max(self._committed, told.committed)
        while self._kept and self._kept[0][0] + self._kept[0][1] - 1 <= self._committed:
            self._kept_bytes -= len(self._kept.popleft()[2])
        self._unsent = min(self._unsent, len(self._kept))

    def _hello(self) -> None:
        """Ask where this pusher stands: at the start, when the feed does not know it, and when nothing is heard."""
        self._hellos += 1
        self._hello_ns = monotonic_ns()
        again = self._window > 0
        data = message(Kind.HELLO, self._hellos, self._session, self._committed, self.name.encode(), again=again)
        try:
            self._socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            self._hellos -= 1  # nobody is there

    def _end(self) -> None:
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
            os.eventfd_write(self._bell, 1)
        if (thread := getattr(self, "_thread", None)) is not None:
            thread.join()
        elif (socket := getattr(self, "_socket", None)) is not None:
            socket.close()
        self._context.term()
        os.close(self._bell)


class _Final(PushError):
    """Nothing can be pushed any more."""


_WITHOUT_TS_RECV = frozenset({"bar1s", "bar1m", "bar1h", "bar1d"})


def _entrance(context: zmq.Context[zmq.Socket[bytes]], address: str, source: str, timeout: float) -> str:
    """The push source's endpoint: `address` itself, or what the control address there says. Raises PushError."""
    socket = context.socket(zmq.DEALER)
    try:
        socket.linger = 0
        socket.ipv6 = "[" in address
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            raise CallerError(
                "not an address", expected="tcp://HOST:PORT or ipc://PATH", found=f"{address}: {error}"
            ) from None
        socket.send(orjson.dumps({"id": 0, "request": "directory"}))
        if not socket.poll(int(timeout * 1000)):
            raise PushError("nobody answers", where=address, remedy="Start the feed, or name its control address")
        answer = orjson.loads(socket.recv())
        if not isinstance(answer, dict):
            raise PushError("no feed answers", where=address)
    except orjson.JSONDecodeError:
        raise PushError("no feed answers", where=address) from None
    finally:
        socket.close()
    if answer.get("answer") == "push":
        return address
    offered = [each for each in answer.get("push", ()) if source in {"", each["source"]}]
    if not offered:
        raise PushError(
            "the feed has no such push source" if source else "the feed has no push source",
            found=", ".join(sorted({each["source"] for each in answer.get("push", ())})) or "none",
            where=address,
            remedy='Add [source.NAME] with kind = "push" to its configuration',
        )
    first = [each["endpoint"] for each in offered if each["source"] == offered[0]["source"]]
    here = answer.get("boot_id") == boot_id()
    local = [text for text in first if text.startswith("ipc://") and here and _can_connect(text)]
    remote = [text for text in first if not text.startswith("ipc://")]
    if not (local or remote):
        raise PushError(
            "the push source can't be reached from here",
            found=", ".join(first),
            where=address,
            remedy=f"Set source.{offered[0]['source']}.tcp to an address of its host",
        )
    return str((local or remote)[0]).replace("//*:", f"//{_host(address)}:")


def _can_connect(endpoint: str) -> bool:
    return os.access(endpoint.removeprefix("ipc://"), os.W_OK)


def _host(address: str) -> str:
    match = re.fullmatch(r"tcp://(\[.*\]|[^:]*):\d+", address)
    return match[1] if match else "127.0.0.1"
