"""Exports: what other programs read is what was archived, and nothing half is ever left."""

from __future__ import annotations

import csv
import io
import struct
from typing import TYPE_CHECKING, Any

import databento_dbn
import pyarrow.parquet as pq
import pytest
import zstandard

from feed.archive.export import export
from feed.config import ReplayConfig
from feed.errors import CallerError
from feed.normalize.dbn_symbols import DbnSymbols
from feed.sources.replay import Replay
from feed.store.excerpt import Excerpt
from feed.wire.records import BY_WORD
from tests.archive.recorded import Recorder, Tick, frames, record_archive, records
from tests.archive.ticks import record, trade

if TYPE_CHECKING:
    from pathlib import Path

    from feed.metrics.counters import Counters

NAUTILUS = "nautilus-databento/tests/test_data/databento"
DAY_NS = 86_400 * 10**9
START = 19_905 * DAY_NS  # 2024-07-01


def decoded(path: Path) -> tuple[databento_dbn.Metadata, list[Any]]:
    """What Databento's own library reads."""
    raw = path.read_bytes()
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()
    decoder = databento_dbn.DBNDecoder()
    decoder.write(raw)
    metadata, *found = decoder.decode()
    assert isinstance(metadata, databento_dbn.Metadata)
    return metadata, found


def fields(message: Any) -> dict[str, Any]:
    """Every field by its name in Databento's library."""
    names = [name for name in dir(message) if not name.startswith(("_", "pretty_")) and name != "levels"]
    values = {name: value for name in names if not callable(value := getattr(message, name))}
    for i, level in enumerate(getattr(message, "levels", [])):
        values |= {f"{name}_{i}": getattr(level, name) for name in dir(level) if name.endswith(("_px", "_sz", "_ct"))}
    return values


def archive_of_files(files: list[Path], folder: Path, counters: Counters) -> None:
    """What a feed archives that replays these files."""
    recorder = Recorder(folder, segment_bytes=1 << 20)
    config = ReplayConfig(files=[str(file) for file in files], speed="max")
    source = Replay("r", config, recorder.log, counters)
    while not source.finished:
        source.poll(1000)
        recorder.put([])
    source.close()
    recorder.close()


@pytest.fixture
def session(tmp_path: Path, counters: Counters, data_dir: Path) -> tuple[Path, list[Any]]:
    """A recorded session, and its records as Databento's library reads them from the files."""
    found = sorted((data_dir / "nautilus-databento").rglob("*.dbn*"))
    files = [
        file for file in found if any(word in file.name for word in ("mbp-1", "trades", "mbo", "definition", "ohlcv"))
    ]
    assert len(files) >= 4
    archive_of_files(files, tmp_path / "main", counters)
    return tmp_path / "main", [message for file in files for message in decoded(file)[1]]


@pytest.mark.parametrize("name", ["out.dbn", "out.dbn.zst"])
def test_dbn_is_read_back_equal_field_by_field(session: tuple[Path, list[Any]], tmp_path: Path, name: str) -> None:
    folder, originals = session
    report = export(Excerpt(folder), "dbn", tmp_path / name)
    metadata, exported = decoded(tmp_path / name)
    assert report.records == len(exported) == len(originals)
    assert report.notes == []
    order = {bytes(message): i for i, message in enumerate(originals)}
    exported_by_original = sorted(exported, key=lambda message: order[bytes(message)])
    originals = sorted(originals, key=lambda message: order[bytes(message)])
    for ours, theirs in zip(exported_by_original, originals, strict=True):
        assert type(ours) is type(theirs)
        assert fields(ours) == fields(theirs)
    archived = records(frames(folder))
    assert [bytes(message) for message in exported] == [each for _, each in archived]
    symbols = DbnSymbols(metadata)
    for (topic, _), message in zip(archived, exported, strict=True):
        ts = getattr(message, "ts_recv", 2**64 - 1)
        when = message.ts_event if ts == 2**64 - 1 else ts
        assert symbols.at(message.instrument_id, when)[0] == topic.partition(".")[2]


def test_a_replay_of_the_exported_file_gives_the_same_archive(
    session: tuple[Path, list[Any]], tmp_path: Path, counters: Counters
) -> None:
    folder, _ = session
    export(Excerpt(folder), "dbn", tmp_path / "out.dbn.zst")
    archive_of_files([tmp_path / "out.dbn.zst"], tmp_path / "again", counters)
    assert sorted(records(frames(tmp_path / "again"))) == sorted(records(frames(folder)))


def of_all_schemas() -> list[Tick]:
    return [Tick(word, "A", record(word, b"", ts=START + i)) for i, word in enumerate(BY_WORD)]


def test_every_schema_passes_unchanged(tmp_path: Path) -> None:
    ticks = of_all_schemas()
    record_archive(tmp_path / "main", ticks)
    export(Excerpt(tmp_path / "main"), "dbn", tmp_path / "out.dbn")
    _, exported = decoded(tmp_path / "out.dbn")
    assert [bytes(message) for message in exported] == [tick.record for tick in ticks]


def test_numbers_that_collide_are_told_and_can_be_exported_apart(tmp_path: Path) -> None:
    ticks = [Tick("trade", symbol, trade(i, instrument_id=7, ts=START + i)) for i, symbol in enumerate("ABAB")]
    record_archive(tmp_path / "main", ticks)
    report = export(Excerpt(tmp_path / "main"), "dbn", tmp_path / "out.dbn")
    assert report.notes[0].startswith(
        "instrument 7 is A and B on the same days: mapped to neither. Export them one by one"
    )
    metadata, exported = decoded(tmp_path / "out.dbn")
    assert metadata.mappings == {}
    assert len(exported) == 4
    report = export(Excerpt(tmp_path / "main", symbols=["B"]), "dbn", tmp_path / "b.dbn", asked=["B"])
    metadata, exported = decoded(tmp_path / "b.dbn")
    assert (report.notes, list(metadata.mappings)) == ([], ["B"])
    assert str(metadata.schema) == "trades"
    assert [message.sequence for message in exported] == [1, 3]


def test_topics_of_several_epochs_keep_their_names(tmp_path: Path) -> None:
    for symbols in ("AB", "BA"):
        record_archive(tmp_path / "main", [Tick("trade", s, trade(ord(s), ts=START)) for s in symbols])
    export(Excerpt(tmp_path / "main"), "csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["symbol"], row["sequence"], row["seq"]) for row in rows] == [
        ("A", "65", "1"),
        ("B", "66", "2"),
        ("B", "66", "1"),
        ("A", "65", "2"),
    ]
    assert len({row["epoch"] for row in rows}) == 2


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_a_file_for_each_schema(tmp_path: Path, kind: Any) -> None:
    record_archive(tmp_path / "main", of_all_schemas())
    report = export(Excerpt(tmp_path / "main"), kind, tmp_path / "a" / "tables")
    assert {file.name for file in (tmp_path / "a" / "tables").iterdir()} == {f"{word}.{kind}" for word in BY_WORD}
    assert {file.name for file in report.files} == {f"{word}.{kind}" for word in BY_WORD}
    assert report.records == len(BY_WORD)


def test_parquet_has_all_rows_of_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_archive(tmp_path / "main", [Tick("trade", f"S{i % 9}", trade(i, ts=START + i)) for i in range(5000)])
    monkeypatch.setattr("feed.archive.export.CHUNK_BYTES", 1000)
    export(Excerpt(tmp_path / "main"), "parquet", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["seq"].to_pylist() == list(range(1, 5001))
    assert table["symbol"].to_pylist() == [f"S{i % 9}" for i in range(5000)]
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups > 3


def left(tmp_path: Path) -> set[str]:
    return (
        {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
        - {
            str(path.relative_to(tmp_path))
            for folder in ("main", "counters")
            for path in (tmp_path / folder).rglob("*")
        }
        - {"main", "counters"}
    )


@pytest.mark.parametrize(("kind", "name"), [("dbn", "x.dbn"), ("csv", "x.csv"), ("csv", "x"), ("parquet", "x")])
@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_whatever_ends_it_early_leaves_nothing(tmp_path: Path, kind: Any, name: str, after: int) -> None:
    record_archive(tmp_path / "main", [Tick("trade", "A", trade(i, ts=START)) for i in range(2000)])
    shown: list[float] = []

    def show(_: str, fraction: float) -> None:
        shown.append(fraction)
        if len(shown) == after:
            raise KeyboardInterrupt

    try:
        export(Excerpt(tmp_path / "main"), kind, tmp_path / name, show=show)
    except KeyboardInterrupt:
        assert left(tmp_path) == set()
    else:
        assert len(shown) < after


def test_progress_grows_to_the_end(tmp_path: Path) -> None:
    record_archive(tmp_path / "main", [Tick("trade", "A", trade(i, ts=START)) for i in range(3000)])
    shown: list[float] = []
    export(Excerpt(tmp_path / "main"), "csv", tmp_path / "x.csv", show=lambda _, fraction: shown.append(fraction))
    assert shown == sorted(shown)
    assert 0 < shown[0] < 1
    assert shown[-1] == 1


def test_what_is_there_is_replaced_only_when_that_was_said(tmp_path: Path) -> None:
    record_archive(tmp_path / "main", [Tick("trade", "A", trade(1, ts=START))])
    (tmp_path / "x.csv").write_text("precious")
    with pytest.raises(CallerError, match=r"x\.csv: is there already.*--overwrite"):
        export(Excerpt(tmp_path / "main"), "csv", tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "precious"
    export(Excerpt(tmp_path / "main"), "csv", tmp_path / "x.csv", overwrite=True)
    assert (tmp_path / "x.csv").read_text().startswith("epoch,")
    assert left(tmp_path) == {"x.csv"}


def test_what_can_not_be(tmp_path: Path) -> None:
    record_archive(tmp_path / "main", of_all_schemas())
    with pytest.raises(CallerError, match="a table holds one schema: expected one of them with --schemas"):
        export(Excerpt(tmp_path / "main"), "csv", tmp_path / "x.csv")
    for kind, name in (("dbn", "x.dbn"), ("csv", "x"), ("parquet", "x.parquet")):
        with pytest.raises(CallerError, match="nothing in the archive is of what was asked for"):
            export(Excerpt(tmp_path / "main", symbols=["X*"]), kind, tmp_path / name)  # type: ignore[arg-type]
    assert left(tmp_path) == set()


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "main")
    recorder.put([Tick("trade", "A", trade(1, ts=START))])
    recorder.lose(3, "overrun")
    recorder.put([Tick("trade", "A", trade(2, ts=START))])
    recorder.log.publish(recorder.log.topic("trade", "A"), struct.pack("<50x"))
    recorder.put([])
    recorder.close()
    for kind, name in (("dbn", "x.dbn"), ("csv", "x.csv")):
        report = export(Excerpt(tmp_path / "main", symbols=["A"]), kind, tmp_path / name)  # type: ignore[arg-type]
        assert report.records == 2
        assert report.notes == [
            "1 records are not of their schema's size: left out",
            "missing in the archive: 3 records of all topics: seq 2 to 4 (overrun)",
        ]
