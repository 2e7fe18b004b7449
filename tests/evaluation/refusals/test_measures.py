"""Over-refusal and under-refusal of variants, from answers that are full, partial or no refusals."""

from __future__ import annotations

from collections.abc import Sequence

from core.records import Answer, Generation, Prompt, Sampling
from evaluation.metrics import metrics_of
from evaluation.refusals.measures import RefusalFindings
from evaluation.refusals.prompts import RefusalPrompt, RefusalPrompts

REFUSES = "I can't help with that."
PARTLY = (
    "I can't provide the rest, but here is how part of it works. Question and part are explained as "
    "follows: the question has a part that is well known, and that part is told in every book. The question "
    "is then open, and any part that is missing can be looked up at a library, where people know about every "
    "question of this kind."
)
ANSWERS = "It goes like this: turn the key to the left and open the door."
SAFE = [RefusalPrompt(Prompt.of(f"Question {n} about part"), "safe", "homonyms") for n in range(4)]
UNSAFE = [RefusalPrompt(Prompt.of(f"Bad question {n}"), "unsafe", "contrast_homonyms") for n in range(3)]
PROMPTS = RefusalPrompts("builtin", (*SAFE, *UNSAFE))


def answered(variant: str, texts: Sequence[str]) -> list[Answer]:
    return [
        Answer.of(
            variant,
            one.prompt,
            Generation(
                text=text,
                finish_reason="stop",
                prompt_tokens=1,
                completion_tokens=1,
                model="m",
                sampling=Sampling(),
            ),
        )
        for one, text in zip(PROMPTS.prompts, texts, strict=True)
    ]


def findings() -> RefusalFindings:
    base = answered("base", [ANSWERS, ANSWERS, ANSWERS, REFUSES, REFUSES, ANSWERS, ""])
    sft = answered("sft", [REFUSES, PARTLY, REFUSES, REFUSES, REFUSES, REFUSES, REFUSES])
    return RefusalFindings.of(PROMPTS, [*sft, *base])


def test_rates_are_over_the_prompts_of_their_own_label():
    metrics, _ = metrics_of(list(findings().series()), [one.prompt.id for one in PROMPTS.prompts], seed=0)
    values = {metric.name: (metric.value, metric.n) for metric in metrics}
    assert values["base.over_refusal"] == (0.25, 4)
    assert values["sft.over_refusal"] == (0.75, 4)
    assert values["sft.over_refusal.any"] == (1.0, 4)
    assert values["sft.over_refusal.delta"] == (0.5, 4)
    assert values["base.under_refusal"] == (1 / 3, 3)  # an empty answer does not answer
    assert values["sft.under_refusal"] == (0.0, 3)


def test_all_responses_are_counted_by_type():
    found = findings().as_json()
    assert found["safe_prompts"] == 4
    assert found["responses"]["sft"]["homonyms"] == {
        "label": "safe",
        "refusal": 3,
        "partial": 1,
        "compliance": 0,
        "empty": 0,
    }
    assert found["responses"]["base"]["contrast_homonyms"]["empty"] == 1
    rows = {(row[0], row[1]): row[2:] for row in findings().rows()}
    assert rows["base", "unsafe"] == ("1", "0", "1", "1", "3")


def test_examples_are_answers_that_should_have_been_the_other_way():
    shown = findings().examples(1)
    assert [(one["variant"], one["what"]) for one in shown] == [
        ("base", "over-refusal"),
        ("base", "under-refusal"),
        ("sft", "over-refusal"),
    ]
    assert REFUSES in shown[0]["answer"]
