"""Answers to measure, made from texts."""

from __future__ import annotations

from core.records import Answer, Generation, Message, Prompt, Sampling


def prompt_of(text: str, tags: tuple[str, ...] = ()) -> Prompt:
    return Prompt.of((Message(role="user", content=text),), tags=tags)


def answer_of(variant: str, prompt: Prompt | str, text: str, *, cut: bool = False) -> Answer:
    generation = Generation(
        text=text,
        finish_reason="length" if cut else "stop",
        prompt_tokens=5,
        completion_tokens=len(text.split()),
        model=f"model-{variant}",
        sampling=Sampling(temperature=0.0),
    )
    return Answer.of(variant, prompt_of(prompt) if isinstance(prompt, str) else prompt, generation)


def answers_of(variant: str, *texts: str) -> list[Answer]:
    """One answer to each of the questions 0, 1, ..."""
    return [answer_of(variant, f"Question {number}?", text) for number, text in enumerate(texts)]
