"""Compliance with principles that have no machine check: rated by a judge, corrected by labels of people."""
