"""Comparisons and judgments in the forms of labeling tools, which `labelers/formats` reads back."""
