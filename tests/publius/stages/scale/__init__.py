"""Tests of shards, overlapping stages and workers."""
