"""An archive as files that other programs read: DBN, Parquet, CSV.

A file gets its name when it is whole: until then it is a hidden one beside it, and whatever ends the export early takes
that away.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import zstandard

from feed.archive.dbn import header, symbology
from feed.archive.gather import Gather, Names
from feed.archive.tables import CsvTable, ParquetTable
from feed.errors import CallerError
from feed.store.excerpt import told
from feed.store.walk import LEFT_OUT
from feed.wire.records import BY_ID, BY_WORD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from feed.archive.tables import Table
    from feed.store.excerpt import Excerpt

__all__ = ["Format", "Report", "export"]

Format = Literal["dbn", "parquet", "csv"]

CHUNK_BYTES = 16 << 20
"""Of frames that are held before they are written."""

NAMED = 5


@dataclass
class Report:
    """What came of an export; `notes` are for whoever asked for it."""

    files: list[Path] = field(default_factory=list)
    records: int = 0
    notes: list[str] = field(default_factory=list)


def export(
    excerpt: Excerpt,
    kind: Format,
    out: Path,
    *,
    overwrite: bool = False,
    asked: Collection[str] = (),
    show: Callable[[str, float], None] = lambda what, fraction: None,
) -> Report:
    """Write `excerpt` to `out`: a file; with parquet and csv a folder with one per schema, unless its name ends so.

    `asked`: the symbols that were asked for by name. `show` is told what is being done, and how much of it is.

    :raises CallerError: nothing is there to export, `out` is there already, or it can't hold this.
    :raises StoreError: the archive cannot be read.
    """
    report = (
        _dbn(excerpt, out, overwrite, asked, show) if kind == "dbn" else _tables(excerpt, kind, out, overwrite, show)
    )
    if missing := told(excerpt.missing):
        report.notes.append(f"missing in the archive: {missing}")
    return report


# --- DBN --------------------------------------------------------------------------------------------------------------


def _dbn(
    excerpt: Excerpt, out: Path, overwrite: bool, asked: Collection[str], show: Callable[[str, float], None]
) -> Report:
    """Twice through the archive: the header, which comes first, says what the instruments of all records are called."""
    report = Report([out])
    names = Names(*_bounds(excerpt))
    symbols: dict[str, int] = {}
    with _finished(out, overwrite) as part:
        for _ in _blocks(excerpt, names, lambda _, symbol: symbols.setdefault(symbol, len(symbols))):
            show("who is called what", excerpt.fraction)
        _require_records(names.count, excerpt)
        by_label = list(symbols)
        found = symbology((by_label[label], number, day) for label, number, day in names.take())
        records = Gather(*_bounds(excerpt))
        with _binary(part, out) as file:
            file.write(header(found, names.rtypes(), names.first_ns, names.last_ns, asked))
            for _ in _blocks(excerpt, records, lambda _, symbol: 0):
                for _, data in records.take():
                    file.write(data)
                show("records", excerpt.fraction)
    report.records = records.count
    for number, called in sorted(found.ambiguous.items())[:NAMED]:
        report.notes.append(
            f"instrument {number} is {' and '.join(sorted(called)[:NAMED])} on the same days: mapped to neither. "
            "Export them one by one with --symbols"
        )
    if len(found.ambiguous) > NAMED:
        report.notes.append(f"{len(found.ambiguous) - NAMED} more instruments have several symbols")
    if found.too_long:
        report.notes.append(f"not mapped, too long for DBN: {', '.join(sorted(found.too_long)[:NAMED])}")
    return _with_misfits(report, records.misfits)


@contextlib.contextmanager
def _binary(path: Path, out: Path) -> Iterator[BinaryIO]:
    """The file at `path`, compressed if the name `out` says so."""
    with path.open("xb") as raw:
        if out.suffix == ".zst":
            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as packed:
                yield packed
        else:
            yield raw


# --- tables -----------------------------------------------------------------------------------------------------------


def _tables(excerpt: Excerpt, kind: Format, out: Path, overwrite: bool, show: Callable[[str, float], None]) -> Report:
    by_schema = True
    gather = Gather(*_bounds(excerpt), by_schema)
    symbols: dict[int, str] = {}

    def name(topic_id: int, symbol: str) -> int:
        symbols[topic_id] = symbol
        return 0

    with contextlib.ExitStack() as finished:
        tables = _Tables(kind, out, overwrite, finished)
        for epoch in _blocks(excerpt, gather, name, lambda epoch: tables.write(epoch, gather, symbols)):
            if gather.held >= CHUNK_BYTES:
                tables.write(epoch, gather, symbols)
            show("rows", excerpt.fraction)
        _require_records(gather.count, excerpt)
    return _with_misfits(Report(tables.files, gather.count), gather.misfits)


class _Tables:
    """A file for each schema that comes, all of them whole when `finished` is left without an error."""

    def __init__(self, kind: Format, out: Path, overwrite: bool, finished: contextlib.ExitStack) -> None:
        self.files: list[Path] = []
        self._make: type[CsvTable | ParquetTable] = CsvTable if kind == "csv" else ParquetTable
        self._suffix = f".{kind}"
        self._out = out
        self._overwrite = overwrite
        self._finished = finished
        self._tables: dict[int, Table] = {}

    def write(self, epoch: int, gather: Gather, symbols: dict[int, str]) -> None:
        """What was gathered, all of it of one epoch."""
        for schema_id, frames in gather.take():
            if schema_id not in self._tables:
                self._tables[schema_id] = self._table(BY_ID[schema_id].word)
            self._tables[schema_id].write(epoch, frames, symbols)

    def _table(self, schema: str) -> Table:
        to = self._out
        if to.suffix != self._suffix:
            if not to.is_dir():
                to.mkdir(parents=True)
                self._finished.callback(_remove_empty, to)
            to = to / f"{schema}{self._suffix}"
        elif self._tables:
            raise CallerError(
                "a table holds one schema",
                expected="one of them with --schemas, or a folder to write to",
                found=", ".join([*(BY_ID[each].word for each in self._tables), schema]),
                where=str(to),
            )
        made = self._make(self._finished.enter_context(_finished(to, self._overwrite)), schema)
        self._finished.callback(made.close)
        self.files.append(to)
        return made


# --- both -------------------------------------------------------------------------------------------------------------


def _blocks(
    excerpt: Excerpt,
    walk: Gather | Names,
    label: Callable[[int, str], int],
    ended: Callable[[int], None] = lambda epoch: None,
) -> Iterator[int]:
    """Walk through all blocks; after each, its epoch. `label` of (topic id, symbol); `ended` when an epoch does."""
    excerpt.rewind()
    epoch = 0
    while (block := excerpt.read_block()) is not None:
        if block.epoch != epoch:
            if epoch:
                ended(epoch)
                walk.forget_topics()
            epoch = block.epoch
        walk.begin(block)
        while (topic_id := walk.run()) >= 0:
            found = excerpt.wanted(topic_id)
            if found is None:
                walk.bind(topic_id, 0, LEFT_OUT)
            else:
                schema, symbol = found
                walk.bind(topic_id, BY_WORD[schema].id, label(topic_id, symbol))
        yield epoch
    if epoch:
        ended(epoch)


def _bounds(excerpt: Excerpt) -> tuple[int, int, int, int]:
    return excerpt.first_seq, excerpt.last_seq, excerpt.from_ns, excerpt.to_ns


def _require_records(count: int, excerpt: Excerpt) -> None:
    if not count:
        raise CallerError(
            "nothing in the archive is of what was asked for",
            expected="records",
            found="none",
            where=str(excerpt.folder),
            remedy="Look at --from, --to, --symbols and --schemas",
        )


def _with_misfits(report: Report, misfits: int) -> Report:
    if misfits:
        report.notes.append(f"{misfits:,} records are not of their schema's size: left out")
    return report


@contextlib.contextmanager
def _finished(path: Path, overwrite: bool) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends without an error, and vanishes otherwise."""
    if path.exists() and not overwrite:
        raise CallerError("is there already", where=str(path), remedy="Choose another name, or say --overwrite")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        fd = os.open(part, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
