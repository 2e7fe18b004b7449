"""Records, errors, storage, digests and progress: the ground that every room stands on."""
