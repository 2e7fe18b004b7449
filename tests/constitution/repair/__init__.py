"""Tests of constitution/repair."""
