"""Answers of an evaluation rated by the judge under each principle without a check, and labels of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from constitution.schema import Constitution, Principle
from core.errors import ConfigError, DataError, EngineError
from core.notices import counted, note, warn
from core.progress import progress
from core.records import Answer, Prompt
from core.store.files import is_there, os_errors, write_atomic
from core.text.yaml_file import read_prose
from engines.protocols import compares_replies
from evaluation.judged.correction import corrected_compliance
from evaluation.judged.findings import JudgedFindings
from evaluation.judged.gold import answer_sheet, drawn_rows
from evaluation.judged.ratings import AnswerRating, not_rated, question_id, rate_answers
from evaluation.judges.certificate import find_audit
from evaluation.tenets.gold import SHEET_FILE, read_sheet
from labelers.config import LabelConfig
from labelers.entailment import POINTWISE_LABELS, EntailmentJudge
from labelers.modes.table import require_judge
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.sources.judges.replies import read_labelled_replies
from publius.sources.rows import DataSource
from publius.stages.judges.audits import labeler_identity

RATINGS_FILE = "ratings.jsonl"
_SHEET_BYTES = 64 * 2**20
_VIOLATES = "violates"
"""The column of a sheet that people fill in."""
GoldLabels = Mapping[str, float]
"""Share of the people who say that an answer fulfils a principle, by question."""


def is_rated(run: Run) -> bool:
    """Return True if the judge of a run is to rate answers under principles."""
    return run.config.models.judge is not None and run.config.eval.judged and bool(judged_principles(run))


def judged_principles(run: Run, constitution: Constitution | None = None) -> list[Principle]:
    """Return the principles without a machine check."""
    return [principle for principle in (constitution or run.constitution).principles if not principle.check]


async def rated_answers(
    run: Run, engines: Engines, answers: Sequence[Answer], constitution: Constitution
) -> tuple[AnswerRating, ...]:
    """Return the judge's ratings of all answers; none if it cannot be asked about single answers.

    Args:
        run: the run; it has a judge.
        engines: its engines.
        answers: the answers of all variants.
        constitution: the constitution, without principles that the judge abstains on.
    """
    principles = judged_principles(run, constitution)
    if not (is_rated(run) and principles):
        return ()
    engine = engines.of("judge")
    if compares_replies(engine):
        note(f"principles are not rated: the judge {engine.model} is a reward model, which reads none")
        return ()
    try:
        label = _rating_labels(run)
        require_judge(engine, run.templates, label)
    except (ConfigError, EngineError) as error:
        warn(f"principles are not rated: {error}")
        return ()
    judge = EntailmentJudge(engine, constitution, run.templates, config=label)
    with progress("eval ratings", len(answers)) as task:
        return await rate_answers(
            answers, principles, judge, conversations(engines.settings("judge")), task.advance
        )


def _rating_labels(run: Run) -> LabelConfig:
    """Return the settings of the judge's questions about single answers."""
    return run.config.label if run.config.label.mode == POINTWISE_LABELS.mode else POINTWISE_LABELS


def audit_of_judge(run: Run, engines: Engines) -> dict[str, Any]:
    """Return what an audit in the project says about the judge of single answers; empty without one."""
    identity = labeler_identity(engines.of("judge"), _rating_labels(run), run.templates)
    found = find_audit(run.folder.parent.parent, identity.digest, run.constitution.digest)
    return {} if found is None else found.summary()


def labels_of_people(run: Run) -> GoldLabels:
    """Return the labels in the run's sheet and in the files that `eval.gold` names.

    Raises:
        DataError: a file cannot be read, or has an invalid label.
    """
    if not is_rated(run):
        return {}
    found: dict[str, list[bool]] = {}
    own = run.folder / "eval" / SHEET_FILE
    for path in (*([own] if is_there(own) else []), *run.config.eval.gold):
        for question, fulfils in _labels_in(path, run.constitution):
            found.setdefault(question, []).append(fulfils)
    return {question: sum(labels) / len(labels) for question, labels in found.items()}


def _labels_in(path: Path, constitution: Constitution) -> Iterator[tuple[str, bool]]:
    """Yield the question and the label of each labelled answer of a file."""
    if _is_sheet(path):
        for question, violates in read_sheet(path).items():
            yield question, not violates
        return
    rows = read_labelled_replies(DataSource(str(path)))
    unknown = 0
    for row in rows.rows:
        principle = constitution.find(row.principle)
        if principle is None:
            unknown += 1
        else:
            yield question_id(principle, Prompt.of(row.prompt), row.reply), row.good
    if unknown == len(rows.rows):
        raise DataError(
            "no row names a principle of the constitution",
            where=str(path),
            accepted="a column principle with the id of one",
        )
    if unknown or rows.excluded:
        warn(
            f"{path}: {counted(unknown, 'row')} without a principle of the constitution, and "
            f"{len(rows.excluded):,} that cannot be read, are skipped"
        )


def _is_sheet(path: Path) -> bool:
    if path.suffix.lower() != ".csv" or not is_there(path):
        return False
    return _VIOLATES in read_prose(path, "labels", _SHEET_BYTES).partition("\n")[0]


def judged_findings(
    run: Run,
    ratings: Sequence[AnswerRating],
    gold: GoldLabels,
    audit: Mapping[str, Any],
    *,
    is_labeler: bool,
) -> JudgedFindings | None:
    """Return what is known about compliance by the judge beyond its metrics; None without ratings."""
    if not ratings:
        return None
    known = gold.keys() & {rating.question for rating in ratings}
    if len(known) < len(gold):
        warn(f"{counted(len(gold) - len(known), 'label')} of answers that this evaluation does not have")
    corrected = corrected_compliance(ratings, gold, run.config.seed)
    rated = {rating.principle_id for rating in ratings}
    unrated = tuple(p.id for p in judged_principles(run) if p.id not in rated)
    judge = run.config.models.of("judge").id
    return JudgedFindings(judge, is_labeler, corrected, unrated, not_rated(ratings), audit)


def write_ratings(run: Run, ratings: Sequence[AnswerRating], answers: Sequence[Answer]) -> None:
    """Write the ratings and, unless it has labels, the sheet for people to fill in.

    Without ratings, those of an earlier evaluation are removed; a sheet stays, since people may be at work.
    """
    folder = run.folder / "eval"
    if not ratings:
        with os_errors(folder):
            (folder / RATINGS_FILE).unlink(missing_ok=True)
        return
    with os_errors(folder):
        folder.mkdir(exist_ok=True)
    write_atomic(folder / RATINGS_FILE, "".join(rating.to_line() for rating in ratings))
    if not run.config.eval.sheet or read_sheet(folder / SHEET_FILE):
        return
    rows = drawn_rows(ratings, answers, judged_principles(run), run.config.eval.sheet, run.config.seed)
    if rows:
        write_atomic(folder / SHEET_FILE, answer_sheet(rows))
        note(
            f"to correct the judge, fill in the column violates of {folder / SHEET_FILE} and run publius "
            "eval again"
        )
