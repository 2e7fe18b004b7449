"""Runs on many workers: shards and their union, stages that overlap, and workers in other processes."""
