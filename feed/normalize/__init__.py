"""What a venue or a recording says, as normalised records. Pure: bytes, numbers and times come in by argument."""
