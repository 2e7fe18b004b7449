"""The quality of a run's labels: calibration, length and position, agreement, and which principle decided."""
