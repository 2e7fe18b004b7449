"""People's votes of label folders and runs together: a file with a row for each comparison."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from core.errors import ConfigError, DataError, RunStateError
from core.records import Message
from core.store.files import is_there, write_stream
from labelers.crowd.methods import Aggregation
from labelers.crowd.which import EVERY_VOTE, WhichVotes
from labelers.formats.columns import NAMES, names_one
from publius.runs.pairs.tables import TableCounts, csv_parts
from publius.sources.people.folders import PeoplesLabel, columns_of_answers, peoples_labels

_COLUMNS = {
    "id": "string",
    "prompt": "string",
    "response_a": "string",
    "response_b": "string",
    "origin_a": "string",
    "origin_b": "string",
    "p_a": "float64",
    "votes": "int64",
    "voted": "string",
}
_SWAPPED = {"a": "b", "b": "a"}


@dataclass(frozen=True)
class WrittenGold:
    """A file of people's labels that was written."""

    file: Path
    rows: int
    undecided: int
    """Comparisons without a probability, because most votes find both answers bad."""
    without_votes: int
    """Comparisons that no person judged, which are not written."""
    aggregation: Aggregation
    quoted: int
    """Cells that begin with an apostrophe, so that no spreadsheet runs them as formulas."""


def aggregation_named(name: str) -> Aggregation:
    """Return the aggregation with a name. Raises ConfigError for another name."""
    known: dict[str, Aggregation] = {method: method for method in get_args(Aggregation)}
    if name not in known:
        raise ConfigError(f"unknown aggregation {name!r}", where="--aggregation", accepted=", ".join(known))
    return known[name]


def require_gold_name(to: Path) -> None:
    """Refuse a file that cannot be written.

    Raises:
        ConfigError: if its name has another ending than .jsonl or .csv.
        RunStateError: if it exists.
    """
    if to.suffix.lower() not in (".jsonl", ".csv"):
        what = f"labels cannot be written as {to.suffix or 'a file without an ending'}"
        raise ConfigError(what, where=f"--to {to}", accepted="a name that ends in .jsonl or .csv")
    if is_there(to):
        raise RunStateError("path already exists", where=f"--to {to}", accepted="a new file")


def write_gold(
    folders: Sequence[Path],
    to: Path,
    method: Aggregation,
    names: Mapping[str, str],
    which: WhichVotes = EVERY_VOTE,
) -> WrittenGold:
    """Write the comparisons that people judged, in order of id, with their votes and the probability of `a`.

    Args:
        folders: label folders and runs; judgments of machines are ignored.
        to: a new file that `require_gold_name` has passed.
        method: the aggregation of the votes of all folders.
        names: the name to write for each annotator.
        which: the judgments that count.

    Raises:
        DataError: if no person judged a comparison.
    """
    every = sorted(peoples_labels(folders, method, which), key=lambda label: label.comparison.id)
    labels = [label for label in every if label.votes]
    if not labels:
        where = ", ".join(map(str, folders))
        raise DataError("no person judged a comparison", where=where, accepted="a folder of people's labels")
    counts = TableCounts()
    orders = {NAMES, *filter(None, map(columns_of_answers, folders))}
    rows = (_row(label, names, orders) for label in labels)
    is_table = to.suffix.lower() == ".csv"
    write_stream(to, csv_parts(map(_flat, rows), _COLUMNS, counts) if is_table else map(_line, rows))
    undecided = sum(label.p_a is None for label in labels)
    return WrittenGold(to, len(labels), undecided, len(every) - len(labels), method, counts.quoted)


def _row(
    label: PeoplesLabel, names: Mapping[str, str], orders: Collection[tuple[str, str]]
) -> dict[str, Any]:
    """Return the columns of a comparison; answers that are named by columns of a file are in its order.

    A comparison has its answers in the order of their hashes, so its `a` may be the `response_b` of a file.
    """
    one, p_a = label.comparison, label.p_a
    answers = [(one.response_a, one.origin_a), (one.response_b, one.origin_b)]
    is_swapped = (one.origin_b, one.origin_a) in orders
    if is_swapped:
        answers.reverse()
        p_a = None if p_a is None else 1 - p_a
    (response_a, origin_a), (response_b, origin_b) = answers
    return {
        "id": one.id,
        "prompt": _prompt(one.prompt.messages),
        "response_a": response_a,
        "response_b": response_b,
        "origin_a": origin_a,
        "origin_b": origin_b,
        "p_a": p_a,
        "votes": len(label.votes),
        "voted": {
            names.get(vote.annotator, vote.annotator): _SWAPPED.get(vote.choice, vote.choice)
            if is_swapped
            else vote.choice
            for vote in label.votes
        },
    }


def _prompt(messages: Sequence[Message]) -> Any:
    """Return a question as text, and a conversation as messages: both are read back as they were."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    return [message.model_dump(exclude_none=True) for message in messages]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for a table: a conversation as JSON, the votes as text with the names of the answers."""
    prompt = (
        row["prompt"] if isinstance(row["prompt"], str) else json.dumps(row["prompt"], ensure_ascii=False)
    )
    origins = {side: row[f"origin_{side}"] for side in ("a", "b")}
    tell = all(map(names_one, origins.values())) and len(set(origins.values())) > 1
    said = {side: f"{side} ({name})" for side, name in origins.items()} if tell else {}
    voted = "; ".join(f"{name}: {said.get(choice, choice)}" for name, choice in row["voted"].items())
    return {**row, "prompt": prompt, "voted": voted}


def _line(row: Mapping[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()
