"""Golden frames: bytes that must never change while the version is 1.

Each is put together here piece by piece with `struct` and databento-dbn, without the code under test, and lies in
golden/ as NAME.bin with NAME.txt beside it, which says what each byte is. ``python tests/wire/test_golden.py`` writes
new ones, which is right for a new frame and, for one that was released, wrong.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import databento_dbn
import pytest

from feed.wire.frames import LogFrame, decode, decode_firehose, encode, encode_firehose
from feed.wire.records import BY_WORD

GOLDEN = Path(__file__).parent / "golden"
README = Path(__file__).parents[2] / "feed" / "wire" / "README.md"

dbn: Any = databento_dbn  # its stubs give the members of its enums as str and int

Piece = tuple[bytes, str]

EPOCH = 1_700_000_000_000_000_000  # 2023-11-14 22:13:20 UTC
TS_EVENT = EPOCH + 60_000_000_000
TS_IN = TS_EVENT + 40_000
TS_SENT = TS_IN + 9_000
WHO: dict[str, Any] = {"publisher_id": 2, "instrument_id": 38, "ts_event": TS_EVENT}
LAST = {"price": 189_960_000_000, "size": 100, "flags": 128, "sequence": 4711}
TRADED = {**WHO, **LAST, "action": dbn.Action.TRADE, "side": dbn.Side.BID, "ts_recv": TS_IN, "ts_in_delta": 1500}


def _levels(n: int) -> list[Any]:
    cent = 10_000_000
    return [
        dbn.BidAskPair(189_950_000_000 - i * cent, 189_970_000_000 + i * cent, 300 + i, 200 + i, 3, 2) for i in range(n)
    ]


def _bar(rtype: int) -> Any:
    return dbn.OHLCVMsg(
        rtype=rtype,
        open=189_900_000_000,
        high=190_000_000_000,
        low=189_800_000_000,
        close=189_950_000_000,
        volume=98765,
        **WHO,
    )


RECORDS = {
    "trade": dbn.TradeMsg(depth=0, **TRADED),
    "quote": dbn.MBP1Msg(depth=0, levels=_levels(1)[0], **TRADED),
    "bbo": dbn.BBOMsg(rtype=0xC3, side=dbn.Side.ASK, ts_recv=TS_IN, levels=_levels(1)[0], **WHO, **LAST),
    "book": dbn.MBP10Msg(depth=3, levels=_levels(10), **TRADED),
    "order": dbn.MBOMsg(
        order_id=6_413_000_000_123,
        channel_id=7,
        **TRADED | {"action": dbn.Action.ADD},
    ),
    "bar1s": _bar(0x20),
    "bar1m": _bar(0x21),
    "bar1h": _bar(0x22),
    "bar1d": _bar(0x23),
    "status": dbn.StatusMsg(
        ts_recv=TS_IN,
        action=dbn.StatusAction.HALT,
        reason=dbn.StatusReason.LULD_PAUSE,
        is_trading=dbn.TriState.NO,
        is_quoting=dbn.TriState.YES,
        is_short_sell_restricted=dbn.TriState.NOT_AVAILABLE,
        **WHO,
    ),
    "stat": dbn.StatMsg(
        ts_recv=TS_IN,
        ts_ref=TS_EVENT,
        price=189_960_000_000,
        quantity=dbn.UNDEF_STAT_QUANTITY,
        stat_type=dbn.StatType.SETTLEMENT_PRICE,
        sequence=4711,
        ts_in_delta=1500,
        channel_id=7,
        update_action=dbn.StatUpdateAction.NEW,
        **WHO,
    ),
    "imbalance": dbn.ImbalanceMsg(
        ts_recv=TS_IN,
        ref_price=189_960_000_000,
        auction_time=TS_EVENT,
        cont_book_clr_price=189_970_000_000,
        auct_interest_clr_price=189_980_000_000,
        paired_qty=50_000,
        total_imbalance_qty=2_000,
        auction_type="C",
        side=dbn.Side.BID,
        significant_imbalance="L",
        **WHO,
    ),
    "definition": dbn.InstrumentDefMsg(
        ts_recv=TS_IN,
        min_price_increment=10_000_000,
        display_factor=1_000_000_000,
        raw_symbol="AAPL",
        asset="AAPL",
        security_type="CS",
        instrument_class=dbn.InstrumentClass.STOCK,
        security_update_action=dbn.SecurityUpdateAction.ADD,
        currency="USD",
        exchange="XNAS",
        **WHO,
    ),
}


def head(
    topic: bytes,
    *,
    count: int,
    record_bytes: int,
    topic_seq: int,
    flags: int = 0,
    seq: int = 1000,
    ts_in: int = TS_IN,
    ts_sent: int = TS_SENT,
    folded: int = 0,
) -> list[Piece]:
    return [
        (topic, f'topic "{topic.decode()}"'),
        (b"\x54", "magic"),
        (b"\x01", "version 1"),
        (struct.pack("<H", flags), f"flags {flags}"),
        (struct.pack("<H", count), f"count {count}"),
        (struct.pack("<H", record_bytes), f"record_bytes {record_bytes}"),
        (struct.pack("<Q", EPOCH), f"epoch {EPOCH}"),
        (struct.pack("<Q", seq), f"seq {seq}"),
        (struct.pack("<Q", topic_seq), f"topic_seq {topic_seq}"),
        (struct.pack("<Q", ts_in), f"ts_in {ts_in}"),
        (struct.pack("<Q", ts_sent), f"ts_sent {ts_sent}"),
        (struct.pack("<I", folded), f"folded {folded}"),
        (struct.pack("<I", 0), "zero"),
    ]


def record(word: str) -> list[Piece]:
    """A record cut into its fields as databento-dbn names them."""
    made = RECORDS[word]
    data, at, pieces = bytes(made), 0, []
    for name, kind in made._dtypes:
        width = int(kind[1:])
        part = data[at : at + width]
        if kind[0] == "S":
            shown = part.rstrip(b"\0").decode("ascii") or "-"
        else:
            shown = str(int.from_bytes(part, "little", signed=kind[0] == "i"))
        pieces.append((part, f"{name.strip('_')} {shown}"))
        at += width
    assert at == len(data)
    return pieces


def steps(*pairs: tuple[int, int]) -> list[Piece]:
    return [(struct.pack("<II", *pair), f"seq_delta {pair[0]}, ts_in_delta {pair[1]}") for pair in pairs]


def log_head(length: int, *, seq: int, topic_seq: int, kind: int, topic_id: int = 5, ts_in: int = TS_IN) -> list[Piece]:
    return [
        (struct.pack("<I", length), f"log frame: length {length}"),
        (struct.pack("<I", topic_id), f"topic_id {topic_id}"),
        (struct.pack("<Q", seq), f"seq {seq}"),
        (struct.pack("<Q", topic_seq), f"topic_seq {topic_seq}"),
        (struct.pack("<Q", ts_in), f"ts_in {ts_in}"),
        (struct.pack("<I", 800), "committed_delta 800"),
        (struct.pack("<H", kind), f"kind {kind}"),
        (struct.pack("<H", 0), "flags 0"),
    ]


def log_topic(topic_id: int, schema_id: int, symbol: bytes) -> list[Piece]:
    return [
        (struct.pack("<H", schema_id), f"schema id {schema_id}"),
        (struct.pack("<H", len(symbol)), f"symbol length {len(symbol)}"),
        (struct.pack("<I", topic_id), f"topic_id {topic_id}"),
        (symbol.ljust(72, b"\0"), f"symbol {symbol.decode()}"),
    ]


def frames() -> dict[str, list[Piece]]:
    made = {
        word: [
            *head(f"{word}.AAPL|".encode(), count=1, record_bytes=BY_WORD[word].record_bytes, topic_seq=42),
            *record(word),
        ]
        for word in RECORDS
    }
    made["trade_batch"] = [
        *head(b"trade.BRK.B|", count=3, record_bytes=48, topic_seq=42),
        *record("trade") * 3,
        *steps((0, 0), (2, 150), (7, 4_294_967_295)),
    ]
    made["quote_conflated"] = [
        *head(b"quote.AAPL|", count=1, record_bytes=80, topic_seq=42, flags=4, folded=17),
        *record("quote"),
    ]
    made["quote_snapshot"] = [
        *head(b"quote.AAPL|", count=1, record_bytes=80, topic_seq=42, flags=1),
        *record("quote"),
    ]
    made["quote_replayed_after_loss"] = [
        *head(b"quote.AAPL|", count=1, record_bytes=80, topic_seq=42, flags=10),
        *record("quote"),
    ]
    made["quote_empty"] = head(b"quote.AAPL|", count=0, record_bytes=0, topic_seq=43, seq=1001, ts_in=0)
    made["symbol_with_spaces"] = head(
        b"trade.AAPL  240119C00150000|", count=0, record_bytes=0, topic_seq=1, seq=1001, ts_in=0
    )
    made["heartbeat"] = head(b"heartbeat|", count=0, record_bytes=0, topic_seq=0, seq=1001, ts_in=0)
    made["unknown_schema"] = [
        *head(b"depth5.AAPL|", count=2, record_bytes=12, topic_seq=1),
        (bytes(range(12)), "record of a schema that version 1 did not know"),
        (bytes(range(12, 24)), "another"),
        *steps((0, 0), (1, 0)),
    ]
    made["firehose"] = [
        *head(b"*|", count=3, record_bytes=0, topic_seq=0),
        *log_head(120, seq=1000, topic_seq=0, kind=1),
        *log_topic(5, 1, b"AAPL"),
        *log_head(88, seq=1000, topic_seq=1, kind=0),
        *record("trade"),
        *log_head(40, seq=1001, topic_seq=0, kind=2),
    ]
    made["firehose_idle"] = head(b"*|", count=0, record_bytes=0, topic_seq=0, seq=1001, ts_in=0)
    return made


FRAMES = frames()


def joined(name: str) -> bytes:
    return b"".join(data for data, _ in FRAMES[name])


def described(name: str) -> str:
    """Offset, bytes and meaning of each piece; long pieces over several lines."""
    lines, at = [], 0
    for data, meaning in FRAMES[name]:
        for i in range(0, len(data), 16):
            row = f"{at + i:3}  {data[i : i + 16].hex(' '):48} {'' if i else meaning}"
            lines.append(row.rstrip())
        at += len(data)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", FRAMES)
def test_bytes_are_the_golden_ones(name: str) -> None:
    assert joined(name) == (GOLDEN / f"{name}.bin").read_bytes()
    assert described(name) == (GOLDEN / f"{name}.txt").read_text()


def test_nothing_else_lies_among_them() -> None:
    assert {p.name for p in GOLDEN.iterdir()} == {f"{name}.{end}" for name in FRAMES for end in ("bin", "txt")}


@pytest.mark.parametrize("name", [name for name in FRAMES if not name.startswith("firehose")])
def test_golden_frame_decodes_and_encodes_to_itself(name: str) -> None:
    data = joined(name)
    frame = decode(data)
    words = dict(meaning.split(" ", 1) for _, meaning in FRAMES[name][1:12] if " " in meaning)
    for field in ("flags", "count", "record_bytes", "epoch", "seq", "topic_seq", "ts_in", "ts_sent", "folded"):
        assert getattr(frame, field) == int(words[field]), field
    again = encode(
        frame.topic,
        frame.records if frame.known else frame.records.tobytes(),
        epoch=frame.epoch,
        seq=frame.seq,
        topic_seq=frame.topic_seq,
        ts_in=frame.ts_in,
        ts_sent=frame.ts_sent,
        flags=frame.flags,
        folded=frame.folded,
        seqs=frame.seqs,
        ts_ins=frame.ts_ins,
        record_bytes=frame.record_bytes,
    )
    assert again == data


def test_golden_batch_carries_each_records_numbers() -> None:
    frame = decode(joined("trade_batch"))
    assert frame.symbol == "BRK.B"
    assert frame.seqs.tolist() == [1000, 1002, 1007]
    assert frame.ts_ins.tolist() == [TS_IN, TS_IN + 150, TS_IN + 4_294_967_295]
    assert frame.records["price"].tolist() == [189_960_000_000] * 3


def test_golden_firehose_decodes_and_encodes_to_itself() -> None:
    for name in ("firehose", "firehose_idle"):
        run = decode_firehose(joined(name))
        assert encode_firehose(
            run.frames, epoch=run.epoch, seq=run.seq, ts_in=run.ts_in, ts_sent=run.ts_sent
        ) == joined(name)
    topic, tick, gap = decode_firehose(joined("firehose")).frames
    assert (topic.kind, topic.topic_id, topic.record[8:12]) == (1, 5, b"AAPL")
    assert tick == LogFrame(5, 1000, 1, TS_IN, 800, 0, 0, bytes(RECORDS["trade"]))
    assert (gap.kind, gap.record) == (2, b"")


def test_readme_shows_the_golden_quote() -> None:
    block = README.read_text().split("<!-- golden quote -->\n```\n")[1].split("```\n<!-- end -->")[0]
    assert block == (GOLDEN / "quote.txt").read_text()
    assert len(joined("quote")) == 147


if __name__ == "__main__":
    for written in FRAMES:
        (GOLDEN / f"{written}.bin").write_bytes(joined(written))
        (GOLDEN / f"{written}.txt").write_text(described(written))
