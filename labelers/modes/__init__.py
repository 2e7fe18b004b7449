"""Modes of the AI labeler: what a model is asked about two replies, and how its answers become a log-odds."""
