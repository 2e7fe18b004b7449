"""Read Argilla's records: each user's responses to each question, with their status.

Supported are records of Argilla 2 (`fields`, and `responses` by question), of version 1 and the raw API
(`responses` as a list by user), and flattened columns (`<question>.responses`, `.responses.users` and
`.responses.status`, three parallel lists). A question may be a label that names an answer, tie or both bad; a
ranking; or a rating of one answer. A ranking with ranks keeps its ties; the ordered list of names that the
SDK writes has lost them, which is noted. A submitted response counts, a discarded one has the verdict `skip`,
and a draft is not used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from core.conversations import oddities, shown
from core.errors import RequestError
from core.records import Candidate, Message
from labelers.formats.fields import (
    PROMPTS,
    answer_of,
    is_missing,
    mapped_columns,
    mapping_of,
    number_of,
    outcome_of,
    prompt_in,
    text_of,
)
from labelers.formats.opinions import Opinion, Outcome, Pair
from labelers.formats.rankings import RatedAnswer, pairs_of
from labelers.formats.source import RowLabels, RowSource, Skipped
from labelers.formats.tools.argilla_responses import SUFFIX, Submission, submissions_of
from labelers.formats.tools.packed_records import KEY, ShownAnswer, unpack

_FIELD = re.compile(
    r"(response|answer|completion|generation|output|text|reply|option)s?[-_ ]?(\d+|[a-z])", re.I
)
_COMMENT = re.compile(r"comment|rationale|reason|why|feedback|explanation|note|justification", re.I)
_PLAIN = frozenset(
    {"", "preference", "ranking", "rank", "rating", "label", "choice", "verdict", "better", "comparison"}
)
"""Question names that do not name a dimension."""
_ORDER_NOTE = "a ranking is an ordered list of names, which does not preserve ties"


class Argilla(RowSource):
    """Records with labels, rankings or ratings of two or more answers."""

    name = "argilla"
    summary = (
        "Argilla records (JSON) and flattened columns: labels, rankings and ratings by user, with status"
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a record of Argilla, or None."""
        if isinstance(row.get("fields"), Mapping) and "responses" in row:
            return "it has fields and responses"
        flat = next((name for name in row if name.endswith(f"{SUFFIX}.users")), None)
        return f"it has the column {flat}" if flat else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pairs of a record with each user's opinions on them."""
        fields = mapping_of(values["fields"], "fields") if not is_missing(values.get("fields")) else values
        fields = {**fields, **mapped_columns(values)}
        answers = _answer_fields(fields)
        skipped: list[Skipped] = []
        submissions = list(submissions_of(values, skipped))
        packed = _packed(values)
        if not is_missing(packed) and len(answers) == 2:
            first, second = answers.values()
            restored = unpack(packed, first, second, list(_shown_answers(submissions, answers)))
            if restored is not None:
                return RowLabels((number,), (restored[0],), (*skipped, *restored[1]))
        prompt = prompt_in(fields, "chat", *PROMPTS)
        reading = _Reading(prompt, answers, skipped)
        for submission in submissions:
            reading.add(submission)
        if not reading.pairs and not skipped:
            raise RequestError("the record has no responses")
        return RowLabels((number,), tuple(reading.pairs), tuple(skipped), (*reading.notes, *oddities(prompt)))


def _packed(values: Mapping[str, Any]) -> Any:
    metadata = values.get("metadata")
    return metadata.get(KEY) if isinstance(metadata, Mapping) else values.get(KEY)


def _answer_fields(fields: Mapping[str, Any]) -> dict[str, Candidate]:
    """Return the answers by field name, in order of their number or letter.

    Raises:
        RequestError: if fewer than two are not empty.
    """
    found = [(match, name) for name in fields if (match := _FIELD.fullmatch(str(name)))]
    kinds = Counter(match[1].casefold() for match, name in found if isinstance(fields[name], str))
    kind = kinds.most_common(1)[0][0] if kinds else ""
    chosen = [(match[2].casefold(), name) for match, name in found if match[1].casefold() == kind]
    empty = [name for _, name in chosen if is_missing(fields[name])]
    chosen = [(place, name) for place, name in chosen if name not in empty]
    chosen.sort(key=lambda pair: (len(pair[0]), pair[0]))
    if len(chosen) < 2 and empty:
        raise RequestError("an answer is empty", detail=f"in {empty[0]}")
    if len(chosen) < 2:
        raise RequestError("fewer than two answers in the fields", detail=", ".join(map(str, fields))[:200])
    return {name: Candidate(answer_of(fields[name], name), name) for _, name in chosen}


def _shown_answers(
    submissions: Sequence[Submission], answers: Mapping[str, Candidate]
) -> Iterator[ShownAnswer]:
    """Yield the labels of a record that `publius export --labels argilla` wrote, each with its key."""
    for submission in submissions:
        for question, value in submission.values.items():
            if _is_comment(question):
                continue
            try:
                outcome = "skip" if submission.status == "discarded" else _label(value, list(answers))
            except RequestError:
                continue
            opinion = Opinion(verdict=outcome, annotator=submission.user)
            yield ShownAnswer(f"{question}/{submission.user}", opinion)


@dataclass
class _Reading:
    """Pairs of a record, collected from its submissions."""

    prompt: tuple[Message, ...]
    answers: Mapping[str, Candidate]
    skipped: list[Skipped]
    pairs: list[Pair] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, submission: Submission) -> None:
        """Add the opinions of one user's submission."""
        if submission.status not in ("submitted", "discarded"):
            self.skipped.append(Skipped("the response was not submitted", f"status {submission.status}"))
            return
        comments = [v for q, v in submission.values.items() if _is_comment(q) and isinstance(v, str)]
        by = Opinion(
            verdict="skip",
            annotator=submission.user,
            shown_first="first" if len(self.answers) == 2 else None,
            comment="\n".join(text_of(comment, "a comment") for comment in comments) or None,
            created=submission.created,
        )
        if submission.status == "discarded":
            self._skip(by)
            return
        asked = {q: v for q, v in submission.values.items() if not _is_comment(q) and not is_missing(v)}
        ratings = {q: v for q, v in asked.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        choices = {q: v for q, v in asked.items() if q not in ratings}
        for question, value in choices.items():
            in_respect = by.model_copy(update={"dimension": _respect(question, ())})
            self._try(question, partial(self._choice, value, in_respect))
        if ratings:
            self._try("ratings", partial(self._ratings, ratings, by))
        if not asked:
            self.skipped.append(Skipped("the response answers no question", ""))

    def _skip(self, by: Opinion) -> None:
        if len(self.answers) == 2:
            first, second = self.answers.values()
            self.pairs.append(Pair(self.prompt, first, second, (by,)))
        else:
            self.skipped.append(Skipped("the ranking was discarded", f"by {by.annotator}"))

    def _try(self, question: str, read: Callable[[], None]) -> None:
        try:
            read()
        except RequestError as error:
            self.skipped.append(Skipped(error.reason, f"{question}: {error.detail}"))

    def _choice(self, value: Any, by: Opinion) -> None:
        if isinstance(value, list):
            self._ranking(value, by)
            return
        if len(self.answers) != 2:
            raise RequestError("a label question needs exactly two answers", detail=shown(value))
        opinion = by.model_copy(update={"verdict": _label(value, list(self.answers))})
        first, second = self.answers.values()
        self.pairs.append(Pair(self.prompt, first, second, (opinion,)))

    def _ranking(self, value: Sequence[Any], by: Opinion) -> None:
        scores: dict[str, float] = {}
        for place, entry in enumerate(value, start=1):
            option = entry.get("value") if isinstance(entry, Mapping) else entry
            rank = entry.get("rank") if isinstance(entry, Mapping) else place
            rank = place if is_missing(rank) else rank
            scores[_field_of(option, list(self.answers))] = -number_of(rank, "a rank")
        if not all(isinstance(entry, Mapping) and not is_missing(entry.get("rank")) for entry in value):
            self.notes.append(_ORDER_NOTE)
        if len(scores) < len(value):
            raise RequestError("a ranking has a duplicate answer", detail=shown(value))
        self._add_scored(scores, by, margins=False)

    def _ratings(self, ratings: Mapping[str, Any], by: Opinion) -> None:
        names = list(self.answers)
        respects: dict[str, dict[str, float]] = {}
        for question, value in ratings.items():
            name = next((n for n in names if _normal(n) in _normal(question)), None) or _numbered(
                question, names
            )
            respects.setdefault(_respect(question, names) or "", {})[name] = number_of(value, question)
        for respect, scores in respects.items():
            self._add_scored(scores, by.model_copy(update={"dimension": respect or None}), margins=True)

    def _add_scored(self, scores: Mapping[str, float], by: Opinion, *, margins: bool) -> None:
        scored = [RatedAnswer(self.answers[name], score) for name, score in scores.items()]
        found = pairs_of(self.prompt, scored, by, margins=margins)
        self.pairs += found.pairs
        self.skipped += found.skipped


def _is_comment(question: str) -> bool:
    """Return whether a question asks for a comment; questions named `preference...` never do."""
    return not question.casefold().startswith("preference") and _COMMENT.search(question) is not None


def _label(value: Any, names: Sequence[str]) -> Outcome:
    """Return the outcome of a label, which is the name of a field or a word for an outcome."""
    try:
        return "first" if _field_of(value, names) == names[0] else "second"
    except RequestError:
        return outcome_of(value)


def _field_of(option: Any, names: Sequence[str]) -> str:
    """Return the field that an option names, by its name (ignoring case and separators), number or letter."""
    if isinstance(option, str | int) and not isinstance(option, bool):
        word = _normal(str(option))
        for name in names:
            match = _FIELD.fullmatch(name)
            if word and word in (_normal(name), match[2].casefold() if match else ""):
                return name
    raise RequestError("an option does not name an answer", detail=shown(option))


def _numbered(question: str, names: Sequence[str]) -> str:
    """Return the field whose number or letter is a separate part of a question's name, as in `rating_1`."""
    parts = re.split(r"[-_ .]+", question.casefold())
    for name in names:
        match = _FIELD.fullmatch(name)
        if match and match[2].casefold() in parts:
            return name
    raise RequestError("a rating question does not name an answer", detail=question)


def _respect(question: str, names: Sequence[str]) -> str | None:
    """Return the dimension in a question's name, without the answer's name, or None."""
    word = question.casefold()
    for name in names:
        match = _FIELD.fullmatch(name)
        word = word.replace(name.casefold(), "")
        word = re.sub(rf"(^|[-_ .]){re.escape(match[2].casefold())}($|[-_ .])", " ", word) if match else word
    for plain in ("preference", "rating", "ranking"):
        word = re.sub(rf"(^|[-_ .]){plain}($|[-_ .])", " ", word)
    word = word.strip("-_ .")
    return None if word in _PLAIN else word


def _normal(text: str) -> str:
    return re.sub(r"[-_ ]+", "", text.casefold())
