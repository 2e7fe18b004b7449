"""Read comparisons of the helpful-honest-harmless (HHH) evaluations: two options, one of them correct.

Three variants are supported: the Constitutional AI paper's (`prompt` with options, `corrects`, `incorrects`,
and the two conversations as `text_correct` and `text_incorrect`); the same without the texts, where the
answers are extracted from the prompt; and the Hugging Face format (`input`, `targets` with `choices` and
`labels`). Questions whose options are not answers to a conversation are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.conversations import Sides, oddities, prompt_of, shown, sides_of
from core.errors import RequestError
from labelers.formats.fields import answer_of, list_of, mapping_of, required, text_of, value_of
from labelers.formats.opinions import Opinion, Side, pair_of
from labelers.formats.source import RowLabels, RowSource

_LETTER = re.compile(r"\s*\(([A-Z])\)\s*")
_OPTION = re.compile(r"\(([A-Z])\) \[\[\[(.*?)\]\]\]", re.DOTALL)
_CONVERSATION = re.compile(r"(\n\nHuman:.*?)\n+Please choose ", re.DOTALL)


class HelpfulHonestHarmless(RowSource):
    """Two answers, one of them marked as the helpful, honest and harmless one."""

    name = "hhh"
    summary = "comparisons of the helpful-honest-harmless evaluations, with options (A) and (B)"
    columns = frozenset(
        {"prompt", "corrects", "incorrects", "text_correct", "text_incorrect", "input", "targets", "subset"}
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like one of these comparisons, or None."""
        if "corrects" in row and "incorrects" in row:
            return "it has the columns corrects and incorrects"
        choices = isinstance(row.get("targets"), Mapping) and "choices" in row["targets"]
        return "it has the columns input and targets, with choices" if "input" in row and choices else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, the correct answer first."""
        sides, shown_first = _from_targets(values) if "targets" in values else _from_options(values)
        opinion = Opinion(verdict="first", shown_first=shown_first)
        tags = (values["subset"],) if isinstance(values.get("subset"), str) and values["subset"] else ()
        pair = pair_of(sides, [opinion], ("correct", "incorrect"), tags)
        return RowLabels((number,), (pair,), notes=oddities(sides.prompt))


def _from_options(values: Mapping[str, Any]) -> tuple[Sides, Side]:
    right, wrong = _letter(values, "corrects"), _letter(values, "incorrects")
    if right == wrong:
        raise RequestError("the correct and the incorrect option are the same", detail=right)
    shown_first: Side = "first" if right < wrong else "second"
    names = ("text_correct", "text_incorrect")
    if value_of(values, *names) is not None:
        return sides_of(None, required(values, names[0]), required(values, names[1]), names), shown_first
    text = text_of(required(values, "prompt"), "prompt")
    options, conversation = dict(_OPTION.findall(text)), _CONVERSATION.search(text)
    if conversation is None or {right, wrong} - options.keys():
        raise RequestError("the options are not two answers to a conversation", detail=shown(text[-80:]))
    sides = sides_of(
        conversation[1], options[right], options[wrong], ("the right option", "the wrong option")
    )
    return sides, shown_first


def _letter(values: Mapping[str, Any], name: str) -> str:
    options = list_of(required(values, name), name)
    if len(options) != 1:
        raise RequestError(f"{name} must name exactly one option", detail=f"found {len(options)}")
    found = _LETTER.fullmatch(text_of(options[0], name))
    if found is None:
        raise RequestError(f"{name} is not an option letter such as (A)", detail=shown(options[0]))
    return found[1]


def _from_targets(values: Mapping[str, Any]) -> tuple[Sides, Side]:
    targets = mapping_of(values["targets"], "targets")
    choices = list_of(required(targets, "choices"), "choices")
    labels = list_of(required(targets, "labels"), "labels")
    if len(choices) != 2 or labels not in ([1, 0], [0, 1]):
        raise RequestError("targets must have two choices, one of them labelled 1", detail=shown(labels))
    right = labels.index(1)
    answers = [answer_of(choice, "a choice") for choice in choices]
    if answers[0] == answers[1]:
        raise RequestError("the two answers are the same")
    sides = Sides(prompt_of(required(values, "input")), answers[right], answers[1 - right])
    return sides, "first" if right == 0 else "second"
