"""The last `definition` record of every symbol of a running feed, read from control's file `state` (layout.h) without
its help."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np

from feed.log.topics import TopicTable
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["last_definitions"]

_MAGIC = 0x3145544154534354
_HEADER = np.dtype([("magic", "<u8"), ("max_topics", "<u4"), ("topics", "<u4"), ("epoch", "<u8")])
_HEADER_BYTES = 4096
_TOPIC = np.dtype(
    [
        *(("topic_seq", "<u8"), ("seq", "<u8"), ("slots", "<u4"), ("current", "<u4")),
        *(("slot_bytes", "<u2"), ("schema", "<u2"), ("retired", "<u4")),
    ]
)
"""struct tc_state_topic"""

_SECOND = 2
_FRAME_HEADER = 40
_DEFINITION = BY_WORD["definition"]
_TRIES = 3
"""How often a record is read that changes while it is read."""


def last_definitions(directory: Path) -> dict[str, bytes]:
    """Symbol to record, of the feed whose log is in `directory`; without a control there are none.

    :raises LogMissing: there is no log.
    """
    table = TopicTable(directory)
    try:
        with (directory / "state").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as state:
            header = np.frombuffer(state, _HEADER, 1)[0]
            if int(header["magic"]) != _MAGIC or int(header["epoch"]) != table.epoch:
                return {}
            count = int(header["topics"])
            del header
            topics = np.frombuffer(state[_HEADER_BYTES : _HEADER_BYTES + count * _TOPIC.itemsize], _TOPIC)
            found = {}
            for i in np.flatnonzero((topics["schema"] == _DEFINITION.id) & (topics["current"] != 0)).tolist():
                record = _record(state, i)
                if record is not None:
                    (topic,) = table.names(i, i + 1)
                    found[topic.partition(".")[2]] = record
            return found
    except (FileNotFoundError, ValueError):  # control is only being started
        return {}


def _record(state: mmap.mmap, topic_id: int) -> bytes | None:
    """The record that counts; None: it has changed under every look, or there is none."""
    at = _HEADER_BYTES + topic_id * _TOPIC.itemsize
    for _ in range(_TRIES):
        before = bytes(state[at : at + _TOPIC.itemsize])
        topic = np.frombuffer(before, _TOPIC)[0]
        begin = 8 * int(topic["slots"]) + (int(topic["slot_bytes"]) if int(topic["current"]) == _SECOND else 0)
        record = bytes(state[begin + _FRAME_HEADER : begin + _FRAME_HEADER + _DEFINITION.record_bytes])
        if int(topic["slots"]) == 0 or len(record) < _DEFINITION.record_bytes:
            return None
        if bytes(state[at : at + _TOPIC.itemsize]) == before:
            return record
    return None
