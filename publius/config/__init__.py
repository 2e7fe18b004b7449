"""The run file: its sections, overrides and short forms."""
