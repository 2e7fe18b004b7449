"""The answers that supervised training learns from, chosen out of the traces.

By default each prompt gives one answer: of its draft and kept revisions the one that does best in the machine
checks, the latest of equals. Where that is a revision, the model learns to answer as it would after
criticism. Where it is the draft, the prompt was answered well already; some of those are replayed, so that
the model keeps what was good (Bai et al. 2022, arXiv 2212.08073, section 3.2, mix helpfulness samples in for
that reason).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from constitution.checks.evaluate import evaluate
from constitution.draw import in_scope
from constitution.schema import Constitution
from core.digests import derive_uniform
from core.records import CritiqueTrace, Generation

Which = Literal["best", "final", "every"]


@dataclass(frozen=True)
class Target:
    """A prompt's answer to learn."""

    trace: CritiqueTrace
    answer: Generation
    revised: bool
    """Whether it is a revision; otherwise a draft that needed none."""


@dataclass
class SupervisedData:
    """What traces amount to."""

    targets: list[Target] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Id of a prompt, and why it teaches nothing."""


def supervised_data(
    traces: Iterable[CritiqueTrace],
    constitution: Constitution,
    benign_replay: float,
    seed: int,
    which: Which = "best",
) -> SupervisedData:
    """Return the answers to learn, in order of the traces.

    Args:
        traces: one for each prompt.
        constitution: its machine checks decide between the answers of a trace.
        benign_replay: at most so many untouched drafts for each revision, drawn by hash of seed and prompt.
        seed: the run's.
        which: `best` takes of each trace the answer that does best in the machine checks (the latest of
            equals), `final` the last revision that was kept, `every` each of them. Where none ended by
            itself, all three judge the draft as `best` does.
    """
    data = SupervisedData()
    found: list[Target] = []
    for trace in traces:
        outcome = _targets_of(trace, constitution, which)
        if isinstance(outcome, str):
            data.left_out.append((trace.prompt.id, outcome))
        else:
            found += outcome
    replayed = _drawn(
        [t for t in found if not t.revised], benign_replay * sum(t.revised for t in found), seed
    )
    for target in found:
        if target.revised or target.trace.prompt.id in replayed:
            data.targets.append(target)
        else:
            data.left_out.append(
                (target.trace.prompt.id, "the draft needed no revision; beyond sft.benign_replay")
            )
    return data


def _targets_of(trace: CritiqueTrace, constitution: Constitution, which: Which) -> list[Target] | str:
    """Return the answers that a trace teaches, or why it teaches none."""
    revisions = [answer for number, answer in _usable(trace) if number > 0]
    if which == "best" or not revisions:
        target = target_of(trace, constitution)
        return target if isinstance(target, str) else [target]
    taken = revisions[-1:] if which == "final" else revisions
    return [Target(trace, answer, revised=True) for answer in taken]


def _usable(trace: CritiqueTrace) -> list[tuple[int, Generation]]:
    """Return the answers that say something and ended by themselves, with their round; 0 is the draft."""
    return [
        (number, answer)
        for number, answer in enumerate(trace.answers())
        if answer.text and answer.finish_reason == "stop"
    ]


def target_of(trace: CritiqueTrace, constitution: Constitution) -> Target | str:
    """Return the answer of a trace that does best, or why it teaches none."""
    answers, usable = trace.answers(), _usable(trace)
    if not usable:
        return "every answer was empty or cut before its end"
    checks = [p.check for p in constitution.principles if p.check is not None and in_scope(p, trace.prompt)]

    def worth(candidate: tuple[int, Generation]) -> tuple[float, int]:
        number, answer = candidate
        return sum(evaluate(check, answer.text).score for check in checks), number

    number, answer = max(usable, key=worth)
    if number > 0:
        return Target(trace, answer, revised=True)
    if not all(evaluate(check, answer.text).passed for check in checks):
        return "the draft breaks a machine check, and no finished revision comes nearer to passing"
    if len(answers) > 1 and not checks:
        return "every revision was cut before its end"
    return Target(trace, answer, revised=False)


def _drawn(candidates: list[Target], count: float, seed: int) -> set[str]:
    """Return the ids of the prompts that are replayed."""
    order = sorted(candidates, key=lambda target: derive_uniform("replay", seed, target.trace.prompt.id))
    return {target.trace.prompt.id for target in order[: round(count)]}
