"""Splits of data sets: which are read as which splits of a run."""
