"""Ratings of the user: pairs from talks, runs and the queue of `select`, judged on the page."""
