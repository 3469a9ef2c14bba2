from pathlib import Path
from typing import Final

SEEKABLE_MAGIC: Final[int]
SKIPPABLE_MAGIC: Final[int]

class Content:
    """The bytes of a segment.

    :raises FileNotFoundError: it was removed, or compressed and removed.
    :raises StoreError: it cannot be opened.
    """

    path: Path
    compressed: bool
    def __init__(self, path: Path) -> None: ...
    @property
    def starts(self) -> list[int]:
        """Where in the content the zstd frames begin."""
    def close(self) -> None: ...
