"""Registry of label sources: find one by name, or the one that recognises a file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

import core.code
from core.code import importable
from core.errors import ConfigError, DataError
from core.text.explain import one_of
from labelers.formats.columns import Columns
from labelers.formats.datasets.arena import ArenaVotes
from labelers.formats.datasets.helpsteer import HelpSteer2, HelpSteerPreferences
from labelers.formats.datasets.hhh import HelpfulHonestHarmless
from labelers.formats.datasets.safe_rlhf import SafeRlhf
from labelers.formats.datasets.transcripts import Transcripts
from labelers.formats.datasets.trl import TrlPreferences
from labelers.formats.datasets.two_answers import (
    AlpacaEval,
    JudgeBench,
    OpenAIPreferences,
    StanfordPreferences,
    Summaries,
    WebGpt,
)
from labelers.formats.datasets.ultrafeedback import UltraFeedback
from labelers.formats.rankings import Rankings
from labelers.formats.source import GROUP, LabelSource, Row
from labelers.formats.tools.argilla import Argilla
from labelers.formats.tools.icai import AnnotatedPairs, IcaiTable
from labelers.formats.tools.label_studio import LabelStudio
from labelers.formats.tools.mturk import MechanicalTurk
from labelers.formats.tools.sheets import BlindSheet, PreferenceTable

BUILT_IN: tuple[LabelSource, ...] = (
    BlindSheet(),
    PreferenceTable(),
    AnnotatedPairs(),
    LabelStudio(),
    MechanicalTurk(),
    Argilla(),
    UltraFeedback(),
    AlpacaEval(),
    Summaries(),
    WebGpt(),
    StanfordPreferences(),
    OpenAIPreferences(),
    JudgeBench(),
    SafeRlhf(),
    HelpSteerPreferences(),
    HelpSteer2(),
    ArenaVotes(),
    HelpfulHonestHarmless(),
    Transcripts(),
    IcaiTable(),
    TrlPreferences(),
    Rankings(),
    Columns(),
)
"""Built-in sources in order of precedence for recognising a file: specific formats before general ones."""
AUTO_SOURCE = "auto"
_ACCEPTED = "module:function that returns a label source (docs/human-labels.md)"


class Recognised(NamedTuple):
    """The source that reads a file, and why it was chosen."""

    source: LabelSource
    why: str


def is_built_in(source: LabelSource) -> bool:
    """Return whether a source is built into Publius."""
    return any(type(source) is type(own) for own in BUILT_IN)


def source_named(name: str) -> LabelSource:
    """Return the source of that name: built in, from an installed package, or `module:function`.

    Raises:
        ConfigError: if there is no such source, or it cannot be loaded.
    """
    for source in BUILT_IN:
        if source.name == name:
            return source
    offered = {entry.name: entry for entry in _offered()}
    if name in offered:
        return _loaded(offered[name])
    if ":" in name:
        return _loaded(EntryPoint(name, name, GROUP))
    known = [AUTO_SOURCE, *(source.name for source in BUILT_IN), *offered, "module:function"]
    raise ConfigError(f"unknown format {name!r}", where="--format", accepted=one_of(known, name))


def recognise(rows: Sequence[Row], where: str) -> Recognised:
    """Return the source that recognises the first rows; if several do, the most specific one.

    Sources of installed packages are tried if no built-in source recognises any row.

    Raises:
        DataError: if no source recognises the rows.
    """
    readable = [row.values for row in rows if isinstance(row.values, Mapping)]
    found = _most(BUILT_IN, readable) or _most(map(_loaded, _offered()), readable)
    if found is not None:
        return found
    columns = ", ".join(str(name) for name in readable[0])[:200] if readable else "none"
    names = ", ".join(source.name for source in BUILT_IN)
    raise DataError(
        f"cannot recognise the format from the columns ({columns})",
        where=where,
        accepted=f"--format {names} or module:function",
        run="publius import labels FILE --to DIR --columns "
        "prompt=NAME,response_a=NAME,response_b=NAME,verdict=NAME (and name DIR as the labels)",
    )


def most_specific(rows: Sequence[Mapping[str, Any]]) -> LabelSource | None:
    """Return the built-in source of labels that recognises the rows, or None.

    A table of our own preferences is one only with a column for a person's decision.
    """
    table = PreferenceTable()
    decided = any(table.has_decisions(row) for row in rows)
    found = _most((one for one in BUILT_IN if decided or one.name != table.name), rows)
    return None if found is None else found.source


def _most(sources: Iterable[LabelSource], rows: Sequence[Mapping[str, Any]]) -> Recognised | None:
    """Return the first source that recognises at least half as many rows as the best source does."""
    found: list[tuple[int, Recognised]] = []
    for source in sources:
        reasons = [why for row in rows if (why := _asked(source, row)) is not None]
        if reasons:
            found.append((len(reasons), Recognised(source, reasons[0])))
    most = max((count for count, _ in found), default=0)
    return next((recognised for count, recognised in found if 2 * count >= most), None)


def _asked(source: LabelSource, row: Mapping[str, Any]) -> str | None:
    """Return why a source recognises a row; None if it does not."""
    if is_built_in(source):
        return source.recognises(row)
    with source_errors(lambda: f"recognises() of the source {source.name!r} failed"):
        return source.recognises(row)


def source_errors(what: Callable[[], str]) -> contextlib.AbstractContextManager[None]:
    """Return a context that turns a source's exception into a one-line error; `what` names the failure."""
    return core.code.foreign_errors(what, "--format", _ACCEPTED)


def _offered() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _loaded(entry: EntryPoint) -> LabelSource:
    """Load an entry point and call it; modules next to the user's files can be imported, too."""
    with source_errors(lambda: f"the source {entry.value!r} cannot be loaded"), importable(entry):
        source = entry.load()()
    if not isinstance(source, LabelSource):
        raise ConfigError(
            f"{entry.value!r} returned a {type(source).__name__}, which is not a label source",
            where="--format",
            accepted="an object with name, summary, columns, recognises and read (docs/human-labels.md)",
        )
    return source
