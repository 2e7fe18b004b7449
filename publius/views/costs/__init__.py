"""Output about the cost of runs: estimates, previews and the request cache."""
