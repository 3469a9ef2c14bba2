from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import databento_dbn
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.clock import now_ns
from feed.config import ReplayConfig
from feed.errors import ConfigError, SourceError
from feed.sources.replay import Replay
from tests.sources.dbn_files import DAY_NS, MONDAY_NS, header, mapping, numbers, trade, write
from tests.sources.tape import Taken, Tape

if TYPE_CHECKING:
    from feed.metrics.counters import Counters

ESU4 = {"ESU4": (118, 0, 2)}
START = 1_800_000_000_000_000_000
CME = "nautilus-databento/tests/test_data/databento"
QUOTES = f"{CME}/historical_bars_catalog/databento/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
TRADES = f"{CME}/historical_bars_catalog/databento/futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
ORDERS = f"{CME}/order_book_deltas_catalog/databento/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst"


class Clock:
    """Wall time that goes on only when told to."""

    def __init__(self) -> None:
        self.ns = START

    def __call__(self) -> int:
        return self.ns


def run(source: Replay, tape: Tape, limit: int = 1000) -> list[Taken]:
    taken: list[Taken] = []
    while not source.finished:
        assert 0 <= source.poll(limit) <= limit
        taken += tape.take()
    source.close()
    return taken


def replay(tape: Tape, counters: Counters, *files: str, speed: str = "max", **rest: object) -> Replay:
    clock = rest.pop("clock", now_ns)
    config = ReplayConfig(files=list(files), speed=speed, **rest)  # type: ignore[arg-type]
    return Replay("r", config, tape.sink, counters, clock=clock)  # type: ignore[arg-type]


def counted(counters: Counters) -> dict[str, int]:
    return {row.labels.get("schema", row.labels.get("reason", "")): row.value for row in counters.rows() if row.value}


def oracle(path: Path) -> list[databento_dbn.DBNRecord]:
    decoder = databento_dbn.DBNDecoder()
    raw = path.read_bytes()
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()
    decoder.write(raw)
    return decoder.decode()[1:]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "n", "topic"),
    [(QUOTES, 2288, ("quote", "ESU4")), (TRADES, 120, ("trade", "ESU4")), (ORDERS, 13_796, ("order", "ESM4"))],
)
def test_the_recorded_session_is_played_byte_for_byte(
    tape: Tape, counters: Counters, data_dir: Path, name: str, n: int, topic: tuple[str, str]
) -> None:
    source = replay(tape, counters, str(data_dir / name))
    taken = run(source, tape)
    assert [one.record for one in taken] == [bytes(one) for one in oracle(data_dir / name)]
    assert len(taken) == n
    assert {one[:2] for one in taken} == {topic}
    assert counted(counters) == {topic[0]: n}
    assert source.error is None
    assert source.unnamed == 0
    assert source.progress().startswith(f"{n:,} records, 100.0 % of")


def test_every_sample_plays_without_an_error(tape: Tape, counters: Counters, data_dir: Path) -> None:
    for path in sorted(data_dir.rglob("*.dbn*")):
        if ".frag" in path.name:
            with pytest.raises(SourceError, match="this is no DBN file"):
                replay(tape, counters, str(path))
            continue
        expected = [bytes(one) for one in oracle(path) if one.rtype not in (177, 192, 193, 194)]
        source = replay(tape, counters, str(path))
        assert [one.record for one in run(source, tape)] == expected, path
        assert source.error is None, path
    assert {reason for reason in counted(counters) if "rtype" in reason} == {
        "unsupported_rtype_177",
        "unsupported_rtype_192",
    }


def test_files_are_merged_by_time(tape: Tape, counters: Counters, data_dir: Path) -> None:
    taken = run(replay(tape, counters, str(data_dir / TRADES), str(data_dir / QUOTES)), tape)
    times = [struct.unpack_from("<Q", one.record, 32)[0] for one in taken]
    assert times == sorted(times)
    assert len(taken) == 2288 + 120
    same = {ts for ts in times if times.count(ts) > 1}
    for ts in list(same)[:20]:  # trades were named first, so at the same time they come first
        kinds = [one.schema for one, at in zip(taken, times, strict=True) if at == ts]
        assert kinds == sorted(kinds, key=["trade", "quote"].index)


def test_symbols_are_those_of_the_record_s_day_and_of_its_own_file(
    tape: Tape, counters: Counters, tmp_path: Path
) -> None:
    days = [trade(MONDAY_NS + day * DAY_NS, day) for day in range(4)]
    one = write(tmp_path / "1", header({"ESU4": (118, 0, 2), "ESZ4": (118, 2, 3)}) + b"".join(days))
    two = write(tmp_path / "2", header({"AAPL": (118, 0, 9)}) + b"".join(days))
    source = replay(tape, counters, one, two)
    assert [taken.symbol for taken in run(source, tape)] == [
        *("ESU4", "AAPL"),
        *("ESU4", "AAPL"),
        *("ESZ4", "AAPL"),
        *("#118", "AAPL"),
    ]
    assert source.unnamed == 1
    assert "1 instruments without a name" in source.progress()


def test_mappings_in_the_stream_hold_from_there_on(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    path = write(
        tmp_path / "live.dbn",
        header()
        + trade(1, 1)
        + mapping(118, "ES.FUT", "ESU4")
        + trade(2, 2)
        + mapping(118, "ES.c.0", "118")
        + trade(3, 3)
        + mapping(7, "NQ", "NQU4"),
    )
    source = replay(tape, counters, path)
    assert [one.symbol for one in run(source, tape)] == ["#118", "ESU4", "ES.c.0"]
    assert counted(counters) == {"trade": 3}


def test_only_the_schemas_named_are_played(tape: Tape, counters: Counters, data_dir: Path) -> None:
    source = replay(tape, counters, str(data_dir / TRADES), str(data_dir / QUOTES), schemas=["trade"])
    assert {one.schema for one in run(source, tape)} == {"trade"}
    assert counted(counters) == {"trade": 120}


def test_what_cannot_be_played_is_counted_and_skipped(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    def short(rtype: int) -> bytes:
        return bytes((4, rtype)).ljust(16, b"\0")

    path = write(tmp_path / "x", header(ESU4) + short(23) + short(21) + short(77) + short(0) + trade(MONDAY_NS))
    assert len(run(replay(tape, counters, path), tape)) == 1
    assert counted(counters) == {
        "trade": 1,
        "unsupported_rtype_21": 1,
        "unsupported_rtype_23": 1,
        "unknown_rtype": 1,
        "wrong_length": 1,
    }


def test_sending_times_are_left_away(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    sent = b"".join(bytes((one[0] + 2,)) + one[1:] + b"\xff" * 8 for one in (trade(MONDAY_NS + i, i) for i in range(3)))
    path = write(tmp_path / "x", header(ESU4, ts_out=True) + sent)
    assert [one.record for one in run(replay(tape, counters, path), tape)] == [
        trade(MONDAY_NS + i, i) for i in range(3)
    ]


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_file_cut_at_any_byte_gives_all_whole_records_then_says_where(
    tape: Tape, counters: Counters, tmp_path: Path
) -> None:
    records = [trade(MONDAY_NS + i, i) for i in range(4)]
    head = header(ESU4)
    data = head + b"".join(records)
    for cut in range(len(data) + 1):
        path = write(tmp_path / "cut.dbn", data[:cut])
        if cut < len(head):
            with pytest.raises(SourceError, match=f"cut.dbn, byte {cut}: the file ends within its header"):
                replay(tape, counters, path)
            continue
        source = replay(tape, counters, path)
        whole, rest = divmod(cut - len(head), 48)
        assert [one.record for one in run(source, tape)] == records[:whole]
        if rest:
            assert source.error is not None
            assert source.error.where == f"{path}, byte {cut}"
            assert f"the file ends within a record: found record at byte {cut - rest}" in str(source.error)
        else:
            assert source.error is None


def test_a_zstd_file_cut_at_any_byte_says_where(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    records = [trade(MONDAY_NS + i, i) for i in range(4)]
    data = Path(write(tmp_path / "x.zst", header(ESU4) + b"".join(records), frames=3)).read_bytes()
    told = 0
    for cut in range(len(data)):
        path = write(tmp_path / "cut.zst", data[:cut])
        try:
            source = replay(tape, counters, path)
        except SourceError:
            continue
        taken = [one.record for one in run(source, tape)]
        assert taken == records[: len(taken)]
        if source.error is not None:
            told += 1
            assert f"{path}, byte {cut}: a zstd frame is cut off" in str(source.error) or "ends within a record" in str(
                source.error
            )
    assert told > 20


def test_a_zero_length_record_ends_its_file_and_no_other(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    head = header(ESU4)
    bad = write(tmp_path / "bad", head + trade(MONDAY_NS, 0) + trade(MONDAY_NS + 2, 2) + bytes(500))
    good = write(tmp_path / "good", head + trade(MONDAY_NS + 1, 1) + trade(MONDAY_NS + 3, 3))
    source = replay(tape, counters, bad, good, loop=True)
    assert numbers([one.record for one in run(source, tape)]) == [0, 1, 2, 3]  # and no second pass
    assert [str(error) for error in source.errors] == [
        f"{bad}, byte {len(head) + 96}: a record has an impossible length: found record at byte {len(head) + 96}"
    ]


def test_files_that_are_not_there_or_no_dbn_are_refused_at_once(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source.r.files: there is no such file: found /nowhere/x.dbn"):
        replay(tape, counters, "/nowhere/x.dbn")
    with pytest.raises(ConfigError, match="there is no such file"):
        replay(tape, counters, str(tmp_path))
    with pytest.raises(SourceError, match="this is no DBN file"):
        replay(tape, counters, write(tmp_path / "x", b"hello, world"))


def test_a_file_that_goes_away_meanwhile_is_an_error_of_its_own(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    head = header(ESU4)
    one = write(tmp_path / "1", head + trade(MONDAY_NS, 0))
    two = write(tmp_path / "2", head + trade(MONDAY_NS + 1, 1))
    source = replay(tape, counters, one, two)
    Path(two).unlink()
    assert numbers([taken.record for taken in run(source, tape)]) == [0]
    assert "the file cannot be read" in str(source.error)


def test_a_full_topic_table_is_counted_and_the_rest_goes_on(counters: Counters, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "log", max_topics=2)
    data = header() + b"".join(trade(1, i, i % 4) for i in range(20))
    source = replay(tape, counters, write(tmp_path / "x", data))
    assert {one.symbol for one in run(source, tape)} == {"#0", "#1"}
    assert counted(counters) == {"trade": 10, "topic_refused": 10}
    tape.close()


@given(st.binary(min_size=1, max_size=400), st.integers(0, 10**6), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_play_to_an_end(
    tape: Tape, counters: Counters, tmp_path: Path, junk: bytes, at: int, packed: bool
) -> None:
    data = bytearray(header(ESU4) + b"".join(trade(MONDAY_NS + i, i) for i in range(30)) + mapping(118, "A", "B"))
    at %= len(data)
    data[at : at + len(junk)] = junk
    path = write(tmp_path / "x", bytes(data), int(packed))
    try:
        source = replay(tape, counters, path)
    except SourceError:
        return
    run(source, tape)


# --- schedule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("speed", "factor"), [("1", 1.0), ("10", 10.0), ("0.5", 0.5)])
def test_records_come_at_their_own_pace_or_a_multiple(
    tape: Tape, counters: Counters, data_dir: Path, speed: str, factor: float
) -> None:
    clock = Clock()
    source = replay(tape, counters, str(data_dir / TRADES), speed=speed, clock=clock)
    expected = [one.ts_recv for one in oracle(data_dir / TRADES)]  # type: ignore[union-attr]
    assert source.due_ns() == 0
    taken: list[Taken] = []
    while not source.finished:
        assert source.poll(1000) >= 0
        clock.ns = max(clock.ns, source.due_ns())
        new = tape.take()
        assert all(one.ts_in <= clock.ns for one in new)
        taken += new
    assert len(taken) == 120
    for one, ts in zip(taken, expected, strict=True):
        assert one.ts_in - START == pytest.approx((ts - expected[0]) / factor, abs=1)
    assert clock.ns - START == pytest.approx((expected[-1] - expected[0]) / factor, abs=1)


def test_at_full_speed_nothing_waits_and_ts_in_is_now(tape: Tape, counters: Counters, data_dir: Path) -> None:
    before = now_ns()
    source = replay(tape, counters, str(data_dir / QUOTES))
    assert source.due_ns() == 0
    taken = run(source, tape)
    assert before <= taken[0].ts_in <= taken[-1].ts_in <= now_ns()


def test_a_late_replay_catches_up_and_keeps_its_schedule(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    clock = Clock()
    path = write(tmp_path / "x", header(ESU4) + b"".join(trade(MONDAY_NS + i * 1000, i) for i in range(100)))
    source = replay(tape, counters, path, speed="1", clock=clock)
    assert source.poll(10) == 1
    clock.ns = START + 50_000
    assert source.poll(20) == 20
    assert source.poll(1000) == 30
    assert [one.ts_in for one in tape.take()] == [START + i * 1000 for i in range(51)]
    source.close()


def test_a_loop_goes_on_with_the_same_records_later(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    clock = Clock()
    data = header(ESU4) + trade(MONDAY_NS, 0) + mapping(118, "x", "NEW") + trade(MONDAY_NS + 300, 1)
    path = write(tmp_path / "x", data + trade(MONDAY_NS + 1000, 2))
    source = replay(tape, counters, path, speed="2", loop=True, clock=clock)
    taken: list[Taken] = []
    while len(taken) < 9:
        source.poll(100)
        clock.ns = max(clock.ns, source.due_ns())
        taken += tape.take()
    assert not source.finished
    assert numbers([one.record for one in taken[:9]]) == [0, 1, 2] * 3
    assert [one.symbol for one in taken[:9]] == ["ESU4", "NEW", "NEW"] * 3
    # 500 ns a pass at double speed, and 250 more, the mean of a pass, to the next
    assert [one.ts_in - START for one in taken[:9]] == [n * 750 + at for n in range(3) for at in (0, 150, 500)]
    source.close()


def test_a_loop_over_one_record_takes_a_second_a_pass(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    clock = Clock()
    source = replay(
        tape, counters, write(tmp_path / "x", header(ESU4) + trade(MONDAY_NS)), speed="1", loop=True, clock=clock
    )
    while source.poll(10) or source.due_ns() <= clock.ns:
        pass
    assert source.due_ns() == START + 10**9
    source.close()


def test_a_loop_without_a_tick_ends(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    source = replay(tape, counters, write(tmp_path / "x", header(ESU4)), loop=True)
    assert run(source, tape) == []


def test_a_poll_is_bounded_where_there_are_no_ticks(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    path = write(tmp_path / "x", header() + b"".join(mapping(i, "A", "B") for i in range(3000)) + trade(1))
    source = replay(tape, counters, path)
    polls = 0
    while not source.poll(1000):
        polls += 1
    assert polls > 5
    source.close()


def test_parking_ends_when_a_record_is_due(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    pause_ns = 200_000_000
    late = trade(MONDAY_NS + 3600 * 10**9)  # nothing may be said to be too early of what is due within a stall
    path = write(tmp_path / "x", header(ESU4) + trade(MONDAY_NS) + trade(MONDAY_NS + pause_ns) + late)
    source = replay(tape, counters, path, speed="1")
    assert source.poll(10) == 1
    source.park(10**12)
    assert source.poll(10) == 1
    source.park(1_000_000)
    assert source.poll(10) == 0
    first, second = tape.take()
    assert second.ts_in - first.ts_in == pause_ns
    assert math.isinf(ReplayConfig(files=[], speed="max").factor)
    source.close()
