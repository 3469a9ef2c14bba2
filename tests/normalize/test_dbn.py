"""DBN in, version 3 out: beside databento-dbn, which decodes and upgrades the same bytes independently."""

from __future__ import annotations

import io
import random
import struct
import subprocess
from pathlib import Path

import databento_dbn
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from feed.normalize.dbn import (
    IMPOSSIBLE,
    MAPPING,
    PARTIAL,
    RECORD,
    UNKNOWN,
    UNSUPPORTED,
    WRONG_LENGTH,
    DbnFound,
    DbnStream,
)
from feed.wire.records import BY_ID, SCHEMAS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OLD_BYTES = {(1, 19): 360, (2, 19): 400, (1, 24): 64, (2, 24): 64}


def walk(data: bytes, version: int = 3, *, ts_out: bool = False, piece: int = 1 << 30) -> list[DbnFound]:
    """All that is found, the last one PARTIAL or IMPOSSIBLE; fed in pieces."""
    stream = DbnStream(0, version, ts_out)
    out = []
    at = 0
    while True:
        found = stream.next()
        if found.kind == PARTIAL and at < len(data):
            space = stream.space()
            n = min(len(space), len(data) - at, piece)
            space[:n] = data[at : at + n]
            stream.filled(n)
            at += n
            continue
        out.append(found)
        if found.kind in (PARTIAL, IMPOSSIBLE):
            assert stream.offset + stream.left == at
            return out


def record(rtype: int, nbytes: int, body: bytes = b"") -> bytes:
    return (bytes((nbytes // 4, rtype)) + body).ljust(nbytes, b"\0")[:nbytes]


def samples(data_dir: Path) -> list[Path]:
    """Every whole file (.frag has no metadata)."""
    return sorted(path for path in data_dir.rglob("*.dbn*") if ".frag" not in path.name)


def decompressed(path: Path) -> bytes:
    raw = path.read_bytes()
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()
    return raw


def test_all_samples_of_all_versions_decode_as_the_oracle_says(data_dir: Path) -> None:
    seen = set()
    for path in samples(data_dir):
        raw = decompressed(path)
        decoder = databento_dbn.DBNDecoder()
        decoder.write(raw)
        metadata, *expected = decoder.decode()
        found = walk(raw[8 + int.from_bytes(raw[4:8], "little") :], raw[3], ts_out=metadata.ts_out)
        ours = [one.record for one in found if one.kind == RECORD]
        skipped = [one for one in found if one.kind in (UNSUPPORTED, MAPPING)]
        assert len(ours) + len(skipped) == len(expected) == len(found) - 1, path
        assert ours == [bytes(one) for one in expected if one.rtype not in {one.rtype for one in skipped}], path
        seen |= {(raw[3], BY_ID[one.schema_id].word) for one in found if one.kind == RECORD}
    everything = {schema.word for schema in SCHEMAS}
    assert {word for _, word in seen} == everything
    assert {version for version, _ in seen} == {1, 2, 3}


@given(st.sampled_from(sorted(OLD_BYTES)), st.randoms(use_true_random=False))
def test_old_layouts_are_upgraded_as_the_oracle_does(layout: tuple[int, int], rng: random.Random) -> None:
    version, rtype = layout
    old = bytearray(record(rtype, OLD_BYTES[layout], rng.randbytes(OLD_BYTES[layout])))
    if rtype == 19:
        # two fields of version 1 are enums in the oracle, which may not be anything else
        update_action, user_defined = (349, 353) if version == 1 else (382, 386)
        old[update_action] = ord(rng.choice("AMD"))
        old[user_defined] = ord(rng.choice("YN"))
    elif rng.random() < 0.3:
        old[40:44] = struct.pack("<i", 2**31 - 1)
    decoder = databento_dbn.DBNDecoder(has_metadata=False, input_version=version)
    decoder.write(bytes(old))
    found = walk(bytes(old), version)
    assert [one.kind for one in found] == [RECORD, PARTIAL]
    assert found[0].record == bytes(decoder.decode()[0])


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_sending_time_is_left_away(version: int) -> None:
    rng = random.Random(version)
    for schema in SCHEMAS:
        rtype = schema.rtypes[0]
        nbytes = OLD_BYTES.get((version, rtype), schema.record_bytes)
        plain = record(rtype, nbytes, rng.randbytes(nbytes))
        sent = bytes((plain[0] + 2,)) + plain[1:] + b"\xee" * 8
        assert walk(sent, version, ts_out=True)[0] == walk(plain, version)[0]
        assert walk(sent, version)[0].kind == WRONG_LENGTH
        assert walk(plain, version, ts_out=True)[0].kind == WRONG_LENGTH


def test_the_time_of_a_record_is_ts_recv_and_else_ts_event() -> None:
    for schema in SCHEMAS:
        names = schema.dtype.names or ()
        at = schema.dtype.fields["ts_recv"][1] if "ts_recv" in names else 8  # type: ignore[index]
        data = bytearray(record(schema.rtypes[0], schema.record_bytes))
        struct.pack_into("<Q", data, 8, 5)
        struct.pack_into("<Q", data, at, 77)
        assert walk(bytes(data))[0].ts == 77, schema.word
        struct.pack_into("<Q", data, at, 2**64 - 1)
        assert walk(bytes(data))[0].ts == (5 if "ts_recv" in names else 2**64 - 1), schema.word


def test_what_has_no_schema_is_told_from_what_is_no_dbn() -> None:
    for rtype in range(256):
        kind = walk(record(rtype, 16))[0].kind
        if any(rtype in schema.rtypes for schema in SCHEMAS) or rtype == 22:
            assert kind == WRONG_LENGTH
        else:
            assert kind == (UNSUPPORTED if rtype in {17, 21, 23, 36, 177, 192, 193, 194} else UNKNOWN)


@pytest.mark.parametrize("words", [0, 1, 2, 3])
def test_a_length_below_a_header_ends_the_stream(words: int) -> None:
    found = walk(record(0, 48) + bytes((words,)) + bytes(100))
    assert [one.kind for one in found] == [RECORD, IMPOSSIBLE]


@pytest.mark.parametrize(
    ("version", "nbytes", "at"), [(1, 80, (16, 38, 22)), (2, 176, (17, 89, 71)), (3, 176, (17, 89, 71))]
)
def test_symbol_mappings_are_read(version: int, nbytes: int, at: tuple[int, int, int]) -> None:
    data = bytearray(record(22, nbytes))
    struct.pack_into("<I", data, 4, 118)
    data[at[0] : at[0] + 8] = b"ES.FUT\0\0"
    data[at[1] : at[1] + at[2]] = b"X" * at[2]  # no NUL at its end: still no byte of the next field
    stream = DbnStream(0, version)
    stream.space()[:nbytes] = data
    stream.filled(nbytes)
    assert stream.next().kind == MAPPING
    assert stream.mapping() == (118, "ES.FUT", "X" * at[2])
    decoder = databento_dbn.DBNDecoder(has_metadata=False, input_version=version)
    data[at[1] + at[2] - 1] = 0
    decoder.write(bytes(data))
    assert decoder.decode()[0].stype_out_symbol == "X" * (at[2] - 1)


@given(st.randoms(use_true_random=False), st.integers(1, 3), st.booleans(), st.integers(1, 300))
def test_pieces_of_any_size_give_the_same(rng: random.Random, version: int, ts_out: bool, piece: int) -> None:
    data = b"".join(
        record(rtype, OLD_BYTES.get((version, rtype), schema.record_bytes) + 8 * ts_out, rng.randbytes(600))
        for schema in rng.choices(SCHEMAS, k=rng.randrange(1, 12))
        for rtype in schema.rtypes[:1]
    )
    data = data[: rng.randrange(len(data) + 1)]
    assert walk(data, version, ts_out=ts_out, piece=piece) == walk(data, version, ts_out=ts_out)


@given(st.binary(max_size=3000), st.integers(1, 3), st.booleans())
def test_any_bytes_are_walked_to_an_end(data: bytes, version: int, ts_out: bool) -> None:
    found = walk(data, version, ts_out=ts_out)
    assert found[-1].kind in (PARTIAL, IMPOSSIBLE)
    assert all(len(one.record) == BY_ID[one.schema_id].record_bytes for one in found if one.kind == RECORD)


def fuzz(build: Path, root: Path, cases: int) -> subprocess.CompletedProcess[str]:
    make = ["make", "-C", str(HERE / "fuzz"), f"ROOT={root}", f"BUILD={build}", f"CASES={cases}", "SEED=3"]
    return subprocess.run(make, capture_output=True, text=True, check=False)


def test_mutated_records_under_the_sanitizers(tmp_path: Path) -> None:
    done = fuzz(tmp_path, ROOT, 100_000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100000 cases" in done.stdout


@pytest.mark.parametrize(
    ("guard", "without"),
    [
        ("if (whole > n) return TC_DBN_IS_PARTIAL;", ""),
        ("if (whole < TC_DBN_HEADER) return TC_DBN_IS_IMPOSSIBLE;", "if (!whole) return TC_DBN_IS_IMPOSSIBLE;"),
        ("if (body != tc_dbn_bytes(schema, version)) return TC_DBN_IS_WRONG_LENGTH;", ""),
        ("if (body != (version == 1 ? 80u : 176u)) return TC_DBN_IS_WRONG_LENGTH;", ""),
    ],
)
def test_a_missing_guard_is_noticed(tmp_path: Path, guard: str, without: str) -> None:
    for part in ("normalize/dbn.h", "wire/records.h"):
        source = (ROOT / "feed" / part).read_text()
        if part == "normalize/dbn.h":
            assert source.count(guard) == 1
            source = source.replace(guard, without)
        (tmp_path / "feed" / part).parent.mkdir(parents=True)
        (tmp_path / "feed" / part).write_text(source)
    done = fuzz(tmp_path / "build", tmp_path, 100_000)
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr or "runtime error" in done.stderr or "FAILED" in done.stdout, done.stderr
