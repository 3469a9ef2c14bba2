"""The control agent over real sockets, with a real log, and against whatever may arrive."""

from __future__ import annotations

import gc
import itertools
import os
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed import agent, clock, config
from feed.control import Control
from feed.control.server import REQUEST_BYTES_MAX
from feed.control.work import BEHIND_NS, Work
from feed.errors import AddressInUse
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from feed.wire.frames import decode_firehose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from feed.config import FeedConfig

WAIT_MS = 20_000


@pytest.fixture
def settings_(tmp_path: Path, unhurried: None) -> FeedConfig:
    loaded = config.load(None, {"TICKCAST_LOG_ROOT": str(tmp_path)}, ["control.endpoint=tcp://127.0.0.1:0"])
    loaded.directory.mkdir()
    return loaded


@pytest.fixture
def writer(settings_: FeedConfig) -> Iterator[LogWriter]:
    with LogWriter.open(settings_.directory, log_bytes=1 << 20) as writer:
        yield writer


@pytest.fixture
def control(settings_: FeedConfig) -> Iterator[Control]:
    control = Control(settings_, settings_.directory, Counters.open(settings_.directory, create=True))
    yield control
    control.close()


@pytest.fixture
def served(control: Control) -> Iterator[Control]:
    """The same, turned by a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=agent.run, args=([control],), kwargs={"idle": "park", "stop": stop.is_set})
    thread.start()
    yield control
    stop.set()
    thread.join(20)
    gc.unfreeze()


Connect = Callable[..., zmq.Socket[bytes]]


@pytest.fixture
def connect(control: Control) -> Iterator[Connect]:
    """Makes a client's socket, a DEALER unless told otherwise."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = []

    def one(kind: int = zmq.DEALER) -> zmq.Socket[bytes]:
        socket = context.socket(kind)
        made.append(socket)
        socket.linger = 0
        socket.rcvtimeo = WAIT_MS
        socket.connect(control.endpoint)
        return socket

    yield one
    for socket in made:
        socket.close()
    context.term()


def ask(control: Control, **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(heard(control, orjson.dumps(request)))
    return answer


def heard(control: Control, request: bytes) -> bytes:
    """The answer to a request that is answered at once."""
    answer = control.hear([b"me"], request, clock.monotonic_ns())
    assert answer is not None
    return answer


def test_the_directory_over_a_socket(
    writer: LogWriter, served: Control, settings_: FeedConfig, connect: Connect
) -> None:
    writer.topic("quote", "AAPL")
    writer.topic("trade", "AAPL")
    socket = connect()
    socket.send(b'{"id": 7, "request": "directory"}')
    answer = orjson.loads(socket.recv())
    assert (answer["id"], answer["answer"], answer["feed"], answer["symbols"]) == (7, "directory", "main", 1)
    assert (answer["epoch"], answer["next_seq"]) == (writer.epoch, writer.next_seq)
    assert answer["boot_id"] == clock.boot_id()
    assert answer["pid"] == os.getpid()
    assert answer["log_path"] == str(settings_.directory)
    assert [each["publisher"] for each in answer["transports"]] == ["tcp", "ipc"]


def test_a_req_socket_is_served_too(writer: LogWriter, served: Control, connect: Connect) -> None:
    socket = connect(zmq.REQ)
    socket.send(b'{"id": "a", "request": "symbols"}')
    assert orjson.loads(socket.recv()) == {
        "id": "a", "answer": "symbols", "epoch": writer.epoch, "symbols": [], "schemas": [], "next": None
    }  # fmt: skip


def test_many_clients_get_their_own_answers(writer: LogWriter, served: Control, connect: Connect) -> None:
    sockets = [connect() for _ in range(10)]
    for number, socket in enumerate(sockets):
        for k in range(20):
            socket.send(orjson.dumps({"id": number * 100 + k, "request": "bots"}))
    for number, socket in enumerate(sockets):
        assert [orjson.loads(socket.recv())["id"] for _ in range(20)] == [number * 100 + k for k in range(20)]


def test_symbols_appear_as_they_are_announced(writer: LogWriter, control: Control) -> None:
    assert ask(control, id=1, request="symbols")["symbols"] == []
    writer.topic("quote", "ESU4")
    writer.topic("trade", "ESU4")
    writer.topic("quote", "NQU4")
    answer = ask(control, id=1, request="symbols", pattern="ES*")
    assert (answer["symbols"], answer["schemas"]) == (["ESU4"], [["quote", "trade"]])


def test_without_a_log_the_answer_says_so_and_then_there_is_one(control: Control, settings_: FeedConfig) -> None:
    assert "no log yet" in ask(control, id=1, request="directory")["error"]
    with LogWriter.open(settings_.directory, log_bytes=1 << 20) as writer:
        assert ask(control, id=1, request="directory")["epoch"] == writer.epoch


def test_a_new_epoch_has_its_own_symbols(control: Control, settings_: FeedConfig) -> None:
    with LogWriter.open(settings_.directory, log_bytes=1 << 20) as writer:
        writer.topic("quote", "OLD")
        first = ask(control, id=1, request="symbols")
        writer.close(remove=True)
    with LogWriter.open(settings_.directory, log_bytes=1 << 20) as writer:
        writer.topic("quote", "NEW")
        second = ask(control, id=1, request="symbols")
    assert (first["symbols"], second["symbols"]) == (["OLD"], ["NEW"])
    assert second["epoch"] > first["epoch"]


def test_the_ports_that_publishers_really_have_are_told(
    writer: LogWriter, control: Control, settings_: FeedConfig
) -> None:
    (settings_.directory / "endpoints" / "tcp").write_text("tcp://127.0.0.1:4242")
    assert ask(control, id=1, request="directory")["transports"][0]["endpoint"] == "tcp://127.0.0.1:4242"


def test_reports_are_taken_and_told(writer: LogWriter, control: Control) -> None:
    bot = {"name": "mean/1", "pid": 1, "host": "h", "transport": "tcp", "ticks": 5, "lag_ns": 3}
    assert ask(control, id=1, request="stats", bot=bot) == {
        "id": 1, "answer": "stats", "ok": True, "next_seq": writer.next_seq
    }  # fmt: skip
    (known,) = ask(control, id=2, request="bots")["bots"]
    assert (known["name"], known["ticks"], known["lag_ns"]) == ("mean_1", 5, 3)


@pytest.mark.parametrize(
    ("request_", "number", "why"),
    [
        (b"", None, "not JSON"),
        (b"{", None, "not JSON"),
        (b"\xff\xfe", None, "not JSON"),
        (b"[1]", None, "expected a JSON object, found list"),
        (b'{"id": 1}', 1, "expected request to be directory, clock, symbols, stats, bots, group, snapshot, replay"),
        (b'{"id": 1, "request": "snapshots"}', 1, "found 'snapshots'"),
        (b'{"id": 1, "request": ["directory"]}', 1, "found list"),
        (b'{"id": [1], "request": "x"}', None, "not served"),
        (b'{"id": "' + b"x" * 65 + b'", "request": "x"}', None, "not served"),
        (b'{"id": 1, "request": "stats"}', 1, "not a bot's report"),
        (b'{"id": 1, "request": "stats", "bot": {"name": 1}}', 1, "not a bot's report"),
        (b'{"id": 1, "request": "symbols", "pattern": 5}', 1, "not a pattern"),
        (b'{"id": 1, "request": "symbols", "from": ' + b"[" * 900 + b"]" * 900 + b"}", 1, "not a place to go on from"),
        (b'{"request": ' + b"[" * 5000 + b"]" * 5000 + b"}", None, "not JSON"),
        (b" " * (REQUEST_BYTES_MAX + 1), None, "too large"),
    ],
)
def test_what_is_no_request_is_told_why(
    writer: LogWriter, control: Control, request_: bytes, number: object, why: str
) -> None:
    before = control.refused
    answer = orjson.loads(heard(control, request_))
    assert answer["id"] == number
    assert why in answer["error"]
    assert control.refused == before + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries(
    {"request": st.sampled_from(["directory", "clock", "symbols", "stats", "bots"])},
    optional={
        "id": JSON,
        "pattern": JSON,
        "from": JSON,
        "bot": JSON
        | st.dictionaries(
            st.sampled_from(["name", "pid", "host", "transport", "ticks", "gaps", "lost", "latency"]), JSON
        ),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(request_=st.binary(max_size=200) | JSON.map(orjson.dumps) | REQUESTS.map(orjson.dumps))
def test_every_request_has_an_answer(writer: LogWriter, control: Control, request_: bytes) -> None:
    answer = orjson.loads(heard(control, request_))
    assert ("answer" in answer) != ("error" in answer)
    assert "id" in answer


NUMBERS = st.integers(0, 30) | st.sampled_from([2**53, 2**63 - 1, 2**63, 2**64 - 1])
WORKS = st.fixed_dictionaries(
    {"request": st.sampled_from(["snapshot", "replay"])},
    optional={
        "id": JSON,
        "epoch": NUMBERS | JSON,
        "from": NUMBERS | JSON,
        "from_time": NUMBERS | JSON,
        "to": NUMBERS | JSON,
        "bytes": NUMBERS | JSON,
        "patterns": st.lists(st.sampled_from(["A", "*", "A*"]) | st.text(max_size=3)) | JSON,
        "schemas": st.none() | st.lists(st.sampled_from(["quote", "trade", "x"])) | JSON,
        "topics": st.lists(st.tuples(st.sampled_from(["quote", "x"]), st.text("Aé|", max_size=2), NUMBERS, NUMBERS))
        | JSON,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(request_=WORKS.map(orjson.dumps))
def test_every_piece_of_work_has_an_answer(writer: LogWriter, control: Control, request_: bytes) -> None:
    if writer.next_seq == 1:
        write(writer, 20)
    sent: list[list[bytes]] = []
    control._outbox.send = lambda route, answer, now: sent.append(answer) or True  # type: ignore[method-assign]
    control.poll()
    now = clock.monotonic_ns()
    assert control.hear([b"me"], request_, now) is None
    while control._work:
        control.poll()
    ((words, *parts),) = sent
    answer = orjson.loads(words)
    assert ("answer" in answer) != ("error" in answer)
    assert "id" in answer
    for part in parts:
        assert decode_firehose(part).frames


def test_noise_over_the_socket_stops_nothing(writer: LogWriter, served: Control, connect: Connect) -> None:
    socket = connect()
    noise = random.Random(2)
    sent = 300
    for _ in range(sent):
        socket.send_multipart([noise.randbytes(noise.randrange(60)) for _ in range(noise.randrange(1, 7))])
    for _ in range(sent):
        assert b"error" in socket.recv_multipart()[-1]
    socket.send(b'{"id": 1, "request": "directory"}')
    assert orjson.loads(socket.recv())["id"] == 1


def test_a_message_beyond_all_bounds_costs_its_sender_the_connection_only(
    writer: LogWriter, served: Control, connect: Connect
) -> None:
    flood, polite = connect(), connect()
    flood.send(bytes(8 << 20))
    polite.send(b'{"id": 1, "request": "directory"}')
    assert orjson.loads(polite.recv())["id"] == 1


def test_a_poll_is_bounded(writer: LogWriter, control: Control, connect: Connect) -> None:
    socket = connect()
    for number in range(100):
        socket.send(orjson.dumps({"id": number, "request": "bots"}))
    served = [0]
    while served[-1] < 100:
        control.park(1_000_000_000)
        control.poll()
        served.append(control.served)
    assert max(after - before for before, after in itertools.pairwise(served)) <= 64
    assert control.served == 100


# --- work that takes turns --------------------------------------------------------------------------------------------


def write(writer: LogWriter, count: int) -> None:
    topic_id = writer.topic("quote", "A")
    for _ in range(count):
        writer.publish(topic_id, bytes(80))


def turn(control: Control, until: Callable[[], bool]) -> None:
    while not until():
        control.poll()
        control.park(10_000_000)


def test_questions_are_answered_before_work_that_came_first(
    writer: LogWriter, control: Control, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, 5000)
    busy = [connect() for _ in range(5)]
    quick = connect()
    for number, socket in enumerate(busy):
        socket.send(orjson.dumps({"id": number, "request": "replay", "patterns": ["*"], "from": 1}))
    with monkeypatch.context() as idle:
        idle.setattr(Work, "do", lambda *_: 0)
        turn(control, lambda: len(control._work) == 5)
    quick.send(b'{"id": 1, "request": "directory"}')
    assert control._socket.poll(10_000)
    control.poll()
    assert len(control._work) == 4
    assert orjson.loads(quick.recv())["id"] == 1
    turn(control, lambda: not control._work)
    for number, socket in enumerate(busy):
        assert orjson.loads(socket.recv_multipart()[0])["id"] == number


def test_a_bot_that_asks_again_is_told_that_the_first_is_dropped(
    writer: LogWriter, control: Control, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, 10)
    one, other = connect(), connect()
    for number in (1, 2, 3):
        one.send(orjson.dumps({"id": number, "request": "replay", "patterns": ["*"]}))
    other.send(orjson.dumps({"id": 4, "request": "replay", "patterns": ["*"]}))
    with monkeypatch.context() as idle:  # until all have come: what is done already is not replaced
        idle.setattr(Work, "do", lambda *_: 0)
        turn(control, lambda: control.refused == 2 and len(control._work) == 2)
    turn(control, lambda: control.served == 2)
    answers = [orjson.loads(one.recv_multipart()[0]) for _ in range(3)]
    assert [(each["id"], each.get("refused")) for each in answers] == [(1, "replaced"), (2, "replaced"), (3, None)]
    assert orjson.loads(other.recv_multipart()[0])["id"] == 4


def test_more_work_than_may_wait_is_refused(settings_: FeedConfig, writer: LogWriter, connect: Connect) -> None:
    small = config.load(
        None,
        {"TICKCAST_LOG_ROOT": settings_.log.root},
        ["control.endpoint=tcp://127.0.0.1:0", "control.replay_waiting=2"],
    )
    control = Control(small, small.directory, Counters.open(small.directory, create=True))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets = [context.socket(zmq.DEALER) for _ in range(4)]
    control.poll()
    for number, socket in enumerate(sockets):
        socket.linger = 0
        answer = control.hear(
            [b"%d" % number], b'{"id": 1, "request": "replay", "patterns": ["*"]}', clock.monotonic_ns()
        )
        if number < 2:
            assert answer is None
        else:
            assert answer is not None
            assert orjson.loads(answer)["refused"] == "waiting"
        socket.close()
    control.close()
    context.term()


def test_a_greedy_bot_waits_for_its_allowance_and_the_others_do_not(settings_: FeedConfig, writer: LogWriter) -> None:
    """At 1 MiB a second, and 1 MiB at once; the clock is the machine's, so nothing is said of how long it takes."""
    slow = config.load(
        None,
        {"TICKCAST_LOG_ROOT": settings_.log.root},
        ["control.endpoint=tcp://127.0.0.1:0", "control.replay_bytes_per_s=1MiB"],
    )
    write(writer, 5000)
    control = Control(slow, slow.directory, Counters.open(slow.directory, create=True))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    greedy, modest = (context.socket(zmq.DEALER) for _ in range(2))
    for socket in (greedy, modest):
        socket.linger = 0
        socket.rcvtimeo = WAIT_MS
        socket.connect(control.endpoint)
    replay = b'{"id": 1, "request": "replay", "patterns": ["*"]}'
    began = clock.monotonic_ns()
    for number in range(4):
        greedy.send(replay)
        turn(control, lambda: control._work.wait_ns(clock.monotonic_ns()) is not None or greedy.poll(0) != 0)
        modest.send(b'{"id": 2, "request": "replay", "topics": [["quote", "A", 7, 7]], "from": 1}')
        turn(control, lambda: modest.poll(0) != 0)
        assert len(modest.recv_multipart()) == 2
        turn(control, lambda: greedy.poll(0) != 0)
        assert len(greedy.recv_multipart()[1]) > 500_000, number
    assert clock.monotonic_ns() - began > 500_000_000  # the fourth answer waits for the 0.7 MB that it had in advance
    greedy.close()
    modest.close()
    control.close()
    context.term()


def test_who_has_gone_is_forgotten(writer: LogWriter, control: Control, connect: Connect) -> None:
    write(writer, 10)
    control.poll()
    route = [b"nobody"]
    assert control.hear(route, b'{"id": 1, "request": "replay", "patterns": ["*"]}', clock.monotonic_ns()) is None
    turn(control, lambda: not control._work)
    assert control._outbox.dropped == 1


def test_a_snapshot_that_the_cache_does_not_catch_up_for_is_refused(
    writer: LogWriter, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, 10)
    control.poll()
    write(writer, 10)
    monkeypatch.setattr(control._following, "poll", lambda: 0)
    sent: list[bytes] = []
    monkeypatch.setattr(control._outbox, "send", lambda route, answer, now: sent.extend(answer) or True)
    asked_ns = clock.monotonic_ns()
    assert control.hear([b"bot"], b'{"id": 1, "request": "snapshot"}', asked_ns) is None
    assert control._work.do(asked_ns) == 0
    assert control._work.do(asked_ns + BEHIND_NS + 1) == 1
    assert orjson.loads(sent[0])["refused"] == "behind"


# --- the socket -------------------------------------------------------------------------------------------------------


def test_a_taken_port_names_its_holder(control: Control, settings_: FeedConfig) -> None:
    taken = config.load(None, {}, [f"control.endpoint={control.endpoint}"])
    counters = Counters.open(settings_.directory)
    with pytest.raises(AddressInUse, match=rf"control.endpoint: .* is taken.*process {os.getpid()}"):
        Control(taken, settings_.directory, counters)


def test_a_living_unix_socket_is_not_taken_over(settings_: FeedConfig) -> None:
    counters = Counters.open(settings_.directory, create=True)
    there = config.load(None, {}, [f"control.endpoint=ipc://{settings_.directory}/control.sock"])
    first = Control(there, settings_.directory, counters)
    with pytest.raises(AddressInUse, match="is taken"):
        Control(there, settings_.directory, counters)
    first.close()
    Control(there, settings_.directory, counters).close()


def test_where_it_is_bound_stands_in_a_file_until_it_closes(settings_: FeedConfig) -> None:
    control = Control(settings_, settings_.directory, Counters.open(settings_.directory, create=True))
    told = settings_.directory / "endpoints" / "control"
    assert told.read_text() == control.endpoint
    control.close()
    control.close()
    assert not told.exists()


def test_it_is_an_agent(control: Control) -> None:
    assert isinstance(control, agent.Agent)
    assert control.drain()
