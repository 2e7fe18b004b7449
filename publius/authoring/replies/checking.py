"""`publius check --replies`: which rules do several replies break?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.errors import ConfigError, RunStateError
from core.rewards import Sample
from core.store.files import is_there
from publius.authoring.given import warn_of_unknown_tags
from publius.authoring.replies.refusing import GivenRefusals, given_refusals, with_responses
from publius.authoring.replies.rows import ReadReplies, ReplyRow, read_replies
from publius.authoring.replies.tables import write_outcome_table, write_reply_table
from publius.authoring.replies.values import RulesByValue, rules_by_value
from publius.authoring.replies.words import is_broken, is_decided
from publius.authoring.reply import JudgingModel, PrincipleOutcome, judge_replies, reply_outcomes
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.pairs.tables import conversation_text
from publius.sources.texts.reading import UNSAID, TextReading


@dataclass(frozen=True)
class RepliesRequest:
    """Replies to check."""

    constitution: str
    replies: Path
    """A table, conversations or a data set."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The file's column for each of ours: prompt, reply, messages, system, tags and id."""
    tags: tuple[str, ...] = ()
    """Tags of every prompt, beside its own."""
    model: str | None = None
    """The model that judges what no check decides; None to leave that out."""
    engine: str = "transformers"
    to: Path | None = None
    """CSV file to write, one row for each reply."""
    long: bool = False
    """True to write one row for each reply and rule instead."""
    reading: TextReading = UNSAID
    """How texts of the file are read: HTML, quoted mail and signatures."""
    by: str | None = None
    """A column of the file: the share of replies that keep each rule is told for each of its values."""
    prompts: Path | None = None
    """A file of prompts, whose tags and columns replies to the same prompts get."""
    refusals: bool = False
    """True to measure full and partial refusals."""


@dataclass(frozen=True)
class CheckedCase:
    """A reply with its outcome under every principle, in the order of the constitution."""

    row: ReplyRow
    outcomes: tuple[PrincipleOutcome, ...]

    @property
    def broken(self) -> tuple[PrincipleOutcome, ...]:
        """The rules that the reply breaks, by a check or by the model."""
        return tuple(found for found in self.outcomes if is_broken(found))

    def as_json(self) -> dict[str, Any]:
        """Return the case as JSON-able values, with the outcomes that something decided."""
        decided = [asdict(found) for found in self.outcomes if is_decided(found)]
        others = {found.principle: found.outcome for found in self.outcomes if not is_decided(found)}
        prompt = None if self.row.prompt is None else conversation_text(self.row.prompt.messages)
        return {
            "case": self.row.case,
            "place": self.row.place,
            "prompt": prompt,
            "reply": self.row.reply,
            "broken": [found.principle for found in self.broken],
            "principles": decided,
            "not_decided": others,
        }


@dataclass(frozen=True)
class RuleCounts:
    """Totals of a rule over replies."""

    principle: str
    broken: int
    decided: int
    """Replies in its scope that a check or the model decided."""
    outcomes: Mapping[str, int]
    """Number of replies by outcome."""


@dataclass(frozen=True)
class CheckedReplies:
    """Replies with their outcomes."""

    constitution: Constitution
    read: ReadReplies
    cases: tuple[CheckedCase, ...]
    model: str | None = None
    caveats: tuple[str, ...] = ()
    """What is known against the model's judgments."""
    quoted: int = 0
    """Cells of the written file that begin with an apostrophe, lest a spreadsheet runs them."""
    by: RulesByValue | None = None
    """How many replies keep each rule, by the values of a column; None if no column is named."""
    refusals: GivenRefusals | None = None
    """Full and partial refusals; None if they are not measured."""

    @property
    def fails(self) -> bool:
        """True if a reply fails a machine check."""
        return any(found.outcome == "failed" for case in self.cases for found in case.outcomes)

    @property
    def breaking(self) -> int:
        """Number of replies that break a rule."""
        return sum(bool(case.broken) for case in self.cases)

    def by_rule(self) -> list[RuleCounts]:
        """Return the totals of every rule, in the order of the constitution."""
        return [
            rule_counts(principle, [case.outcomes[place] for case in self.cases])
            for place, principle in enumerate(self.constitution.principles)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the outcomes as JSON-able values."""
        return {
            "name": self.constitution.name,
            "digest": self.constitution.digest,
            "file": self.read.name,
            "rows": self.read.read,
            "replies": len(self.cases),
            "breaking": self.breaking,
            "excluded": self.read.excluded,
            **({} if self.read.beside is None else {"prompts": self.read.beside.as_json()}),
            "model": self.model,
            "caveats": list(self.caveats),
            "principles": [asdict(counts) for counts in self.by_rule()],
            **({} if self.by is None else {"by": self.by.as_json()}),
            **({} if self.refusals is None else {"refusals": self.refusals.as_json()}),
            "cases": [case.as_json() for case in self.cases],
        }


def rule_counts(principle: Principle, outcomes: Sequence[PrincipleOutcome]) -> RuleCounts:
    """Return the totals of a rule over the outcomes of replies under it."""
    broken, decided = sum(map(is_broken, outcomes)), sum(map(is_decided, outcomes))
    counts = dict(Counter(str(found.outcome) for found in outcomes))
    return RuleCounts(principle.id, broken, decided, counts)


def check_replies(request: RepliesRequest, make: EngineMaker = make_engine) -> CheckedReplies:
    """Return what checks, and a model if one is named, say about each reply of a file.

    Raises:
        ConfigError: the constitution is invalid, or a column does not exist.
        DataError: the file cannot be read, or has no replies.
    """
    if request.to is not None:
        require_csv(request.to)
    constitution = load_constitution(request.constitution)
    read = read_replies(
        request.replies, request.columns, request.tags, request.reading, request.by, request.prompts
    )
    refusals = given_refusals(read.rows, request.by) if request.refusals else None
    if refusals is not None:
        read.rows = with_responses(read.rows)
    warn_of_unknown_tags(tags_of(read), [constitution])
    if request.model is None:
        result = CheckedReplies(constitution, read, tuple(checked_cases(constitution, read)))
    else:
        asked = [row for row in read.rows if row.prompt is not None]
        if not asked:
            what = "a model judges replies to messages, and no row has a prompt"
            raise ConfigError(
                what, where="--model", accepted="--columns prompt=THEIRS as well, or no --model"
            )
        judge = JudgingModel(constitution, request.constitution, request.model, request.engine)
        samples = [Sample(row.prompt, row.reply, finished=True) for row in asked if row.prompt is not None]
        found = judge_replies(judge, samples, make)
        judged = dict(zip((row.place for row in asked), found.probabilities, strict=True))
        cases = tuple(checked_cases(constitution, read, judged))
        result = CheckedReplies(constitution, read, cases, found.model, found.caveats)
    if request.by is not None:
        told = [(case.row.by, case.outcomes) for case in result.cases]
        result = replace(result, by=rules_by_value(request.by, told))
    result = replace(result, refusals=refusals)
    return result if request.to is None else _written(result, request.to, long=request.long)


def tags_of(read: ReadReplies) -> tuple[str, ...]:
    """Return the tags of the prompts, each once."""
    return tuple(dict.fromkeys(tag for row in read.rows if row.prompt is not None for tag in row.prompt.tags))


def checked_cases(
    constitution: Constitution, read: ReadReplies, judged: Mapping[str, Mapping[str, float]] | None = None
) -> Iterator[CheckedCase]:
    """Yield each reply with its outcomes.

    Args:
        constitution: the constitution.
        read: the replies.
        judged: probability by principle, by the place of a reply; None if no model was asked.
    """
    for row in read.rows:
        tags = () if row.prompt is None else row.prompt.tags
        said = None if judged is None else judged.get(row.place)
        yield CheckedCase(row, tuple(reply_outcomes(constitution, row.reply, row.prompt, tags, said)))


def require_csv(to: Path) -> None:
    """Refuse a table for spreadsheets that cannot be written.

    Raises:
        ConfigError: if the name does not end in .csv.
        RunStateError: if the file exists.
    """
    if to.suffix.lower() != ".csv":
        raise ConfigError(
            f"found {str(to)!r}",
            where="--to",
            accepted="the name of a .csv file, or of an .html or .md file for a page",
        )
    if is_there(to):
        raise RunStateError("path already exists", where=f"--to {to}", accepted="a new file")


def _written(result: CheckedReplies, to: Path, *, long: bool) -> CheckedReplies:
    """Write the table, and return the result with the number of quoted cells."""
    cases = [(case.row, case.outcomes) for case in result.cases]
    if long:
        quoted = write_outcome_table(to, cases)
    else:
        quoted = write_reply_table(to, cases, result.constitution.principles)
    return replace(result, quoted=quoted)
