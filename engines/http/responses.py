"""Responses in OpenAI's chat form: the answer, its reasoning, and the probabilities of its first token."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import RequestError
from core.records import Generation
from engines.http.faults import TryFailedError, counted_tokens, mapping_in, shortened
from engines.http.requests import with_special_tokens
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.thinking import split_reasoning

_LENGTH = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "max_length"})
_FILTERED = frozenset({"content_filter", "safety", "recitation", "prohibited_content", "blocklist"})
_BROKEN = frozenset({"error", "abort", "cancelled", "insufficient_system_resource"})
"""Reasons for which a server ended an answer that is none."""
_SMALLEST = 1e-9
"""Smallest bound on the probability of a token that is not listed, below what rounding leaves."""
_ROUNDING = 1e-3
"""Nats above 0 that a log-probability may have by rounding."""
_IMPOSSIBLE = -1e4
"""Log-probability from which the probability is 0 as a float."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_FILTER = "the server's content filter removed the answer"


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The probabilities of an answer's first token."""

    listed: Mapping[str, float]
    """Probability of each listed token, by its text."""
    smallest: float
    """Probability of the least likely listed token: no other token has more."""
    top: str
    """Most likely token."""

    @property
    def missing_mass(self) -> float:
        """Probability of all tokens that are not listed."""
        return max(0.0, 1.0 - math.fsum(self.listed.values()))


def generation_in(value: Mapping[str, Any], request: GenerationRequest, model: str) -> Generation:
    """Return the answer in a response.

    Raises:
        TryFailedError: if the response has none.
        RequestError: if a content filter of the server removed it.
    """
    choice = _choice(value)
    finish = _finish(choice.get("finish_reason"))
    text, reasoning = _texts(mapping_in(choice.get("message")))
    if text is None and not (reasoning and finish == "length"):
        raise TryFailedError("answer without content")
    answer, thoughts = split_reasoning(text or "")
    usage = mapping_in(value.get("usage"))
    written = counted_tokens(usage.get("completion_tokens"))
    return Generation(
        text=_without_beginning(with_special_tokens(_valid(answer)), request.prefill),
        reasoning=_valid(reasoning or thoughts or "").strip() or None,
        finish_reason=finish,
        prompt_tokens=counted_tokens(usage.get("prompt_tokens")),
        completion_tokens=written,
        model=model,
        sampling=request.sampling,
        seed=request.seed if request.sampling.temperature > 0 else None,
    )


def has_content(value: Mapping[str, Any]) -> bool:
    """Return True if a response has the text of an answer."""
    return bool(_texts(mapping_in(_choice(value).get("message")))[0])


def reasoning_in(value: Mapping[str, Any]) -> str:
    """Return the reasoning in a response; empty if there is none."""
    return _texts(mapping_in(_choice(value).get("message")))[1] or ""


def first_token_in(value: Mapping[str, Any]) -> FirstToken | None:
    """Return the probabilities of the first token, or None if the response lists none.

    Raises:
        TryFailedError: if a log-probability is not a number.
    """
    content = mapping_in(_choice(value).get("logprobs")).get("content")
    if not isinstance(content, list) or not content:
        return None
    first = mapping_in(content[0])
    entries = first.get("top_logprobs")
    if not isinstance(entries, list) or not entries:
        return None
    listed: dict[str, float] = {}
    for entry in map(mapping_in, entries):
        # Half a character cannot be stored, and is no token of a choice.
        token = _HALF_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", str(entry.get("token", "")))
        listed[token] = listed.get(token, 0.0) + _probability(entry.get("logprob"))
    smallest = min(_probability(mapping_in(entry).get("logprob")) for entry in entries)
    return FirstToken(listed, smallest, max(listed, key=lambda token: listed[token]))


def choice_scores(
    first: FirstToken, value: Mapping[str, Any], request: ChoiceRequest, model: str
) -> ChoiceScores:
    """Return the log-probabilities of the offered answers.

    An offered token that is not listed has at most the probability of the least likely listed one, and of all
    that are not listed. This bound stands for it, which makes the answer look less certain than it is;
    `bounded` says where, and `missing_mass` how much probability is not listed. The mass of the answers
    counts listed tokens alone, so answers of which none is listed are never readable.
    """
    names = _names(first, request.choices)
    bound = max(_SMALLEST, min(first.missing_mass, first.smallest))
    found = [first.listed.get(name) for name in names]
    logprobs = tuple(math.log(max(_SMALLEST, bound if p is None else p)) for p in found)
    bounded = tuple(p is None for p in found)
    return ChoiceScores(
        logprobs=logprobs,
        answer_mass=min(1.0, math.fsum(p for p in found if p is not None)),
        top_token=dict(zip(names, request.choices, strict=True)).get(first.top, first.top),
        prompt_tokens=counted_tokens(mapping_in(value.get("usage")).get("prompt_tokens")),
        model=model,
        missing_mass=first.missing_mass,
        bounded=bounded if any(bounded) else None,
    )


def _names(first: FirstToken, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts of the offered tokens, with or without the space before them.

    The choices have one, as they continue a sentence. Where the answer is not begun, it starts with the bare
    word, and some tokenizers show no token with its space. The form with more probability counts for all.
    """
    bare = tuple(choice.strip() for choice in choices)
    masses = [math.fsum(first.listed.get(name, 0.0) for name in names) for names in (choices, bare)]
    return choices if masses[0] >= masses[1] else bare


def _choice(value: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = value.get("choices")
    if not isinstance(choices, list):
        raise TryFailedError("response without choices")
    if not choices:
        raise TryFailedError("empty choices")
    # Others than the one that was asked for may be there, and in any order.
    choice = next((c for c in map(mapping_in, choices) if c.get("index") == 0), mapping_in(choices[0]))
    if not isinstance(choice.get("message"), dict):
        raise TryFailedError("choice without a message")
    return choice


def _texts(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the content of a message, or the refusal in its place, and its reasoning."""
    content = message.get("content")
    if isinstance(content, list):  # parts of a message, as some servers write text too
        parts = [mapping_in(part).get("text") for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    refusal = message.get("refusal")
    text = content if isinstance(content, str) else refusal if isinstance(refusal, str) else None
    if content is not None and text is None:
        raise TryFailedError("content is not text", type(content).__name__)
    return text, reasoning if isinstance(reasoning, str) else None


def _finish(reason: object) -> Literal["stop", "length"]:
    name = str(reason or "stop").lower()
    if name in _FILTERED:
        raise RequestError(_FILTER, detail=f"finish_reason {shortened(name)!r}")
    if name in _BROKEN:
        raise TryFailedError("answer broken off", f"finish_reason {shortened(name)!r}")
    return "length" if name in _LENGTH else "stop"


def _valid(text: str) -> str:
    """Return a text that can be stored. Raises TryFailedError for half a character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise TryFailedError("answer is not valid Unicode") from None
    return text


def _without_beginning(text: str, prefill: str) -> str:
    """Return an answer without the words that it was to begin with, if a server repeats them."""
    start = prefill.strip()
    return text[len(start) :].strip() if start and text.startswith(start) else text


def _probability(logprob: object) -> float:
    """Return the probability of a token; servers write -9999 or -Infinity for an impossible one."""
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or logprob != logprob:
        raise TryFailedError("log-probability is not a number", shortened(str(logprob)))
    if logprob > _ROUNDING:
        raise TryFailedError("log-probability above 0", shortened(str(logprob)))
    # Bounded before the conversion: an integer may be too long for a float.
    return math.exp(max(_IMPOSSIBLE, min(logprob, 0.0)))
