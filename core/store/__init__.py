"""Record files on disk: append-only lines, their index and lock, atomic writes, the request cache."""
