"""Tags of judged prompts from a file of prompts that stands beside the labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from core.errors import DataError
from core.records import Prompt
from labelers.formats.opinions import Exported, Pair
from labelers.formats.source import RowLabels
from publius.sources.beside.prompts import PromptsBeside, columns_held, read_prompts_beside
from publius.sources.column_names import ColumnNames
from publius.sources.texts.reading import TextReading


def tags_beside(path: Path, names: ColumnNames, reading: TextReading) -> tuple[PromptsBeside, ColumnNames]:
    """Return the prompts of a file, and the names of the labels' columns without that of its tags.

    Args:
        path: the file of prompts.
        names: the user's names; of our columns of prompts, those that the file has are its own, too.
        reading: how texts are read: HTML, quoted mail and signatures.

    Raises:
        DataError: the file cannot be read, or none of its prompts has a tag.
    """
    theirs = columns_held(path, names.columns)
    beside = read_prompts_beside(path, theirs, reading)
    if not any(one.tags for one in beside.found.values()):
        what = f"none of its {len(beside.found):,} prompts has a tag"
        raise DataError(what, where=f"--prompts {path}", accepted="a column tags, or --columns tags=THEIRS")
    if "tags" in theirs:
        names = replace(names, columns={o: t for o, t in names.columns.items() if o != "tags"})
    return beside, names


def with_tags_beside(labels: RowLabels, beside: PromptsBeside) -> RowLabels:
    """Return the labels of rows, with the file's tags after those of each prompt.

    Raises:
        DataError: an exported prompt has an id that depends on its tags.
    """
    name = f"row {labels.rows[0]}" if labels.rows else ""
    return replace(labels, pairs=tuple(_tagged(pair, beside, name) for pair in labels.pairs))


def _tagged(pair: Pair, beside: PromptsBeside, name: str) -> Pair:
    if pair.exported is not None:
        return _with_exported_tags(pair, pair.exported, beside, name)
    try:
        prompt = Prompt.of(pair.prompt, tags=pair.tags)
    except ValidationError:  # the import drops the pair, and says why
        return pair
    return replace(pair, tags=beside.with_tags(prompt, name).tags)


def _with_exported_tags(pair: Pair, exported: Exported, beside: PromptsBeside, name: str) -> Pair:
    """Return a pair of records that Publius exported, with the tags in its comparison, which keeps its id."""
    before = exported.comparison.prompt
    prompt = beside.with_tags(before, name)
    if before.repeat and prompt.tags != before.tags:
        raise DataError(
            f"the prompt of {name or before.id} repeats another of its run, and its id depends on its tags",
            where=f"--prompts {beside.name}",
            accepted="no --prompts for this file; tags in the prompts of the run that it is exported from",
        )
    comparison = exported.comparison.model_copy(update={"prompt": prompt})
    return replace(pair, tags=prompt.tags, exported=replace(exported, comparison=comparison))
