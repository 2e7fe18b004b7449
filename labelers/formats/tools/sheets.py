"""Read tables of ours that a person has filled in with a spreadsheet.

`publius select --sheet` writes a blind sheet: a prompt and two answers in a shuffled order, with empty
columns for a decision, a name and a comment. `publius show --to` writes preferences with the machines'
labels; what counts in it is a column that a person added. Both have the id of the comparison, which follows
from its texts: a row whose texts do not give that id was changed on the way, and is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from core.conversations import Sides
from core.errors import RequestError
from core.records import Candidate, Comparison, Message, Prompt
from core.text.messages import parsed_messages
from labelers.crowd.votes import MACHINES
from labelers.formats.annotation_columns import cell_tags
from labelers.formats.datasets.trl import TrlPreferences
from labelers.formats.fields import (
    VERDICT_WORDS,
    VERDICTS_OPTION,
    annotator_name,
    answer_of,
    from_json_text,
    is_missing,
    maybe_text,
    outcome_of,
    present,
    required,
    text_of,
)
from labelers.formats.opinions import Opinion, Outcome, Side, pair_of
from labelers.formats.source import RowLabels, RowSource

BLIND_COLUMNS = ("id", "prompt", "answer_1", "answer_2", "better", "who", "comment")
"""The columns of a blind sheet, in order."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a cell that a spreadsheet takes for a formula; they are written after an apostrophe."""
_TURN = re.compile(r"(?:\A|\n\n)(system|user|assistant): ")
_DECISIONS = ("better", "verdict")
_NAMES = ("who", "annotator")
_OWN_WORDS: Mapping[str, Outcome] = {
    "1": "first",
    "2": "second",
    "chosen": "first",
    "rejected": "second",
    "both": "tie",
    "=": "tie",
    "?": "skip",
}
SHEET_VERDICTS = (
    "; ".join(
        ", ".join([*(word for word, meant in _OWN_WORDS.items() if meant == outcome), *words])
        for outcome, words in VERDICT_WORDS.items()
    )
    + VERDICTS_OPTION
)
"""What the column `better` of a sheet may hold."""
_WHOLE = re.compile(r"([12])\.0+")
_NOT_ANSWERED = "not answered: the column better is empty"
_CHANGED = "the prompt or an answer is not the text that was written"
_NO_NAME = "without a name in the column who"


class BlindSheet(RowSource):
    """Decisions of people in a sheet of `publius select --sheet`."""

    name = "sheet"
    summary = "a sheet of publius select --sheet, its column better filled in: 1, 2, tie, both_bad, skip"
    columns = frozenset(BLIND_COLUMNS)

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a sheet, or None."""
        found = set(BLIND_COLUMNS[:5]) <= row.keys()
        return "it has the columns id, answer_1, answer_2 and better" if found else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row with one decision, answer_1 first."""
        return _labels(values, number, required(values, "id"), ("answer_1", "answer_2"), "first")


class PreferenceTable(RowSource):
    """Decisions of people in a column added to a table of `publius show --to`.

    `p_chosen` and the order of the answers are the machines' labels, and are not read.
    """

    name = "pairs"
    summary = (
        "a table of publius show --to with a column better that a person filled in: chosen, rejected, tie, "
        "both_bad or skip"
    )
    columns = frozenset(
        {"comparison_id", "prompt", "chosen", "rejected", "origin_chosen", "origin_rejected", "tags"}
        | {*_DECISIONS, *_NAMES, "comment"}
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like such a table, or None."""
        needed = {"comparison_id", "chosen", "rejected", "p_chosen", "origin_chosen"}
        return "it has the columns comparison_id and origin_chosen" if needed <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row with one decision, the chosen answer first."""
        return _labels(values, number, required(values, "comparison_id"), ("chosen", "rejected"), None)

    def is_peoples(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row says that its label is made of people's judgments alone."""
        return bool(sources := label_sources(row)) and not sources & MACHINES

    def has_decisions(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a column for a person's decision."""
        return any(name in row for name in _DECISIONS)


class PeoplesPreferences(TrlPreferences):
    """Our own table of preferences whose labels are people's: each row says who labelled it."""

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, the chosen answer first.

        Raises:
            RequestError: if a machine has a part in the label.
        """
        sources = label_sources(values)
        if not sources or sources & MACHINES:
            found = ", ".join(sorted(sources)) or "no sources"
            raise RequestError("the label is not people's alone", detail=found)
        return super().labels_of(values, number)


def label_sources(row: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the labelers in a row of our own table of preferences, if it says so."""
    value = row.get("sources")
    if isinstance(value, str):
        found = from_json_text(value)
        value = found if isinstance(found, Mapping | list) else value.split(",")
    if isinstance(value, Mapping):
        value = [name for name, count in value.items() if count]
    return frozenset(str(name).strip() for name in value if name) if isinstance(value, list) else frozenset()


def _labels(
    values: Mapping[str, Any], number: int, identity: Any, names: tuple[str, str], shown_first: Side | None
) -> RowLabels:
    decision = present(values, _DECISIONS)
    if decision is None:
        raise RequestError(_NOT_ANSWERED)
    who = present(values, _NAMES)
    opinion = Opinion(
        verdict=_outcome(values[decision]),
        annotator=annotator_name(values[who]) if who else None,
        comment=maybe_text(values, "comment"),
        shown_first=shown_first,
    )
    sides = _sides(values, str(identity).strip(), names)
    origins = (
        maybe_text(values, f"origin_{names[0]}") or names[0],
        maybe_text(values, f"origin_{names[1]}") or names[1],
    )
    pair = pair_of(sides, [opinion], origins, cell_tags(values.get("tags")))
    return RowLabels((number,), (pair,), notes=() if who else (_NO_NAME,))


def _outcome(value: Any) -> Outcome:
    """Return the outcome of a cell. A spreadsheet may write 1 as a number or as 1.0."""
    word = str(value).strip().casefold() if isinstance(value, str | int | float) else ""
    whole = _WHOLE.fullmatch(word)
    return _OWN_WORDS.get(whole[1] if whole else word) or outcome_of(value)


def _sides(values: Mapping[str, Any], identity: str, names: tuple[str, str]) -> Sides:
    """Return the prompt and answers that give the comparison's id.

    Raises:
        RequestError: if no reading of the cells does.
    """
    answers = [list(_forms(_answer(values.get(name), name))) for name in names]
    prompts = [messages for cell in _prompt_cells(values) for messages in _conversations(cell)]
    prompts = [prompt for prompt in prompts if prompt and prompt[-1].role == "user"]
    for prompt, (first, second) in product(prompts, product(*answers)):
        made = Comparison.of(Prompt.of(prompt), Candidate(first, names[0]), Candidate(second, names[1]))
        if made.id == identity:
            return Sides(prompt, first, second)
    raise RequestError(_CHANGED, detail=f"id {identity[:40]}; a spreadsheet cuts a cell at 32,767 characters")


def _answer(value: Any, name: str) -> str:
    """Return the text of an answer's cell, which may hold one message as in preferences.jsonl."""
    if isinstance(value, list) and value:
        return answer_of(parsed_messages(value, name)[-1].content, name)
    if is_missing(value):
        raise RequestError("an answer is empty", detail=f"in {name}")
    return answer_of(value, name)


def _prompt_cells(values: Mapping[str, Any]) -> Iterator[Any]:
    cell = required(values, "prompt")
    yield from _forms(text_of(cell, "the prompt")) if isinstance(cell, str) else (cell,)


def _forms(text: str) -> Iterator[str]:
    """Yield the texts that a cell may stand for: without an apostrophe before a formula, other line ends."""
    bare = text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else None
    for form in (text, bare):
        if form is not None:
            yield form
            if "\r\n" in form:
                yield form.replace("\r\n", "\n")


def _conversations(cell: Any) -> Iterator[tuple[Message, ...]]:
    """Yield the conversations that a cell of a prompt may stand for."""
    if not isinstance(cell, str):
        yield parsed_messages(cell, "prompt")
        return
    yield (Message(role="user", content=cell),)
    parts = _TURN.split(cell)
    if len(parts) > 3 and not parts[0]:
        turns = zip(parts[1::2], parts[2::2], strict=True)
        yield tuple(Message.model_validate({"role": role, "content": content}) for role, content in turns)
