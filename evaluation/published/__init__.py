"""Published evaluations, on the user's copy of their data."""
