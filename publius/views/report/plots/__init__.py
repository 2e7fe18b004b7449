"""Plots of a report, drawn by matplotlib as SVG whose colours follow the page's theme."""
