"""feed.sources.symbology: what files say of instruments is published, and again what of it changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from feed.config import SymbologyConfig, ValidateTable
from feed.errors import SourceError
from feed.normalize.instruments import instrument_of
from feed.sources.checked import known_instruments, validator
from feed.sources.symbology import Symbology, read_instruments

if TYPE_CHECKING:
    from pathlib import Path

    from feed.metrics.counters import Counters
    from tests.sources.tape import Tape

HEAD = '[venue.XNAS]\nsuffix = false\ntick = "0.01"\n'


def write(path: Path, *names: str, tick: str = "") -> None:
    lines = [f'[[instrument]]\nvenue = "XNAS"\nname = "{name}"\ntick = "{tick}"\n' for name in names]
    path.write_text(HEAD + "".join(lines))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def definitions(tape: Tape) -> list[tuple[str, bytes, int]]:
    """Symbol, action, tick of what was put in."""
    return [(each.symbol, each.record[493:494], instrument_of(each.symbol, each.record).tick) for each in tape.take()]


def test_what_files_say_is_published_and_what_changes(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    write(path, "B", "A")
    now = 10**18
    source = Symbology("s", SymbologyConfig(files=[str(path)], watch="1s"), tape.sink, counters, clock=lambda: now)
    assert (source.poll(1), source.poll(10), source.poll(10)) == (1, 1, 0)
    assert definitions(tape) == [("A", b"A", 10**7), ("B", b"A", 10**7)]
    write(path, "A", "C", tick="0.05")
    assert source.poll(10) == 0, "it is looked once a second"
    now += 10**9
    assert source.poll(10) == 3
    assert definitions(tape) == [("A", b"M", 5 * 10**7), ("C", b"A", 5 * 10**7), ("B", b"D", 10**7)]
    path.write_text("nonsense")
    now += 10**9
    assert source.poll(10) == 0
    write(path, "A", "C", tick="0.05")
    now += 10**9
    assert (source.poll(10), source.finished) == (0, False)
    rows = {row.labels["reason"]: row.value for row in counters.rows() if row.name == "tickcast_rejected_total"}
    assert rows == {"bad_file": 1}
    assert "2 instruments" in source.progress()
    source.close()


def test_it_ends_where_nobody_looks_again(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    write(tmp_path / "x.toml", "A")
    source = Symbology("s", SymbologyConfig(files=[str(tmp_path / "x.toml")], watch="0s"), tape.sink, counters)
    assert (source.poll(10), source.finished, source.error) == (1, True, None)


def test_a_recording_names_its_instruments(tape: Tape, counters: Counters, data_dir: Path) -> None:
    folder = data_dir / "nautilus-databento" / "tests" / "test_data" / "databento"
    table = read_instruments([folder / "definition-glbx-es-fut.dbn.zst"])
    (es,) = table
    assert (es.symbol, es.venue, es.tick, es.lot, es.currency, es.kind) == (
        "ESM3",
        "XCME",
        250_000_000,
        "50",
        "USD",
        "future",
    )
    for path in sorted((data_dir / "databento-dbn" / "tests" / "data").glob("test_data.definition.v?.dbn*")):
        if "frag" not in path.name:
            assert len(read_instruments([path])) > 0, path


def test_validation_goes_by_their_ticks(tape: Tape, tmp_path: Path) -> None:
    write(tmp_path / "x.toml", "A")
    config = SymbologyConfig(files=[str(tmp_path / "x.toml")])
    known = known_instruments([config])
    assert validator(ValidateTable(off_tick="drop"), tape.sink, known) is not None
    assert [each.tick for each in known] == [10**7]


def test_a_file_that_is_none_is_said_at_the_start(tape: Tape, counters: Counters, tmp_path: Path) -> None:
    for name in ("x.toml", "x.dbn"):
        (tmp_path / name).write_text("nonsense")
        with pytest.raises(SourceError, match=name):
            Symbology("s", SymbologyConfig(files=[str(tmp_path / name)]), tape.sink, counters)
