"""Statistics of judges against gold labels: corrected rates, calibration, abstention."""
