"""Plots and tables of a report as files, for a paper."""
