"""Tests of the run file."""
