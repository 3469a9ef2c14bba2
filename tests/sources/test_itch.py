from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feed.config import ItchConfig
from feed.errors import ConfigError
from feed.log.ring import Intake
from feed.sources.itch import ItchDays
from tests.normalize.itch_messages import framed, message
from tests.sources.tape import Taken, Tape

if TYPE_CHECKING:
    from feed.metrics.counters import Counters

AAPL = "runk-itch/test/locate-13-10k.bin"
START = 1_800_000_000_000_000_000
MIDNIGHT = 1_580_360_400 * 10**9  # 2020-01-30
DAY = 86_400 * 10**9
SESSION = framed(
    message("S", 0, code="S"),
    message("R", 1, 1, stock="AAPL"),
    message("R", 2, 1, stock="MSFT"),
    message("A", 1, 10**9, stock="AAPL", reference=1, side="B", shares=100, price=100_0000),
    message("A", 2, 2 * 10**9, stock="MSFT", reference=2, side="S", shares=100, price=100_0000),
    message("E", 1, 3 * 10**9, reference=1, shares=40, match=1),
)


def days(tape: Tape, counters: Counters, *files: str, **settings: object) -> ItchDays:
    clock = settings.pop("clock", lambda: START)
    config = ItchConfig(files=list(files), **{"speed": "max", **settings})  # type: ignore[arg-type]
    return ItchDays("i", config, tape.sink, counters, clock=clock)  # type: ignore[arg-type]


def run(source: ItchDays, tape: Tape, limit: int = 1000) -> list[Taken]:
    taken: list[Taken] = []
    while not source.finished:
        assert 0 <= source.poll(limit) <= limit
        taken += tape.take()
    source.close()
    return taken


def write(path: Path, raw: bytes) -> str:
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return str(path)


def counted(counters: Counters) -> dict[str, int]:
    return {row.labels.get("schema", row.labels.get("reason", "")): row.value for row in counters.rows() if row.value}


def ts(one: Taken) -> int:
    return int(struct.unpack_from("<Q", one.record, 8)[0])


def topics(taken: list[Taken]) -> list[tuple[str, str]]:
    return [(one.schema, one.symbol) for one in taken]


def test_a_real_morning_plain_and_packed_is_the_same(
    tape: Tape, counters: Counters, data_dir: Path, tmp_path: Path
) -> None:
    raw = (data_dir / AAPL).read_bytes()
    plain = days(tape, counters, str(data_dir / AAPL), date="2020-01-30")
    taken = run(plain, tape)
    assert counted(counters) == {"quote": 2792, "trade": 1089, "status": 2, "definition": 1}
    assert plain.error is None
    assert "3,884 records of 10,000 messages, 100.0 % of" in plain.progress()
    assert "215 orders rest" in plain.progress()
    packed = days(tape, counters, write(tmp_path / "01302020.NASDAQ_ITCH50.gz", raw))
    again = run(packed, tape)
    assert [one.record for one in again] == [one.record for one in taken]
    assert ts(taken[0]) == MIDNIGHT + int.from_bytes(raw[7:13], "big")


def test_only_the_schemas_and_stocks_named_come(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    file = write(tmp_path / "2020-01-30", SESSION)
    everything = [("status", "XNAS"), ("definition", "AAPL"), ("definition", "MSFT"), ("quote", "AAPL")]
    everything += [("quote", "MSFT"), ("trade", "AAPL"), ("quote", "AAPL")]
    assert topics(run(days(tape, counters, file), tape)) == everything
    some = run(days(tape, counters, file, symbols=["AA*"], schemas=["trade", "order", "book"]), tape)
    assert topics(some) == [
        ("order", "AAPL"),
        *(("order", "AAPL"), ("book", "AAPL")),
        ("trade", "AAPL"),
        *(("order", "AAPL"), ("order", "AAPL"), ("order", "AAPL"), ("book", "AAPL")),
    ]
    assert topics(run(days(tape, counters, file, symbols=["MSFT"], market="XBOS"), tape))[0] == ("status", "XBOS")
    assert "unknown_order" not in counted(counters)  # orders of stocks that nobody wants are no faults


def test_files_of_one_day_go_on_and_another_day_begins_anew(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    head, tail = SESSION[: -len(framed(message("E"))) :], framed(message("E", 1, 3, reference=1, shares=40, match=1))
    one = write(tmp_path / "one-2020-01-30", head)
    two = write(tmp_path / "two-2020-01-30", tail)
    three = write(tmp_path / "three-2020-01-31", head)
    source = days(tape, counters, one, two, three, schemas=["quote", "trade"])
    taken = run(source, tape)
    assert counted(counters) == {"quote": 8, "trade": 1, "time_backwards": 1}
    day = [one for one in taken if ts(one) >= MIDNIGHT + DAY]
    actions = [chr(one.record[28]) for one in day]
    assert actions == ["R", "R", "A", "A"]  # what yesterday's last quote said holds no longer
    assert all(not one.record[30] & 4 for one in day)


def test_two_locate_codes_of_one_stock_do_not_mix(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    other = framed(message("A", 9, 4 * 10**9, stock="AAPL", reference=9, side="B", shares=1, price=1))
    taken = run(days(tape, counters, write(tmp_path / "2020-01-30", SESSION + other)), tape)
    assert len(taken) == 7
    assert counted(counters)["wrong_symbol"] == 1


def test_a_stock_that_is_no_symbol_goes_by_its_number(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    file = write(tmp_path / "2020-01-30", framed(message("R", 5, stock="A*B")))
    assert topics(run(days(tape, counters, file), tape)) == [("definition", "#5")]


def test_messages_come_at_their_pace_or_a_multiple(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    now = [START]
    file = write(tmp_path / "2020-01-30", SESSION)
    source = days(tape, counters, file, speed="2", clock=lambda: now[0], schemas=["quote"])
    times = []
    while not source.finished:
        source.poll(100)
        times += [one.ts_in - START for one in tape.take()]
        assert source.finished or source.due_ns() > now[0]
        now[0] = max(now[0], source.due_ns())
    assert times == [500_000_000, 1_000_000_000, 1_500_000_000]


def test_a_loop_plays_again_and_again(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    source = days(tape, counters, write(tmp_path / "2020-01-30", SESSION), loop=True, schemas=["trade"])
    for _ in range(5):
        source.poll(1)
    assert len(tape.take()) == 5
    assert not source.finished
    assert counted(counters) == {"trade": 5}
    source.close()


def test_a_full_ring_is_waited_for(tape: Tape, counters: Counters, data_dir: Path) -> None:
    intake = Intake(tape.sink)
    config = ItchConfig(files=[str(data_dir / AAPL)], date="2020-01-30", speed="max", schemas=["book", "order"])
    source = ItchDays("i", config, intake.ring(1 << 16), counters)
    taken: list[Taken] = []
    while not source.finished:
        if not source.poll(1000):
            source.park(10**9)
            while intake.poll(1000):
                pass
            taken += tape.take()
    while intake.poll(1000):
        pass
    taken += tape.take()
    assert len(taken) == counted(counters)["book"] + counted(counters)["order"] == 9096 + 11_651


def test_a_full_topic_table_is_counted_and_the_rest_goes_on(counters: Counters, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "log", max_topics=1)
    source = days(tape, counters, write(tmp_path / "2020-01-30", SESSION), schemas=["trade", "quote"])
    assert topics(run(source, tape)) == [("quote", "AAPL"), ("quote", "AAPL")]
    assert counted(counters) == {"quote": 2, "topic_refused": 2}
    tape.close()


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_file_cut_at_any_byte_gives_its_whole_messages_and_the_next_goes_on(
    tape: Tape, counters: Counters, tmp_path: Path
) -> None:
    next_day = write(tmp_path / "2020-01-31", framed(message("R", 1)))
    ends, at = {0}, 0
    while at < len(SESSION):
        at += 2 + int.from_bytes(SESSION[at : at + 2], "big")
        ends.add(at)
    for cut in range(0, len(SESSION) + 1, 3):
        source = days(tape, counters, write(tmp_path / "2020-01-30", SESSION[:cut]), next_day)
        taken = run(source, tape)
        assert (source.error is None) == (cut in ends), cut
        if source.error is not None:
            assert "the file ends within a message" in str(source.error)
            assert f"2020-01-30, byte {max(end for end in ends if end <= cut)}: " in str(source.error)
            assert "lost_framing" not in counted(counters)
        assert taken[-1][:2] == ("definition", "S1")


@pytest.mark.parametrize("wrong", ["cut", "body", "tail"])
def test_a_damaged_gzip_file_says_so_and_the_next_goes_on(
    tape: Tape, counters: Counters, tmp_path: Path, data_dir: Path, wrong: str
) -> None:
    packed = bytearray(gzip.compress((data_dir / AAPL).read_bytes()))
    if wrong == "cut":
        del packed[-5000:]
    else:
        at = len(packed) // 2 if wrong == "body" else len(packed) - 6
        packed[at : at + 4] = b"\xff\xff\xff\xff"
    bad = tmp_path / "01302020.NASDAQ_ITCH50"
    bad.write_bytes(packed)
    source = days(tape, counters, str(bad), write(tmp_path / "2020-01-31", framed(message("R", 1))), loop=True)
    taken = run(source, tape)
    assert "the gzip file is damaged or cut off" in str(source.error)
    assert len(taken) > 1000
    assert taken[-1][:2] == ("definition", "S1")


def test_a_file_that_goes_away_meanwhile_is_an_error_of_its_own(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    one = write(tmp_path / "2020-01-30", SESSION)
    source = days(tape, counters, one, write(tmp_path / "2020-01-31", framed(message("R", 1))))
    Path(one).unlink()
    assert topics(run(source, tape)) == [("definition", "S1")]
    assert "the file cannot be read" in str(source.error)


def test_files_that_are_not_there_or_of_no_day_are_refused(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source.i.files: there is no such file: found /nowhere/x"):
        days(tape, counters, "/nowhere/x")
    with pytest.raises(ConfigError, match=r"source.i.date: nothing says of which day the file is"):
        days(tape, counters, write(tmp_path / "x", b""))
