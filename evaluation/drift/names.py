"""Names of the measures of drift."""

from __future__ import annotations

BOILERPLATE = "boilerplate"
"""Share of the prompts whose answer has a phrase that spread in the answers to other prompts."""
DISTINCT = "distinct_2"
"""Share of different word pairs among all word pairs."""
LENGTH_RATIO = "length.ratio"
"""Mean number of words over that of base."""
