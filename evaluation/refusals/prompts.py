"""Prompts that only look dangerous, and prompts that are: the set that ships, or a file such as XSTest's.

A file has the columns `prompt`, `label` (`safe` or `unsafe`) and, if you like, `type`. XSTest's CSV is such a
file (Röttger et al. 2024, arXiv 2308.01263). Its second version has no labels; there, types that begin with
`contrast_` are those of unsafe prompts.

`prompts.jsonl` holds forty prompts of each kind in words of our own: eight types with five pairs each, a safe
prompt and its unsafe contrast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

from core.digests import derive_uniform, digest
from core.errors import DataError
from core.records import Prompt
from core.store.containers import file_rows

BUILT_IN_PROMPTS = "builtin"
"""Name of the set that ships with the package."""
Label = Literal["safe", "unsafe"]
_CONTRAST = "contrast_"
_ACCEPTED = (
    "a .jsonl, .json, .yaml, .csv or .tsv file (each also .gz) with the columns prompt and label "
    f"(safe or unsafe), such as xstest_prompts.csv, or {BUILT_IN_PROMPTS}"
)


@dataclass(frozen=True)
class RefusalPrompt:
    """A prompt, and whether it should be answered."""

    prompt: Prompt
    label: Label
    """`safe`: it only looks dangerous, and a refusal is over-refusal. `unsafe`: it should be refused."""
    type: str
    """Why it looks dangerous, or what is dangerous, such as `homonyms`; empty if unknown."""


@dataclass(frozen=True)
class RefusalPrompts:
    """The prompts that refusals are measured on."""

    source: str
    """Name of the file, or `builtin`."""
    prompts: tuple[RefusalPrompt, ...]
    skipped: int = 0
    """Number of rows that repeat an earlier prompt."""
    trained: int = 0
    """Number of prompts that are left out, as models are trained on them."""
    seen: tuple[Label, ...] = ()
    """Labels of which every prompt is trained on; these are not left out, and not held out."""

    @property
    def digest(self) -> str:
        """Digest of prompts and labels: rates on other prompts cannot be compared."""
        return digest([(one.prompt.id, one.label) for one in self.prompts])[:16]


def refusal_prompts(
    source: str, limit: int | None = None, is_trained: Callable[[Prompt], bool] | None = None
) -> RefusalPrompts:
    """Return the prompts of a file, or those that ship.

    Args:
        source: path of the file, or `builtin`.
        limit: maximum number of prompts of each label. They are chosen by hash, so the choice does not depend
            on the order of the file, and a smaller limit chooses a part of a larger one.
        is_trained: returns True for a prompt that models are trained on. Such prompts are left out, unless no
            other of their label would be left.

    Raises:
        DataError: a row has no prompt or no valid label, or there are no prompts of a label.
    """
    if source == BUILT_IN_PROMPTS:
        with as_file(files("evaluation.refusals") / "prompts.jsonl") as path:
            found, skipped = _read(path)
    else:
        found, skipped = _read(Path(source))
    for label in ("safe", "unsafe"):
        if not any(one.label == label for one in found):
            raise DataError(f"no {label} prompts", where=source, accepted=_ACCEPTED)
    every, (found, seen) = found, _held_out(found, is_trained)
    chosen = {one.prompt.id for label in ("safe", "unsafe") for one in _chosen(found, label, limit)}
    kept = tuple(one for one in found if one.prompt.id in chosen)
    name = source if source == BUILT_IN_PROMPTS else Path(source).name
    return RefusalPrompts(name, kept, skipped, len(every) - len(found), seen)


def _read(path: Path) -> tuple[list[RefusalPrompt], int]:
    """Return the prompts of a file, and the number of rows that repeat one."""
    found: dict[str, RefusalPrompt] = {}
    rows = 0
    for row in file_rows(path, _ACCEPTED):
        rows += 1
        where = f"{path}:{row.number}" if row.is_line else f"{path} row {row.number}"
        one = _of_row(row.value, where)
        earlier = found.setdefault(one.prompt.id, one)
        if earlier.label != one.label:
            what = f"the prompt is {one.label} here and {earlier.label} in an earlier row"
            raise DataError(what, where=where, accepted="one label for each prompt")
    return list(found.values()), rows - len(found)


def _of_row(values: Any, where: str) -> RefusalPrompt:
    if not isinstance(values, dict):
        raise DataError(f"not a row with columns: {values}", where=where, accepted=_ACCEPTED)
    text, kind = values.get("prompt"), values.get("type") or ""
    label = values.get("label")
    if label is None and kind:
        label = "unsafe" if str(kind).startswith(_CONTRAST) else "safe"
    if not isinstance(text, str) or not text.strip():
        columns = ", ".join(map(str, values)) or "none"
        raise DataError(f"no prompt (columns: {columns})", where=where, accepted=_ACCEPTED)
    if label not in ("safe", "unsafe"):
        raise DataError(f"label {label!r}", where=where, accepted="safe or unsafe")
    # Without tags: the label must not decide which principles `prompted` is shown.
    return RefusalPrompt(Prompt.of(text.strip(), source="refusals"), label, str(kind))


def _held_out(
    found: list[RefusalPrompt], is_trained: Callable[[Prompt], bool] | None
) -> tuple[list[RefusalPrompt], tuple[Label, ...]]:
    """Return the prompts that are not trained on, with all of a label that has no other, and these labels."""
    if is_trained is None:
        return found, ()
    held_out = {one.prompt.id for one in found if not is_trained(one.prompt)}
    left = {one.label for one in found if one.prompt.id in held_out}
    labels: tuple[Label, ...] = ("safe", "unsafe")
    seen = tuple(label for label in labels if label not in left)
    return [one for one in found if one.prompt.id in held_out or one.label in seen], seen


def _chosen(found: Sequence[RefusalPrompt], label: str, limit: int | None) -> list[RefusalPrompt]:
    of_label = [one for one in found if one.label == label]
    if limit is None:
        return of_label
    return sorted(of_label, key=lambda one: derive_uniform("refusals", one.prompt.id))[:limit]
