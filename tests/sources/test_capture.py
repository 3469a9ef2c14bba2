"""feed.sources.capture: what was kept comes back as it was, whatever happened to the file; what was not is counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.config import PushConfig
from feed.errors import HostError, SourceError
from feed.sources.capture import MAGIC, Capture, CaptureFile, Entry, capture_of

if TYPE_CHECKING:
    from feed.metrics.counters import Counters

SETTINGS = {"kind": "push", "tcp": "tcp://127.0.0.1:1"}

messages = st.lists(
    st.tuples(st.text(max_size=8), st.binary(max_size=200), st.integers(0, 2**64 - 1)), min_size=1, max_size=40
)


def read(path: Path) -> tuple[list[Entry], CaptureFile, SourceError | None]:
    """What a file gives, and why it ended early."""
    file, got = CaptureFile(path), []
    try:
        for entry in file:
            got.append(entry)  # noqa: PERF402 - what came before the error counts
    except SourceError as error:
        return got, file, error
    finally:
        file.close()
    return got, file, None


def lost(counters: Counters) -> int:
    return sum(row.value for row in counters.rows() if row.name == "tickcast_capture_lost_total")


@given(kept=messages)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_message_comes_back_in_order(
    tmp_path: Path, counters: Counters, kept: list[tuple[str, bytes, int]]
) -> None:
    capture = Capture(tmp_path, "mine", SETTINGS, counters)
    for channel, payload, at in kept:
        capture.keep(channel, payload, at)
    capture.close()
    got, file, error = read(capture.path)
    assert (got, error) == ([Entry(channel, at, payload) for channel, payload, at in kept], None)
    assert file.about["source"] == "mine"
    assert file.about["settings"] == SETTINGS
    assert (file.lost, file.read_bytes) == (0, file.file_bytes)


def test_each_start_has_a_file_of_its_own(tmp_path: Path, counters: Counters) -> None:
    folder = tmp_path / "made" / "here"
    for _ in range(3):
        Capture(folder, "mine", SETTINGS, counters).close()
    assert len(list(folder.glob("mine-*.capture.zst"))) == 3


def test_a_table_says_whether_anything_is_kept(tmp_path: Path, counters: Counters) -> None:
    assert capture_of("mine", PushConfig(), counters) is None
    capture = capture_of("mine", PushConfig(capture=str(tmp_path), window="1MiB"), counters)
    assert capture is not None
    capture.close()
    assert read(capture.path)[1].about["settings"]["window"] == "1MiB"


def test_what_finds_no_room_is_counted_and_the_file_says_so(tmp_path: Path, counters: Counters) -> None:
    capture = Capture(tmp_path, "mine", SETTINGS, counters, pending_bytes=1000)
    while not capture.lost:
        capture.keep("a", bytes(400), 1)
    before = capture.lost
    while capture.lost == before and capture._waiting:  # until the other thread has written what waits
        pass
    capture.keep("a", b"last", 2)
    capture.close()
    got, file, _ = read(capture.path)
    assert got[-1] == Entry("a", 2, b"last")
    assert file.lost == capture.lost == lost(counters)


def test_a_disk_that_fails_costs_messages_and_nothing_else(tmp_path: Path, counters: Counters) -> None:
    capture = Capture(tmp_path, "mine", SETTINGS, counters)
    with Path("/dev/full").open("wb", buffering=0) as full:
        os.dup2(full.fileno(), capture._file.fileno())  # under the other thread's hands, as a disk fills
    for i in range(10):
        capture.keep("a", b"x" * 100, i)
    capture.close()
    assert capture.lost == lost(counters) == 10


def test_a_folder_that_cannot_be_is_said_at_the_start(tmp_path: Path, counters: Counters) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"source\.mine\.capture"):
        Capture(tmp_path / "file", "mine", SETTINGS, counters)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_a_file_that_breaks_off_or_is_damaged_all_before_it_is_played(
    tmp_path: Path, counters: Counters, data: st.DataObject
) -> None:
    kept = [Entry("a", i, bytes([i]) * (i % 50)) for i in range(200)]
    capture = Capture(tmp_path, "mine", SETTINGS, counters)
    for entry in kept:
        capture.keep(*entry[::2], entry.received_ns)
    capture.close()
    whole = capture.path.read_bytes()
    at = int(data.draw(st.floats(0.0, 0.999)) * len(whole))
    cut = data.draw(st.booleans())
    capture.path.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    try:
        got, _, error = read(capture.path)
    except SourceError as early:
        got, error = [], early
    if cut:
        assert got == kept[: len(got)]
        assert error is not None
        assert str(capture.path) in str(error)


def test_something_else_is_no_capture(tmp_path: Path) -> None:
    other = tmp_path / "other"
    for content in (b"", b"DBN\x03", b"\x28\xb5\x2f\xfd", MAGIC):
        other.write_bytes(content)
        with pytest.raises(SourceError, match="capture"):
            CaptureFile(other)
