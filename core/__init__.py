"""Records, errors, storage, digests and progress: the foundation of every other package."""
