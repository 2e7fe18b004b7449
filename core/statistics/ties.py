"""Distance of a preference probability from a tie."""

from __future__ import annotations

_DIGITS = 12


def distance_from_tie(p: float) -> float:
    """Return |p - 1/2|, rounded to 12 decimals so that thresholds in decimals compare as written.

    In floats 0.6 - 0.5 is 0.0999...98 and therefore below 0.1, but 3 of 5 votes are 0.1 from a tie.
    """
    return round(abs(p - 0.5), _DIGITS)
