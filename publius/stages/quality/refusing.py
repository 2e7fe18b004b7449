"""Answers of all variants to the refusal prompts of an evaluation, and the kinds of their responses."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from core.notices import counted, note, warn
from core.records import Answer, Prompt
from core.store.files import os_errors, write_atomic
from evaluation.refusals.measures import RefusalFindings
from evaluation.refusals.prompts import RefusalPrompts, refusal_prompts
from publius.models.examples_used import key_without_system, prompt_key, trained_prompts
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.quality.answering import AnsweringPolicy

REFUSAL_PURPOSE = "refusals"
"""Purpose of the requests, for their counts."""


def refusal_prompts_of(run: Run) -> RefusalPrompts | None:
    """Return the refusal prompts of a run's evaluation; None if refusals are not measured.

    Prompts that the run trains on are left out, with a warning: the measures are of held-out prompts.

    Raises:
        DataError: the file of prompts cannot be read.
    """
    config = run.config.eval
    if config.refusals is None:
        return None
    not_held_out = trained_words(run.prompts)
    found = held_out_refusals(config.refusals, config.refusal_prompts, _trained_words(run))
    kept = sum(prompt_key(one.prompt.messages) in not_held_out for one in found.prompts)
    if kept and not run.config.train:
        note(
            f"eval.refusals: the run does not hold out {counted(kept, 'prompt')} of {found.source}; nothing "
            "is trained, so they are used (a run that trains leaves them out)"
        )
    if found.skipped:
        skipped = counted(found.skipped, "row")
        note(f"{found.source}: {skipped} skipped, which repeat an earlier prompt")
    warn_of_trained(found)
    return found


def held_out_refusals(source: str, limit: int | None, trained: Collection[str]) -> RefusalPrompts:
    """Return the refusal prompts of a file, or those that ship, without those that are trained on.

    Args:
        source: path of the file, or `builtin`.
        limit: maximum number of prompts of each label; None for all.
        trained: keys of the words of prompts that are trained on.

    Raises:
        DataError: the file of prompts cannot be read.
    """
    return refusal_prompts(source, limit, lambda prompt: prompt_key(prompt.messages) in trained)


def warn_of_trained(prompts: RefusalPrompts) -> None:
    """Log which refusal prompts are no part of the measures, or no held-out part, as they are trained on."""
    if prompts.trained:
        left_out, used = counted(prompts.trained, "prompt"), len(prompts.prompts)
        warn(
            f"eval.refusals: {left_out} of {prompts.source}, which the run does not hold out (split train or "
            f"preference), left out: refusals are measured on {used:,} others"
        )
    for label in prompts.seen:
        count = sum(one.label == label for one in prompts.prompts)
        warn(
            f"eval.refusals: the run holds out none of the {label} prompts of {prompts.source}, so {count:,} "
            "are used although it may train on them; give some of them split: test, or add others"
        )


def _trained_words(run: Run) -> frozenset[str]:
    """Return the keys of the words of prompts that a variant is, or may become, trained on."""
    found: set[str] = set()
    if run.config.train:
        found |= trained_words(run.prompts)
    for variant in run.config.eval.models:
        folder = run.folder / variant
        if folder.is_symlink():
            found |= trained_prompts(folder) or frozenset()
    return frozenset(found)


def trained_words(prompts: Iterable[Prompt]) -> frozenset[str]:
    """Return the keys of the words of the prompts that are not held out, without their system messages."""
    return frozenset(key_without_system(prompt.messages) for prompt in prompts if prompt.split != "test")


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
