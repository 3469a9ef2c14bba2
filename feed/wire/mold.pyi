from collections.abc import Sequence
from typing import NamedTuple

from typing_extensions import Buffer

HEADER_BYTES: int
COUNT_MAX: int
REQUEST_MAX: int

class Packet(NamedTuple):
    session: bytes
    sequence: int
    blocks: tuple[bytes, ...]
    end: bool
    rest: bytes

class Request(NamedTuple):
    session: bytes
    sequence: int
    count: int  # type: ignore[assignment]

def decode(data: Buffer) -> Packet: ...
def encode(session: bytes, sequence: int, blocks: Sequence[bytes]) -> bytes: ...
def heartbeat(session: bytes, sequence: int, rest: bytes = b"") -> bytes: ...
def end_of_session(session: bytes, sequence: int) -> bytes: ...
def decode_request(data: Buffer) -> Request: ...
def request(session: bytes, sequence: int, count: int) -> bytes: ...
