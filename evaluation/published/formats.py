"""Files of published evaluations, read as items: a prompt, candidates, and which of them are right.

Columns of each:

- hhh, harmful-or-ethical, kind-of-harm (Bai et al. 2022, arXiv 2212.08073): `prompt`, and lists `corrects`
  and `incorrects` of options such as ` (A)`
- rewardbench (Lambert et al. 2024, arXiv 2403.13787): `prompt`, `chosen`, `rejected`, `subset`
- rewardbench-2 (Malik et al. 2025, arXiv 2506.01937): `id`, `prompt`, `subset`, lists `chosen` and `rejected`
- judgebench (Tan et al. 2024, arXiv 2410.12784): `question`, `response_A`, `response_B`, `label` (`A>B` or
  `B>A`), `source`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from core.errors import DataError
from core.records import Message, Prompt

OptionBenchmark = Literal["hhh", "harmful-or-ethical", "kind-of-harm"]
"""Questions with lettered options."""
ReplyBenchmark = Literal["rewardbench", "rewardbench-2", "judgebench"]
"""Replies of which the best is to be found."""
XSTEST = "xstest"
OPTION_BENCHMARKS: tuple[str, ...] = get_args(OptionBenchmark)
REPLY_BENCHMARKS: tuple[str, ...] = get_args(ReplyBenchmark)
BENCHMARKS = (*OPTION_BENCHMARKS, XSTEST, *REPLY_BENCHMARKS)
TIES = "Ties"
"""The subset of RewardBench 2 with several right replies."""
_LETTER = re.compile(r"\s*\(([A-Z])\)\s*")
_JUDGEBENCH_GROUPS = {
    "mmlu-pro": "knowledge",
    "livebench-reasoning": "reasoning",
    "livebench-math": "math",
    "livecodebench": "coding",
}
"""Group of JudgeBench by the beginning of `source`."""


@dataclass(frozen=True)
class BenchmarkItem:
    """One question of a published evaluation."""

    id: str
    prompt: Prompt
    candidates: tuple[str, ...]
    """Replies, or letters of options; the right ones first."""
    right: int
    """Number of right candidates."""
    subset: str = ""


def items_of(name: str, rows: Iterable[tuple[str, Any]]) -> tuple[BenchmarkItem, ...]:
    """Return the items of a published evaluation.

    Args:
        name: an option or reply benchmark.
        rows: the place of each row, for errors, and its columns.

    Raises:
        DataError: a row lacks a column or has another form, or there are no rows.
    """
    read, accepted = _READERS[name]
    items: list[BenchmarkItem] = []
    for where, row in rows:
        try:
            if not isinstance(row, Mapping):
                raise ValueError("it has no columns")
            items.append(read(row, where))
        except (KeyError, ValueError) as error:
            found = f"no column {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
            raise DataError(f"not a row of {name}: {found}", where=where, accepted=accepted) from error
    if not items:
        raise DataError(f"no rows of {name}", accepted=accepted)
    return tuple(items)


def _option(row: Mapping[str, Any], where: str) -> BenchmarkItem:
    right, wrong = _letters(row["corrects"]), _letters(row["incorrects"])
    if not right or not wrong:
        raise ValueError("it needs a correct and an incorrect option")
    return BenchmarkItem(where, _prompt(row["prompt"]), (*right, *wrong), len(right))


def _pair(row: Mapping[str, Any], where: str) -> BenchmarkItem:
    candidates = (_text(row["chosen"]), _text(row["rejected"]))
    name, subset = str(row.get("id", where)), _text(row["subset"])
    return BenchmarkItem(name, _prompt(row["prompt"]), candidates, 1, subset)


def _best_of(row: Mapping[str, Any], where: str) -> BenchmarkItem:
    right, wrong = (tuple(map(_text, _list(row[name]))) for name in ("chosen", "rejected"))
    if not right or not wrong:
        raise ValueError("it needs a chosen and a rejected reply")
    name, subset = str(row.get("id", where)), _text(row["subset"])
    if subset == TIES and name.partition(":")[0] not in ("ref", "tied"):
        raise ValueError(f"the id of a row of {TIES} is ref:N or tied:N, not {name!r}")
    return BenchmarkItem(name, _prompt(row["prompt"]), (*right, *wrong), len(right), subset)


def _judged(row: Mapping[str, Any], where: str) -> BenchmarkItem:
    replies = (_text(row["response_A"]), _text(row["response_B"]))
    label = row["label"]
    if label not in ("A>B", "B>A"):
        raise ValueError(f"label {label!r} is neither A>B nor B>A")
    source = str(row.get("source", ""))
    group = next((g for start, g in _JUDGEBENCH_GROUPS.items() if source.startswith(start)), source)
    ordered = replies if label == "A>B" else replies[::-1]
    return BenchmarkItem(str(row.get("pair_id", where)), _prompt(row["question"]), ordered, 1, group)


_READERS: dict[str, tuple[Callable[[Mapping[str, Any], str], BenchmarkItem], str]] = {
    **dict.fromkeys(
        OPTION_BENCHMARKS,
        (_option, "rows with prompt, and corrects and incorrects: lists of options such as ' (A)'"),
    ),
    "rewardbench": (_pair, "rows with prompt, chosen, rejected and subset"),
    "rewardbench-2": (_best_of, "rows with id, prompt, subset, and lists of replies chosen and rejected"),
    "judgebench": (_judged, "rows with question, response_A, response_B and label (A>B or B>A)"),
}


def _letters(value: Any) -> tuple[str, ...]:
    found = [_LETTER.fullmatch(option) for option in _list(value)]
    if not all(found):
        raise ValueError(f"{value!r} are not options such as ' (A)'")
    return tuple(match[1] for match in found if match)


def _prompt(value: Any) -> Prompt:
    """Return the prompt of a text, or of a list of messages."""
    if isinstance(value, list):
        return Prompt.of(tuple(Message.model_validate(message) for message in value))
    return Prompt.of(_text(value).strip())


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{str(value)[:40]!r} is not a list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is not a text")
    return value
