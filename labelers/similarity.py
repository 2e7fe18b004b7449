"""How alike two answers are, word by word."""

from __future__ import annotations

from difflib import SequenceMatcher


def are_near_duplicates(first: str, second: str, threshold: float) -> bool:
    """Return whether two texts share at least `threshold` of their words, in order.

    The share is 2 M / N, with M words in matching runs and N words in both texts together. The two cheap
    upper bounds are tried first, so that most pairs never pay for the exact figure.
    """
    matcher = SequenceMatcher(None, first.split(), second.split(), autojunk=False)
    return (
        matcher.real_quick_ratio() >= threshold
        and matcher.quick_ratio() >= threshold
        and matcher.ratio() >= threshold
    )
