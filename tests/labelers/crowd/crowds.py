"""Votes and judgments for tests of aggregation over several annotators."""

from __future__ import annotations

from core.records import Comparison, Judgment, Message, Prompt
from labelers.crowd.votes import Vote, choice_of


def comparison(name: str, *tags: str, split: str | None = "preference") -> Comparison:
    """A comparison whose answer `a` is good and whose `b` is bad."""
    prompt = Prompt.of((Message(role="user", content=f"Question {name}?"),), tags=tags)
    prompt = prompt.model_copy(update={"split": split})
    return Comparison(
        id=name, prompt=prompt, response_a="Good.", response_b="Bad.", origin_a="good", origin_b="bad"
    )


def judged(name: str, verdict: str, who: str = "anna", labeler: str = "crowd", **fields: object) -> Judgment:
    """A human judgment of the comparison with that name."""
    given = {"id": f"{labeler}-{who}-{name}-{verdict}", "verdict": verdict, "annotator": who, **fields}
    return Judgment.model_validate({"comparison_id": name, "labeler": labeler, **given})


def by_ai(name: str, p_a: float, principle: str = "kind", labeler: str = "ai") -> Judgment:
    """A machine's judgment of the comparison with that name."""
    return Judgment(
        id=f"{labeler}-{name}-{principle}",
        comparison_id=name,
        labeler=labeler,
        verdict=choice_of(p_a),
        p_a=p_a,
        principle_id=principle,
    )


def vote(name: object, who: str, p_a: float | None, source: str = "crowd", weight: float = 1.0) -> Vote:
    choice = "both_bad" if p_a is None else choice_of(p_a)
    return Vote(str(name), who, source, choice, p_a, weight)
