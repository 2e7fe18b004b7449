"""Audits of labelers: gold comparisons, baselines, accuracy, bias, calibration, injections."""
