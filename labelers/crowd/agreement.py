"""How far annotators agree beyond chance, with intervals over comparisons.

With n_iv the annotators who chose v (`a`, `b`, `tie` or `both_bad`) on comparison i, n_i = sum_v n_iv >= 2
and N = sum_i n_i:

    observed   mean over i of  P_i = sum_v n_iv (n_iv - 1) / (n_i (n_i - 1))
    Fleiss     kappa = (mean P_i - sum_v p_v^2) / (1 - sum_v p_v^2),   p_v = sum_i n_iv / N     (Fleiss 1971)
    alpha      1 - (N - 1) (N - sum_v o_vv) / (N^2 - sum_v n_v^2),   o_vv = sum_i n_iv (n_iv - 1) / (n_i - 1)
               (Krippendorff 2011, nominal; whoever did not judge a comparison is missing there)
    Cohen      kappa = (p_o - p_e) / (1 - p_e) for two annotators, where both judged             (Cohen 1960)

Fleiss' kappa is written for any number of annotators on each comparison; with the same number everywhere it
is the original. Choices have no order here: a tie against `a` is as much a disagreement as `b` against `a`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.statistics.bootstrap import Floats, Interval, pattern_interval
from labelers.crowd.votes import CHOICES, Choice, Vote, by_comparison

PairTable = Counter[tuple[Choice, Choice]]
"""How often two annotators chose what, the first one's choice first."""
_SEED = 0
"""Of the bootstrap over comparisons."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far all annotators agree on the comparisons that two or more of them judged."""

    comparisons: int
    annotators: int
    observed: Interval
    """Mean share of pairs of annotators who chose the same, over the comparisons."""
    fleiss: Interval | None
    """None where chance alone would agree always: all chose the same throughout."""
    alpha: Interval | None


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two annotators agree on the comparisons that both judged."""

    first: str
    second: str
    comparisons: int
    observed: float
    cohen: Interval | None
    """None where it is not defined: both chose one and the same throughout."""


def annotator_agreement(votes: Iterable[Vote]) -> Agreement | None:
    """Return the agreement of all annotators; None if no comparison was judged by two.

    Args:
        votes: at most one of each annotator on each comparison.
    """
    shared = [found for found in by_comparison(votes).values() if len(found) > 1]
    if not shared:
        return None
    patterns = Counter(_pattern(found) for found in shared)
    table = np.array(sorted(patterns), dtype=np.float64)
    counts = [patterns[pattern] for pattern in sorted(patterns)]
    observed, fleiss, alpha = (
        pattern_interval(statistic, counts, _SEED)
        for statistic in (
            lambda drawn: observed_agreement(table, drawn),
            lambda drawn: fleiss_kappa(table, drawn),
            lambda drawn: krippendorff_alpha(table, drawn),
        )
    )
    assert observed is not None
    annotators = {vote.annotator for found in shared for vote in found}
    return Agreement(len(shared), len(annotators), observed, fleiss, alpha)


def pair_agreements(votes: Iterable[Vote]) -> list[PairAgreement]:
    """Return the agreement of every two annotators who judged a comparison both, in order of name."""
    return [_pair(first, second, table) for (first, second), table in pair_tables(votes).items()]


def pair_tables(votes: Iterable[Vote]) -> dict[tuple[str, str], PairTable]:
    """Return, for every two annotators in order of name, how often they chose what where both judged."""
    tables: dict[tuple[str, str], PairTable] = {}
    for found in by_comparison(votes).values():
        ordered = sorted(found, key=lambda vote: vote.annotator)
        for one, two in combinations(ordered, 2):
            tables.setdefault((one.annotator, two.annotator), Counter())[one.choice, two.choice] += 1
    return {pair: tables[pair] for pair in sorted(tables)}


def observed_in(table: PairTable) -> float:
    """Return the share of comparisons on which two annotators chose the same."""
    return sum(count for (one, two), count in table.items() if one == two) / table.total()


def kappa_in(table: PairTable) -> float | None:
    """Return Cohen's kappa of two annotators without its interval; None where it is not defined."""
    cells = sorted(table)
    kappa = float(cohen_kappa(cells, np.array([[table[cell] for cell in cells]], dtype=np.float64))[0])
    return kappa if np.isfinite(kappa) else None


def observed_agreement(table: Floats, drawn: Floats) -> Floats:
    """Return the mean share of agreeing pairs of annotators in each sample.

    Args:
        table: annotators for each choice in each pattern, [patterns, choices]; two at least in a row.
        drawn: occurrences of each pattern in each sample, [R, patterns].
    """
    total = table.sum(axis=1)
    agreeing = (table * (table - 1)).sum(axis=1) / (total * (total - 1))
    return np.asarray(drawn @ agreeing / drawn.sum(axis=1))


def fleiss_kappa(table: Floats, drawn: Floats) -> Floats:
    """Return Fleiss' kappa of each sample, nan where it is not defined."""
    # The arguments are those of `observed_agreement`.
    chosen = drawn @ table
    shares = chosen / chosen.sum(axis=1, keepdims=True)
    return _beyond_chance(observed_agreement(table, drawn), (shares**2).sum(axis=1))


def krippendorff_alpha(table: Floats, drawn: Floats) -> Floats:
    """Return Krippendorff's nominal alpha of each sample, nan where it is not defined."""
    total = table.sum(axis=1)
    agreeing = (table * (table - 1)).sum(axis=1) / (total - 1)
    chosen = drawn @ table
    cast = chosen.sum(axis=1)
    by_chance = cast**2 - (chosen**2).sum(axis=1)
    return np.asarray(1 - (cast - 1) * _ratio(cast - drawn @ agreeing, by_chance))


def cohen_kappa(cells: Sequence[tuple[Choice, Choice]], drawn: Floats) -> Floats:
    """Return Cohen's kappa of each sample, nan where it is not defined.

    Args:
        cells: pairs of choices.
        drawn: how often each of them occurs in each sample, [R, cells].
    """
    first = np.array([[one == choice for choice in CHOICES] for one, _ in cells], dtype=np.float64)
    second = np.array([[two == choice for choice in CHOICES] for _, two in cells], dtype=np.float64)
    total = drawn.sum(axis=1)
    observed = drawn @ (first * second).sum(axis=1) / total
    by_chance = ((drawn @ first) * (drawn @ second)).sum(axis=1) / total**2
    return _beyond_chance(observed, by_chance)


def _pattern(votes: Sequence[Vote]) -> tuple[int, ...]:
    counts = Counter(vote.choice for vote in votes)
    return tuple(counts[choice] for choice in CHOICES)


def _pair(first: str, second: str, table: PairTable) -> PairAgreement:
    cells = sorted(table)
    counts = [table[cell] for cell in cells]
    cohen = pattern_interval(lambda drawn: cohen_kappa(cells, drawn), counts, _SEED)
    return PairAgreement(first, second, table.total(), observed_in(table), cohen)


def _beyond_chance(observed: Floats, by_chance: Floats) -> Floats:
    return _ratio(observed - by_chance, 1 - by_chance)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 1e-12)
