"""Labelers that judge comparisons, and the aggregation of their judgments into preferences."""
