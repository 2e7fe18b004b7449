"""Few-shot examples of a principle, and the order of their answers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from constitution.schema import Example, Principle
from core.chat import Turn, Untrusted
from core.digests import derive_uniform


@lru_cache(1024)
def few_shots(principle: Principle) -> tuple[tuple[Example, bool], ...]:
    """Return the examples with `use: few_shot`, each with True if its good answer is shown first.

    The position of the good answer alternates. A labeler therefore sees both letters as the correct answer
    equally often, or one of them once more; a hash of the principle's id determines the position in the first
    example. The order of the examples is the same for both presentation orders of the judged answers. If it
    were swapped with them, a bias of the examples towards a letter would favour one answer instead of
    cancelling.
    """
    shown = [example for example in principle.examples if example.use == "few_shot"]
    begins_with_good = derive_uniform("few_shot", principle.id) < 0.5
    return tuple((example, begins_with_good == (number % 2 == 0)) for number, example in enumerate(shown))


def good_examples(principles: Iterable[Principle]) -> tuple[Turn, ...]:
    """Return the few-shot examples of the principles as turns: each prompt, and its good answer."""
    turns: list[Turn] = []
    for principle in principles:
        for example, _ in few_shots(principle):
            turns.append(Turn("user", (Untrusted(example.prompt),)))
            turns.append(Turn("assistant", (Untrusted(example.good),)))
    return tuple(turns)
