class SparseIndex:
    epoch: int
    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int
    end: int
    def note(self, block: bytes) -> None:
        """Add the block that lies at `end`."""
    def to_block(self) -> bytes:
        """The index block that seals a segment, for offset `end`."""
