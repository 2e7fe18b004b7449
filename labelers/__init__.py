"""Labelers that judge comparisons, and the aggregation of judgments into preferences."""
