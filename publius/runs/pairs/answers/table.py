"""The answers of a run's evaluation as a table: CSV or Parquet, one row for each answer of a variant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from constitution.checks.evaluate import count_words, evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.errors import ConfigError, DataError, RunStateError
from core.records import Answer
from core.store.scan import scan_records
from publius.config.stand_ins import made_up
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import scripted_roles
from publius.runs.pairs.filters import PreferenceFilter
from publius.runs.pairs.table_columns import MADE_UP, OWN, marked, table_columns
from publius.runs.pairs.tables import (
    WrittenTable,
    conversation_text,
    require_table_name,
    write_rows,
)
from publius.runs.reader import RecordsReader

_ANSWERS = "answers.jsonl"
CHECK = "check:"
"""Before the id of a principle, in the name of the column of its check's results."""
_COLUMNS = {
    "id": "string",
    "prompt_id": "string",
    "prompt": "string",
    "variant": "string",
    "answer": "string",
    "words": "int64",
    "finish_reason": "string",
    "failed": "string",
    "tags": "string",
    "split": "string",
    "model": "string",
}
_PLAIN: Mapping[str, str] = {
    "prompt": "prompt",
    "variant": "variant",
    "answer": "answer",
    "words": "words",
    "failed": "rules failed",
}
_AFTER: Mapping[str, str] = {"finish_reason": "finish reason", "model": "written by", "tags": "tags"}
_Row = dict[str, Any]


def has_evaluated_answers(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Return True if a run has answers to its held-out prompts."""
    return "eval" in manifest["stages"] and (folder / _ANSWERS).exists()


def write_answers_table(
    folder: Path,
    to: Path,
    conditions: PreferenceFilter,
    constitution: Constitution | None,
    wanted: Sequence[str] | None = None,
) -> WrittenTable:
    """Write the answers of a run's evaluation as a table; those to one prompt are below each other.

    All columns are those of `_COLUMNS`, then `check:PRINCIPLE` for each principle with a check (`pass`,
    `fail`, or empty where it is not for the prompt or decides nothing), then the user's own columns.

    Args:
        folder: a run folder.
        to: a new `.csv` or `.parquet` file.
        conditions: tags of the prompts; the other conditions are for preferences.
        constitution: the run's; None if it cannot be loaded.
        wanted: names of columns, or `all`; None for plain columns in CSV, and all of them in Parquet.

    Raises:
        ConfigError: if the name has another ending, there is no column of a name, or a condition is for
            preferences.
        RunStateError: if the file exists, or the run has no answers.
        DataError: if no answer passes.
        MissingExtraError: if the file is Parquet and pyarrow is not installed.
    """
    ending = require_table_name(to)
    manifest = read_manifest(folder)
    _require_answers(folder, manifest, conditions)
    checked = [p for p in constitution.principles if p.check is not None] if constitution else []
    carried: dict[str, str] = (manifest.get("prompts") or {}).get("carried", {})
    types = {**_COLUMNS, **{f"{CHECK}{p.id}": "string" for p in checked}}
    said = made_up([role for role in scripted_roles(folder, manifest) if role == "policy"])
    if said:
        types[MADE_UP] = "string"
    named = {name: f"{name}{OWN}" if name in types else name for name in carried}
    types |= {named[name]: dtype for name, dtype in carried.items()}
    plain = _plain([p.id for p in checked], named.values()) if ending == ".csv" else None
    columns = table_columns(types, wanted, plain)
    types = columns.types(types)
    left_out = dict[str, int]()
    with ExitStack() as stack:
        files = stack.enter_context(RecordsReader(folder)) if carried else None
        rows = (
            columns.row(_row(answer, checked, said) | _own(files, named, answer))
            for answer in _passing(folder, conditions, left_out)
        )
        counts = write_rows(to, rows, types)
    return WrittenTable(
        to, counts.rows, tuple(types), counts.quoted, left_out, columns.is_plain, said, of="answers"
    )


def _require_answers(folder: Path, manifest: Mapping[str, Any], conditions: PreferenceFilter) -> None:
    if not has_evaluated_answers(folder, manifest):
        raise RunStateError(
            "the run has no answers to held-out prompts",
            where=str(folder),
            accepted="a run whose stage eval has run",
            run="publius eval RUN.yaml",
        )
    if conditions.min_p is not None or conditions.principles or conditions.sources:
        raise ConfigError(
            "the answers of an evaluation are no preferences, so only --tag selects them",
            where=str(conditions),
            accepted="--tag TAG",
        )


def _passing(folder: Path, conditions: PreferenceFilter, left_out: dict[str, int]) -> Iterator[Answer]:
    """Yield the answers that pass, in order of their prompts; count the others.

    Raises:
        DataError: no answer passes.
    """
    by_prompt: dict[str, list[Answer]] = {}
    tags: set[str] = set()
    for answer in scan_records(folder / _ANSWERS, Answer):
        reason = conditions.reason_for_tags(answer.prompt.tags)
        tags |= set(answer.prompt.tags)
        if reason is None:
            by_prompt.setdefault(answer.prompt.id, []).append(answer)
        else:
            left_out[reason] = left_out.get(reason, 0) + 1
    if left_out and not by_prompt:
        said = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        known = ", ".join(sorted(tags)) or "none"
        raise DataError(f"no answer passes: {said}", where=str(conditions), accepted=f"tags {known}")
    for answers in by_prompt.values():
        yield from answers


def _row(answer: Answer, checked: Sequence[Principle], said: str) -> _Row:
    text = answer.generation.text
    results = {principle.id: _result(principle, answer) for principle in checked}
    return {
        "id": answer.id,
        "prompt_id": answer.prompt.id,
        "prompt": conversation_text(answer.prompt.messages),
        "variant": answer.variant,
        "answer": text,
        "words": count_words(text),
        "finish_reason": answer.generation.finish_reason,
        "failed": ", ".join(name for name, result in results.items() if result == "fail"),
        "tags": ", ".join(answer.prompt.tags),
        "split": answer.prompt.split or "",
        "model": marked(answer.generation.model, is_made_up=bool(said)),
        MADE_UP: said,
        **{f"{CHECK}{name}": result for name, result in results.items()},
    }


def _result(principle: Principle, answer: Answer) -> str:
    """Return `pass` or `fail`; empty if the check is not for the prompt, or cannot decide."""
    check = principle.check
    if check is None or not in_scope(principle, answer.prompt):
        return ""
    return "pass" if evaluate(check_on(check, answer.prompt), answer.generation.text).passed else "fail"


def _own(files: RecordsReader | None, named: Mapping[str, str], answer: Answer) -> _Row:
    values = {} if files is None else files.own_columns(answer.prompt.id)
    return {column: values.get(name) for name, column in named.items()}


def _plain(rules: Sequence[str], own: Iterable[str]) -> dict[str, str]:
    """Return the headings of a table for readers: each rule's result has the rule's id above it."""
    taken = {*_PLAIN.values(), *_AFTER.values()}
    by_rule = {f"{CHECK}{name}": f"{name} (rule)" if name in taken else name for name in rules}
    headings = {**_PLAIN, **by_rule, **_AFTER}
    taken = set(headings.values())
    return headings | {name: f"{name}{OWN}" if name in taken else name for name in own}
