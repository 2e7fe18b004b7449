"""Statistics shared by several packages: confidence intervals for means and shares, distance from a tie."""
