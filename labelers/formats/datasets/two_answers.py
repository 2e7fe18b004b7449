"""Read public data sets of two answers whose columns name the better one in their own way.

alpaca-eval   instruction, output_1, output_2, preference: 1 or 2, or weighted from 1.0 to 2.0 (p = x - 1 that
              output_2 is better), as of AlpacaEval's annotators
summaries     info.post (or article), summaries, choice (0 or 1), worker, extra.confidence, as of OpenAI's
              summarize_from_feedback
webgpt        question.full_text, answer_0, answer_1, score_0, score_1, as of OpenAI's webgpt_comparisons
shp           history, human_ref_A, human_ref_B, labels (1 if A is preferred), as of Stanford's SHP
openai        input.messages, preferred_output, non_preferred_output, as OpenAI's preference fine-tuning takes
judgebench    question, response_A, response_B, label A>B or B>A
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import Sides, oddities, prompt_of, shown, sides_of
from core.errors import RequestError
from labelers.formats.fields import (
    annotator_name,
    is_missing,
    list_of,
    mapping_of,
    maybe_number,
    maybe_text,
    number_of,
    required,
)
from labelers.formats.opinions import Opinion, Outcome, outcome_by, pair_of
from labelers.formats.source import RowLabels, RowSource, Skipped

_OUTPUTS = ("output_1", "output_2")
_REFERENCES = ("human_ref_A", "human_ref_B")
_ANSWERS = ("answer_0", "answer_1")
_PREFERRED = ("preferred_output", "non_preferred_output")
_RESPONSES = ("response_A", "response_B")
_MORE: Mapping[str, Outcome] = {
    "a>b": "first",
    "a>>b": "first",
    "b>a": "second",
    "b>>a": "second",
    "a<b": "second",
    "a<<b": "second",
    "a=b": "tie",
}


def _both(values: Mapping[str, Any], names: tuple[str, str]) -> tuple[Any, Any]:
    """Return the two answers of a row. Raises RequestError if one is empty."""
    return required(values, names[0]), required(values, names[1])


def _labels(
    number: int,
    sides: Sides,
    opinion: Opinion,
    origins: tuple[str, str],
    tag: str | None = None,
    skipped: list[Skipped] | None = None,
) -> RowLabels:
    """Return the labels of a row with one opinion."""
    pair = pair_of(sides, [opinion], origins, (tag,) if tag else ())
    return RowLabels((number,), (pair,), tuple(skipped or ()), oddities(sides.prompt))


class AlpacaEval(RowSource):
    """Annotations of AlpacaEval: a preference of 1 to 2 between two outputs."""

    name = "alpaca-eval"
    summary = "AlpacaEval annotations: instruction, output_1, output_2 and preference from 1 to 2"
    columns = frozenset(
        {
            "instruction",
            "input",
            *_OUTPUTS,
            "preference",
            "annotator",
            "generator_1",
            "generator_2",
            "dataset",
        }
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like an annotation of AlpacaEval, or None."""
        names = {"instruction", *_OUTPUTS, "preference"}
        return "it has the columns output_1, output_2 and preference" if names <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, output_1 first."""
        preference = number_of(required(values, "preference"), "preference")
        if preference == 0:  # how AlpacaEval once wrote a draw
            preference = 1.5
        if not 1 <= preference <= 2:
            raise RequestError("the preference is not between 1 and 2", detail=shown(preference))
        task = maybe_text(values, "input")
        instruction = required(values, "instruction")
        prompt = f"{instruction}\n{task}" if task and isinstance(instruction, str) else instruction
        sides = sides_of(prompt, *_both(values, _OUTPUTS), _OUTPUTS)
        opinion = Opinion(
            verdict=outcome_by(1.5 - preference),
            p_first=2 - preference,
            annotator=annotator_name(values.get("annotator")),
        )
        one, two = (maybe_text(values, f"generator_{n}") or name for n, name in enumerate(_OUTPUTS, start=1))
        return _labels(number, sides, opinion, (one, two), maybe_text(values, "dataset"))


class Summaries(RowSource):
    """Comparisons of two summaries of a post or an article."""

    name = "openai-summaries"
    summary = "OpenAI's comparisons of two summaries: info, summaries, choice, worker"
    columns = frozenset({"info", "summaries", "choice", "worker", "extra", "batch", "split"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a comparison of summaries, or None."""
        return (
            "it has the columns info, summaries and choice" if {"summaries", "choice"} <= row.keys() else None
        )

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, summary 0 first."""
        info = mapping_of(required(values, "info"), "info")
        summaries = [mapping_of(s, "a summary") for s in list_of(required(values, "summaries"), "summaries")]
        choice = number_of(required(values, "choice"), "choice")
        if len(summaries) != 2 or choice not in (0, 1):
            what = "a row has two summaries, and choice is 0 or 1"
            raise RequestError(what, detail=f"{len(summaries)} summaries, choice {shown(values['choice'])}")
        first, second = (required(s, "text") for s in summaries)
        sides = sides_of(required(info, "post", "article"), first, second)
        skipped: list[Skipped] = []
        extra = values.get("extra")
        certain = extra.get("confidence") if isinstance(extra, Mapping) else None
        opinion = Opinion(
            verdict="second" if choice else "first",
            annotator=annotator_name(values.get("worker")),
            comment=None
            if is_missing(certain)
            else f"confidence {certain}",  # from 1 to 9, but of either answer
        )
        one, two = (maybe_text(s, "policy") or f"summary_{n}" for n, s in enumerate(summaries))
        return _labels(number, sides, opinion, (one, two), maybe_text(info, "subreddit"), skipped)


class WebGpt(RowSource):
    """Comparisons of two answers to a question, each with a score."""

    name = "webgpt"
    summary = "WebGPT comparisons: question, answer_0, answer_1, score_0 and score_1"
    columns = frozenset({"question", *_ANSWERS, "score_0", "score_1", "dataset"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a comparison of WebGPT, or None."""
        names = {"question", *_ANSWERS, "score_0", "score_1"}
        return "it has the columns answer_0, answer_1, score_0 and score_1" if names <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, answer 0 first."""
        question = required(values, "question")
        if isinstance(question, Mapping):
            question = required(question, "full_text", "text")
        scores = [number_of(required(values, name), name) for name in ("score_0", "score_1")]
        sides = sides_of(question, *_both(values, _ANSWERS), _ANSWERS)
        lead = scores[0] - scores[1]
        return _labels(number, sides, Opinion(verdict=outcome_by(lead), margin=lead), _ANSWERS)


class StanfordPreferences(RowSource):
    """Two comments on a post; the label is 1 if comment A has more votes."""

    name = "shp"
    summary = "Stanford Human Preferences: history, human_ref_A, human_ref_B and labels"
    columns = frozenset({"history", *_REFERENCES, "labels", "domain", "score_A", "score_B", "score_ratio"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like SHP, or None."""
        names = {"history", *_REFERENCES, "labels"}
        return "it has the columns human_ref_A, human_ref_B and labels" if names <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, comment A first."""
        label = number_of(required(values, "labels"), "labels")
        if label not in (0, 1):
            raise RequestError("labels must be 0 or 1", detail=shown(values["labels"]))
        sides = sides_of(required(values, "history"), *_both(values, _REFERENCES), _REFERENCES)
        scores = [maybe_number(values, name) for name in ("score_A", "score_B")]
        lead = None if scores[0] is None or scores[1] is None else scores[0] - scores[1]
        agrees = lead is not None and (lead > 0) == (label == 1)
        opinion = Opinion(verdict="first" if label else "second", margin=lead if agrees else None)
        return _labels(number, sides, opinion, _REFERENCES, maybe_text(values, "domain"))


class OpenAIPreferences(RowSource):
    """The file format of OpenAI's preference fine-tuning."""

    name = "openai-preference"
    summary = "OpenAI's preference fine-tuning: input.messages, preferred_output and non_preferred_output"
    columns = frozenset({"input", *_PREFERRED})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like this format, or None."""
        return (
            "it has the columns preferred_output and non_preferred_output"
            if set(_PREFERRED) <= row.keys()
            else None
        )

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, the preferred answer first."""
        asked = required(values, "input")
        if isinstance(asked, Mapping):
            if asked.get("tools"):
                raise RequestError("the conversation contains tool calls", detail="in input.tools")
            asked = required(asked, "messages")
        sides = sides_of(prompt_of(asked), *_both(values, _PREFERRED), _PREFERRED)
        return _labels(number, sides, Opinion(verdict="first"), _PREFERRED)


class JudgeBench(RowSource):
    """Two responses with a label such as `A>B`."""

    name = "judgebench"
    summary = "JudgeBench: question, response_A, response_B and label A>B, B>A or A=B"
    columns = frozenset({"question", *_RESPONSES, "label", "source", "response_model", "pair_id"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like JudgeBench, or None."""
        word = row.get("label")
        known = isinstance(word, str) and _order(word) is not None
        return (
            "it has response_A, response_B and a label A>B"
            if known and set(_RESPONSES) <= row.keys()
            else None
        )

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, response A first."""
        label = required(values, "label")
        outcome = _order(label) if isinstance(label, str) else None
        if outcome is None:
            raise RequestError("the label is not A>B, B>A or A=B", detail=shown(label))
        sides = sides_of(required(values, "question", "prompt"), *_both(values, _RESPONSES), _RESPONSES)
        return _labels(number, sides, Opinion(verdict=outcome), _RESPONSES, maybe_text(values, "source"))


def _order(label: str) -> Outcome | None:
    """Return the outcome that a label such as `A>B` means, or None."""
    return _MORE.get("".join(label.split()).strip("[]").casefold())
