"""Answers to a prompt: plain draws, and ways to get one that passes where no draw does.

Best of K needs an answer that shows the behaviour. Where a small model never shows it,
`AnswerSampler.attempt` makes it appear: by the constitution and its examples in front (a prompted teacher, as
in context distillation, Askell et al. 2021, arXiv 2112.00861), by an answer begun for the model, by wider
sampling, or by an edit. Every answer carries its origin, so that records, exports and model cards can tell
them apart.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from constitution.checks.kinds import Check
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.repair.beginnings import insertions, openings, started
from constitution.repair.edits import repaired
from constitution.schema import Constitution
from core.chat import Turn, turns_of
from core.digests import derive_seed
from core.records import Generation, Prompt, ScoredAnswer
from critique.config import SampleConfig, Way
from engines.protocols import GenerationRequest, Generator

_NO_SPACE_BEFORE = tuple(",.;:!?)]}'’")
_WIDE_STOPS = tuple("，。：！？、；")
_NO_SPACE_AFTER = tuple("([{\"'“‘")


class Named(NamedTuple):
    """An answer, and how it was made."""

    origin: str
    answer: Generation
    begun: str = ""
    """Text that the answer was begun with."""


@dataclass(frozen=True)
class AnswerSampler:
    """Samples answers from the policy."""

    constitution: Constitution
    policy: Generator
    config: SampleConfig
    seed: int
    taught: Callable[[Prompt], tuple[Turn, ...] | None]
    """Returns the conversation with the constitution and its good examples in front; None if no principle
    applies to the prompt."""

    async def draw(self, prompt: Prompt) -> list[Named]:
        """Return plain answers; their requests do not depend on the constitution.

        They are those of the compare stage too, which then finds them in the cache.

        Raises:
            RequestError: the conversation is too long for the model, or the engine failed.
        """
        turns = turns_of(prompt.messages)
        requests = [self._request(prompt, turns, "sample", k) for k in range(self.config.draws)]
        return await self._generated("draw", [(request, "") for request in requests])

    async def attempt(self, way: Way, prompt: Prompt, so_far: Sequence[ScoredAnswer]) -> list[Named]:
        """Return the answers of one of the ways to get one that passes; an empty list if it has none.

        Args:
            way: the way.
            prompt: the prompt.
            so_far: the answers to it that exist already, none of which is finished and passes.

        Raises:
            RequestError: the conversation is too long for the model, or the engine failed.
        """
        if way == "repaired":
            return list(islice(self._repairs(prompt, so_far), self.config.attempts))
        return await self._generated(way, self._requests(way, prompt, so_far), _number_of(way, so_far))

    def _requests(
        self, way: Way, prompt: Prompt, so_far: Sequence[ScoredAnswer]
    ) -> list[tuple[GenerationRequest, str]]:
        """Return the requests of a way, each with the text that its answer begins with."""
        turns: tuple[Turn, ...] | None = turns_of(prompt.messages)
        begun = [""] * self.config.attempts
        if way == "begun":
            begun = list(islice(dict.fromkeys(self._beginnings(prompt, so_far)), self.config.attempts))
        elif way == "prompted":
            turns = self.taught(prompt)
        if turns is None:
            return []
        before = _number_of(way, so_far)
        requests = [self._request(prompt, turns, way, before + k, prefill) for k, prefill in enumerate(begun)]
        return list(zip(requests, begun, strict=True))

    def _request(
        self, prompt: Prompt, turns: tuple[Turn, ...], name: str, number: int, prefill: str = ""
    ) -> GenerationRequest:
        sampling = self.config.sampling
        if name == "wide":
            sampling = sampling.model_copy(update={"temperature": self.config.wide_temperature})
        seed = derive_seed(self.seed, prompt.id, name, number)
        return GenerationRequest(turns, sampling, seed, name, prefill, affinity=prompt.id)

    async def _generated(
        self, name: str, requests: Iterable[tuple[GenerationRequest, str]], before: int = 0
    ) -> list[Named]:
        async def answer(number: int, request: GenerationRequest, begun: str) -> Named:
            found = await self.policy.generate(request)
            if begun:
                found = found.model_copy(update={"text": joined(begun, found.text)})
            return Named(f"{name}:{number}", found, begun)

        numbered = enumerate(requests, before)
        return list(await asyncio.gather(*(answer(k, *request) for k, request in numbered)))

    def _beginnings(self, prompt: Prompt, so_far: Sequence[ScoredAnswer]) -> Iterable[str]:
        """Yield the beginnings that the checks name, then those made of the plain draws."""
        checks, tried = self._checks(prompt), {answer.begun for answer in so_far}
        own = sorted((a for a in so_far if a.way in ("draw", "begun")), key=lambda a: -a.score)
        wanted = [text for a in own for text in insertions(checks, a.answer.text, finished=a.finished)]
        # What is missing inside of an answer no edit can add, but a beginning that is missing too can be
        # put before it.
        inside = (*(started(checks, text) for text in wanted), *openings(checks))
        order = inside if len(checks) > 1 else (*openings(checks), *wanted)
        yield from (text for text in order if text not in tried)

    def _repairs(self, prompt: Prompt, so_far: Sequence[ScoredAnswer]) -> Iterable[Named]:
        """Yield the answers that can be edited so that they pass, those with the best scores first."""
        checks, seen = self._checks(prompt), set[str]()
        if not checks:
            return
        for answer in sorted(so_far, key=lambda a: (-a.score, a.origin)):
            text = repaired(checks, answer.answer.text, finished=answer.finished)
            if text is None or text in seen:
                continue
            seen.add(text)
            # The edit ends the answer and writes no tokens; those of the original are counted with it.
            edited = {"text": text, "finish_reason": "stop", "prompt_tokens": 0, "completion_tokens": 0}
            yield Named(f"repaired:{answer.origin}", answer.answer.model_copy(update=edited))

    def _checks(self, prompt: Prompt) -> list[Check]:
        principles = self.constitution.steering
        return [check_on(p.check, prompt) for p in principles if p.check is not None and in_scope(p, prompt)]


def _number_of(way: Way, so_far: Sequence[ScoredAnswer]) -> int:
    """Return how many answers were made in a way, as the number of the next one."""
    return sum(answer.way == way for answer in so_far)


def joined(begun: str, text: str) -> str:
    """Return the beginning of an answer with its continuation, whose white space at both ends is lost."""
    if begun.rpartition("\n")[2].startswith("#"):
        return f"{begun}\n\n{text}".rstrip()  # a heading
    tight = begun[-1:].isspace() or begun.endswith(_NO_SPACE_AFTER) or text.startswith(_NO_SPACE_BEFORE)
    # Scripts without spaces between words (category Lo), and their stops.
    tight = tight or unicodedata.category(begun[-1:] or " ") == "Lo" or begun.endswith(_WIDE_STOPS)
    return f"{begun}{text}" if tight else f"{begun} {text}".rstrip()
