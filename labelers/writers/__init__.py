"""Export comparisons and judgments in the formats of labeling tools; `labelers/formats` reads them back."""
