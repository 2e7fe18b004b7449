"""Splits of data sets: which are read as which splits of a run; files and partitions of a folder."""
