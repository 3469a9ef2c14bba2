"""feed.sources.websocket: the host's proxy, messages in pieces, and what ends or survives a connection."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import picows
import pytest
import trustme

from feed import config
from feed.errors import TickcastError
from feed.normalize.venue import NO_TOPIC, SCHEMAS, VenueRecords
from feed.sources.binance import BinanceSource
from feed.sources.connection import Connection, Line, Request
from feed.sources.websocket import WebsocketSource
from tests.fakevenue.binance import FakeBinance, markets
from tests.sources.venue_turns import Turned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from tests.sources.tape import Tape


class Echo(WebsocketSource):
    """A source of a venue that says back what it hears: each message is a record."""

    SENDS_PER_S = 1000.0

    def __init__(self, name: str, table: config.CryptoTable, sink: Sink, counters: Counters, says: list[Any]) -> None:
        records = VenueRecords(sink, 1)
        super().__init__(name, table, counters, records)
        self._index = records.add(
            [sink.topic("definition", "A") if s == "definition" else NO_TOPIC for s in SCHEMAS], 1, 0
        )
        self._says = says
        self.got: list[tuple[bytes, int]] = []
        self.ups = self.downs = 0

    def begin(self) -> None:
        requests = tuple(Request(str(i), say) for i, say in enumerate(self._says))
        self.connect([Line(f"{self._settings.websocket_url}/echo", ("A",), requests)])

    def on_up(self, connection: Connection, received_ns: int) -> None:
        self.ups += 1

    def on_message(self, connection: Connection, payload: bytes, received_ns: int) -> None:
        if payload == b'"raise"':
            raise ZeroDivisionError
        connection.waits.clear()
        self.got.append((payload, received_ns))
        self._records.record(self._index, "definition", bytes(520), received_ns)

    def on_down(self, connection: Connection, received_ns: int) -> None:
        self.downs += 1


class Server:
    """Websockets in a thread: `answer` gets the transport and what was heard."""

    def __init__(self, answer: Callable[[picows.WSTransport, bytes], None]) -> None:
        self.loop = asyncio.new_event_loop()
        self.counts: Counter[str] = Counter()
        self.port = 0
        self._answer = answer
        self._open: list[picows.WSTransport] = []
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self.loop.run_until_complete(picows.ws_create_server(self._listener, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self.loop.run_forever()
        server.close()
        for transport in self._open:
            transport.disconnect(graceful=False)
        self.loop.run_until_complete(asyncio.sleep(0.02))
        self.loop.close()

    def _listener(self, _: Any) -> picows.WSListener:
        outer = self

        class Listener(picows.WSListener):
            def on_ws_connected(self, transport: picows.WSTransport) -> None:
                outer._open.append(transport)

            def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
                if frame.msg_type == picows.WSMsgType.TEXT:
                    outer._answer(transport, frame.get_payload_as_bytes())
                elif frame.msg_type == picows.WSMsgType.PONG:
                    outer.counts["pongs"] += 1

        return Listener()


@pytest.fixture
def listening(tape: Tape, tmp_path: Path) -> Iterator[Callable[..., Turned]]:
    made: list[Turned] = []

    def listen(server: Server, says: list[Any], **settings: Any) -> Turned:
        table = config.BinanceConfig(
            symbols=["A-B"],
            websocket=f"ws://127.0.0.1:{server.port}",
            **{"stale_after": "2s", "reconnect": "10ms", **settings},
        )
        made.append(Turned(tape, tmp_path, lambda name, sink, counters: Echo(name, table, sink, counters, says)))
        return made[-1]

    yield listen
    for each in made:
        each.close()


TEXT, CONTINUATION = picows.WSMsgType.TEXT, picows.WSMsgType.CONTINUATION


def test_a_message_in_pieces_and_one_beside_a_ping_come_whole(listening: Callable[..., Turned]) -> None:
    def answer(transport: picows.WSTransport, heard: bytes) -> None:
        transport.send(TEXT, heard[:3], fin=False)
        transport.send_ping(b"are you there")
        transport.send(CONTINUATION, heard[3:5], fin=False)
        transport.send(CONTINUATION, heard[5:])
        transport.send(TEXT, b"2")
        transport.send_ping(b"last of a read")

    with Server(answer) as server:
        turned = listening(server, ["message"])
        turned.turn(lambda: len(turned.taken) == 2)
        assert [payload for payload, _ in turned.source.got] == [b'"message"', b"2"]
        turned.turn(lambda: server.counts["pongs"] == 2)
        turned.close()


def test_all_messages_of_a_read_have_one_time(listening: Callable[..., Turned]) -> None:
    def answer(transport: picows.WSTransport, heard: bytes) -> None:
        transport.underlying_transport.pause_reading()
        for i in range(50):
            transport.send(TEXT, str(i).encode())

    with Server(answer) as server:
        turned = listening(server, ["go"])
        turned.turn(lambda: len(turned.source.got) == 50)
        times = [received_ns for _, received_ns in turned.source.got]
        assert times == sorted(times)
        assert len(set(times)) < 50
        turned.close()


def test_a_venue_that_closes_is_connected_to_again_after_pauses_that_grow(listening: Callable[..., Turned]) -> None:
    with Server(lambda transport, heard: transport.send_close(picows.WSCloseCode.GOING_AWAY)) as server:
        turned = listening(server, ["bye"], reconnect="40ms")
        turned.turn(lambda: turned.source.ups >= 4)
        assert turned.counted()["disconnect"] >= 3
        assert turned.source.downs == turned.counted()["disconnect"]
        first, *_, last = (turned.source._pause_s(failures) for failures in (1, 2, 3, 4, 5))
        assert 0.02 <= first <= 0.04
        assert 0.32 <= last <= 0.64
        assert turned.source._pause_s(10**6) <= 30
        turned.close()


def test_nobody_there_is_tried_again(listening: Callable[..., Turned]) -> None:
    with Server(lambda transport, heard: None) as gone:
        pass
    turned = listening(gone, [], reconnect="5ms")
    turned.turn(lambda: turned.counted().get("connect", 0) >= 3)
    assert turned.source.ups == 0
    turned.close()


def test_an_error_of_ours_ends_the_source_and_is_not_swallowed(listening: Callable[..., Turned]) -> None:
    with Server(lambda transport, heard: transport.send(TEXT, heard)) as server:
        turned = listening(server, ["raise"])
        with pytest.raises(ZeroDivisionError):
            turned.turn(lambda: False)
        turned.close()


def test_a_message_without_end_ends_the_connection(
    listening: Callable[..., Turned], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feed.sources.connection.MESSAGE_BYTES_MAX", 1000)

    def answer(transport: picows.WSTransport, heard: bytes) -> None:
        transport.send(TEXT, b"x" * 600, fin=False)
        transport.send(CONTINUATION, b"x" * 600, fin=False)

    with Server(answer) as server:
        turned = listening(server, ["go"])
        turned.turn(lambda: turned.counted().get("protocol"))
        assert turned.source.got == []
        turned.close()


class Proxy:
    """An HTTP proxy on loopback that counts what goes through it: CONNECT, and GET of whole addresses. With `tls` no
    proxy but the TLS end of what listens at port `to`."""

    def __init__(self, tls: ssl.SSLContext | None = None, to: int = 0) -> None:
        self._tls, self._to = tls, to
        self.counts: Counter[str] = Counter()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        serve = self._forward if self._tls else self._serve
        server = self._loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=self._tls))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.02))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, *_ = head.split(b" ")
        self.counts[method.decode()] += 1
        address = target.removeprefix(b"http://").partition(b"/")[0].decode()
        host, _, port = address.rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            there_writer.write(head)
        await self._join(reader, writer, there_reader, there_writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["TLS"] += 1
        await self._join(reader, writer, *await asyncio.open_connection("127.0.0.1", self._to))

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there_reader: asyncio.StreamReader,
        there_writer: asyncio.StreamWriter,
    ) -> None:
        try:
            await asyncio.gather(_pipe(reader, there_writer), _pipe(there_reader, writer))
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            there_writer.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
    writer.close()


@pytest.mark.parametrize("through", [True, False])
def test_websocket_and_rest_go_through_the_hosts_proxy(
    tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: bool
) -> None:
    with Proxy() as proxy, FakeBinance(markets(["BTCUSDT"])) as venue:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        if not through:
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        table = config.BinanceConfig(symbols=["BTC-USDT"], websocket=venue.websocket_url, rest=venue.rest_url)
        turned = Turned(tape, tmp_path, lambda name, sink, counters: BinanceSource(name, table, sink, counters))
        turned.turn(lambda: len(turned.of("book", "BTC-USDT.BINANCE")) > 3)
        turned.close()
        assert (proxy.counts["CONNECT"] == 1, proxy.counts["GET"] >= 1) == (through, through)


@pytest.mark.parametrize("trusted", [True, False])
def test_certificates_are_the_hosts(tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with FakeBinance(markets(["BTCUSDT"])) as venue, Proxy(tls, venue.port) as front:
        table = config.BinanceConfig(
            symbols=["BTC-USDT"],
            websocket=f"wss://localhost:{front.port}",
            rest=venue.rest_url,
            reconnect="10ms",
        )
        turned = Turned(tape, tmp_path, lambda name, sink, counters: BinanceSource(name, table, sink, counters))
        if trusted:
            turned.turn(lambda: len(turned.of("book", "BTC-USDT.BINANCE")) > 3)
        else:
            turned.turn(lambda: turned.counted().get("connect", 0) >= 2)
        turned.close()
        assert (front.counts["TLS"] > 0) is trusted


def test_a_table_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "feed.toml"
    file.write_text(
        '[source.b]\nkind = "binance"\nsymbols = ["BTC-USDT", "BTC-USDT", "ETH-USDT-PERP"]\nwebsocket = "http://x"\n'
        'rest = "localhost"\nstale_after = "1ms"\n'
    )
    text = "\n".join(map(str, config.check(file)))
    for what in ("twice", "not an instrument of spot", "source.b.websocket", "source.b.rest", "source.b.stale_after"):
        assert what in text
    with pytest.raises(TickcastError):
        config.load(file)
