"""Read Label Studio's exports of pairwise tasks: JSON (a list of tasks) and JSON-MIN (an annotation per row).

The two answers and the prompt are found in a task's data by common names, or by the user's mapping. The left
answer is the first one that the control names. Every annotation is an opinion of its own, with annotator (a
number or an object), time and duration (`lead_time`). A cancelled annotation has the verdict `skip`; one
without a result is not used. `Pairwise` has no tie, so a `Choices` control next to it may give tie or both
bad. Predictions are not annotations and are ignored.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from core.conversations import Sides, oddities, shown
from core.errors import RequestError
from core.records import Candidate
from labelers.formats.annotation_columns import moment_in, optional
from labelers.formats.fields import (
    MAPPED_ANSWERS,
    PROMPTS,
    annotator_name,
    answer_of,
    is_missing,
    is_outcome,
    list_of,
    mapped_columns,
    mapping_of,
    maybe_number,
    maybe_text,
    number_of,
    outcome_of,
    present,
    prompt_in,
    text_of,
    value_of,
)
from labelers.formats.opinions import OTHER, Opinion, Outcome, outcome_by, pair_of
from labelers.formats.source import RowLabels, RowSource, Skipped, refusal
from labelers.formats.tools.label_studio_ranker import is_ranked, ranker_labels
from labelers.formats.tools.packed_records import KEY, ShownAnswer, unpack

_RESPONSES = (
    MAPPED_ANSWERS,
    ("response1", "response2"),
    ("response_1", "response_2"),
    ("answer_a", "answer_b"),
    ("answer1", "answer2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("output_1", "output_2"),
    ("left", "right"),
)
CONTROL, OTHERWISE = "comparison", "otherwise"
"""Controls of Publius's own exports, followed by `-<dimension>`. `otherwise` is tie, both bad or skip."""
_CONTROLS = (CONTROL, OTHERWISE, "verdict", "preference", "pairwise", "pw", "choice")
_COMMENTS = ("comment", "rationale", "reason", "explanation")


class _Content(NamedTuple):
    """The content of one annotation."""

    outcomes: dict[str | None, tuple[Outcome, str]]
    """Outcome and id of the result, by dimension."""
    ratings: dict[str, float]
    """Rating of each rated answer, by its name."""
    comment: str | None


class LabelStudio(RowSource):
    """Pairwise tasks with all their annotations."""

    name = "label-studio"
    summary = "Label Studio pairwise exports, JSON or JSON-MIN"

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like an export of Label Studio, or None."""
        if "annotations" in row and isinstance(row.get("data"), Mapping):
            return "it has data and annotations"
        if "annotation_id" in row and "annotator" in row:
            return "it has the columns annotation_id and annotator (JSON-MIN)"
        return None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a task with an opinion of each annotation."""
        if is_missing(values.get("data")) and "annotations" not in values:
            return _minimal(values, number)
        fields = _lookup(values, mapping_of(values.get("data"), "data"))
        annotations = [
            mapping_of(entry, "an annotation") for entry in list_of(values.get("annotations"), "annotations")
        ]
        if any(map(is_ranked, annotations)):
            return ranker_labels(fields, annotations, number)
        names = _names(fields, annotations)
        answers, skipped = _answers(annotations, names)
        packed = fields.get(KEY)
        if not is_missing(packed):
            restored = unpack(packed, *_candidates(fields, names), answers)
            if restored is not None:
                return RowLabels((number,), (restored[0],), (*skipped, *restored[1]))
        if not answers:
            raise refusal(skipped, "the task has no annotations")
        sides = _sides(fields, names)
        pair = pair_of(sides, [answer.opinion for answer in answers], names)
        return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


def _lookup(values: Mapping[str, Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a task's data, overridden by the columns that the user mapped to our names."""
    return ChainMap(mapped_columns(values), dict(data))


def _names(fields: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the names of the left and the right answer in a task's data.

    Raises:
        RequestError: if neither a common name nor a control identifies them.
    """
    for names in _RESPONSES:
        if all(name in fields for name in names):
            return names
    for annotation in annotations:
        results = annotation.get("result")
        for result in results if isinstance(results, list) else ():
            named = _controlled(result)
            if named is not None and all(name in fields for name in named):
                return named
    raise RequestError(
        "the two answers were not found in the data", detail=f"found {', '.join(map(str, fields))}"[:200]
    )


def _controlled(result: Any) -> tuple[str, str] | None:
    """Return the names that a pairwise control compares, left and right; None for any other result."""
    if not isinstance(result, Mapping) or not isinstance(result.get("to_name"), str):
        return None
    left, comma, right = result["to_name"].partition(",")
    return (left.strip(), right.strip()) if comma else None


def _candidates(fields: Mapping[str, Any], names: tuple[str, str]) -> tuple[Candidate, Candidate]:
    first, second = (answer_of(fields.get(name), name) for name in names)
    return Candidate(first, names[0]), Candidate(second, names[1])


def _sides(fields: Mapping[str, Any], names: tuple[str, str]) -> Sides:
    first, second = _candidates(fields, names)
    prompt = prompt_in(fields, *PROMPTS)
    if first.response == second.response:
        raise RequestError("the two answers are the same")
    return Sides(prompt, first.response, second.response)


def _answers(
    annotations: Iterable[Mapping[str, Any]], names: tuple[str, str]
) -> tuple[list[ShownAnswer], list[Skipped]]:
    """Return the answers of all annotations, and the annotations that were skipped."""
    answers: list[ShownAnswer] = []
    skipped: list[Skipped] = []
    for position, annotation in enumerate(annotations, start=1):
        try:
            answers += _answers_of(annotation, names, skipped)
        except RequestError as error:
            where = f"annotation {position}"
            skipped.append(Skipped(error.reason, f"{where}: {error.detail}" if error.detail else where))
    return answers, skipped


def _answers_of(
    annotation: Mapping[str, Any], names: tuple[str, str], skipped: list[Skipped]
) -> Iterator[ShownAnswer]:
    """Yield the answers of one annotation, one for each control with a result.

    An unreadable time or duration is appended to `skipped`.

    Raises:
        RequestError: if it has no readable result.
    """
    content = _content(annotation, names)
    by = Opinion(
        verdict="skip",
        annotator=annotator_name(value_of(annotation, "completed_by", "annotator")),
        shown_first="first",
        comment=content.comment,
        duration_s=optional(lambda: maybe_number(annotation, "lead_time"), skipped),
        created=moment_in(annotation, skipped, "created_at", "updated_at"),
    )
    if annotation.get("was_cancelled") or annotation.get("skipped"):
        yield ShownAnswer(_first_id(annotation), by)
        return
    if not content.outcomes and set(content.ratings) != set(names):
        raise RequestError("the annotation has no result")
    for dimension, (outcome, key) in content.outcomes.items():
        yield ShownAnswer(key, by.model_copy(update={"verdict": outcome, "dimension": dimension}))
    if not content.outcomes:
        margin = content.ratings[names[0]] - content.ratings[names[1]]
        yield ShownAnswer("", by.model_copy(update={"verdict": outcome_by(margin), "margin": margin}))


def _first_id(annotation: Mapping[str, Any]) -> str:
    results = annotation.get("result")
    first = results[0] if isinstance(results, list) and results else None
    found = first.get("id") if isinstance(first, Mapping) else None
    return found if isinstance(found, str) else ""


def _content(annotation: Mapping[str, Any], names: tuple[str, str]) -> _Content:
    outcomes: dict[str | None, tuple[Outcome, str]] = {}
    ratings: dict[str, float] = {}
    comments: list[str] = []
    results = annotation.get("result")
    for entry in [] if results is None else list_of(results, "result"):
        result = mapping_of(entry, "a result")
        value = mapping_of(result.get("value"), "a result's value")
        if isinstance(value.get("text"), str | list):
            texts = value["text"] if isinstance(value["text"], list) else [value["text"]]
            comments += [text_of(text, "a comment") for text in texts]
        elif "rating" in value:
            ratings[str(result.get("to_name"))] = number_of(value["rating"], "a rating")
        else:
            outcome = _selected(value)
            reverse = _controlled(result) == (names[1], names[0])
            if reverse and (outcome == "first" or outcome == "second"):
                outcome = OTHER[outcome]
            key = result.get("id")
            dimension = _dimension(str(result.get("from_name")))
            earlier, _ = outcomes.setdefault(dimension, (outcome, key if isinstance(key, str) else ""))
            if earlier != outcome:
                raise RequestError("two controls contradict each other", detail=f"{earlier} and {outcome}")
    return _Content(outcomes, ratings, "\n".join(comments) or None)


def _dimension(control: str) -> str | None:
    """Return the dimension in a control's name, as in `comparison-safety`; None for a plain name."""
    name, _, respect = control.partition("-")
    if name in (CONTROL, OTHERWISE):
        return respect or None
    return None if control in _CONTROLS else control


def _selected(value: Any) -> Outcome:
    """Return the outcome that a control's value names: `selected`, or the only choice."""
    if isinstance(value, Mapping):
        value = value_of(value, "selected", "choices")
    if isinstance(value, list):
        if len(value) != 1:
            raise RequestError("a control must have exactly one choice", detail=shown(value))
        value = _choice(value[0])
    return outcome_of(value)


def _choice(value: Any) -> Any:
    return value_of(value, "selected", "choices") if isinstance(value, Mapping) else value


def _minimal(values: Mapping[str, Any], number: int) -> RowLabels:
    """Return the pair of a JSON-MIN row, which is one annotation with its task's data."""
    skipped: list[Skipped] = []
    names = _names(values, ())
    control = _control(values, {*names, *PROMPTS})
    opinion = Opinion(
        verdict=_selected(values[control]),
        annotator=annotator_name(values.get("annotator")),
        shown_first="first",
        comment=maybe_text(values, *_COMMENTS),
        duration_s=optional(lambda: maybe_number(values, "lead_time"), skipped),
        created=moment_in(values, skipped, "created_at", "updated_at"),
    )
    sides = _sides(values, names)
    pair = pair_of(sides, [opinion], names)
    return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


def _control(values: Mapping[str, Any], taken: set[str]) -> str:
    """Return the name of the control in a JSON-MIN row: a common name, or one whose value is a choice."""
    usual = present(values, _CONTROLS)
    if usual is not None:
        return usual
    for name, value in values.items():
        if name not in taken and not isinstance(value, str) and is_outcome(_deep_choice(value)):
            return name
    raise RequestError("the annotation has no result")


def _deep_choice(value: Any) -> Any:
    found = _choice(value)
    return _choice(found[0]) if isinstance(found, list) and len(found) == 1 else found
