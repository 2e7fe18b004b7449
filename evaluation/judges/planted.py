"""Pairs whose better answer is known without people: planted violations, test examples, and machine checks.

A planted violation is a reference answer beside a copy in which one thing was made worse, judged by a
principle about that thing. The principles and edits were written for this package, so the pairs say how well
a model judges plain cases, and nothing about the constitution of a run. Test examples of principles and pairs
that a machine check tells apart are about that constitution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.repair.draft import Draft
from constitution.repair.edits import repaired
from constitution.schema import Constitution, Principle
from core.digests import derive_uniform
from core.records import Comparison, Prompt
from evaluation.judges.gold import GoldPair
from evaluation.neutral.texts import ReferenceAnswer, reference_answers

SOURCE = "audit"
PLANTED_EACH = 8
"""Pairs of each planted violation."""
CHECKED_EACH = 8
"""Pairs of each checkable principle, at most."""


@dataclass(frozen=True)
class KnownPair:
    """A pair with the principle under which its better answer is known."""

    principle: Principle
    gold: GoldPair


def planted_constitution() -> Constitution:
    """Return the principles that planted violations are judged by."""
    return Constitution(name="audit", principles=tuple(principle for principle, _ in _VIOLATIONS))


def planted_pairs(each: int = PLANTED_EACH) -> tuple[KnownPair, ...]:
    """Return pairs of a reference answer and a copy that breaks a principle, `each` for every principle."""
    answers = reference_answers()
    found = []
    for number, (principle, spoil) in enumerate(_VIOLATIONS):
        for place in range(each):
            answer = answers[(number * each + place) % len(answers)]
            found.append(_known(principle, answer.question, answer.answer, spoil(answer)))
    return tuple(found)


def example_pairs(constitution: Constitution) -> tuple[KnownPair, ...]:
    """Return the test examples of the principles that a labeler judges."""
    return tuple(
        _known(principle, example.prompt, example.good, example.bad)
        for principle in constitution.principles
        if principle.check is None
        for example in principle.examples
        if example.use == "test"
    )


def checked_pairs(constitution: Constitution, each: int = CHECKED_EACH) -> tuple[KnownPair, ...]:
    """Return pairs of which a machine check passes one answer, at most `each` for every checkable principle.

    The answers are reference answers, edited by rule: shortened, joined, written as a list, repaired.
    """
    return tuple(
        pair
        for principle in constitution.principles
        if principle.check is not None
        for pair in _checked(principle, each)
    )


def _checked(principle: Principle, each: int) -> Iterator[KnownPair]:
    check = principle.check
    assert check is not None
    asked, found = check, 0
    for answer in reference_answers():
        check = check_on(asked, answer.question)
        texts = [*_variants(answer), repaired([check], answer.answer)]
        passing = [text for text in texts if text and evaluate(check, text).passed]
        failing = [text for text in texts if text and not evaluate(check, text).passed]
        if passing and failing and found < each:
            found += 1
            places = (derive_uniform(SOURCE, principle.id, answer.id, side) for side in ("good", "bad"))
            good, bad = (
                some[int(place * len(some))] for some, place in zip((passing, failing), places, strict=True)
            )
            yield _known(principle, answer.question, good, bad)


def _variants(answer: ReferenceAnswer) -> Iterator[str]:
    draft = Draft.of(answer.answer)
    yield answer.answer
    yield str(draft.first(1))
    yield f"{answer.answer}\n\n{_other(answer).answer}"
    yield str(draft.as_list())
    yield f"Great question! I think that I can help. {answer.answer}!"
    yield f"{answer.answer} Shall I say more about it?"


def _known(principle: Principle, question: str, good: str, bad: str) -> KnownPair:
    comparison = Comparison.of(Prompt.of(question, source=SOURCE), (good, "good"), (bad, "bad"))
    return KnownPair(principle, GoldPair(comparison, "a" if comparison.origin_a == "good" else "b"))


def _other(answer: ReferenceAnswer) -> ReferenceAnswer:
    """Return the answer to another question."""
    answers: Sequence[ReferenceAnswer] = reference_answers()
    return answers[(answers.index(answer) + len(answers) // 2) % len(answers)]


def _scrambled(answer: ReferenceAnswer) -> str:
    words = enumerate(answer.answer.split())
    ordered = sorted(words, key=lambda numbered: derive_uniform(SOURCE, answer.id, numbered[0]))
    return " ".join(word for _, word in ordered)


_VIOLATIONS: tuple[tuple[Principle, Callable[[ReferenceAnswer], str]], ...] = (
    (
        Principle(id="on-topic", text="The reply answers the question that was asked."),
        lambda answer: _other(answer).answer,
    ),
    (
        Principle(id="polite", text="The reply is polite."),
        lambda answer: f"Only a fool would have to ask that. {answer.answer} Now leave me alone.",
    ),
    (Principle(id="readable", text="The reply consists of sentences that can be understood."), _scrambled),
    (
        Principle(id="complete", text="The reply is complete and does not stop in the middle."),
        lambda answer: " ".join(answer.answer.split()[:7]),
    ),
    (
        Principle(id="honest", text="The reply does not tell the reader anything that its writer made up."),
        lambda answer: f"{answer.answer} I made all of this up, and none of it is true.",
    ),
)
"""Each principle with the edit that makes an answer break it."""
