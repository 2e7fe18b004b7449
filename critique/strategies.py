"""Choose the principles of a round (`critique.principles`).

Bai et al. 2022 (arXiv 2212.08073, section 3.1) draw one principle at random for each round. The other ways
spend the rounds differently. All draws are by principle id, so an edit of one principle changes only the
rounds that it wins or won (`constitution/draw.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from constitution.draw import draw, in_scope
from constitution.schema import Constitution, Principle
from core.records import Prompt
from critique.guard import Standing

Strategy = Literal["random", "section", "all", "worst"]


def principles_of_round(
    strategy: Strategy,
    constitution: Constitution,
    prompt: Prompt,
    standing: Standing,
    key: tuple[int, int],
    *,
    ranked: bool = True,
) -> tuple[Principle, ...]:
    """Return the principles to revise an answer under; empty if none applies to the prompt.

    Args:
        strategy: how they are chosen.
        constitution: all principles.
        prompt: the prompt, which decides which principles apply.
        standing: the scores of the answer; only `worst` reads them.
        key: seed of the run and number of the round, from 1.
        ranked: False to draw among equally broken principles, as older runs do.
    """
    applicable = [p for p in constitution.steering if in_scope(p, prompt)]
    seed, number = key
    if not applicable:
        return ()
    if strategy == "all":
        return tuple(applicable)
    if strategy == "section":
        groups = list(_by_section(constitution, applicable))
        applicable = groups[(number - 1) % len(groups)]
    if strategy == "worst":
        order = draw(applicable, len(applicable), seed, prompt.id, number)
        return (min(order, key=lambda principle: _urgency(principle, standing, ranked=ranked)),)
    return draw(applicable, 1, seed, prompt.id, number)


def _by_section(constitution: Constitution, applicable: Sequence[Principle]) -> Iterator[list[Principle]]:
    """Yield the applicable principles of each section that has some; those without a section come last."""
    named = dict.fromkeys((*constitution.sections, *(p.section for p in applicable if p.section)))
    for section in (*named, None):
        members = [principle for principle in applicable if principle.section == section]
        if members:
            yield members


def _urgency(principle: Principle, standing: Standing, *, ranked: bool) -> tuple[float, ...]:
    """Return a key that is smallest for the principle that the answer fulfils least.

    Principles that the answer breaks come first, by score, of equal ones hard ones, then those of greater
    weight; then those without a score; then those it fulfils.
    """
    score = standing.scores.get(principle.id)
    if score is None:
        return (1,)
    if principle.id in standing.met:
        return (2,)
    return (0, score, not principle.hard, -principle.weight) if ranked else (0, score)
