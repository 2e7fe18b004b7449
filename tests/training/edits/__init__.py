"""Tests of training/edits."""
