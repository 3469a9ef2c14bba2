"""Replays of what the log no longer has, from a real archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.control import replay
from feed.log.reader import LogReader
from feed.log.writer import LogWriter
from feed.store.seal import compress
from feed.store.writer import StoreWriter
from tests.control.conftest import Served
from tests.control.history import NAMES, History, told, walked


class Archived:
    """A served log with an archive that takes what there is when it is told to."""

    def __init__(self, served: Served) -> None:
        self.served = served
        assert served.config.archive_directory is not None
        self.folder = served.config.archive_directory
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.store = StoreWriter(self.folder, segment_bytes=1 << 20)
        self.history = History(served)
        self.log_bytes = 1 << 20
        self.join()

    def join(self) -> None:
        self.reader = LogReader.open(self.served.at, name="archive", start="begin")
        self.store.begin(self.served.writer.epoch, [])
        self.take()

    def take(self) -> None:
        while self.store.take(self.reader):
            pass
        self.store.sync()

    def write(self, count: int, *, taken: bool = True) -> None:
        """So many records, over all topics, in steps that fit in the log."""
        while count:
            step = min(count, 500)
            self.history.write(*(i % len(NAMES) for i in range(step)))
            count -= step
            if taken:
                self.take()

    def new_epoch(self) -> None:
        """The log is replaced by an empty one."""
        self.take()
        self.reader.close()
        self.served.writer.close()
        self.log_bytes = (3 << 20) - self.log_bytes
        self.served.writer = LogWriter.open(self.served.at, log_bytes=self.log_bytes, max_topics=4096)
        self.history.begin()
        self.join()

    def close(self) -> None:
        self.reader.close()
        self.store.close()


@pytest.fixture
def archived(serve: Callable[..., Served], tmp_path: Path) -> Iterator[Archived]:
    made = Archived(serve(f"archive.path={tmp_path}"))
    yield made
    made.close()


def test_the_directory_names_it(archived: Archived) -> None:
    words = archived.served.asker.ask("directory").words
    assert words["archive"] == {"path": str(archived.folder), "durable_seq": 0}
    archived.served.counters.gauge("tickcast_archive_durable_seq").set(42)
    assert archived.served.asker.ask("directory").words["archive"]["durable_seq"] == 42


def test_all_there_ever_was(archived: Archived) -> None:
    archived.write(15_000)
    found, missing, words = walked(archived.served, patterns=["*"], **{"from": 1})
    assert missing == []
    assert found == list(archived.history)
    assert words["next"] == archived.served.writer.next_seq


def test_small_answers_go_on_within_a_block(archived: Archived) -> None:
    archived.write(12_000)
    found, missing, _ = walked(archived.served, patterns=["*"], bytes=7_777, to=2_000, **{"from": 1})
    assert (found, missing) == ([each for each in archived.history if each.seq <= 2_000], [])


def test_many_bots_at_once_each_at_its_place(archived: Archived) -> None:
    archived.write(12_000)
    places = {start: start for start in range(1, 1300, 100)}  # more than are kept open
    found: dict[int, list[int]] = {start: [] for start in places}
    for _ in range(5):
        for start, at in places.items():
            answer = archived.served.asker.ask("replay", patterns=["*"], bytes=3_000, **{"from": at})
            found[start] += [each.seq for each in told(answer)]
            places[start] = answer.words["next"]
    for start, seqs in found.items():
        assert seqs == list(range(start, places[start]))
        assert len(seqs) > 20


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    first=st.integers(1, 12_500),
    length=st.integers(0, 2_000),
    nbytes=st.sampled_from([2_000, 1 << 20]),
    ranges=st.none()
    | st.lists(st.tuples(st.integers(0, 5), st.integers(1, 2100), st.integers(1, 2100)), min_size=1, max_size=4),
)
def test_any_range_across_archive_and_log(
    archived: Archived, first: int, length: int, nbytes: int, ranges: list[tuple[int, int, int]] | None
) -> None:
    if not archived.history:
        archived.write(12_000)
    fields: dict[str, object] = {"from": first, "to": first + length, "bytes": nbytes}
    if ranges is None:
        found, missing, _ = walked(archived.served, **fields, patterns=["*"])
    else:
        found, missing, _ = walked(archived.served, **fields, topics=[[*NAMES[i], *rest] for i, *rest in ranges])
    assert missing == []
    assert found == [
        each
        for each in archived.history
        if first <= each.seq <= first + length
        and (
            ranges is None
            or any((each.schema, each.symbol) == NAMES[i] and a <= each.topic_seq <= b for i, a, b in ranges)
        )
    ]


def test_sealed_and_compressed_segments(archived: Archived) -> None:
    archived.write(30_000)
    for path in sorted(archived.folder.glob("*.ticks"))[:-1]:
        compress(path)
    assert list(archived.folder.glob("*.zst"))
    found, missing, _ = walked(archived.served, patterns=["AAPL"], schemas=["trade"], **{"from": 1})
    assert (found, missing) == ([each for each in archived.history if each[1:3] == ("trade", "AAPL")], [])


def test_a_search_that_takes_too_long_goes_on(archived: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    archived.write(20_000)
    monkeypatch.setattr(replay, "WITHIN_NS", 0)
    found, missing, _ = walked(archived.served, patterns=["Z"], **{"from": 1})
    assert (found, missing) == ([each for each in archived.history if each.symbol == "Z"], [])


# --- what is not there ------------------------------------------------------------------------------------------------


def test_a_range_that_the_archive_missed_has_its_cause(archived: Archived) -> None:
    archived.write(3_000)
    first = archived.served.writer.next_seq
    archived.write(200, taken=False)
    archived.store.missing(first, first + 199, "disk full")
    archived.write(15_000)
    found, missing, _ = walked(archived.served, patterns=["*"], **{"from": 1})
    assert missing == [[first, first + 199, "disk full"]]
    assert found == [each for each in archived.history if not first <= each.seq < first + 200]
    answer = archived.served.asker.ask("replay", patterns=["*"], to=first + 5, **{"from": first + 2})
    assert (answer.frames, answer.words["missing"]) == ([], [[first + 2, first + 5, "disk full"]])
    assert answer.words["next"] == first + 6


def test_between_archive_and_log(archived: Archived) -> None:
    """The archive is behind, and the log has gone on."""
    archived.write(2_000)
    last = archived.served.writer.next_seq - 1
    archived.write(15_000, taken=False)
    found, missing, _ = walked(archived.served, patterns=["*"], **{"from": 1})
    ((first_gone, last_gone, cause),) = missing
    assert (first_gone, cause) == (last + 1, "expired")
    assert found == [each for each in archived.history if not first_gone <= each.seq <= last_gone]
    archived.take()  # which says itself what it could not have
    answer = archived.served.asker.ask("replay", patterns=["*"], bytes=1, **{"from": last + 1})
    assert answer.words["missing"] == [[last + 1, last_gone, "overrun"]]


def test_files_that_were_kept_long_enough_are_expired(archived: Archived) -> None:
    archived.write(30_000)
    oldest, second, *_ = sorted(archived.folder.glob("*.ticks"))
    oldest.unlink()
    first = int(second.name.split("-")[1].split(".")[0])
    found, missing, _ = walked(archived.served, patterns=["*"], **{"from": 1})
    assert missing == [[1, first - 1, "expired"]]
    assert found == [each for each in archived.history if each.seq >= first]


def test_an_archive_that_is_only_configured(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(f"archive.path={tmp_path}/nowhere")
    history = History(served)
    for _ in range(30):
        history.write(*([0, 1, 2] * 200))
    found, missing, _ = walked(served, patterns=["*"], **{"from": 1})
    ((first, last, cause),) = missing
    assert (first, cause) == (1, "expired")
    assert found == [each for each in history if each.seq > last]
    answer = served.asker.ask("replay", patterns=["*"], epoch=5, **{"from": 3})
    assert (answer.words["missing"], answer.words["end"]) == ([[3, 2, "epoch"]], True)


def test_an_archive_that_cannot_be_read(serve: Callable[..., Served], tmp_path: Path) -> None:
    """The answer says so, and whatever the log has is served all the same."""
    (tmp_path / "main").write_text("this is no folder")
    served = serve(f"archive.path={tmp_path}")
    history = History(served)
    for _ in range(30):
        history.write(*([0, 1, 2] * 200))
    assert "error" in served.asker.ask("replay", patterns=["*"], **{"from": 1}).words
    assert told(served.asker.ask("replay", patterns=["*"], **{"from": history[-1].seq})) == history[-1:]


# --- epochs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_epochs(archived: Archived) -> Archived:
    archived.write(1_000)
    archived.new_epoch()
    archived.write(2_000)
    archived.new_epoch()
    archived.write(500)
    while archived.served.asker.ask("replay", patterns=[]).words.get("epoch") != archived.served.writer.epoch:
        pass
    return archived


def test_from_an_epoch_that_is_over_to_the_present(three_epochs: Archived) -> None:
    history = three_epochs.history
    first, second, third = sorted({each.epoch for each in history})
    for epoch in (first, second, third):
        found, missing, words = walked(three_epochs.served, epoch=epoch, patterns=["*"], bytes=50_000, **{"from": 1})
        assert (found, missing) == ([each for each in history if each.epoch >= epoch], [])
        assert words["epoch"] == third
    found, missing, _ = walked(three_epochs.served, epoch=first, patterns=["*"], **{"from": 990})
    assert (found, missing) == ([each for each in history if each.epoch > first or each.seq >= 990], [])


def test_the_end_of_an_epoch_that_is_over(three_epochs: Archived) -> None:
    first, second, third = sorted({each.epoch for each in three_epochs.history})
    ask = three_epochs.served.asker.ask
    for at in (1001, 1500):
        words = ask("replay", epoch=first, patterns=["*"], **{"from": at}).words
        assert (words["next"], words["end"], words["next_epoch"], words["missing"]) == (at, True, second, [])
    words = ask("replay", epoch=second, patterns=["*"], **{"from": 2001}).words
    assert (words["end"], words["next_epoch"]) == (True, third)
    assert words["next_seq"] == three_epochs.served.writer.next_seq
    words = ask("replay", epoch=first + 1, patterns=["*"], **{"from": 9}).words
    assert (words["end"], words["next_epoch"], words["missing"]) == (True, second, [[9, 8, "epoch"]])
    answer = ask("replay", epoch=first, topics=[["quote", "AAPL", 1, 0]], **{"from": 1})
    assert (answer.frames, answer.words["next"]) == ([], 1001)


def test_a_time_finds_its_epoch(three_epochs: Archived) -> None:
    history = three_epochs.history
    for at in (0, history[0].ts_in, history[700].ts_in, history[1500].ts_in - 1, history[-100].ts_in):
        found, missing, _ = walked(three_epochs.served, patterns=["*"], from_time=at)
        assert (found, missing) == ([each for each in history if each.ts_in >= at], [])
    for epoch in sorted({each.epoch for each in history}):
        words = three_epochs.served.asker.ask("replay", patterns=["*"], epoch=epoch, from_time=epoch + 5500).words
        assert (words["epoch"], words["from"]) == (epoch, 6)


def test_a_time_before_all_that_is_kept_is_the_beginning(archived: Archived) -> None:
    archived.write(30_000)
    oldest, second, *_ = sorted(archived.folder.glob("*.ticks"))
    oldest.unlink()
    first = int(second.name.split("-")[1].split(".")[0])
    words = archived.served.asker.ask("replay", patterns=["*"], from_time=archived.served.writer.epoch).words
    assert (words["from"], words["missing"]) == (1, [[1, first - 1, "expired"]])
