"""The examples of a principle that are shown to whoever works by it, and in which order."""

from __future__ import annotations

from constitution.schema import Example, Principle
from core.digests import derive_uniform


def few_shots(principle: Principle) -> tuple[tuple[Example, bool], ...]:
    """Return the examples with `use: few_shot`, each with whether its good answer comes first.

    It does so in every other one, so that a labeler sees both letters equally often, or one of them once
    more; a hash of the principle's id decides with which it begins. The order is the same in whichever order
    the answers to be judged are shown: turned round with them, the leaning of the examples to a letter would
    count for one answer instead of cancelling.
    """
    shown = [example for example in principle.examples if example.use == "few_shot"]
    begins_with_good = derive_uniform("few_shot", principle.id) < 0.5
    return tuple((example, begins_with_good == (number % 2 == 0)) for number, example in enumerate(shown))
