"""Phrases that a variant writes more often than base, found without a list.

Each phrase of three to eight words is counted once in an answer, however often it occurs there, so that no
answer can make a phrase of its own. With y_v and y_b of n prompts whose answers have it, pooled share q, and
a Dirichlet prior that is worth n prompts and has the pooled shares, the log-odds ratio and its standard
error are (Monroe, Colaresi and Quinn 2008, "Fightin' Words", Political Analysis 16, equations 16 and 20, for
answers in place of words)

    delta = log((y_v + n q) / (n - y_v + n (1 - q))) - log((y_b + n q) / (n - y_b + n (1 - q)))
    z     = delta / sqrt(sum of the reciprocals of the four counts)

Thousands of overlapping phrases are tested. If the variant writes like base, its answer and base's to the
same prompt may be swapped, so the largest z over all phrases is compared with its distribution over random
swaps (Westfall and Young 1993): the probability of any phrase at all is then at most 5 %.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.digests import derive_uniform
from core.statistics.bootstrap import Floats
from core.statistics.significance import LEVEL_OF_TESTS
from core.text.similarity import words_of

Phrase = tuple[str, ...]
SHORTEST, LONGEST = 3, 8
"""Number of words in a phrase."""
BOILERPLATE_RISE = 0.2
"""Rise of the share of prompts from which on a phrase is boilerplate: in one answer of five that had none."""
_SWAPS = 499
"""Number of random swaps; the smallest p-value is 1 in 500."""
_MIN_PROMPTS = 3
"""Minimum number of prompts with a phrase in any answer. It does not depend on whose answer it is."""
_MIN_SHARE = 0.02
_MOST_PROMPTS = 500
"""Maximum number of prompts that are compared, chosen by hash; more take gigabytes and find little more."""
_MOST_PHRASES = 20_000
"""Maximum number of phrases to test, those with the most prompts first."""
_NEARLY, _PART = 0.8, 0.5
_MOST_FOUND = 500
"""Maximum number of phrases that are compared with each other, those with the largest rise."""
_CONTEXT = 60
"""Characters of an example on both sides of a phrase."""


@dataclass(frozen=True)
class SpreadPhrase:
    """A phrase that a variant writes more often than base, beyond chance."""

    text: str
    """The phrase as it stands in the example, on one line."""
    words: Phrase
    share: float
    """Share of the prompts whose answer by the variant has it; with several answers, their mean share."""
    base_share: float
    z: float
    p_value: float
    """Probability that any phrase has such a z by chance."""
    prompt_id: str
    """Prompt of the example."""
    example: str
    """A passage of an answer with the phrase."""

    @property
    def rise(self) -> float:
        """Difference of the shares."""
        return self.share - self.base_share

    @property
    def is_boilerplate(self) -> bool:
        """True if it rose by at least `BOILERPLATE_RISE`."""
        return self.rise >= BOILERPLATE_RISE

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`."""
        return {
            "phrase": self.text,
            "share": self.share,
            "base_share": self.base_share,
            "z": self.z,
            "p_value": self.p_value,
            "boilerplate": self.is_boilerplate,
            "prompt_id": self.prompt_id,
            "example": self.example,
        }


AnswersByPrompt = Mapping[str, Sequence[str]]
"""Answers of one variant, one or several to each prompt, by prompt id."""


def spread_phrases(ours: AnswersByPrompt, base: AnswersByPrompt, seed: int = 0) -> tuple[SpreadPhrase, ...]:
    """Return the phrases that spread beyond chance, those with the largest rise first.

    Of phrases that overlap with nearly the same rise, the longest is returned.

    Args:
        ours: answers of the variant.
        base: answers of base. Prompts without answers of both are ignored; of more than 500, 500 are taken.
        seed: seed of the random swaps.
    """
    shared = sorted(ours.keys() & base.keys(), key=lambda prompt_id: derive_uniform("phrases", prompt_id))
    prompts = sorted(shared[:_MOST_PROMPTS])
    counted = _shares(ours, prompts), _shares(base, prompts)
    phrases = _candidates(counted, len(prompts))
    if not phrases:
        return ()
    mine, theirs = (_matrix(shares, phrases) for shares in counted)
    z, p_values = _tested(mine, theirs, seed)
    rise = (mine - theirs).mean(axis=0)
    found = [place for place in np.argsort(-rise, kind="stable") if p_values[place] <= LEVEL_OF_TESTS]
    found = found[:_MOST_FOUND]
    kept = _without_related([phrases[place] for place in found], [float(rise[place]) for place in found])
    places = {phrases[place]: place for place in found}
    return tuple(
        _described(
            phrase,
            ours,
            [prompts[row] for row in np.flatnonzero(mine[:, places[phrase]])],
            float(mine[:, places[phrase]].mean()),
            float(theirs[:, places[phrase]].mean()),
            float(z[places[phrase]]),
            float(p_values[places[phrase]]),
        )
        for phrase in kept
    )


def phrases_in(text: str) -> set[Phrase]:
    """Return the phrases of a text, without case, punctuation and apostrophes."""
    words = words_of(text)
    return {
        tuple(words[start : start + length])
        for length in range(SHORTEST, LONGEST + 1)
        for start in range(len(words) - length + 1)
    }


def _shares(answers: AnswersByPrompt, prompts: Sequence[str]) -> list[dict[Phrase, float]]:
    """Return, for each prompt, the share of its answers that have a phrase."""
    found = []
    for prompt_id in prompts:
        counts = Counter(phrase for text in answers[prompt_id] for phrase in phrases_in(text))
        found.append({phrase: count / len(answers[prompt_id]) for phrase, count in counts.items()})
    return found


def _candidates(counted: tuple[list[dict[Phrase, float]], ...], prompts: int) -> list[Phrase]:
    """Return the phrases that enough prompts have in any answer, without those that all answers have."""
    spread = Counter(phrase for pair in zip(*counted, strict=True) for phrase in set().union(*pair))
    everywhere = Counter[Phrase]()
    for of_prompt in zip(*counted, strict=True):
        everywhere.update(
            phrase for phrase, share in of_prompt[0].items() if share + of_prompt[1].get(phrase, 0) == 2
        )
    fewest = max(_MIN_PROMPTS, _MIN_SHARE * prompts)
    frequent = [
        phrase for phrase, count in spread.items() if count >= fewest and everywhere[phrase] < prompts
    ]
    return sorted(frequent, key=lambda phrase: (-spread[phrase], phrase))[:_MOST_PHRASES]


def _matrix(shares: Sequence[Mapping[Phrase, float]], phrases: Sequence[Phrase]) -> Floats:
    """Return the shares as [prompts, phrases]."""
    places = {phrase: place for place, phrase in enumerate(phrases)}
    matrix = np.zeros((len(shares), len(phrases)))
    for row, of_prompt in enumerate(shares):
        for phrase, share in of_prompt.items():
            if phrase in places:
                matrix[row, places[phrase]] = share
    return matrix


def _tested(mine: Floats, theirs: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return z of each phrase, and its p-value over all phrases together."""
    prompts = len(mine)
    together, difference = (mine + theirs).sum(axis=0), mine - theirs
    observed = _z_scores(together, difference.sum(axis=0), prompts)
    signs = np.random.default_rng(seed).integers(2, size=(_SWAPS, prompts)) * 2.0 - 1.0
    # Row by row: all at once would take the memory of swaps times phrases several times.
    largest = np.sort([float(_z_scores(together, row @ difference, prompts).max()) for row in signs])
    # Values that are equal in exact arithmetic differ in their last digits.
    as_large = _SWAPS - np.searchsorted(largest, observed - 1e-9)
    return observed, (as_large + 1) / (_SWAPS + 1)


def _z_scores(together: Floats, difference: Floats, prompts: int) -> Floats:
    """Return z from the sum and the difference of the two numbers of prompts with each phrase."""
    prior = together / 2  # n q; that of answers without the phrase is n - n q
    ours, base = (together + difference) / 2 + prior, (together - difference) / 2 + prior
    without_ours, without_base = 2 * prompts - ours, 2 * prompts - base
    delta = np.log(ours / without_ours) - np.log(base / without_base)
    return np.asarray(delta / np.sqrt(1 / ours + 1 / without_ours + 1 / base + 1 / without_base))


def _without_related(phrases: Sequence[Phrase], rises: Sequence[float]) -> list[Phrase]:
    """Return the phrases by rise, without those that say little more than one with three common words.

    First the shorter one is left out if the longer has nearly its rise, then one with a much smaller rise.
    """
    related: dict[Phrase, set[Phrase]] = {}
    for phrase in phrases:
        for start in range(len(phrase) - SHORTEST + 1):
            related.setdefault(phrase[start : start + SHORTEST], set()).add(phrase)
    rise = dict(zip(phrases, rises, strict=True))

    def near(phrase: Phrase) -> set[Phrase]:
        runs = (phrase[start : start + SHORTEST] for start in range(len(phrase) - SHORTEST + 1))
        return set().union(*(related[run] for run in runs)) - {phrase}

    kept: set[Phrase] = set()
    for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), -rise[phrase], phrase)):
        if not any(other in kept and rise[other] >= _NEARLY * rise[phrase] for other in near(phrase)):
            kept.add(phrase)
    told = [p for p in kept if not any(o in kept and rise[p] < _PART * rise[o] for o in near(p))]
    return sorted(told, key=lambda phrase: (-rise[phrase], phrase))


def _described(
    phrase: Phrase,
    ours: AnswersByPrompt,
    prompts: Sequence[str],
    share: float,
    base_share: float,
    z: float,
    p_value: float,
) -> SpreadPhrase:
    pattern = re.compile(r"\W+".join(r"\W?".join(map(re.escape, word)) for word in phrase), re.IGNORECASE)
    for prompt_id in prompts:
        for text in ours[prompt_id]:
            match = pattern.search(text)
            if match is not None:
                shown = " ".join(match.group().split())
                around = text[max(0, match.start() - _CONTEXT) : match.end() + _CONTEXT]
                example = " ".join(around.split())
                return SpreadPhrase(shown, phrase, share, base_share, z, p_value, prompt_id, example)
    return SpreadPhrase(" ".join(phrase), phrase, share, base_share, z, p_value, prompts[0], "")
