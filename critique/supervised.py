"""Selection of training targets for supervised fine-tuning from critique traces.

By default each prompt gives one answer: the draft or kept revision with the best score in the machine
checks, or the latest of those with the same score. If that is a revision, the model learns to answer as it
would after criticism. If it is the draft, the prompt was already answered well. Some of these drafts are
replayed so the model does not unlearn good answers (Bai et al. 2022, arXiv 2212.08073, section 3.2, mix in
helpfulness samples for that reason).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution
from core.digests import derive_uniform
from core.records import CritiqueTrace, Generation

Which = Literal["best", "final", "every"]

CUT_REVISIONS = "every answer was empty or cut off"
"""Reason for which a trace has no training target."""


@dataclass(frozen=True)
class Target:
    """A prompt with the answer to train on."""

    trace: CritiqueTrace
    answer: Generation
    revised: bool
    """True if the answer is a revision; False if it is a draft that needed none."""


@dataclass
class SupervisedData:
    """Training targets from traces, and the prompts that are excluded."""

    targets: list[Target] = field(default_factory=list)
    excluded: list[tuple[str, str]] = field(default_factory=list)
    """Prompt id and reason of each exclusion."""


def supervised_data(
    traces: Iterable[CritiqueTrace],
    constitution: Constitution,
    benign_replay: float,
    seed: int,
    which: Which = "best",
) -> SupervisedData:
    """Return the answers to train on, in the order of the traces.

    Args:
        traces: one trace for each prompt.
        constitution: the constitution whose machine checks decide between the answers of a trace.
        benign_replay: maximum number of unrevised drafts per revision, drawn by hash of seed and prompt.
        seed: seed of the run.
        which: `best` takes the answer of each trace with the best score in the machine checks (the latest of
            equals), `final` the last kept revision, `every` all kept revisions. If no revision is usable,
            all three select the draft under the same conditions as `best`.
    """
    data = SupervisedData()
    found: list[Target] = []
    for trace in traces:
        outcome = _targets_of(trace, constitution, which)
        if isinstance(outcome, str):
            data.excluded.append((trace.prompt.id, outcome))
        else:
            found += outcome
    replayed = _drawn(
        [t for t in found if not t.revised], benign_replay * sum(t.revised for t in found), seed
    )
    for target in found:
        if target.revised or target.trace.prompt.id in replayed:
            data.targets.append(target)
        else:
            data.excluded.append(
                (target.trace.prompt.id, "the draft needed no revision; over the limit of sft.benign_replay")
            )
    return data


def _targets_of(trace: CritiqueTrace, constitution: Constitution, which: Which) -> list[Target] | str:
    """Return the training targets of a trace, or the reason why it has none."""
    revisions = [answer for number, answer in _usable(trace) if number > 0]
    if which == "best" or not revisions:
        target = target_of(trace, constitution)
        return target if isinstance(target, str) else [target]
    taken = revisions[-1:] if which == "final" else revisions
    return [Target(trace, answer, revised=True) for answer in taken]


def _usable(trace: CritiqueTrace) -> list[tuple[int, Generation]]:
    """Return the answers that are not empty and not cut off, with their positions; 0 is the draft."""
    return [
        (number, answer)
        for number, answer in enumerate(trace.answers())
        if answer.text and answer.finish_reason == "stop"
    ]


def target_of(trace: CritiqueTrace, constitution: Constitution) -> Target | str:
    """Return the best answer of a trace, or the reason why it has no training target."""
    answers, usable = trace.answers(), _usable(trace)
    if not usable:
        return CUT_REVISIONS
    checks = [
        check_on(p.check, trace.prompt)
        for p in constitution.steering
        if p.check is not None and in_scope(p, trace.prompt)
    ]

    def worth(candidate: tuple[int, Generation]) -> tuple[float, int]:
        number, answer = candidate
        # With equal scores the later answer wins.
        return sum(evaluate(check, answer.text).score for check in checks), number

    number, answer = max(usable, key=worth)
    if number > 0:
        return Target(trace, answer, revised=True)
    if not all(evaluate(check, answer.text).passed for check in checks):
        return "the draft fails a machine check, and no complete revision scores as well"
    if len(answers) > 1 and not checks:
        return "every revision was cut off"
    return Target(trace, answer, revised=False)


def _drawn(candidates: list[Target], count: float, seed: int) -> set[str]:
    """Return the ids of the prompts that are replayed."""
    order = sorted(candidates, key=lambda target: derive_uniform("replay", seed, target.trace.prompt.id))
    return {target.trace.prompt.id for target in order[: round(count)]}
