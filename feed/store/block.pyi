def crc32c(data: bytes | memoryview, *, table: bool = False) -> int:
    """CRC-32C of the data; with `table` as a processor without the instruction computes it."""
