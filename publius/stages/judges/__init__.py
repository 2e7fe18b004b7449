"""Judges in a run: their audits, and trained ones."""
