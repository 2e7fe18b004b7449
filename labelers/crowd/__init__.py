"""Votes of several annotators and labelers: reliability, inter-annotator agreement, aggregation."""
