"""Refusals: full, partial or none, by question and answer; over-refusal and under-refusal."""
