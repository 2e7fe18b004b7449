"""Statistics that several rooms need: intervals for means and shares."""
