"""Formats of published data sets of human labels."""
