"""`publius steer`: from a constitution to a trained adapter and its report, in the time allowed."""
