"""Hacking and drift: phrases that spread, length, diversity, best-of-n, a proxy reward against gold."""
