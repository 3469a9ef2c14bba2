from typing import Any, NamedTuple

import numpy as np
import zmq
from numpy.typing import NDArray
from typing_extensions import Buffer

from feed.log.reader import LogReader
from feed.log.writer import LogWriter

class Heard(NamedTuple):
    ticks: int
    counted: int
    first_ns: int
    last_ns: int
    checksum: int

def die_with_parent(signal: int) -> None: ...
def checksum(first: int, ticks: int) -> int: ...
def send_flat_out(
    writer: LogWriter, template: Buffer, topics: NDArray[np.uint32], first: int, ticks: int, batch: int
) -> int: ...
def send_paced(
    writer: LogWriter, template: Buffer, topics: NDArray[np.uint32], ticks: int, start_ns: int, gap_ns: float
) -> int: ...
def read_log(
    reader: LogReader,
    wanted: Buffer,
    ticks: int,
    warm: int,
    spin: bool,
    quiet_ns: int,
    late: Buffer,
    stamps: Buffer,
) -> Heard: ...
def read_zmq(
    socket: zmq.Socket[Any],
    ticks: int,
    warm: int,
    spin: bool,
    quiet_ns: int,
    late: Buffer,
    stamps: Buffer,
) -> Heard: ...
