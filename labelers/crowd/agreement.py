"""Inter-annotator agreement beyond chance, with confidence intervals over prompts.

Let n_iv be the number of annotators who chose v (`a`, `b`, `tie` or `both_bad`) on comparison i,
n_i = sum_v n_iv >= 2 and N = sum_i n_i:

    observed   mean over i of  P_i = sum_v n_iv (n_iv - 1) / (n_i (n_i - 1))
    Fleiss     kappa = (mean P_i - sum_v p_v^2) / (1 - sum_v p_v^2),   p_v = sum_i n_iv / N     (Fleiss 1971)
    alpha      1 - (N - 1) (N - sum_v o_vv) / (N^2 - sum_v n_v^2),   o_vv = sum_i n_iv (n_iv - 1) / (n_i - 1)
               (Krippendorff 2011, nominal; an annotator who did not judge a comparison is missing data)
    Cohen      kappa = (p_o - p_e) / (1 - p_e) for two annotators, where both judged             (Cohen 1960)

Fleiss' kappa is generalised to a varying number of annotators per comparison; with a constant number it is
the original. Choices are unordered: a tie against `a` is as much a disagreement as `b` against `a`.

Comparisons of one prompt are alike, so the bootstrap draws prompts, each with all its comparisons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.statistics.bootstrap import Floats, Interval, pattern_interval
from labelers.crowd.votes import CHOICES, Choice, Vote, by_comparison

PairTable = Counter[tuple[Choice, Choice]]
"""Counts of the choices of two annotators, keyed by (first annotator's choice, second annotator's choice)."""
ENOUGH_FOR_KAPPA = 10
"""Comparisons in common from which Cohen's kappa of two annotators is estimated."""
_SEED = 0
"""Seed of the bootstrap over prompts."""
Prompts = Mapping[str, str]
"""The prompt of each comparison, by ids; a comparison that is not in it has a prompt of its own."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of all annotators on the comparisons judged by two or more of them."""

    comparisons: int
    annotators: int
    observed: Interval
    """Share of pairs of annotators who made the same choice, averaged over the comparisons."""
    fleiss: Interval | None
    """Fleiss' kappa; None if undefined: all annotators made one and the same choice throughout."""
    alpha: Interval | None
    """Krippendorff's alpha; None if undefined."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Agreement of two annotators on the comparisons that both judged."""

    first: str
    second: str
    comparisons: int
    observed: float
    cohen: Interval | None
    """Cohen's kappa; None where it cannot be estimated: with fewer than `ENOUGH_FOR_KAPPA` comparisons, or if
    one of the two made the same choice throughout. Chance then agrees as often, whatever the other chose."""


def annotator_agreement(votes: Iterable[Vote], prompts: Prompts | None = None) -> Agreement | None:
    """Return the agreement of all annotators; None if no comparison was judged by two of them.

    Args:
        votes: at most one per annotator and comparison.
        prompts: the prompts of the comparisons; if not given, each comparison has its own.
    """
    shared = [found for found in by_comparison(votes).values() if len(found) > 1]
    if not shared:
        return None
    patterns = sorted({_pattern(found) for found in shared})
    table = np.array(patterns, dtype=np.float64)
    number = {pattern: place for place, pattern in enumerate(patterns)}
    cases = {found[0].comparison_id: number[_pattern(found)] for found in shared}
    counts, contents = _kinds(cases, prompts)
    observed, fleiss, alpha = (
        pattern_interval(statistic, counts, _SEED, contents)
        for statistic in (
            lambda drawn: observed_agreement(table, drawn),
            lambda drawn: fleiss_kappa(table, drawn),
            lambda drawn: krippendorff_alpha(table, drawn),
        )
    )
    assert observed is not None
    annotators = {vote.annotator for found in shared for vote in found}
    return Agreement(len(shared), len(annotators), observed, fleiss, alpha)


def pair_agreements(votes: Iterable[Vote], prompts: Prompts | None = None) -> list[PairAgreement]:
    """Return the agreement of each pair of annotators with a comparison in common, in order of name.

    Arguments are those of `annotator_agreement`.
    """
    return [_pair(first, second, choices, prompts) for (first, second), choices in _common(votes).items()]


def pair_tables(votes: Iterable[Vote]) -> dict[tuple[str, str], PairTable]:
    """Return the choice counts of each pair of annotators on their common comparisons, in order of name."""
    return {pair: Counter(choices.values()) for pair, choices in _common(votes).items()}


def _common(votes: Iterable[Vote]) -> dict[tuple[str, str], dict[str, tuple[Choice, Choice]]]:
    """Return the choices of each pair of annotators by comparison, in order of name."""
    found: dict[tuple[str, str], dict[str, tuple[Choice, Choice]]] = {}
    for comparison_id, given in by_comparison(votes).items():
        ordered = sorted(given, key=lambda vote: vote.annotator)
        for one, two in combinations(ordered, 2):
            choices = found.setdefault((one.annotator, two.annotator), {})
            choices[comparison_id] = (one.choice, two.choice)
    return {pair: found[pair] for pair in sorted(found)}


def _kinds(cases: Mapping[str, int], prompts: Prompts | None) -> tuple[list[int], Floats]:
    """Return how often each kind of prompt occurs, and its comparisons of each pattern, [kinds, patterns].

    Args:
        cases: the number of each comparison's pattern.
        prompts: the prompts of the comparisons.
    """
    known, groups = prompts or {}, dict[tuple[bool, str], list[int]]()
    for comparison_id, pattern in cases.items():
        key = (comparison_id in known, known.get(comparison_id, comparison_id))
        groups.setdefault(key, []).append(pattern)
    kinds = Counter(tuple(sorted(group)) for group in groups.values())
    ordered, patterns = sorted(kinds), 1 + max(cases.values())
    contents = np.asarray([np.bincount(kind, minlength=patterns) for kind in ordered], dtype=np.float64)
    return [kinds[kind] for kind in ordered], contents


def observed_in(table: PairTable) -> float:
    """Return the share of comparisons on which two annotators made the same choice."""
    return sum(count for (one, two), count in table.items() if one == two) / table.total()


def kappa_in(table: PairTable) -> float | None:
    """Return Cohen's kappa of two annotators without its interval; None where it cannot be estimated."""
    if not _tells_kappa(table):
        return None
    cells = sorted(table)
    kappa = float(cohen_kappa(cells, np.array([[table[cell] for cell in cells]], dtype=np.float64))[0])
    return kappa if np.isfinite(kappa) else None


def observed_agreement(table: Floats, drawn: Floats) -> Floats:
    """Return the mean share of agreeing pairs of annotators in each sample.

    Args:
        table: number of annotators for each choice in each pattern, [patterns, choices]; each row sums to at
            least two.
        drawn: occurrences of each pattern in each sample, [R, patterns].
    """
    total = table.sum(axis=1)
    agreeing = (table * (table - 1)).sum(axis=1) / (total * (total - 1))
    return np.asarray(drawn @ agreeing / drawn.sum(axis=1))


def fleiss_kappa(table: Floats, drawn: Floats) -> Floats:
    """Return Fleiss' kappa of each sample, nan where undefined; arguments as in `observed_agreement`."""
    chosen = drawn @ table
    shares = chosen / chosen.sum(axis=1, keepdims=True)
    return _beyond_chance(observed_agreement(table, drawn), (shares**2).sum(axis=1))


def krippendorff_alpha(table: Floats, drawn: Floats) -> Floats:
    """Return Krippendorff's nominal alpha of each sample, nan where undefined."""
    total = table.sum(axis=1)
    agreeing = (table * (table - 1)).sum(axis=1) / (total - 1)
    chosen = drawn @ table
    cast = chosen.sum(axis=1)
    by_chance = cast**2 - (chosen**2).sum(axis=1)
    return np.asarray(1 - (cast - 1) * _ratio(cast - drawn @ agreeing, by_chance))


def cohen_kappa(cells: Sequence[tuple[Choice, Choice]], drawn: Floats) -> Floats:
    """Return Cohen's kappa of each sample, nan where undefined.

    Args:
        cells: pairs of choices.
        drawn: occurrences of each pair in each sample, [R, cells].
    """
    first = np.array([[one == choice for choice in CHOICES] for one, _ in cells], dtype=np.float64)
    second = np.array([[two == choice for choice in CHOICES] for _, two in cells], dtype=np.float64)
    total = drawn.sum(axis=1)
    observed = drawn @ (first * second).sum(axis=1) / total
    by_chance = ((drawn @ first) * (drawn @ second)).sum(axis=1) / total**2
    return _beyond_chance(observed, by_chance)


def _tells_kappa(table: PairTable) -> bool:
    choices = [{cell[side] for cell in table} for side in (0, 1)]
    return table.total() >= ENOUGH_FOR_KAPPA and min(map(len, choices)) > 1


def _pattern(votes: Sequence[Vote]) -> tuple[int, ...]:
    counts = Counter(vote.choice for vote in votes)
    return tuple(counts[choice] for choice in CHOICES)


def _pair(
    first: str, second: str, choices: Mapping[str, tuple[Choice, Choice]], prompts: Prompts | None
) -> PairAgreement:
    table = Counter(choices.values())
    if not _tells_kappa(table):
        return PairAgreement(first, second, table.total(), observed_in(table), None)
    cells = sorted(table)
    counts, contents = _kinds({name: cells.index(cell) for name, cell in choices.items()}, prompts)
    cohen = pattern_interval(lambda drawn: cohen_kappa(cells, drawn), counts, _SEED, contents)
    return PairAgreement(first, second, table.total(), observed_in(table), cohen)


def _beyond_chance(observed: Floats, by_chance: Floats) -> Floats:
    return _ratio(observed - by_chance, 1 - by_chance)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 1e-12)
