"""Damaged rows of every format: each is kept or dropped with a reason, and only our errors are raised."""

from __future__ import annotations

import contextlib
import copy
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import PubliusError
from labelers.formats.registry import BUILT_IN, recognise, source_named
from labelers.formats.source import LabelSource, Row
from publius.sources.label_rows import label_rows
from publius.sources.rows import DataSource
from tests.labelers.formats.reading import FIXTURES, imported, rows_of
from tests.labelers.formats.test_fixtures import FORMATS

BATCH = 25
"""Damaged rows that are imported together."""
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\ud800",
    "\x00",
    "[",
    '["x", null]',
    '{"role": 1}',
    "tie",
    "response-1",
    "2024-13-45",
    [],
    [[]],
    [None],
    {},
    {"value": {}},
    {"selected": "left"},
    [{"role": "assistant", "content": "x"}],
)
Place = tuple[Any, Any]
"""A container and the key of one of its values."""


def places(value: Any) -> list[Place]:
    """Every value inside a row, by its position."""
    found: list[Place] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def drop(place: Place, draw: random.Random) -> None:
    del place[0][place[1]]


def replace(place: Place, draw: random.Random) -> None:
    place[0][place[1]] = copy.deepcopy(draw.choice(ODD))


def truncate(place: Place, draw: random.Random) -> None:
    container, key = place
    if isinstance(container[key], str | list):
        container[key] = container[key][: draw.randrange(len(container[key]) + 1)]


def nest(place: Place, draw: random.Random) -> None:
    container, key = place
    for _ in range(draw.choice((1, 2, 300))):
        container[key] = draw.choice(([container[key]], {"value": container[key]}, {"id": container[key]}))


def swap(place: Place, draw: random.Random) -> None:
    container, key = place
    other = draw.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[key], container[other] = container[other], container[key]


def rename(place: Place, draw: random.Random) -> None:
    container, key = place
    if isinstance(container, dict):
        container[draw.choice((key.upper(), f"{key}.responses", "publius", "data", ""))] = container.pop(key)


MUTATIONS: tuple[Callable[[Place, random.Random], None], ...] = (drop, replace, truncate, nest, swap, rename)


def damaged(row: Row, draw: random.Random) -> Row:
    values = copy.deepcopy(row.values)
    for _ in range(draw.choice((1, 1, 2, 4))):
        found = places(values)
        if found:
            draw.choice(MUTATIONS)(draw.choice(found), draw)
    if draw.random() < 0.02:
        values = copy.deepcopy(draw.choice(ODD))
    return Row(row.number, values)


def check(rows: list[Row], folder: Path, source: LabelSource) -> int:
    """Import rows into a new folder and return how many were kept."""
    for row in rows:
        if isinstance(row.values, dict):
            assert all(own.recognises(row.values) is not False for own in BUILT_IN)
    labels = imported(rows, folder, source)
    assert labels.tally.kept + labels.tally.dropped_rows == labels.tally.rows == len(rows)
    excluded = Counter(exclusion.record_id for exclusion in labels.exclusions)
    assert labels.tally.dropped_rows <= len(excluded)
    assert len({judgment.id for judgment in labels.judgments}) == len(labels.judgments)
    for judgment, comparison in labels.judged():
        assert comparison.response_a != comparison.response_b
        assert judgment.p_a is not None or judgment.verdict not in ("a", "b", "tie")
    return labels.tally.kept


def fuzz(total: int, folder: Path) -> None:
    draw = random.Random(total)
    fixtures = [(name, rows_of(name)) for name in sorted(FORMATS)]
    done = kept = 0
    while done < total:
        name, rows = fixtures[(done // BATCH) % len(fixtures)]
        batch = [damaged(draw.choice(rows), draw) for _ in range(BATCH)]
        numbered = [Row(number, row.values) for number, row in enumerate(batch, start=1)]
        kept += check(numbered, folder / str(done), source_named(FORMATS[name]))
        done += BATCH
    assert 0.1 < kept / done < 0.9  # neither harmless nor hopeless


def test_damaged_rows_are_counted(tmp_path: Path):
    fuzz(1500, tmp_path)


@pytest.mark.long
def test_many_damaged_rows_are_counted(tmp_path: Path):
    fuzz(10_000, tmp_path)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_survives_the_rows_of_every_other(name: str, tmp_path: Path):
    rows = rows_of(name)
    for source in BUILT_IN:
        check(rows, tmp_path / source.name, source)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_spliced_bytes_are_rows_with_a_reason_or_one_error(name: str, tmp_path: Path):
    draw = random.Random(name)
    content = (FIXTURES / name).read_bytes()
    for attempt in range(12):
        start, end = sorted(draw.randrange(len(content)) for _ in range(2))
        splice = draw.choice((b"", b"\xff\xfe", b'"', b"\n", b"[[", b"\x00", content[start:end][:200]))
        file = tmp_path / f"{attempt}-{name}"
        file.write_bytes(content[:start] + splice + content[end:])
        with contextlib.suppress(PubliusError):
            rows = list(label_rows(DataSource(str(file))))
            if rows:
                check(rows, tmp_path / f"{attempt}", recognise(rows, name).source)
