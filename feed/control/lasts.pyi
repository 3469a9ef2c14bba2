from pathlib import Path

from feed.log.reader import LogReader

class Lasts:
    @staticmethod
    def open(path: Path, *, reader: LogReader, now_ns: int) -> Lasts: ...
    def close(self) -> None: ...
    @property
    def unkept(self) -> int: ...
