"""Lint rules that need the prompts of a run: unreachable principles, unknown tags, quoted test prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from constitution.draw import in_scope
from constitution.lint.subject import Hit, LintContext
from constitution.schema import Constitution, Principle, Scope
from core.notices import counted
from core.records import Prompt
from core.text.explain import Loc, one_of, yaml_line
from core.text.similarity import words_of

_QUOTED_WORDS = 6
"""Minimum words of a test prompt to count as quoted within a longer prompt."""


def lint_prompts(constitution: Constitution, context: LintContext) -> Iterator[Hit]:
    """Yield the findings about scopes and examples; none without prompts."""
    if not context.prompts:
        return
    reached: dict[tuple[Scope | None, Scope | None], bool] = {}
    tags = {tag for prompt in context.prompts for tag in prompt.tags}
    for index, principle in enumerate(constitution.principles):
        scopes = (principle.applies_to, principle.exempt)
        if scopes not in reached:
            reached[scopes] = any(in_scope(principle, prompt) for prompt in context.prompts)
        if reached[scopes]:
            yield from _unknown_tags(principle, ("principles", index), tags)
        else:
            what = f"no prompt is in the scope of {principle.id!r}"
            loc: Loc = ("principles", index, "applies_to" if principle.applies_to else "except")
            yield Hit("L501", loc, what, _nearest(principle.applies_to, tags))
    yield from _uncovered(constitution.principles, context.prompts)
    yield from _quoted(constitution, context.prompts)


def _nearest(scope: Scope | None, tags: set[str]) -> str:
    if scope is None or not scope.tags:
        return "widen its scope"
    return (
        f"tags of the prompts: {one_of(sorted(tags), scope.tags[0])}" if tags else "the prompts have no tags"
    )


def _unknown_tags(principle: Principle, loc: Loc, tags: set[str]) -> Iterator[Hit]:
    for key, scope in (("applies_to", principle.applies_to), ("except", principle.exempt)):
        for position, tag in enumerate(scope.tags if scope else ()):
            if tag not in tags:
                hint = one_of(sorted(tags), tag) if tags else "the prompts have no tags"
                yield Hit(
                    "L503", (*loc, key, "tags", position), f"no prompt has the tag {yaml_line(tag)}", hint
                )


def _uncovered(principles: Sequence[Principle], prompts: Sequence[Prompt]) -> Iterator[Hit]:
    if any(p.applies_to is None and p.exempt is None for p in principles):
        return
    distinct = {(p.applies_to, p.exempt): p for p in principles}.values()
    alone = [prompt for prompt in prompts if not any(in_scope(p, prompt) for p in distinct)]
    if alone:
        first = yaml_line(alone[0].messages[-1].content)
        have = "has" if len(alone) == 1 else "have"
        shown = f"{len(alone):,} of {counted(len(prompts), 'prompt')} {have} no principle in scope"
        what = f"{shown}; the first is {first}"
        yield Hit("L504", ("principles",), what, "add a principle without `applies_to`")


def _quoted(constitution: Constitution, prompts: Sequence[Prompt]) -> Iterator[Hit]:
    tests = {" ".join(words_of(p.messages[-1].content)) for p in prompts if p.split == "test"}
    long = [text for text in tests if text.count(" ") + 1 >= _QUOTED_WORDS]
    for index, principle in enumerate(constitution.principles):
        for number, example in enumerate(principle.examples):
            text = " ".join(words_of(example.prompt))
            if text in tests or any(f" {quote} " in f" {text} " for quote in long):
                what = f"the prompt {yaml_line(example.prompt)} is in the test split"
                loc: Loc = ("principles", index, "examples", number, "prompt")
                yield Hit("L502", loc, what, "use another prompt")
