"""What training changed, measured on held-out prompts with intervals, and the report that says so."""
