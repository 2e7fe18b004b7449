"""Lint rules for structure: sections, weights, overrides, antitheses and scopes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from constitution.lint.subject import Hit, LintContext
from constitution.schema import Constitution, Principle, Scope
from core.text.explain import Loc, yaml_line
from core.text.similarity import words_of

MIN_SHARE = 0.001
MAX_SHARE = 0.5
MAX_RATIO = 100.0
_OVERRIDES = ("critique", "revision", "comparison")


def lint_structure(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the findings about the structure of a constitution."""
    yield from _sections(constitution)
    yield from _weights(constitution)
    yield from _antitheses(constitution)
    for index, principle in enumerate(constitution.principles):
        yield from _overrides(principle, ("principles", index), context)
        if _excepts_all(principle):
            what = f"`except` excludes every prompt{' of `applies_to`' if principle.applies_to else ''}"
            yield Hit(
                "L213", ("principles", index, "except"), what, "narrow `except`, or delete the principle"
            )


def _sections(constitution: Constitution) -> Iterator[Hit]:
    used = {principle.section for principle in constitution.principles}
    for position, section in enumerate(constitution.sections):
        if section not in used:
            what = f"no principle is in the section {yaml_line(section)}"
            yield Hit("L203", ("sections", position), what, "delete it, or set the section of its principles")
    for index, principle in enumerate(constitution.principles):
        if principle.section is None and used != {None}:
            hint = f"section: {' or '.join(constitution.sections) or min(filter(None, used))}"
            yield Hit("L204", ("principles", index), f"{principle.id!r} has no section", hint)


def _weights(constitution: Constitution) -> Iterator[Hit]:
    weights = [principle.weight for principle in constitution.principles]
    used = [weight for weight in weights if weight > 0]
    if not used:
        what = "every principle has weight 0: all are measured, and none steers"
        yield Hit("L214", ("principles", 0, "weight"), what, "give one a weight of more than 0")
        return
    total, median = sum(weights), statistics.median(used)
    extreme = False
    for index, weight in enumerate(weights):
        loc: Loc = ("principles", index, "weight")
        if 0 < weight / total < MIN_SHARE and weight < median / 10:
            extreme = True
            what = f"the weight {weight:g} is {_percent(weight / total)} of the total"
            yield Hit("L205", loc, what, "weights are relative; raise it, or delete the principle")
        elif weight / total > MAX_SHARE and len(used) > 2:
            extreme = True
            what = f"the weight {weight:g} is {_percent(weight / total)} of the total"
            yield Hit("L206", loc, what, "lower it, or set `hard: true`")
    heaviest, lightest = max(used), min(used)
    if not extreme and heaviest / lightest >= MAX_RATIO:
        what = f"the weight {heaviest:g} is {heaviest / lightest:,.0f} times the smallest, {lightest:g}"
        other = weights.index(lightest)
        loc = ("principles", weights.index(heaviest), "weight")
        yield Hit("L207", loc, what, "bring the two weights closer together", (other,))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _antitheses(constitution: Constitution) -> Iterator[Hit]:
    principles = enumerate(constitution.principles)
    judged = [(index, p) for index, p in principles if p.check is None and p.weight > 0]
    without = [index for index, principle in judged if principle.antithesis is None]
    if without and len(without) < len(judged):
        count = len(judged) - len(without)
        what = f"{count} of {len(judged)} judged principles have an antithesis; this one does not"
        hint = "for contrastive labeling, write one for each principle"
        yield Hit("L209", ("principles", without[0]), what, hint)


def _overrides(principle: Principle, loc: Loc, context: LintContext) -> Iterator[Hit]:
    for key in _OVERRIDES:
        override = getattr(principle, key)
        if override is None:
            continue
        words = words_of(override)
        default = context.defaults.get(key, "").replace("{text}", principle.text)
        if words == words_of(principle.text):
            yield Hit("L208", (*loc, key), f"the {key} only repeats the text", "delete it")
        elif words == words_of(default):
            yield Hit("L208", (*loc, key), f"the {key} is the same as the default request", "delete it")
    if principle.check is not None:
        for key in ("comparison", "antithesis"):
            if getattr(principle, key) is not None:
                what = f"the {key} is never used: the check decides this principle"
                yield Hit("L211", (*loc, key), what, f"delete the {key}, or the check")


def _excepts_all(principle: Principle) -> bool:
    applies, exempt = principle.applies_to, principle.exempt
    if exempt == Scope():
        return True
    if applies is None or exempt is None:
        return False
    tags = not exempt.tags or (bool(applies.tags) and set(applies.tags) <= set(exempt.tags))
    pattern = exempt.pattern is None or exempt.pattern == applies.pattern
    return tags and pattern
