"""Parse and validate values of imported files.

An invalid value raises `RequestError`; rows are counted by its reason. CSV has only text, and JSON exports
differ in spelling, so numbers may be text and lists may be JSON in a cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from core.conversations import prompt_of, shown
from core.errors import RequestError
from core.records import Message
from core.text.literals import float_of, may_be_thousands, parsed_literal
from labelers.formats.opinions import Outcome

NUMBERS = frozenset(
    {"rating_a", "rating_b", "p_a", "margin", "weight", "confidence", "duration_s", "votes_a", "votes_b"}
    | {"votes_for", "votes_against", "p_chosen", "score_chosen", "score_rejected"}
    | {"chosen_score", "rejected_score", "chosen_rating", "rejected_rating", "chosen-rating"}
    | {"rejected-rating", "rating_chosen", "rating_rejected"}
)
"""Our columns of numbers, and those of data sets."""
_MILLISECONDS_FROM = 1e11
"""Unix times above this are in milliseconds: as seconds they would be after the year 5000."""
PROMPTS = (
    "messages",
    "prompt",
    "conversation",
    "dialogue",
    "question",
    "instruction",
    "input",
    "query",
    "context",
)
"""Common names of the prompt field in labeling tasks, in order of precedence."""
MAPPED_ANSWERS = ("response_a", "response_b")
_ANNOTATOR_KEYS = ("email", "username", "name", "id")
VERDICT_WORDS: Mapping[Outcome, tuple[str, ...]] = {
    "first": ("a", "first", "left", "one"),
    "second": ("b", "second", "right", "two"),
    "tie": ("tie", "tied", "equal", "same", "draw", "both_good", "tie_(bothgood)", "tie_(both_good)"),
    "both_bad": ("both_bad", "bothbad", "tie_(bothbad)", "tie_(both_bad)", "neither", "both_are_bad"),
    "skip": ("skip", "skipped", "unsure", "not_sure"),
}
"""The words for each verdict."""
VERDICTS_OPTION = "; other words with --verdicts a=THEIRS,b=THEIRS,tie=THEIRS"
VERDICT_NOT_RECOGNISED = "the verdict is not recognised"
ACCEPTED_VERDICTS = (
    "; ".join(", ".join(words) for words in VERDICT_WORDS.values())
    + "; response_1, model_b and the like"
    + VERDICTS_OPTION
)
"""What the column of the verdict may hold, and how other words are mapped to it."""
_WHOLE = re.compile(r"\d+\.0+")
"""A whole number as tables write it in a column with gaps."""
_NOUNS = ("response", "model", "text", "answer", "option", "output", "completion", "choice", "assistant")
_WORDS: Mapping[str, Outcome] = {word: outcome for outcome, words in VERDICT_WORDS.items() for word in words}
_SIDES: Mapping[str, Outcome] = {"a": "first", "1": "first", "b": "second", "2": "second"}


def is_blank(value: object) -> bool:
    """Return whether a cell holds nothing: None or blank text. NaN is a value that cannot be read."""
    return value is None or (isinstance(value, str) and not value.strip())


def is_missing(value: object) -> bool:
    """Return whether a cell is empty: None, blank text, or NaN, as tables mark missing cells."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def present(row: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return the first of the names whose cell is not empty, or None."""
    return next((name for name in names if not is_missing(row.get(name))), None)


def value_of(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first non-empty cell under one of the names, or None."""
    found = present(row, names)
    return None if found is None else row[found]


def required(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first non-empty cell. Raises RequestError, by a name that the row has, if all are empty."""
    found = present(row, names)
    if found is None:
        named = next((name for name in names if name in row), names[0])
        raise RequestError(f"the field '{named}' is missing or empty")
    return row[found]


def mapped_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns mapped to our names by the user; they are next to a tool's own data in the row."""
    return {name: row[name] for name in ("prompt", *MAPPED_ANSWERS) if not is_missing(row.get(name))}


def prompt_in(fields: Mapping[str, Any], *names: str) -> tuple[Message, ...]:
    """Return the prompt under the first of the names. Raises RequestError if there is none."""
    prompt = value_of(fields, *names)
    if prompt is None:
        raise RequestError("there is no prompt", detail="name its field with --columns prompt=FIELD")
    return prompt_of(prompt)


def text_of(value: Any, what: str) -> str:
    """Return a value that must be text. Raises RequestError if it is not, or cannot be stored."""
    if not isinstance(value, str):
        raise RequestError(f"{what} is not text", detail=shown(value))
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError("the text contains an unpaired surrogate", detail=f"in {what}") from error
    return value


def answer_of(value: Any, what: str) -> str:
    """Return an answer. Raises RequestError if it is not text, or is empty."""
    text = text_of(value, what)
    if not text.strip():
        raise RequestError("an answer is empty", detail=f"in {what}")
    return text


def number_of(value: Any, what: str) -> float:
    """Return a finite number, which may be given as text, also with a decimal comma.

    Raises:
        RequestError: if it is not a number, or has a comma that may stand before thousands or decimals.
    """
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float_of(value) if isinstance(value, str) else float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    if may_be_thousands(value):
        raise RequestError(f"{what} may be in thousands or have a decimal comma", detail=shown(value))
    raise RequestError(f"{what} is not a number", detail=shown(value))


def maybe_number(row: Mapping[str, Any], *names: str) -> float | None:
    """Return the first non-empty cell as a number, or None if all are empty."""
    found = present(row, names)
    return None if found is None else number_of(row[found], found)


def maybe_text(row: Mapping[str, Any], *names: str) -> str | None:
    """Return the first non-empty cell as text, or None if all are empty; numbers become text."""
    found = present(row, names)
    if found is None:
        return None
    value = row[found]
    return str(value) if isinstance(value, int | float) else text_of(value, found)


def list_of(value: Any, what: str) -> list[Any]:
    """Return a list, which may be JSON in a cell. Raises RequestError if it is not a list."""
    found = from_json_text(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise RequestError(f"{what} is not a list", detail=shown(value))
    return list(found)


def mapping_of(value: Any, what: str) -> Mapping[str, Any]:
    """Return a mapping, which may be JSON in a cell. Raises RequestError if it is not a mapping."""
    found = from_json_text(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise RequestError(f"{what} is not a mapping", detail=shown(value))
    return found


def from_json_text(text: str) -> Any:
    """Return the list or mapping that a cell spells out (JSON or Python); other text unchanged."""
    return parsed_literal(text)


def annotator_name(value: Any) -> str | None:
    """Return an annotator's name or number as text, or None if there is none.

    Exports identify annotators by a number, a text, several texts, or an object with an e-mail address.
    """
    if isinstance(value, Mapping):
        return annotator_name(value_of(value, *_ANNOTATOR_KEYS))
    if isinstance(value, list | tuple):
        names = [name for name in map(annotator_name, value[:4]) if name]
        return "/".join(names) or None
    if is_missing(value) or isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():  # a column of numbers with gaps
        value = int(value)
    name = text_of(str(value).strip(), "the annotator")
    return name.partition(".")[0] if _WHOLE.fullmatch(name) else name


def moment_of(value: Any) -> datetime | None:
    """Return a time given as ISO 8601 or as seconds or milliseconds since 1970; None if it is missing.

    Raises:
        RequestError: if it is none of these.
    """
    if is_missing(value) or isinstance(value, datetime):
        return value if isinstance(value, datetime) else None
    try:
        if isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
            return datetime.fromisoformat(value.strip())
        seconds = number_of(value, "the time")
        return datetime.fromtimestamp(seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RequestError("the time cannot be read", detail=shown(value)) from error


def outcome_of(value: Any, what: str = "the verdict") -> Outcome:
    """Return the outcome that a word means.

    Accepted are a, b, tie, both_bad and skip, and left, right, response_1, model_a and similar words. Bare
    numbers are rejected, since 1 would be the second answer when counting from 0.

    Raises:
        RequestError: if the value is not such a word.
    """
    if isinstance(value, str):
        word = "_".join(value.strip().casefold().replace("-", " ").replace("_", " ").split())
        found = _WORDS.get(word) or _side_of(word)
        if found is not None:
            return found
    raise RequestError(f"{what} is not recognised", detail=shown(value))  # VERDICT_NOT_RECOGNISED


def _side_of(word: str) -> Outcome | None:
    """Return the side that a word such as `response_1`, `text_a` or `model2` means, or None."""
    noun, side = word[:-1].rstrip("_"), word[-1:]
    return _SIDES.get(side) if noun in _NOUNS else None


def is_outcome(value: Any) -> bool:
    """Return whether a value is a word that means an outcome."""
    try:
        outcome_of(value)
    except RequestError:
        return False
    return True
