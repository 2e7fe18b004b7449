"""Tools for writing a constitution: check, test, try, diff, import, export, and prompt synthesis."""
