"""The transformers engine: loading, batched decoding, packed rows, reward models (imports torch)."""
