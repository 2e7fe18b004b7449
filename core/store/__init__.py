"""Record files on disk: append-only lines, their index and lock, whole-file writes, the request cache."""
