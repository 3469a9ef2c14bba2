from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.errors import SourceError
from feed.sources.dbn_file import DbnFile
from tests.sources.dbn_files import MONDAY_NS, header, trade, write

RECORDS = b"".join(trade(MONDAY_NS + i, i) for i in range(40))


def read(file: DbnFile, room: int = 1000) -> bytes:
    """All records; the error, if one ends them, is raised."""
    file.open()
    space = memoryview(bytearray(room))
    out = bytearray()
    try:
        while n := file.readinto(space):
            out += space[:n]
    finally:
        file.close()
    return bytes(out)


@pytest.mark.parametrize("frames", [0, 1, 2, 7])
@pytest.mark.parametrize("room", [1, 47, 1 << 16])
def test_records_come_out_whole_however_they_are_packed(tmp_path: Path, frames: int, room: int) -> None:
    head = header({"ESU4": (118, 0, 2)})
    file = DbnFile(Path(write(tmp_path / "x.dbn", head + RECORDS, frames)))
    assert not file.is_open
    assert (file.version, file.ts_out, file.header_bytes, file.first_ts) == (3, False, len(head), MONDAY_NS)
    assert read(file, room) == RECORDS
    assert file.read_bytes == file.file_bytes == (tmp_path / "x.dbn").stat().st_size
    assert read(file, room) == RECORDS  # and again


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("ts_out", [False, True])
def test_the_header_says_version_and_sending_times(tmp_path: Path, version: int, ts_out: bool) -> None:
    file = DbnFile(Path(write(tmp_path / "x.dbn", header(version=version, ts_out=ts_out))))
    assert (file.version, file.ts_out, file.first_ts) == (version, ts_out, 0)
    assert read(file) == b""


def test_a_skippable_frame_is_skipped_wherever_it_is(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18\x05\x00\x00\x00hello"
    packer = zstandard.ZstdCompressor()
    head = header()
    (tmp_path / "x").write_bytes(skippable + packer.compress(head) + skippable + packer.compress(RECORDS) + skippable)
    assert read(DbnFile(tmp_path / "x")) == RECORDS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file ends within its header: expected 8 bytes, found 0"),
        (b"DBN", "the file ends within its header: expected 8 bytes, found 3"),
        (b"DBZ\x01\x00\x00\x00\x00", "this is no DBN file: expected 'DBN', found b'DBZ'"),
        (b"Z\x13\x01\x00" + bytes(400), "this is no DBN file"),
        (b"DBN\x00" + bytes(100), "unknown DBN version: expected 1 to 3, found 0"),
        (b"DBN\x04" + bytes(100), "unknown DBN version: expected 1 to 3, found 4"),
        (b"DBN\x03\xff\xff\xff\xff" + bytes(100), "the metadata is too long"),
        (b"DBN\x03\x10\x00\x00\x00" + bytes(16), "the metadata is damaged"),
        (b"DBN\x03\x70\x00\x00\x00" + bytes(100), "the file ends within its header: expected 120 bytes, found 108"),
        (b"\x28\xb5\x2f\xfd", "a zstd frame is cut off"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "a zstd frame is damaged"),
    ],
)
def test_what_is_no_dbn_file_says_so_with_file_and_byte(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "odd.dbn").write_bytes(data)
    with pytest.raises(SourceError, match=rf"odd.dbn, (before )?byte \d+: {said}"):
        DbnFile(tmp_path / "odd.dbn")


def test_a_file_that_goes_away_says_so(tmp_path: Path) -> None:
    file = DbnFile(Path(write(tmp_path / "x", header())))
    (tmp_path / "x").unlink()
    with pytest.raises(SourceError, match="x: the file cannot be read: found No such file"):
        file.open()


@pytest.mark.parametrize("frames", [1, 3])
def test_a_cut_zstd_file_gives_what_it_can_then_says_at_which_byte_it_ends(tmp_path: Path, frames: int) -> None:
    path = Path(write(tmp_path / "x.dbn.zst", header() + RECORDS, frames))
    file, whole = DbnFile(path), path.read_bytes()
    ends = 0
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        out = bytearray()
        space = memoryview(bytearray(100))
        error = None
        try:
            file.open()
            while n := file.readinto(space):
                out += space[:n]
            ends += 1
        except SourceError as e:
            error = e
        assert error is None or cut < 4 or error.where == f"{path}, byte {cut}" or "header" in error.what
        assert RECORDS.startswith(bytes(out))
    assert ends == (frames > 1) * (frames - 1)  # only between two frames does it look as if it were whole
    file.close()


@pytest.mark.parametrize("damage", [b"garbage behind the end", b"\x28\xb5\x2f\xfd\xff\xff"])
def test_damage_is_told_after_all_that_came_before_it(tmp_path: Path, damage: bytes) -> None:
    path = Path(write(tmp_path / "x.dbn.zst", header() + RECORDS, 1))
    path.write_bytes(path.read_bytes() + damage)
    file = DbnFile(path)
    file.open()
    space = memoryview(bytearray(1 << 20))
    assert file.readinto(space) == len(RECORDS)
    with pytest.raises(SourceError, match=r"a zstd frame is (damaged|cut off)"):
        file.readinto(space)
    file.close()


@given(st.binary(max_size=300), st.integers(0, 10**6), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_end_in_records_or_a_source_error(tmp_path: Path, junk: bytes, at: int, packed: bool) -> None:
    path = Path(write(tmp_path / "x.dbn", header({"ESU4": (118, 0, 2)}) + RECORDS, int(packed)))
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + len(junk)] = junk
    path.write_bytes(data)
    with contextlib.suppress(SourceError):
        read(DbnFile(path))
