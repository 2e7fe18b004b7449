"""Evaluation of reward models: accuracy, calibration, slices, the length probe and the report."""
