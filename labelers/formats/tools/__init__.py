"""Formats of labeling tools: Argilla, Label Studio and Inverse Constitutional AI."""
