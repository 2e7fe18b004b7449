"""Importers for constitutions in other formats. `registry` detects the format of a file."""
