"""Parts of a run: shards with folders of their own, files that grow while they are read, trained models."""
