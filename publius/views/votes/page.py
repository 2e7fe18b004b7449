"""Votes of people as a page for those who do not know the tool: who won, how far people agree, and the rules.

The page is written as that of checked replies: escaped, without a script, and it fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.notices import counted
from labelers.crowd.winners import number_of_votes, origin_in_words
from publius.labels.agreement import AgreementReport
from publius.labels.beside_votes import RuleBesideVotes
from publius.labels.disagreements import Disagreement
from publius.runs.manifest import MANIFEST
from publius.runs.pairs.caveats import reason_in_words
from publius.runs.reader import readable_constitution
from publius.views.replies.page import write_rendered
from publius.views.votes.winners import share_in_words

_MOST = 20
"""Rows of a table; the command prints the rest, or has it in --json."""
_LONGEST = 160
"""Characters of a question that are shown."""
_BY = {"ai": "the AI labeler", "check": "a machine check"}


@dataclass(frozen=True)
class _Row:
    """A row of a table; `about` is a small line below its name."""

    name: str
    cells: Sequence[str]
    about: str = ""


@dataclass(frozen=True)
class _Table:
    """A table whose first columns, names among them, are short; the others are texts."""

    titles: Sequence[str]
    rows: Sequence[_Row]
    numbers: int


@dataclass(frozen=True)
class _Part:
    """A section of the page."""

    title: str
    tables: Sequence[_Table] = ()
    before: Sequence[str] = ()
    after: Sequence[str] = ()


@dataclass(frozen=True)
class _Page:
    """What the page shows, as plain text."""

    title: str
    file: str
    claim: str
    facts: Sequence[str]
    parts: Sequence[_Part]


def write_votes_page(
    report: AgreementReport, folders: Sequence[Path], to: Path, made_up: str | None = None
) -> None:
    """Write the report as a page, in HTML or Markdown by the file's name.

    Args:
        report: what people voted, and how they agree.
        folders: the folders that it was read from; of runs, their constitutions have the rules' texts.
        to: a new file.
        made_up: what is made up in these, if anything is.
    """
    texts = _texts_of_rules(folders)
    parts = [_winners(report), _agreement(report), _rules(report, texts), _divided(report)]
    page = _Page(
        "What people prefer",
        ", ".join(folder.name for folder in folders),
        _claim(report),
        [*([made_up] if made_up else []), *_facts(report)],
        [part for part in parts if part is not None],
    )
    write_rendered("publius.views.votes", page, to)


def _texts_of_rules(folders: Sequence[Path]) -> dict[str, str]:
    """Return the texts of the rules of the runs among folders."""
    runs = (readable_constitution(folder) for folder in folders if (folder / MANIFEST).exists())
    return {rule.id: " ".join(rule.text.split()) for found in runs if found for rule in found.principles}


def _claim(report: AgreementReport) -> str:
    won = report.who_won.in_words()
    if won:
        return f"{won}."
    return f"{counted(report.judgments, 'judgment')}; the answers do not say where they come from."


def _facts(report: AgreementReport) -> Iterator[str]:
    won = report.who_won
    if won.answers and (share := won.answers[0].share):
        yield (
            f"{won.answers[0].name} has {share.value:.0%} of the votes, a tie counted as one half. With "
            f"other questions of this kind it may be {share.low:.0%} to {share.high:.0%} (95 % interval)."
        )
    if won.alike:
        yield f"Not in these: {number_of_votes(won.alike)} votes on two answers of one origin."
    if names := report.left_out.get("without"):
        yield f"Left out of everything here: the votes of {', '.join(names)}."
    if aspects := report.left_out.get("aspects"):
        yield f"Of people's votes, only those of {' and '.join(aspects)} count here."
    for run, reasons in report.excluded.items():
        for reason, count in reasons.items():
            yield f"{run} did not label {counted(count, 'comparison')} of people: {reason_in_words(reason)}."


def _winners(report: AgreementReport) -> _Part | None:
    won = report.who_won
    if not won.answers:
        return None
    rows = []
    for one in won.answers[:_MOST]:
        counts = one.preferred, one.ties, one.both_bad, one.votes
        rows.append(_Row(one.name, [*map(number_of_votes, counts), share_in_words(one.share)]))
    titles = ("Answers of", "Preferred", "Ties", "Both bad", "Votes", "Share, ties half (95 %)")
    tables = [_Table(titles, rows, len(titles))]
    names = [one.origin for one in won.answers[:_MOST]]
    if len(names) <= 3 and len(won.by_annotator) > 1:
        tables.append(
            _Table(
                ("Person", *map(origin_in_words, names), "Ties", "Both bad"),
                [
                    _Row(
                        report.name_of(who),
                        [number_of_votes(said.get(name, 0)) for name in (*names, "tie", "both_bad")],
                    )
                    for who, said in list(won.by_annotator.items())[:_MOST]
                ],
                len(names) + 3,
            )
        )
    return _Part("Who won", tables)


def _agreement(report: AgreementReport) -> _Part | None:
    said = [line for line in report.sentences() if line.startswith("People")]
    if not said:
        return _Part("How far people agree", before=["No two people judged the same answers."])
    alpha = None if report.overall is None else report.overall.alpha
    after = []
    if alpha is not None:
        after = [
            f"Krippendorff's alpha is {alpha.value:.2f} ({alpha.low:.2f} to {alpha.high:.2f}): 1 is full "
            "agreement, 0 is what chance alone gives."
        ]
    return _Part("How far people agree", before=said, after=after)


def _rules(report: AgreementReport, texts: dict[str, str]) -> _Part | None:
    """Return how the rules go with the votes; None if no run among the folders judged under rules."""
    if not report.rules:
        return None
    decided = [rule for rule in report.rules if rule.decided]
    titles = ("Rule", "Pairs it decides", "With the votes", "Against", "With the votes (95 %)", "Decided by")
    silent = [texts.get(rule.principle, rule.principle) for rule in report.rules if not rule.decided]
    after = (
        [f"Prefer neither answer in any pair: {'; '.join(text.rstrip('.') for text in silent)}."]
        if silent
        else []
    )
    table = _Table(titles, [_rule_row(rule, texts) for rule in decided], len(titles) - 1)
    return _Part(
        "People and rules",
        [table] if decided else [],
        ["How often a rule prefers the answer that most people prefer, of the pairs that it decides."],
        after,
    )


def _rule_row(rule: RuleBesideVotes, texts: dict[str, str]) -> _Row:
    cells = [f"{rule.decided:,} of {rule.judged:,}", f"{rule.agrees:,}", f"{rule.against:,}"]
    cells += [share_in_words(rule.agreement), _BY.get(rule.labeler, rule.labeler)]
    text = texts.get(rule.principle)
    return _Row(text or rule.principle, cells, rule.principle if text else "")


def _divided(report: AgreementReport) -> _Part | None:
    found = report.disagreements
    if not found:
        return None
    rows = [_divided_row(one, report) for one in found[:_MOST]]
    left = len(found) - len(rows)
    after = [f"and {counted(left, 'more question')}"] if left else []
    return _Part("Where people differ", [_Table(("Question", "Preferred"), rows, 1)], after=after)


def _divided_row(one: Disagreement, report: AgreementReport) -> _Row:
    named = report.named.get(one.comparison_id)
    said = (
        f"{one.words_of(choice)}: {', '.join(map(report.name_of, names))}"
        for choice, names in one.said.items()
    )
    text = one.prompt if len(one.prompt) <= _LONGEST else f"{one.prompt[: _LONGEST - 1]}…"
    return _Row(text, ["; ".join(said)], named.case if named else "")
