"""Rows of answers to learn: conversations, completions, and KTO's answers with a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from core.conversations import Turns, answered_of, answers_of, is_transcript, truth_of
from core.errors import RequestError
from core.text.literals import float_of, parsed_literal
from core.text.messages import (
    by_message,
    is_conversation,
    message_entries,
    parsed_messages,
    text_of_content,
)
from labelers.formats.fields import is_blank, present
from labelers.formats.prompt_columns import (
    PROMPT_COLUMNS,
    SYSTEMS,
    TALKS,
    asked_in,
    refuse_media,
    with_system,
)

COMPLETIONS = ("completion", "response", "output", "answer")
"""Columns with an answer, in order of precedence."""
LABELS = ("label", "kto_tag")
ANSWER_ROW = PROMPT_COLUMNS | frozenset({"id", *COMPLETIONS, *LABELS})
_CERTAIN = {
    "true": True,
    "false": False,
    "desirable": True,
    "undesirable": False,
    "chosen": True,
    "rejected": False,
    "thumbs_up": True,
    "thumbs_down": False,
    "good": True,
    "bad": False,
}
"""Labels that say how good an answer is, whatever the other labels of the data set are."""
_PERHAPS = {
    "yes": True,
    "no": False,
    "positive": True,
    "negative": False,
    "up": True,
    "down": False,
    "like": True,
    "dislike": False,
    "liked": True,
    "disliked": False,
    "upvote": True,
    "downvote": False,
    "thumb_up": True,
    "thumb_down": False,
    "\N{THUMBS UP SIGN}": True,
    "\N{THUMBS DOWN SIGN}": False,
}
"""Labels that say it only if all labels do: beside others, they are classes."""
_NUMBERS = {1.0: True, 0.0: False, -1.0: False}
_SAFE = frozenset({"is_safe", "safe", "is_response_safe"})
_UNSAFE = frozenset({"toxic", "is_toxic", "unsafe", "is_unsafe", "harmful", "is_harmful"})
_OPINIONS = frozenset({"feedback", "user_feedback", "vote", "thumbs", "reaction"})
_DISLIKED = frozenset({"dislike", "disliked", "bad", "negative", "thumbs_down", "down", "downvote"})
_LISTED_TALKS = ("conversations", "conversation")
"""Columns that may be a list of texts, by the user and the assistant in turn, as in LIMA."""


class Labels(NamedTuple):
    """What the label columns of a data set hold, as far as its first rows show it."""

    column: str | None = None
    """The column that says of every row whether its answer is good."""
    classes: frozenset[str] = frozenset()
    """Columns of that name that say something else."""

    def of(self, row: Mapping[str, Any]) -> str | None:
        """Return the label column of a row; None if it has none."""
        return self.column or present(row, [name for name in LABELS if name not in self.classes])


NO_LABELS = Labels()


def has_answers(row: Mapping[str, Any]) -> bool:
    """Return True if a row has the columns of an answer, whatever is in them."""
    return any(name in row for name in (*TALKS, *COMPLETIONS)) and (
        any(name in row for name in TALKS) or bool(PROMPT_COLUMNS & row.keys())
    )


def turns_in(row: Mapping[str, Any], labels: Labels = NO_LABELS) -> tuple[Turns, frozenset[str]]:
    """Return the answers to learn of a row, and the columns that were read.

    Args:
        row: the row.
        labels: the data set's labels, as `labels_in` returns them.

    Raises:
        RequestError: if the row has no answer, or its columns have another form.
    """
    refuse_media(row)
    label = frozenset({labels.of(row) or ""}) & row.keys()
    talk = _talk(row)
    column = present(row, COMPLETIONS) or next((c for c in COMPLETIONS if row.get(c) is not None), None)
    if talk is not None and not (column and _ends_with_user(row[talk])):
        value = row[talk] if is_transcript(row[talk]) else _talk_in(row, talk)
        system = present(row, SYSTEMS)
        if system is None:
            return answers_of(value), frozenset({"id", talk}) | label
        return answers_of(_begun(row[system], value)), frozenset({"id", talk, system}) | label
    asked = asked_in(row)
    answered = answered_of(asked.value, row.get(column) if column else None)
    read = {"id", column or COMPLETIONS[0]}
    return Turns(((1, answered),), (), 1), asked.columns | read | label


def labels_in(rows: Iterable[Any]) -> Labels:
    """Return which column says whether each answer is good, as KTO's data has.

    A number, or a word such as `yes`, `positive` or `up`, says so only if no value of the column is another
    class.

    Args:
        rows: the first rows of the data set.
    """
    columns = [row for row in rows if isinstance(row, Mapping)]
    classes = set()
    for name in LABELS:
        values = [row[name] for row in columns if not is_blank(row.get(name))]
        read = [_desired(value) is not None for value in values]
        if any(map(_is_certain, values)) or (read and all(read)):
            return Labels(name)
        if values:
            classes.add(name)
    return Labels(None, frozenset(classes))


def is_desired(row: Mapping[str, Any], labels: Labels) -> bool:
    """Return False if a row's label says that its answer is not a good one.

    Raises:
        RequestError: if the data set has labels and that of the row cannot be read.
    """
    name = labels.of(row)
    if name is None:
        return True
    desired = _desired(row.get(name))
    if desired is None:
        raise RequestError("the label cannot be read", detail=f"{name}: {row.get(name)!r}"[:60])
    return desired


def doubts(row: Mapping[str, Any]) -> list[str]:
    """Return the columns that call a row's answer unsafe, toxic or disliked."""
    found = []
    for name, value in row.items():
        word = _word(str(name))
        if word in _SAFE:
            found += [name] if truth_of(value) is False else []
        elif word in _UNSAFE:
            found += [name] if truth_of(value) else []
        elif word in _OPINIONS and isinstance(value, str):
            found += [name] if _word(value) in _DISLIKED else []
    return found


def _is_certain(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and _word(value) in _CERTAIN)


def _desired(value: Any) -> bool | None:
    """Return True for a good answer, False for a bad one, None for a value that says neither."""
    if isinstance(value, str):
        found = (_CERTAIN | _PERHAPS).get(_word(value))
        if found is not None:
            return found
        try:
            value = float_of(value)
        except ValueError:
            return None
    return _NUMBERS.get(float(value)) if isinstance(value, bool | int | float) else None


def _word(value: str) -> str:
    return value.strip().casefold().replace(" ", "_").replace("-", "_")


def _talk(row: Mapping[str, Any]) -> str | None:
    """Return the column of the conversation, or None if the row has none."""
    if row.get("messages") not in (None, []):
        return "messages"
    held = (name for name in TALKS if is_conversation(_talk_in(row, name)))
    return next(held, None)


def _talk_in(row: Mapping[str, Any], name: str) -> Any:
    """Return a column's conversation; of a list of texts, the messages by user and assistant in turn."""
    value = by_message(_literal(row.get(name)))
    if name not in _LISTED_TALKS or not isinstance(value, list) or len(value) < 2:
        return value
    if not all(isinstance(text, str) for text in value):
        return value
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(value)]


def _literal(value: Any) -> Any:
    return parsed_literal(value) if isinstance(value, str) else value


def _ends_with_user(value: Any) -> bool:
    talk = by_message(_literal(value))
    return is_conversation(talk) and parsed_messages(talk, "messages")[-1].role == "user"


def _begun(system: Any, talk: Any) -> Any:
    """Return a conversation with the system message before it, if it does not begin with one."""
    messages = parsed_messages(talk, "messages")
    if messages[0].role == "system":
        with_system(system, messages)  # raises if it is another one
        return talk
    text = text_of_content(system, "the system message")
    return [{"role": "system", "content": text}, *message_entries(talk)]
