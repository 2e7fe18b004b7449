"""Output of `publius agreement`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from core.notices import counted, note
from core.statistics.bootstrap import Interval, wilson
from core.terminal.breaking import BreakableName
from labelers.crowd.agreement import ENOUGH_FOR_KAPPA, Agreement
from labelers.crowd.reliability import PRIOR_ACCURACY
from labelers.crowd.votes import MACHINES
from labelers.position import PositionBias
from publius.console import heading, out
from publius.labels.agreement import AgreementReport
from publius.labels.disagreements import NamedComparison
from publius.runs.exporting.together import WrittenGold
from publius.runs.pairs.caveats import reason_in_words
from publius.views.looking.cells import SHORT_ID
from publius.views.votes.winners import print_who_won

_TELLING = 3
"""Annotators from which on votes alone say something of who is right; below, the estimate is the prior."""
MAX_DISAGREEMENTS = 10
"""Comparisons on which people disagree to print; --json has all."""
_MAX_AGAINST = 5
"""Comparisons to print for each rule that is against the votes; --json has all."""
_LINE, _FEWEST = 74, 20
"""Characters of a line that names a comparison, and the fewest of its prompt."""
MAX_PAIRS = 30
"""Pairs of annotators to print, those with most comparisons in common first; --json has all. Of more
pairs, those with too few for a kappa are not printed."""


def print_report(report: AgreementReport) -> None:
    """Print the report as tables."""
    silent = "".join(f", {count:,} {verdict}" for verdict, count in report.without_choice.items())
    note(f"{counted(report.judgments, 'judgment')}, {report.taken_back:,} taken back{silent}")
    if names := report.left_out.get("without"):
        note(f"left out by --without: {', '.join(names)}")
    if aspects := report.left_out.get("aspects"):
        note(f"of people's judgments, those of {' and '.join(aspects)} count (--aspect)")
    for sentence in report.sentences():
        out.print(sentence)
    print_who_won(report.who_won, report.name_of)
    if report.who_won.answers and report.excluded:
        out.print()
    for run, reasons in report.excluded.items():
        for reason, count in reasons.items():
            what = counted(count, "comparison")
            out.print(f"{run} did not label {what} of people: {reason_in_words(reason)}", markup=False)
    rows = [("all", report.overall)] if report.overall else []
    rows += [(name, found) for name, found in report.by_principle.items()]
    rows += [(name, found) for name, found in report.by_dimension.items()]
    if report.nothing_shared:
        out.print("No comparison was judged by two annotators, so agreement cannot be measured.")
        out.print("Judgments under different principles are not compared.")
        for command, why in report.next_steps():
            out.print(f"{command}\n    {why}", markup=False)
    else:
        _print_agreement(rows)
        if report.two_shares:
            out.print(report.two_shares)
        _print_pairs(report)
        _print_disagreements(report)
    _print_themselves(report)
    _print_rules(report)
    _print_annotators(report)


def print_gold(written: WrittenGold) -> None:
    """Print what was written of people's labels."""
    parts = [f"votes together by {written.aggregation}"]
    if written.undecided:
        parts.append(f"{written.undecided:,} without a probability: most votes find both answers bad")
    if written.without_votes:
        parts.append(f"{counted(written.without_votes, 'comparison')} that no person judged left out")
    if written.quoted:
        parts.append(f"{counted(written.quoted, 'cell')} begin with an apostrophe, so that no formula runs")
    note(f"wrote {written.file}: {counted(written.rows, 'comparison')}; {'; '.join(parts)}")


def _print_agreement(rows: Sequence[tuple[str, Agreement | None]]) -> None:
    heading("Chance-corrected agreement as a whole, and by principle or dimension")
    table = _table("", "judged", "by", "agree", "Fleiss'\nkappa", "Krippendorff's\nalpha (95 %)")
    for name, found in rows:
        if found is not None:
            kappa = "undefined" if found.fleiss is None else f"{found.fleiss.value:.2f}"
            values = (f"{found.observed.value:.1%}", kappa, _interval(found.alpha))
            table.add_row(BreakableName(name), f"{found.comparisons:,}", f"{found.annotators:,}", *values)
    out.print(table)


def _print_pairs(report: AgreementReport) -> None:
    pairs = report.pairs
    heading("Agreement of each pair of annotators, on what both judged")
    table = _table("", "", "judged", "agree", "Cohen's\nkappa (95 %)")
    shown = sorted(pairs, key=lambda pair: (-pair.comparisons, pair.first, pair.second))[:MAX_PAIRS]
    if len(pairs) > MAX_PAIRS:  # of many who judged little each, a row for each pair tells nothing
        shown = [pair for pair in shown if pair.comparisons >= ENOUGH_FOR_KAPPA]
    for pair in shown:
        too_few = pair.comparisons < ENOUGH_FOR_KAPPA
        kappa = "too few" if too_few else _interval(pair.cohen)
        values = f"{pair.comparisons:,}", f"{pair.observed:.1%}", kappa
        names = (BreakableName(report.name_of(name)) for name in (pair.first, pair.second))
        table.add_row(*names, *values)
    if shown:
        out.print(table)
    if len(shown) < min(len(pairs), MAX_PAIRS) or any(p.comparisons < ENOUGH_FOR_KAPPA for p in shown):
        out.print(f"Kappa is not estimated from fewer than {ENOUGH_FOR_KAPPA} judgments in common.")
    if any(pair.cohen is None and pair.comparisons >= ENOUGH_FOR_KAPPA for pair in shown):
        out.print("Undefined: one of the two chose the same throughout, so chance agrees as often.")
    if len(pairs) > len(shown):
        note(f"{counted(len(pairs) - len(shown), 'more pair')} of annotators; --json has all")


def _print_disagreements(report: AgreementReport) -> None:
    """Print the comparisons on which people differ, each with who chose what."""
    found = report.disagreements
    if not found:
        return
    heading("Comparisons on which people disagree, least agreed first")
    for one in found[:MAX_DISAGREEMENTS]:
        named = report.named.get(one.comparison_id) or NamedComparison(one.prompt)
        out.print(_told(one.comparison_id, named), markup=False)
        for choice, names in one.said.items():
            who = ", ".join(map(report.name_of, names))
            out.print(f"    {one.words_of(choice)}: {who}")
    if len(found) > MAX_DISAGREEMENTS:
        note(f"{counted(len(found) - MAX_DISAGREEMENTS, 'more comparison')}; --json has all")


def _told(identity: str, named: NamedComparison | None) -> str:
    """Return the id of a comparison with its case and the first words of its prompt, as far as known."""
    if named is None:
        return identity
    case = f"{named.case}: " if named.case else ""
    room = max(_FEWEST, _LINE - len(identity) - len(case))
    told = named.prompt if len(named.prompt) <= room else f"{named.prompt[: room - 3]}..."
    left_out = f"\n        left out: {named.left_out}" if named.left_out else ""
    return f"{identity}  {case}{told}{left_out}".rstrip()


def _print_themselves(report: AgreementReport) -> None:
    """Print how often annotators chose as the time before, where they judged a comparison again."""
    if not report.themselves:
        return
    heading("Agreement of annotators with themselves, on comparisons that they judged again")
    table = _table("", "repeats", "same choice (95 %)")
    for one in report.themselves:
        share = _share(wilson(one.share, one.repeats))
        table.add_row(BreakableName(report.name_of(one.annotator)), f"{one.repeats:,}", share)
    out.print(table)
    out.print("Others can hardly agree with an annotator more often than that.")
    out.print(
        "Each occasion of a repeated comparison is a case of its own above: first ones with first ones."
    )


def _print_rules(report: AgreementReport) -> None:
    """Print how often checks and the AI labeler prefer the answer that people prefer as a whole."""
    rules = report.rules
    if not rules:
        return
    heading("Checks and AI labeler under each rule, beside people's votes as a whole")
    table = _table("", "", "judged", "decided", "as the\nvotes", "against", "agree (95 %)")
    for rule in rules:
        counts = rule.judged, rule.decided, rule.agrees, rule.against
        cells = (*(f"{count:,}" for count in counts), _share(rule.agreement))
        table.add_row(BreakableName(rule.principle), rule.labeler, *cells)
    out.print(table)
    for rule in rules:
        if rule.against_in:
            out.print(f"{rule.principle} ({rule.labeler}) is against the votes in", markup=False)
            for case in rule.against_in[:_MAX_AGAINST]:
                out.print(f"    {_told(case[:SHORT_ID], report.named.get(case))}", markup=False)
            left = len(rule.against_in) - _MAX_AGAINST
            if left > 0:
                out.print(f"    and {left:,} more (--json has all)")


def _print_annotators(report: AgreementReport) -> None:
    heading("Annotators: accuracy as estimated from all votes; the truth is not known")
    telling = report.overall is not None and report.overall.annotators >= _TELLING
    positions = {bias.annotator: bias for bias in report.positions}
    titles = ["", "choices", "accuracy (95 %)"]
    titles += ["first answer\nchosen (95 %)"] if positions else []
    titles += ["median\nseconds"] if report.seconds else []
    table, estimates = _table(*titles), dict[str, Interval]()
    for one in report.annotators:
        bias = positions.get(one.annotator)
        knows = telling and report.compared_with(one.annotator) >= _TELLING - 1
        accuracy = None if one.accuracy is None or not knows else wilson(one.accuracy, one.votes)
        if accuracy is not None:
            estimates[report.name_of(one.annotator)] = accuracy
        cells = [f"{one.votes:,}", _share(accuracy)]
        cells += [_share(None if bias is None else bias.first)] if positions else []
        took = report.seconds.get(one.annotator)
        cells += ["" if took is None else f"{took.median:,.3g}"] if report.seconds else []
        table.add_row(BreakableName(report.name_of(one.annotator)), *cells)
    out.print(table)
    out.print("Choices are votes for one of the answers: ties and both bad are none.")
    if not telling:
        out.print("Accuracy needs three annotators: of two, votes do not say which one is right.")
    elif report.overall is not None and not _is_above_chance(report.overall):
        _print_estimates(estimates, report.overall)
    _print_positions(report)


def _print_estimates(estimates: Mapping[str, Interval], agreement: Agreement) -> None:
    """Print what accuracies are worth where people agree no more than chance would."""
    why = "alpha is undefined" if agreement.alpha is None else "alpha's interval is not above 0"
    out.print(
        f"Agreement is not above chance ({why}), so votes hardly say who is right: each accuracy is an "
        f"estimate that begins at {PRIOR_ACCURACY:.0%} and moves with the votes."
    )
    at_chance = [name for name, found in estimates.items() if found.low <= 0.5 <= found.high]
    below = [name for name, found in estimates.items() if found.high < 0.5]
    if at_chance:
        out.print(f"No different from guessing (50% is in the interval): {', '.join(at_chance)}.")
    if below:
        out.print(f"Worse than guessing: {', '.join(below)}.")


def _print_positions(report: AgreementReport) -> None:
    """Print who goes by the order of the answers, or that the order is not recorded."""
    people = [bias for bias in report.positions if bias.annotator not in MACHINES]
    voters = [one for one in report.annotators if one.votes and one.annotator not in MACHINES]
    if voters and not people:
        out.print("Which answer people saw first is not recorded. If it was the same in every row:")
        out.print("    publius import labels FILE --to DIR --shown-first a   (or b)")
        out.print("If a column says it: --columns shown_first=COLUMN.")
    for bias in people:
        if bias.goes_by_order:
            out.print(_in_order(bias, [other for other in people if other is not bias], report))


def _in_order(bias: PositionBias, others: Sequence[PositionBias], report: AgreementReport) -> str:
    """Return how often an annotator and all others chose the answer in one place."""
    is_first = bias.first.value > 0.5
    of_all = [(one.chosen_first if is_first else one.choices - one.chosen_first) for one in (bias, *others)]
    choices = sum(other.choices for other in others)
    beside = f"; all others in {sum(of_all[1:]) / choices:.0%} of {choices:,}" if choices else ""
    return (
        f"{report.name_of(bias.annotator)} chose the answer shown {'first' if is_first else 'second'} in "
        f"{of_all[0]:,} of {counted(bias.choices, 'choice')}{beside}.\n"
        "--without NAME leaves an annotator out."
    )


def _is_above_chance(agreement: Agreement) -> bool:
    return agreement.alpha is not None and agreement.alpha.low > 0


def _table(*titles: str) -> Table:
    """Return a table; columns without a title are names, which continue on the next line if they are long."""
    table = Table(box=None, pad_edge=False)
    for title in titles:
        if title:
            table.add_column(title, justify="right", no_wrap=True)
        else:
            table.add_column(overflow="fold")
    return table


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "undefined"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _share(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.value:.0%} ({interval.low:.0%} to {interval.high:.0%})"
