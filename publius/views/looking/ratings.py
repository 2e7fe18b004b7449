"""Output of `publius agreement FILE`: ratings of single answers."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from core.notices import counted, note
from core.terminal.breaking import BreakableName
from publius.console import heading, out
from publius.labels.ratings.beside_rules import RatedRule, RulesBesideRatings
from publius.labels.ratings.measures import FEWEST_FOR_ALPHA, RatingAgreement
from publius.labels.ratings.report import RatingsReport
from publius.views.looking.cells import columns

_MOST = 10
"""Cases to print; --json has all."""


def print_ratings(report: RatingsReport) -> None:
    """Print raters, how far they agree, the cases that divide them, and the rules beside them."""
    read, agreement = report.table.columns, report.agreement
    prompts = "no column of prompts" if read.prompt is None else f"prompts in {read.prompt!r}"
    case = "their row" if read.case is None else repr(read.case)
    note(f"answers in {read.answer!r}, {prompts}, cases named by {case}; --columns names others")
    if report.table.decimal_commas:
        note(f"decimal commas in {', '.join(report.table.decimal_commas)}")
    for reason, count in report.table.left_out.items():
        note(f"left out: {count:,} {reason}")
    answers = counted(agreement.answers, "answer")
    out.print(f"{answers}, {agreement.shared:,} of them rated by two or more of {len(read.raters)} raters")
    _print_raters(agreement)
    _print_pairs(agreement)
    _print_divided(agreement)
    if report.rules is not None:
        _print_rules(report.rules)


def _print_raters(agreement: RatingAgreement) -> None:
    heading("Raters")
    table = columns("", "ratings", "mean")
    for rater in agreement.raters:
        table.add_row(BreakableName(rater.name), f"{rater.ratings:,}", f"{rater.mean:.2f}")
    out.print(table)


def _print_pairs(agreement: RatingAgreement) -> None:
    heading("Agreement of each two raters, on what both rated")
    if not agreement.pairs:
        out.print("No answer was rated by two people, so agreement cannot be measured.")
        return
    table = columns("", "answers", "the same", "within 1", "mean difference")
    for pair in agreement.pairs:
        shares = (f"{share:.0%}" for share in (pair.exact, pair.within_one))
        names = BreakableName(f"{pair.first}, {pair.second}")
        table.add_row(names, f"{pair.answers:,}", *shares, f"{pair.mean_difference:+.2f}")
    out.print(table)
    alpha = agreement.alpha
    if alpha is None:
        out.print("Krippendorff's alpha is undefined: all ratings are the same.")
        return
    out.print(f"Krippendorff's alpha (interval): {alpha.value:.2f} ({alpha.low:.2f} to {alpha.high:.2f})")
    if agreement.shared < FEWEST_FOR_ALPHA:
        out.print(f"{counted(agreement.shared, 'answer')} with two ratings are too few to rely on it.")


def _print_divided(agreement: RatingAgreement) -> None:
    if not agreement.divided:
        return
    heading("Answers on which raters differ, most first")
    for one in agreement.divided[:_MOST]:
        given = ", ".join(f"{name} {rating:g}" for name, rating in one.ratings.items())
        out.print(Text(f"{one.case}  {given}"))
    if len(agreement.divided) > _MOST:
        note(f"{counted(len(agreement.divided) - _MOST, 'more answer')}; --json has all")


def _print_rules(found: RulesBesideRatings) -> None:
    heading(f"Ratings beside the checks of {found.constitution}")
    table = columns("", "kept by", "mean rating", "broken by", "mean rating")
    for rule in found.rules:
        kept, broken = (_mean(mean) for mean in (rule.mean_kept, rule.mean_broken))
        table.add_row(BreakableName(rule.principle), f"{rule.kept:,}", kept, f"{rule.broken:,}", broken)
    out.print(table)
    for rule in found.rules:
        _print_broken(rule, found.middle)
    if found.disliked_although_kept:
        cases = _listed(found.disliked_although_kept)
        out.print(Text(f"rated below {found.middle:g} although no check fails: {cases}"))
    if found.without_check:
        out.print(Text(f"Not compared, since no check decides them: {', '.join(found.without_check)}."))


def _print_broken(rule: RatedRule, middle: float) -> None:
    if rule.broken_cases:
        liked = rule.liked_although_broken
        more = f"; rated above {middle:g} nevertheless: {_listed(liked)}" if liked else ""
        out.print(Text(f"{rule.principle} is broken in {_listed(rule.broken_cases)}{more}"))


def _mean(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.2f}"


def _listed(cases: Sequence[str]) -> str:
    more = f" and {len(cases) - _MOST:,} more" if len(cases) > _MOST else ""
    return ", ".join(cases[:_MOST]) + more
