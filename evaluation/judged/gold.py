"""The sheet on which people label rated answers.

The sheet has the form of that of an audit of a model (`evaluation/tenets/gold.py`). It holds prompts drawn at
random for each principle, whatever the judge said, with the answers of all variants to them: so the rates and
the paired differences can both be corrected. An answer that several variants gave is one row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from constitution.schema import Principle
from core.digests import derive_uniform
from core.records import Answer
from evaluation.judged.ratings import AnswerRating

SHEET_COLUMNS = ("id", "tenet", "principle", "conversation", "violates")


@dataclass(frozen=True)
class SheetRow:
    """An answer to label under a principle."""

    question: str
    principle: Principle
    answer: Answer


def drawn_rows(
    ratings: Iterable[AnswerRating],
    answers: Sequence[Answer],
    principles: Sequence[Principle],
    prompts: int,
    seed: int,
) -> list[SheetRow]:
    """Return the answers to label: those of all variants to a number of random prompts for each principle.

    Rows of a prompt follow each other in random order of the variants. If only the first rows of a principle
    are labelled, their prompts are a random sample too.

    Args:
        ratings: the judge's ratings; only prompts that were rated for every variant are drawn.
        answers: the answers.
        principles: the judged principles.
        prompts: number of prompts for each principle.
        seed: seed of the draw.
    """
    by_id = {answer.id: answer for answer in answers}
    variants = {answer.variant for answer in answers}
    rated: dict[str, dict[str, list[AnswerRating]]] = {}
    for rating in ratings:
        if rating.p is not None:
            rated.setdefault(rating.principle_id, {}).setdefault(rating.prompt_id, []).append(rating)
    rows: list[SheetRow] = []
    for principle in principles:
        found = rated.get(principle.id, {})
        complete = [name for name, own in found.items() if len(own) == len(variants)]
        complete.sort(key=lambda name: derive_uniform(seed, "sheet", principle.id, name))
        for name in complete[:prompts]:
            own = {rating.question: by_id[rating.answer] for rating in found[name]}
            shuffled = sorted(own, key=lambda question: derive_uniform(seed, "sheet", question))
            rows += [SheetRow(question, principle, own[question]) for question in shuffled]
    return rows


def answer_sheet(rows: Iterable[SheetRow]) -> str:
    """Return the sheet as CSV, without the variant and without the judge's rating.

    Cells that a spreadsheet would run as a formula begin with an apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(SHEET_COLUMNS)
    for row in rows:
        messages = [(message.role, message.content) for message in row.answer.prompt.messages]
        messages.append(("assistant", row.answer.generation.text))
        shown = "\n\n".join(f"{role}: {content}" for role, content in messages)
        writer.writerow([row.question, row.principle.id, _inert(row.principle.text), _inert(shown), ""])
    return stream.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
