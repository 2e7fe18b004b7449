"""Errors about data of which no row can be used: the first reasons, the columns, and what would read them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice, pairwise
from typing import Any

from core.errors import DataError, RequestError, shell_command
from labelers.formats.fields import is_missing, number_of
from labelers.formats.people_columns import differ_in_side
from labelers.formats.prompt_columns import PROMPT_COLUMNS, sides_in
from labelers.formats.registry import BUILT_IN
from publius.sources.answer_rows import turns_in
from publius.sources.column_names import ColumnNames, at_paths, case_named
from publius.sources.rows import SourceRow
from training.examples import ExcludedExample

_FIRST = 3
"""Rows whose reasons are shown."""
_COLUMNS = 300
"""Length of the shown columns, in characters."""
_LIKELY: Mapping[str, re.Pattern[str]] = {
    "prompt": re.compile(
        r"prompt|question|query|instruct|input|context|history|post|ask|user|problem|task|guest|customer|client"
        r"|visitor|caller|patient|student|passenger|tenant|enquir|inquir|request|frage"
    ),
    "chosen": re.compile(r"chosen|prefer|better|best|good|win|accept|positive|pos$|response_j"),
    "rejected": re.compile(r"reject|worse|worst|bad|los[et]|dispref|negative|neg$|response_k"),
    "completion": re.compile(
        r"completion|response|answer|output|target|reply|chosen|text|assistant|agent|(?<![a-z])bot(?![a-z])"
    ),
    "verdict": re.compile(r"verdict|winner|label|prefer|choice|vote|better|judg"),
}
_ANSWERS = ("chosen", "rejected", "completion", "verdict")
"""Targets that are no prompt."""
_TEXTS = ("text", "content", "value", "answer", "response", "output")
"""Keys of the text in an object of a list."""
_NO_TEXT = frozenset({"role", "from", "model", "id", "type", "name"})
"""Names of what is no text to learn, whatever holds it."""
_NO_TEXT_ENDS = ("_id", "_at", "_date", "_time", "_url", "_count")
_TARGET_ROOTS = frozenset({"chosen", "rejected", "completion", "verdict"})
_NEGATED = re.compile(r"non[_-]|not[_-]|dis(pref|lik)|un(pref|accept)|less")
_PROSE = 3
"""Words from which a cell is a text rather than a name or a verdict."""
_BODIES = frozenset({"body", "text", "content", "message", "description", "comment", "value", "plain_body"})
"""Keys of what is said, which stand before a subject or a title."""
_DEEPEST = 6
_KEY = re.compile(r"[^.\[\],=]+")
"""A key that a path in `--columns` can name."""

_SECONDS = frozenset(
    {"seconds", "secs", "duration", "duration_seconds", "duration_sec", "time_s", "seconds_taken"}
)
"""Columns of how long a judgment took, in seconds."""


def nothing_usable(
    what: str,
    where: str,
    excluded: Sequence[ExcludedExample],
    columns: Sequence[str],
    hint: str = "",
    counts: Mapping[str, int] | None = None,
) -> DataError:
    """Return the error of a data set without a usable row.

    Args:
        what: what is missing, such as `there are no rows to train on`.
        where: the data set.
        excluded: the excluded rows with their reasons, or the first of each reason beside `counts`.
        columns: the columns of the data set.
        hint: what would read them, such as a `--columns`.
        counts: number of rows by reason; those of `excluded` if not given.
    """
    reasons = Counter(row.reason for row in excluded) if counts is None else Counter(counts)
    said = "; ".join(f"{count:,} excluded: {reason}" for reason, count in reasons.most_common(_FIRST))
    first: dict[tuple[str, str], ExcludedExample] = {}
    for row in excluded:
        first.setdefault((row.reason, row.detail), row)
    details = (
        f"{row.id}: {row.reason}" + (f", {row.detail}" if row.detail else "") for row in first.values()
    )
    found = ", ".join(columns)[:_COLUMNS] or "none"
    text = f"{what} ({said}; first {'; '.join(islice(details, _FIRST))}; columns: {found})"
    return DataError(" ".join(text.split()), where=where, accepted=hint.removeprefix("; ") or None)


def suggested_columns(row: Any, targets: Sequence[str]) -> str:
    """Return `; or --columns ...` for the columns of a row that look like `targets`; empty if one is missing.

    Two answers whose names do not say which is better are suggested with the column of their verdict, never
    as chosen and rejected.
    """
    if not isinstance(row, Mapping):
        return ""
    names = [name for name in _paths(row) if name.strip() and _is_text_path(name, row)]
    mapped = _mapped(names, targets, row)
    people: list[str] = []
    if mapped is None and "completion" not in targets:
        two = two_alike(names)
        verdicts = [name for name in names if _is_like(name, "verdict") and name not in (two or ())]
        prompt = _prompt_beside(two or (), names, row)
        if two is None or not verdicts or prompt is None:
            return ""
        mapped = prompt | dict(zip(("response_a", "response_b", "verdict"), (*two, verdicts[0]), strict=True))
        mapped |= _seconds(row)
        people = [name for name in verdicts[1:] if _differ_in_a_word(verdicts[0], name)]
    renamed = {ours: theirs for ours, theirs in (mapped or {}).items() if ours != theirs}
    given = [f"{ours}={theirs}" for ours, theirs in renamed.items()] if _is_read(row, renamed) else []
    given += [f"verdict={name}" for name in people if given]
    return f"; or {shell_command('--columns', ','.join(given))}" if given else ""


def _seconds(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the column of how long a judgment took, if a row has one by another name."""
    found = [str(name) for name in row if str(name).strip().casefold().replace(" ", "_") in _SECONDS]
    return {"duration_s": found[0]} if found and "duration_s" not in row else {}


def suggested_pair_columns(row: Any) -> str:
    """Return `; or --columns ...` for the columns of a row that look like two answers; no verdict is needed.

    Two columns that no word tells apart are the first two texts beside the prompt.
    """
    if not isinstance(row, Mapping):
        return ""
    mapped = _two_answers(row)
    if mapped is None:
        return suggested_columns(row, ("prompt", "chosen", "rejected"))
    given = ",".join(f"{ours}={theirs}" for ours, theirs in mapped.items() if ours != theirs)
    return f"; or {shell_command('--columns', given)}" if given else ""


def suggested_judged_columns(rows: Sequence[Any], people: Sequence[str] = ()) -> str:
    """Return `; or --columns ...` for columns that look like two answers with a rating each, or a verdict.

    Args:
        rows: the first rows; a cell may be empty in some of them.
        people: columns that may say who judged, the likeliest first.
    """
    tables = [row for row in rows if isinstance(row, Mapping)]
    row: dict[str, Any] = {}
    for one in tables:
        row |= {name: cell for name, cell in one.items() if is_missing(row.get(name))}
    numbers = [str(name) for name in row if _is_number(tables, name)]
    mapped = _two_answers({name: cell for name, cell in row.items() if name not in numbers})
    if mapped is None:
        return ""
    alike = next((two for two in combinations(numbers, 2) if two_alike(two)), None)
    verdicts = [name for name in map(str, row) if name not in mapped.values() and _is_like(name, "verdict")]
    if alike is not None:
        words = [set(_words_of(mapped[name])) for name in ("response_a", "response_b")]
        is_turned = bool((words[1] - words[0]) & set(_words_of(alike[0])))
        mapped |= dict(zip(("rating_a", "rating_b"), alike[::-1] if is_turned else alike, strict=True))
    elif verdicts:
        mapped["verdict"] = verdicts[0]
    else:
        return ""
    mapped |= {"annotator": people[0]} if people and "annotator" not in row else {}
    mapped |= _seconds(row)
    given = ",".join(f"{ours}={theirs}" for ours, theirs in mapped.items() if ours != theirs)
    return f"; or {shell_command('--columns', given)}" if given else ""


def _is_number(rows: Sequence[Mapping[str, Any]], name: Any) -> bool:
    """Return True if a column has numbers alone, where it is filled."""
    cells = [row[name] for row in rows if not is_missing(row.get(name))]
    try:
        return bool(cells) and all(number_of(cell, "") is not None for cell in cells)
    except RequestError:
        return False


def _words_of(name: str) -> list[str]:
    return re.split(r"[\W_]+", name.casefold())


def _two_answers(row: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the columns of a prompt and two answers in a row; None if they cannot be told."""
    names = [name for name in _paths(row) if name.strip() and _is_text_path(name, row)]
    two = two_alike(names)
    prompt = _prompt_beside(two or (), names, row)
    if prompt is None:
        return None
    answers = [name for name in names if name not in prompt.values() and _is_like(name, "completion")]
    if two is None and len(answers) > 1:  # one that has our name keeps it
        two = (answers[1], answers[0]) if answers[1] == "response_a" else (answers[0], answers[1])
        two = two[::-1] if two[0] == "response_b" else two
    if two is None and suggested_columns(row, ("prompt", "chosen", "rejected")):
        return None
    if two is None:
        texts = [name for name in names if name not in prompt.values() and _is_prose(row, name)]
        two = (texts[0], texts[1]) if len(texts) == 2 else None
    if two is None:
        return None
    return prompt | dict(zip(("response_a", "response_b"), two, strict=True))


def suggested_reply_columns(row: Any) -> str:
    """Return `; or --columns ...` for the columns of a row that look like a reply and its prompt.

    A column that no word in its name tells is the only text beside the other one; a prompt is not needed.
    Of a list of answers, each is a reply.
    """
    if not isinstance(row, Mapping):
        return ""
    names = [name for name in _paths(row) if name.strip() and _is_text_path(name, row)]
    texts = at_paths(row, names)
    replies = [n for n in names if _is_like(n, "completion") and isinstance(texts.get(n), str)]
    asked = [name for name in names if _is_like(name, "prompt")]
    reply = next((name for name in replies if name not in asked), None)
    reply = reply or next((name for name in replies if name not in asked[:1]), None)
    if reply is None:
        others = [name for name in names if _is_prose(row, name) and name not in asked[:1]]
        reply = others[0] if len(others) == 1 and asked else None
    if reply is None:
        return _suggested_paths(row)
    prompt = _prompt_beside((reply,), names, row) or {}
    listed, _, key = reply.partition("[0].")
    if key and len(row.get(listed, ())) > 1 and not any(p.startswith(f"{listed}[") for p in prompt.values()):
        reply = f"{listed}[].{key}"  # every answer of the list
    found = prompt | {"reply": reply} | ({} if prompt else _only_name(row, reply))
    given = [f"{ours}={theirs}" for ours, theirs in found.items() if ours != theirs]
    return f"; or {shell_command('--columns', ','.join(given))}" if given else ""


def _only_name(row: Mapping[str, Any], reply: str) -> dict[str, str]:
    """Return the column of the cases' names if one stands alone beside a reply without a prompt."""
    others = [str(name) for name in row if name != reply]
    is_named = len(others) == 1 and "id" not in row and not case_named(row) and not _is_prose(row, others[0])
    return {"id": others[0]} if is_named and row[others[0]] not in (None, "") else {}


def text_paths(row: Any) -> list[str]:
    """Return the paths to the texts of several words in a row, in order, those that are a message's alone.

    Of a list, the first two elements are looked into.
    """
    found = dict(_texts_within(row, "", _DEEPEST))
    bodies = [path for path in found if re.split(r"[.\[]", path)[-1] in _BODIES]
    return bodies or list(found)


def _texts_within(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth:
        for key, held in value.items():
            if isinstance(key, str) and _KEY.fullmatch(key):
                yield from _texts_within(held, f"{path}.{key}" if path else key, depth - 1)
    elif isinstance(value, list) and depth and path:
        for place, held in enumerate(value[:2]):
            yield from _texts_within(held, f"{path}[{place}]", depth - 1)
    elif isinstance(value, str) and len(value.split()) >= _PROSE:
        yield path, value


def _suggested_paths(row: Mapping[str, Any]) -> str:
    """Return `; or --columns ...` for the first text in a row and the next other one; else nothing."""
    found = at_paths(row, text_paths(row))
    asked = next(iter(found), None)
    answer = next((path for path, text in found.items() if asked is not None and text != found[asked]), None)
    if asked is None or answer is None:
        return ""
    return f"; or {shell_command('--columns', f'prompt={asked},reply={answer}')}"


def likely_prompt(names: Sequence[str]) -> str | None:
    """Return the first of the columns whose name says that it has prompts, or None."""
    return next((name for name in names if _is_like(name, "prompt")), None)


def _is_read(row: Mapping[str, Any], columns: Mapping[str, str]) -> bool:
    """Return True if a row can be read with the names of columns. A verdict is not tried."""
    if "verdict" in columns:
        return True
    (applied,) = ColumnNames(columns).applied([SourceRow("", row)])
    try:
        if "completion" in columns:
            return bool(turns_in(applied.values)[0].learned)
        sides_in(applied.values)
    except RequestError:
        return False
    return True


def nearest_format(columns: Sequence[str]) -> str:
    """Return `; nearest format: ...` for the format that reads most of the columns; empty without two."""
    shared = {source: len(source.columns & set(columns)) for source in reversed(BUILT_IN) if source.columns}
    best = max(shared, key=lambda source: shared[source])
    return f"; nearest format: {best.name} ({best.summary})" if shared[best] > 1 else ""


def _mapped(names: Sequence[str], targets: Sequence[str], row: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the column for each target, by its name; None if a target has none."""
    taken: dict[str, str] = {}
    for target in targets:
        found = [name for name in names if name not in taken.values() and _is_like(name, target)]
        if target not in row and not found:
            return None
        taken[target] = target if target in row else found[0]
    return taken


def _prompt_beside(
    answers: Sequence[str], names: Sequence[str], row: Mapping[str, Any]
) -> dict[str, str] | None:
    """Return the column of the prompt: by its name, or else the first text that is not an answer."""
    others = [name for name in names if name not in answers]
    if found := _mapped(others, ("prompt",), row):
        return found
    texts = (name for name in others if _is_prose(row, name) and not any(_is_like(name, t) for t in _ANSWERS))
    name = next(texts, None)
    return None if name is None else {"prompt": name}


def _is_prose(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return isinstance(value, str) and len(value.split()) >= _PROSE


def _paths(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row, and paths to what they hold where that is a mapping or a list of texts."""
    found = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            found += [f"{name}.{key}" for key in value]
        elif isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
            found += [f"{name}[{place}]" for place in range(min(2, len(value)))]
        elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            found += [f"{name}[0].{key}" for key in value[0] if key in _TEXTS]
        else:
            found.append(str(name))
    return found


def _is_text_path(name: str, row: Mapping[str, Any]) -> bool:
    """Return False for a path that holds no text to learn, or a part of a column that is read whole."""
    leaf = (name if name in row else name.rpartition(".")[2]).casefold()
    if leaf in _NO_TEXT or leaf.endswith(_NO_TEXT_ENDS):
        return False
    return name in row or re.split(r"[.\[]", name)[0] not in _TARGET_ROOTS | PROMPT_COLUMNS


def _is_like(name: str, target: str) -> bool:
    word = name.casefold()
    pattern = _LIKELY.get(target)
    if pattern is None or not pattern.search(word):
        return False
    return target == "rejected" or target != "chosen" or not _NEGATED.search(word)


def two_alike(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two columns whose names differ only in a letter, number or side."""
    return next((two for two in pairwise(names) if differ_in_side(*two)), None)


def _differ_in_a_word(one: str, other: str) -> bool:
    """Return True if two names have the same words but for one, as `Anna prefers` and `Ben prefers`."""
    words = [re.split(r"[\W_]+", name.casefold()) for name in (one, other)]
    if len(words[0]) < 2 or len(words[0]) != len(words[1]):
        return False
    differing = sum(a != b for a, b in zip(words[0], words[1], strict=True))
    return bool(differing == 1)
