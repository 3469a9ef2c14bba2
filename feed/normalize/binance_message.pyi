# Only other compiled modules call it.
