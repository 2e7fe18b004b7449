"""Lint rules for examples: no contrast, contradiction with the check, duplicates, and test leakage."""

from __future__ import annotations

from collections.abc import Iterator

from constitution.checks.evaluate import count_words, evaluate, matches
from constitution.checks.prompted import check_on
from constitution.lint.subject import Hit, LintContext
from constitution.schema import Constitution, Example, Principle
from core.text.explain import Loc, yaml_line
from core.text.similarity import words_of

MAX_FEW_SHOT_WORDS = 500


def lint_examples(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the findings about the examples of a constitution."""
    for index, principle in enumerate(constitution.principles):
        loc: Loc = ("principles", index, "examples")
        yield from mixed_uses(principle, loc)
        yield from _repeated(principle, loc)
        yield from _few_shots(principle, loc)
        for number, example in enumerate(principle.examples):
            yield from _example(example, principle, (*loc, number))


def mixed_uses(principle: Principle, loc: Loc) -> Iterator[Hit]:
    """Yield the examples with the prompt of an earlier example of the same principle and another use."""
    first: dict[tuple[str, ...], tuple[int, str]] = {}
    for number, example in enumerate(principle.examples):
        words = tuple(words_of(example.prompt))
        earlier, use = first.setdefault(words, (number, example.use))
        if use != example.use:
            what = f"the prompt of this {example.use} example is also that of {use} example {earlier + 1}"
            yield Hit("L404", (*loc, number, "prompt"), what, "use different prompts, or the same use")


def _repeated(principle: Principle, loc: Loc) -> Iterator[Hit]:
    seen: dict[tuple[str, str, str, str], int] = {}
    for number, example in enumerate(principle.examples):
        key = (example.prompt, example.good, example.bad, example.use)
        earlier = seen.setdefault(key, number)
        if earlier != number:
            yield Hit("L405", (*loc, number), f"duplicate of example {earlier + 1}", "delete one of the two")


def _few_shots(principle: Principle, loc: Loc) -> Iterator[Hit]:
    shown_first = next((n for n, e in enumerate(principle.examples) if e.use == "few_shot"), None)
    if shown_first is None:
        return
    words = sum(
        count_words(text)
        for example in principle.examples
        if example.use == "few_shot"
        for text in (example.prompt, example.good, example.bad, example.why)
    )
    if words > MAX_FEW_SHOT_WORDS:
        what = f"the few-shot examples have {words} words in total, over the limit of {MAX_FEW_SHOT_WORDS}"
        yield Hit("L407", (*loc, shown_first), what, "keep the shortest two")


def _example(example: Example, principle: Principle, loc: Loc) -> Iterator[Hit]:
    if example.good == example.bad:
        yield Hit(
            "L401", (*loc, "bad"), "good and bad are the same", "write an answer that violates the principle"
        )
    elif principle.check is not None and principle.check.kind != "python":  # only `publius test` runs code
        kind = principle.check.kind
        check = check_on(principle.check, example.prompt)
        if not evaluate(check, example.good).passed:
            what = f"the good answer fails the check {kind}"
            yield Hit("L402", (*loc, "good"), what, "fix the answer, or the check")
        if evaluate(check, example.bad).passed:
            what = f"the bad answer passes the check {kind}"
            yield Hit("L403", (*loc, "bad"), what, "fix the answer, or move the example")
    applies, exempt = principle.applies_to, principle.exempt
    if applies is not None and applies.pattern and not matches(applies.pattern, example.prompt):
        what = f"the prompt does not match the pattern {yaml_line(applies.pattern)} of `applies_to`"
        yield Hit("L406", (*loc, "prompt"), what, "use a prompt in the scope of the principle")
    elif (
        exempt is not None and exempt.pattern and not exempt.tags and matches(exempt.pattern, example.prompt)
    ):
        what = f"the prompt matches the pattern {yaml_line(exempt.pattern)} of `except`"
        yield Hit("L406", (*loc, "prompt"), what, "use a prompt in the scope of the principle")
