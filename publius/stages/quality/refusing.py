"""Answers of all variants to the refusal prompts of an evaluation, and the kinds of their responses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from core.notices import counted, note
from core.records import Answer
from core.store.files import os_errors, write_atomic
from evaluation.refusals.measures import RefusalFindings
from evaluation.refusals.prompts import RefusalPrompts, refusal_prompts
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.quality.answering import AnsweringPolicy

REFUSAL_PURPOSE = "refusals"
"""Purpose of the requests, for their counts."""


def refusal_prompts_of(run: Run) -> RefusalPrompts | None:
    """Return the refusal prompts of a run's evaluation; None if refusals are not measured.

    Raises:
        DataError: the file of prompts cannot be read.
    """
    config = run.config.eval
    if config.refusals is None:
        return None
    found = refusal_prompts(config.refusals, config.refusal_prompts)
    if found.skipped:
        skipped = counted(found.skipped, "row")
        note(f"{found.source}: {skipped} skipped, which repeat an earlier prompt")
    return found


async def answers_to_refusal_prompts(
    policies: Sequence[AnsweringPolicy], engines: Engines, prompts: RefusalPrompts
) -> list[Answer]:
    """Return the answers of every policy; prompts that fail are excluded."""
    asked = [one.prompt for one in prompts.prompts]
    answers: list[Answer] = []
    for policy in policies:
        answers += await replace(policy, purpose=REFUSAL_PURPOSE).answer_all(engines, asked)
    return answers


def write_responses(run: Run, findings: RefusalFindings | None) -> None:
    """Write every answer with its kind of response to `eval/refusals.jsonl`; without any, remove the file."""
    folder = run.folder / "eval"
    with os_errors(folder):
        if findings is None:
            (folder / "refusals.jsonl").unlink(missing_ok=True)
            return
        folder.mkdir(exist_ok=True)
    lines = (json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in findings.responses)
    write_atomic(folder / "refusals.jsonl", "".join(lines))
