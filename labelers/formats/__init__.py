"""Readers for formats of human labels, one module per format; `source.py` defines the protocol."""
