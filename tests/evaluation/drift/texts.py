"""Random texts with the frequencies of natural words, and answers made of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.records import Answer, Generation, Prompt, Sampling

WORDS = np.array([f"w{number}" for number in range(300)])
_RATES = 1 / np.arange(1, len(WORDS) + 1)


def random_text(rng: np.random.Generator, length: int = 60) -> str:
    """Return words with Zipf's frequencies."""
    return " ".join(rng.choice(WORDS, size=length, p=_RATES / _RATES.sum()))


def answer(variant: str, name: str, text: str) -> Answer:
    """Return one answer to the prompt with this name."""
    generation = Generation(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, model="m", sampling=Sampling()
    )
    return Answer.of(variant, Prompt.of(name), generation)


def answers(texts: Mapping[str, Mapping[str, str]]) -> list[Answer]:
    """Return answers from texts by variant and name of the prompt."""
    return [answer(variant, name, text) for variant, given in texts.items() for name, text in given.items()]
